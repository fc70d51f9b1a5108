"""The provider and its one resource type, which fits every kind."""

import os
from collections.abc import Callable
from functools import cache

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential

from sandbox.plugins.kubernetes import objects
from sandbox.plugins.kubernetes.awaits import (
    NotReadyError,
    Show,
    assert_ready,
    problems,
    wait_until_gone,
    wait_until_ready,
)
from sandbox.plugins.kubernetes.cluster import ApiError, Cluster, Kind, UnreachableError, load_kubeconfig, server_of
from sandbox.plugins.kubernetes.verdict import Line
from sandbox.plugins.server import (
    Call,
    Current,
    Difference,
    InitError,
    Log,
    Provider,
    ProviderError,
    ResourceType,
    Urn,
    package_version,
)
from sandbox.plugins.values import Properties, has_unknown, reveal

_NOT_ONE_OBJECT = ("helm.sh/", "yaml", "kustomize")
_SETTINGS = frozenset(
    (
        "clusterIdentifier",
        "context",
        "deleteUnreachable",
        "helmReleaseSettings",
        "kubeClientSettings",
        "kubeconfig",
        "namespace",
        "suppressDeprecationWarnings",
        "suppressHelmHookWarnings",
        "version",
    )
)
"""Settings of the provider that are obeyed, or have no meaning for one object."""
_DELETE_UNREACHABLE = "PULUMI_K8S_DELETE_UNREACHABLE"
_PATCH_FORCE = "PULUMI_K8S_ENABLE_PATCH_FORCE"
_PROPAGATION = "pulumi.com/deletionPropagationPolicy"
_RETRIES = 5
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_ALREADY_EXISTS = """

The resource already exists in the cluster. This can happen when:

  - A Pulumi resource was renamed: give it an alias, or delete_before_replace where it has to be replaced.
  - The object was made by somebody else: take it over with `pulumi import`, or delete it."""

_CONFLICT = """

Somebody else manages that field of the object. Leave it to them (drop it from the program or add it to
ignore_changes), or take it over with the annotation pulumi.com/patchForce: "true"."""


class KubernetesProvider(Provider):
    """Knows every kind that stands for one object in the cluster."""

    package = "kubernetes"
    supports_autonaming = True

    def __init__(self) -> None:
        self._config: Properties = {}
        self._cluster: Cluster | None = None

    def resource_type(self, token: str) -> ResourceType:
        """Returns how a type is handled."""
        _, module, kind = token.split(":", 2)
        if module.startswith(_NOT_ONE_OBJECT) or kind.endswith("Patch"):
            self.refuse(token)
        if self._cluster is None:
            self._cluster = Cluster(self._config)
        return _Object(self._cluster, self.log, delete_unreachable=self._deletes_unreachable())

    async def configure(self, config: Properties) -> None:
        """Takes over the settings; the cluster is first asked when a resource needs it."""
        self._config = reveal(config)
        unknown = sorted(self._config.keys() - _SETTINGS)
        if unknown:
            raise ProviderError(
                f"the provider's setting {unknown[0]} is not known to this plugin, which stands in for the official "
                f"one where that cannot be downloaded: remove the setting, or install the official one: "
                f"pulumi plugin install resource {self.package} {package_version(self.package)}"
            )

    def _deletes_unreachable(self) -> bool:
        setting = self._config.get("deleteUnreachable", os.environ.get(_DELETE_UNREACHABLE))
        return str(setting).lower() == "true"

    async def diff_config(self, old: Properties, new: Properties) -> Difference:
        """Another cluster means other objects: everything behind this provider is then replaced."""
        plain_old, plain_new = reveal(old), reveal(new)
        changed = [
            name for name in sorted(plain_old.keys() | plain_new.keys()) if plain_old.get(name) != plain_new.get(name)
        ]
        replaces = [name for name in changed if name in ("clusterIdentifier", "context", "kubeconfig")]
        if _is_same_cluster(plain_old, plain_new):
            replaces = []
        return Difference(bool(changed), replaces=replaces, properties=changed)


def _is_same_cluster(old: Properties, new: Properties) -> bool:
    if "clusterIdentifier" in old or "clusterIdentifier" in new:
        return bool(old.get("clusterIdentifier") == new.get("clusterIdentifier"))
    if has_unknown(new):
        return True
    try:
        before, after = load_kubeconfig(old), load_kubeconfig(new)
    except ProviderError:
        # Only the new settings are of use now, and `configure` says what is wrong with them.
        return True
    if before is None or after is None:
        return before is after
    return server_of(before, old.get("context")) == server_of(after, new.get("context"))


