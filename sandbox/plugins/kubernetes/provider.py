"""The provider and its one resource type, which fits every kind."""

from sandbox.plugins.kubernetes import objects
from sandbox.plugins.kubernetes.awaits import NotReadyError, Show, problems, wait_until_gone, wait_until_ready
from sandbox.plugins.kubernetes.cluster import ApiError, Cluster, Kind, load_kubeconfig, server_of
from sandbox.plugins.server import Call, Current, Difference, InitError, Log, Provider, ProviderError, ResourceType, Urn
from sandbox.plugins.values import Properties, has_unknown, reveal

_NOT_ONE_OBJECT = ("helm.sh/", "yaml", "kustomize")
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
        return _Object(self._cluster, self.log)

    async def configure(self, config: Properties) -> None:
        """Takes over the settings; the cluster is first asked when a resource needs it."""
        self._config = reveal(config)

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
    def __init__(self, cluster: Cluster, log: Log) -> None:
        self._cluster = cluster
        self._log = log

    async def check(self, call: Call, old: Properties, new: Properties) -> tuple[Properties, list[str]]:
        api_version, name = reveal(new.get("apiVersion")), reveal(new.get("kind"))
        kind = await self._cluster.kind(api_version, name)
        namespace = self._cluster.namespace if kind and kind.namespaced else None
        inputs = objects.complete(call.urn.name, old, new, namespace)
        return inputs, problems(reveal(inputs)["metadata"].get("annotations") or {})

    async def diff(self, call: Call, outputs: Properties, old: Properties, new: Properties) -> Difference:  # noqa: ARG002
        return objects.compare(old, new)

    async def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        if call.preview and has_unknown(inputs):
            return "", inputs
        plain = reveal(inputs)
        kind = await self._cluster.kind(plain["apiVersion"], plain["kind"])
        if kind is None:
            if call.preview:
                return "", inputs
            raise _unknown_kind(call, plain)
        query = {"fieldManager": objects.CREATE_MANAGER} | ({"dryRun": "All"} if call.preview else {})
        try:
            written = await self._cluster.request("POST", kind.url(plain["metadata"].get("namespace")), plain, **query)
        except ApiError as error:
            # Its namespace, or the end of the object that it replaces, is still to come.
            if call.preview and error.reason in ("NotFound", "AlreadyExists", "Forbidden"):
                return "", inputs
            hint = _ALREADY_EXISTS if error.reason == "AlreadyExists" else ""
            raise ProviderError(
                f'resource "{call.urn.text}" was not successfully created by the Kubernetes API server: {error}{hint}'
            ) from None
        manager = objects.new_manager()
        if call.preview:
            return "", objects.state(written, inputs, manager)
        live = await self._await(call, kind, written, inputs, manager)
        return objects.identity(live["metadata"]), objects.state(live, inputs, manager)

    async def read(self, call: Call, outputs: Properties, inputs: Properties) -> Current | None:
        api_version, name = _api_version_and_kind(call.urn, outputs)
        kind = await self._cluster.kind(api_version, name)
        if kind is None:
            return None
        try:
            live = await self._cluster.request("GET", kind.url(*objects.split_identity(call.resource_id)))
        except ApiError as error:
            if error.reason == "NotFound":
                return None
            raise ProviderError(f'resource "{call.urn.text}" cannot be read: {error}') from None
        if inputs:
            now = objects.mark_secrets(objects.project(live, reveal(inputs)), inputs)
        else:
            metadata = {key: live["metadata"][key] for key in ("name", "namespace") if key in live["metadata"]}
            now = {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": metadata}
        manager = outputs.get("__fieldManager") or objects.new_manager()
        return Current(objects.identity(live["metadata"]), objects.state(live, now, manager), now)

    async def update(self, call: Call, outputs: Properties, new: Properties) -> Properties:
        if call.preview and has_unknown(new):
            return new
        plain = reveal(new)
        manager = outputs.get("__fieldManager") or objects.new_manager()
        kind = await self._cluster.kind(plain["apiVersion"], plain["kind"])
        if kind is None:
            raise ProviderError(
                f'resource "{call.urn.text}": the cluster does not know {plain["apiVersion"]} {plain["kind"]}'
            )
        url = kind.url(*objects.split_identity(call.resource_id))
        try:
            written = await self._apply(url, plain, manager, preview=call.preview)
        except ApiError as error:
            hint = _CONFLICT if error.reason == "Conflict" else ""
            raise ProviderError(
                f'resource "{call.urn.text}" was not successfully updated by the Kubernetes API server: {error}{hint}'
            ) from None
        if call.preview:
            return objects.state(written, new, manager)
        live = await self._await(call, kind, written, new, manager)
        return objects.state(live, new, manager)

    async def delete(self, call: Call, outputs: Properties) -> None:
        kind = await self._cluster.kind(*_api_version_and_kind(call.urn, outputs))
        if kind is None:
            return
        namespace, name = objects.split_identity(call.resource_id)
        url = kind.url(namespace, name)
        try:
            await self._cluster.request("DELETE", url, propagationPolicy="Foreground")
            await wait_until_gone(self._cluster, url, name, call.timeout, self._show(call.urn))
        except ApiError as error:
            if error.reason != "NotFound":
                raise ProviderError(f'resource "{call.urn.text}" was not deleted: {error}') from None
        except NotReadyError as error:
            raise ProviderError(f'resource "{call.urn.text}" was not deleted: {error}') from None

    async def _apply(self, url: str, plain: Properties, manager: str, *, preview: bool) -> Properties:
        if not preview:
            await self._migrate_managers(url, manager)
        annotations = plain["metadata"].get("annotations") or {}
        query = {"fieldManager": manager} | ({"dryRun": "All"} if preview else {})
        # A preview cannot give the fields of the creation to this manager, and would conflict with them.
        if preview or annotations.get("pulumi.com/patchForce") == "true":
            query["force"] = "true"
        return await self._cluster.request("PATCH", url, plain, content_type=_APPLY, **query)

    async def _migrate_managers(self, url: str, manager: str) -> None:
        metadata = (await self._cluster.request("GET", url))["metadata"]
        managed = objects.migrated_managers(metadata.get("managedFields") or [], manager)
        if managed is not None:
            change = {"managedFields": managed, "resourceVersion": metadata["resourceVersion"]}
            await self._cluster.request("PATCH", url, {"metadata": change}, content_type=_MERGE)

    async def _await(self, call: Call, kind: Kind, written: Properties, inputs: Properties, manager: str) -> Properties:
        """Waits until an object is ready; one that does not get ready stays in the state nevertheless."""
        metadata = written["metadata"]
        url = kind.url(metadata.get("namespace"), metadata["name"])
        try:
            return await wait_until_ready(self._cluster, url, written, call.timeout, self._show(call.urn))
        except NotReadyError as error:
            done = "updated" if call.resource_id else "created"
            message = (
                f'resource "{call.urn.text}" was successfully {done}, but the Kubernetes API server '
                f"reported that it failed to fully initialize or become live: {error}"
            )
            raise InitError(
                message,
                resource_id=objects.identity(metadata),
                outputs=objects.state(await self._latest(url, written), inputs, manager),
                inputs=inputs,
                reasons=[message, *error.details],
            ) from None

    async def _latest(self, url: str, written: Properties) -> Properties:
        """Returns an object as it is now, or as it was written where that cannot be found out any more."""
        try:
            return await self._cluster.request("GET", url)
        except ProviderError:
            return written

    def _show(self, urn: Urn) -> Show:
        return lambda message: self._log.status(urn, message)


def _unknown_kind(call: Call, plain: Properties) -> ProviderError:
    kind = f"{plain['apiVersion']} {plain['kind']}"
    return ProviderError(
        f'resource "{call.urn.text}": the cluster does not know {kind}: install its CustomResourceDefinition first'
    )


def _api_version_and_kind(urn: Urn, outputs: Properties) -> tuple[str, str]:
    """Returns them as the object has them, or, before it is known, as its type token says."""
    _, module, kind = urn.type.split(":", 2)
    api_version = outputs.get("apiVersion") or module.removeprefix("core/")
    return str(api_version), kind