class _Object(ResourceType):
    def __init__(self, cluster: Cluster, log: Log, *, delete_unreachable: bool) -> None:
        self._cluster = cluster
        self._log = log
        self._delete_unreachable = delete_unreachable

    async def check(self, call: Call, old: Properties, new: Properties) -> tuple[Properties, list[str]]:
        # A name that is generated must not be another one the second time.
        name = cache(lambda: _generated_name(call))
        was_namespaced = "namespace" in (reveal(old).get("metadata") or {})
        inputs = objects.complete(name, old, new, self._cluster.namespace if was_namespaced else None)
        if inputs != old:
            # What is as it was is in the API server's form already, which need not be asked.
            inputs = await self._complete(name, old, new)
        return inputs, problems(reveal(inputs)["metadata"].get("annotations") or {})

    async def _complete(self, name: Callable[[], str], old: Properties, new: Properties) -> Properties:
        api_version, kind_name = reveal(new["apiVersion"]), reveal(new["kind"])
        try:
            kind = await self._cluster.kind(api_version, kind_name)
            schema = None if has_unknown(new) else await self._cluster.schema(api_version)
        except UnreachableError:
            kind, schema = None, None
        namespaced = kind.namespaced if kind else kind_name not in objects.CLUSTER_WIDE
        return objects.complete(name, old, new, self._cluster.namespace if namespaced else None, schema)

    async def diff(self, call: Call, outputs: Properties, old: Properties, new: Properties) -> Difference:  # noqa: ARG002
        return objects.compare(outputs, old, new, unready=await self._is_to_be_replaced(new))

    async def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        if call.preview and (has_unknown(inputs) or not await self._is_known(inputs)):
            return "", inputs
        plain = reveal(inputs)
        try:
            kind, written = await self._create(call, plain)
        except ApiError as error:
            # Its namespace, or the end of the object that it replaces, is still to come.
            if call.preview and error.reason in ("NotFound", "AlreadyExists", "Forbidden"):
                return "", inputs
            hint = _ALREADY_EXISTS if error.reason == "AlreadyExists" else ""
            raise ProviderError(
                f'resource "{call.urn.text}" was not successfully created by the Kubernetes API server: {error}{hint}'
            ) from None
        except UnreachableError as error:
            raise ProviderError(f"configured Kubernetes cluster is unreachable: {error}") from None
        manager = objects.random_name(objects.CREATE_MANAGER)
        if call.preview:
            # What it becomes when it exists is not known yet.
            written.pop("status", None)
            return "", objects.state(written, inputs, manager)
        live = await self._await(call, kind, written, inputs, manager)
        return objects.identity(live["metadata"]), objects.state(live, inputs, manager)

    async def read(self, call: Call, outputs: Properties, inputs: Properties) -> Current | None:
        api_version, name = _api_version_and_kind(call.urn, outputs)
        try:
            kind = await self._cluster.kind(api_version, name)
            if kind is None:
                return None
            live = await self._cluster.request("GET", kind.url(*objects.split_identity(call.resource_id)))
        except UnreachableError as error:
            await self._report_unreachable(call, error)
            return None
        except ApiError as error:
            if error.reason == "NotFound":
                return None
            raise ProviderError(f'resource "{call.urn.text}" cannot be read: {error}') from None
        if inputs:
            now = objects.mark_secrets(objects.project(live, reveal(inputs)), inputs)
        else:
            metadata = {key: live["metadata"][key] for key in ("name", "namespace") if key in live["metadata"]}
            now = {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": metadata}
        manager = outputs.get("__fieldManager") or objects.random_name(objects.CREATE_MANAGER)
        state = objects.state(live, now, manager)
        try:
            if inputs:
                await assert_ready(self._cluster, live)
        except NotReadyError as error:
            reasons = [str(error), *error.problems]
            raise InitError(
                str(error), resource_id=call.resource_id, outputs=state, inputs=now, reasons=reasons
            ) from None
        return Current(objects.identity(live["metadata"]), state, now)

    async def update(self, call: Call, outputs: Properties, new: Properties) -> Properties:
        if call.preview and (has_unknown(new) or not await self._is_known(new)):
            return new
        plain = reveal(new)
        manager = outputs.get("__fieldManager") or objects.random_name(objects.CREATE_MANAGER)
        try:
            kind = await self._cluster.kind(plain["apiVersion"], plain["kind"])
            if kind is None:
                raise _unknown_kind("update", call, plain)
            url = kind.url(*objects.split_identity(call.resource_id))
            written = await self._apply(url, plain, manager, preview=call.preview)
        except ApiError as error:
            if call.preview and error.reason == "Forbidden":
                return new
            hint = _CONFLICT if error.reason == "Conflict" else ""
            live = await self._cluster.request("GET", url)
            raise _failed_update(f"{error}{hint}", [], objects.state(live, new, manager)) from None
        except UnreachableError as error:
            raise ProviderError(f"configured Kubernetes cluster is unreachable: {error}") from None
        if call.preview:
            return objects.state(written, new, manager)
        live = await self._await(call, kind, written, new, manager)
        return objects.state(live, new, manager)

    async def delete(self, call: Call, outputs: Properties) -> None:
        annotations = (outputs.get("metadata") or {}).get("annotations") or {}
        policy = str(annotations.get(_PROPAGATION, "")).title()
        try:
            api_version, kind_name = _api_version_and_kind(call.urn, outputs)
            kind = await self._cluster.kind(api_version, kind_name)
            if kind is None:
                return
            url = kind.url(*objects.split_identity(call.resource_id))
            propagation = policy if policy in ("Orphan", "Background") else "Foreground"
            answer = await self._cluster.request("DELETE", url, propagationPolicy=propagation)
            show = self._show(call.urn)
            # The answer is the object where that goes later.
            if answer["kind"] == kind_name:
                await show(Line("Resource scheduled for deletion"))
            await wait_until_gone(self._cluster, url, outputs, call.timeout, show)
        except UnreachableError as error:
            await self._report_unreachable(call, error)
        except ApiError as error:
            if error.reason != "NotFound":
                raise ProviderError(f'resource "{call.urn.text}" was not deleted: {error}') from None
        except NotReadyError as error:
            await self._log.warning(call.urn, f"finalizers might be preventing deletion ({', '.join(error.problems)})")
            raise InitError(
                str(error), resource_id=call.resource_id, outputs=outputs, inputs=None, reasons=[str(error)]
            ) from None

    async def _is_known(self, inputs: Properties) -> bool:
        """Says whether the API server can be asked about objects of a kind."""
        try:
            return await self._cluster.kind(reveal(inputs["apiVersion"]), reveal(inputs["kind"])) is not None
        except UnreachableError:
            return False

    async def _create(self, call: Call, plain: Properties) -> tuple[Kind, Properties]:
        """Makes an object, and tries again where its kind or its namespace do not exist yet."""
        query = {"fieldManager": objects.CREATE_MANAGER} | ({"dryRun": "All"} if call.preview else {})

        async def show(attempt: RetryCallState) -> None:
            error = attempt.outcome.exception() if attempt.outcome else None
            await self._log.status(call.urn, f"Retry #{attempt.attempt_number - 1}; creation failed: {error}")

        async def try_once() -> tuple[Kind, Properties]:
            kind = await self._cluster.kind(plain["apiVersion"], plain["kind"])
            if kind is None:
                raise _unknown_kind("creation", call, plain)
            url = kind.url(plain["metadata"].get("namespace"))
            return kind, await self._cluster.request("POST", url, plain, **query)

        retrying = AsyncRetrying(
            stop=stop_after_attempt(1 if call.preview else _RETRIES),
            wait=wait_exponential(multiplier=0.5),
            retry=retry_if_exception(_may_come),
            before_sleep=show,
            reraise=True,
        )
        return await retrying(try_once)

    async def _is_to_be_replaced(self, new: Properties) -> bool:
        """Says whether an object is a Job that is not done, of those that are to be started anew then."""
        inputs = reveal(new)
        annotations = inputs["metadata"].get("annotations") or {}
        if inputs["kind"] != "Job" or annotations.get(objects.REPLACE_UNREADY) != "true" or has_unknown(inputs):
            return False
        kind = await self._cluster.kind(inputs["apiVersion"], inputs["kind"])
        try:
            url = kind.url(inputs["metadata"].get("namespace"), inputs["metadata"]["name"]) if kind else ""
            await assert_ready(self._cluster, await self._cluster.request("GET", url))
        except NotReadyError:
            return True
        except (ApiError, UnreachableError):
            return False
        return False

    async def _apply(self, url: str, plain: Properties, manager: str, *, preview: bool) -> Properties:
        annotations = plain["metadata"].get("annotations") or {}
        forced = annotations.get("pulumi.com/patchForce") == "true" or os.environ.get(_PATCH_FORCE) == "true"
        query = {"fieldManager": manager}
        if preview:
            query["dryRun"] = "All"
            # It cannot give the fields of the creation to this manager, and would conflict with them.
            forced = forced or objects.migrated_managers(await self._managed_fields(url), manager) is not None
        else:
            await AsyncRetrying(
                stop=stop_after_attempt(_RETRIES), retry=retry_if_exception(_is_conflict), reraise=True
            )(self._migrate_managers, url, manager)
        if forced:
            query["force"] = "true"
        return await self._cluster.request("PATCH", url, plain, content_type=_APPLY, **query)

    async def _managed_fields(self, url: str) -> list[Properties]:
        return (await self._cluster.request("GET", url))["metadata"].get("managedFields") or []

    async def _migrate_managers(self, url: str, manager: str) -> None:
        metadata = (await self._cluster.request("GET", url))["metadata"]
        managed = objects.migrated_managers(metadata.get("managedFields") or [], manager)
        if managed is not None:
            # The resource version keeps what others manage from being lost.
            change = {"managedFields": managed, "resourceVersion": metadata["resourceVersion"]}
            await self._cluster.request("PATCH", url, {"metadata": change}, content_type=_MERGE)

    async def _await(self, call: Call, kind: Kind, written: Properties, inputs: Properties, manager: str) -> Properties:
        """Waits until an object is ready; one that does not get ready stays in the state nevertheless."""
        metadata = written["metadata"]
        url = kind.url(metadata.get("namespace"), metadata["name"])
        try:
            return await wait_until_ready(self._cluster, url, written, call.timeout, self._show(call.urn))
        except NotReadyError as error:
            state = objects.state(await self._latest(url, written), inputs, manager)
            if call.resource_id:
                raise _failed_update(str(error), error.problems, state) from None
            message = (
                f'resource "{call.urn.text}" was successfully created, but the Kubernetes API server '
                f"reported that it failed to fully initialize or become live: {error}"
            )
            identity, reasons = objects.identity(metadata), [message, *error.problems]
            raise InitError(message, resource_id=identity, outputs=state, inputs=None, reasons=reasons) from None

    async def _latest(self, url: str, written: Properties) -> Properties:
        """Returns an object as it is now, or as it was written where that cannot be found out any more."""
        try:
            return await self._cluster.request("GET", url)
        except ProviderError:
            return written

    async def _report_unreachable(self, call: Call, error: UnreachableError) -> None:
        """Returns where objects in a cluster that does not answer count as deleted."""
        unreachable = f"configured Kubernetes cluster is unreachable: {error}"
        await self._log.warning(call.urn, unreachable)
        if not self._delete_unreachable:
            raise ProviderError(
                f"{unreachable}. If it was deleted, set {_DELETE_UNREACHABLE}=true and try again: "
                f"its objects are then removed from the state"
            ) from None

    def _show(self, urn: Urn) -> Show:
        return lambda line: self._log.status(urn, line.text, warning=line.warning)


def _failed_update(error: str, problems: list[str], state: Properties) -> InitError:
    identity = objects.identity(state["metadata"])
    message = f'the Kubernetes API server reported that "{identity}" failed to fully initialize or become live: {error}'
    return InitError(message, resource_id=identity, outputs=state, inputs=None, reasons=[message, *problems])


class _UnknownKindError(ProviderError):
    """The cluster does not know a kind, or not yet."""


def _unknown_kind(operation: str, call: Call, plain: Properties) -> _UnknownKindError:
    return _UnknownKindError(
        f'{operation} of resource "{call.urn.text}" with kind {plain["apiVersion"]}/{plain["kind"]} failed because the '
        f"Kubernetes API server reported that the apiVersion for this resource does not exist. "
        f"Verify that any required CRDs have been created"
    )


def _may_come(error: BaseException) -> bool:
    return isinstance(error, _UnknownKindError) or (isinstance(error, ApiError) and error.reason == "NotFound")


def _is_conflict(error: BaseException) -> bool:
    return isinstance(error, ApiError) and error.reason == "Conflict"


def _generated_name(call: Call) -> str:
    if call.proposed_name is not None:
        return call.proposed_name
    if not call.may_generate_name:
        raise ProviderError(
            f'resource "{call.urn.text}" has no metadata.name, and pulumi:autonaming forbids to generate one'
        )
    return objects.random_name(call.urn.name)


def _api_version_and_kind(urn: Urn, outputs: Properties) -> tuple[str, str]:
    """Returns them as the object has them, or, before it is known, as its type token says."""
    _, module, kind = urn.type.split(":", 2)
    api_version = outputs.get("apiVersion") or module.removeprefix("core/")
    return str(api_version), kind
