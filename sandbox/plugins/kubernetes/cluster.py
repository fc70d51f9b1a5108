"""Talks to the API server of one cluster."""

import json
from asyncio import to_thread
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import yaml

from sandbox.plugins.kubernetes.schema import Schema
from sandbox.plugins.server import ProviderError
from sandbox.plugins.values import Json, Properties

if TYPE_CHECKING:
    import kubernetes

_CONNECTIONS = 32
_CONNECT_SECONDS = 10
_ANSWER_SECONDS = 60


class ApiError(ProviderError):
    """The API server refused a request.

    Attributes:
        status: the HTTP status.
        reason: the API server's word for it, such as `NotFound`, `AlreadyExists` or `Conflict`.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class UnreachableError(ProviderError):
    """There is no answer from the API server."""


@dataclass(frozen=True)
class Kind:
    """Where the API server keeps the objects of a kind."""

    path: str
    plural: str
    namespaced: bool

    def url(self, namespace: str | None, name: str | None = None) -> str:
        """Returns the path of an object, or of the list of objects."""
        folder = f"{self.path}/namespaces/{namespace}" if self.namespaced else self.path
        return "/".join([folder, self.plural, *([name] if name else [])])


class Cluster:
    """A connection to the API server.

    Attributes:
        namespace: where objects go that name none.
    """

    def __init__(self, config: Properties) -> None:
        self._kubeconfig = load_kubeconfig(config)
        self._context = config.get("context")
        self.namespace: str = config.get("namespace") or _namespace(self._kubeconfig, self._context)
        self._kinds: dict[str, dict[str, Kind]] = {}
        self._schemas: dict[str, Schema | None] = {}
        self._unreachable: UnreachableError | None = None

    @cached_property
    def _client(self) -> "kubernetes.client.ApiClient":
        # Importing it takes longer than a run that changes nothing, and never asks the API server, takes otherwise.
        from kubernetes.config import ConfigException  # noqa: PLC0415

        try:
            return _client(self._kubeconfig, self._context)
        except (ConfigException, OSError) as error:
            raise ProviderError(f"kubeconfig of the provider: {error}; check `kubeconfig` and `context`") from None

    async def kind(self, api_version: str, kind: str) -> Kind | None:
        """Returns where a kind is kept, or None where the cluster does not know it (yet).

        Raises:
            UnreachableError: the API server does not answer, now or the first time.
        """
        if kind not in self._kinds.get(api_version, {}):
            found = await self._find(_path(api_version))
            self._kinds[api_version] = {
                resource["kind"]: Kind(_path(api_version), resource["name"], resource["namespaced"])
                for resource in (found or {}).get("resources", [])
                if "/" not in resource["name"]
            }
        return self._kinds[api_version].get(kind)

    async def schema(self, api_version: str) -> Schema | None:
        """Returns the schema of an API version, or None where the cluster does not know it.

        Raises:
            UnreachableError: the API server does not answer, now or the first time.
        """
        if api_version not in self._schemas:
            document = await self._find(f"/openapi/v3{_path(api_version)}")
            self._schemas[api_version] = Schema(document) if document else None
        return self._schemas[api_version]

    async def _find(self, path: str) -> Properties | None:
        if self._unreachable:
            raise self._unreachable
        try:
            return await self.request("GET", path)
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise ProviderError(f"the API server does not say what it knows: {error}") from None
        except UnreachableError as error:
            # Each resource would wait as long again.
            self._unreachable = error
            raise

    async def request(
        self, method: str, path: str, body: Json = None, *, content_type: str = "application/json", **query: str
    ) -> Properties:
        """Sends a request and returns the object of the answer.

        Raises:
            ApiError: the API server refuses it.
            UnreachableError: the API server does not answer.
        """
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - comes with the client

        client = self._client
        try:
            return await to_thread(_send, client, method, f"{path}?{urlencode(query)}", body, content_type)
        except HTTPError as error:
            reason = getattr(error, "reason", error)
            host = client.configuration.host
            raise UnreachableError(f"unable to reach the API server at {host}: {reason}") from None


def _send(client: "kubernetes.client.ApiClient", method: str, path: str, body: Json, content_type: str) -> Properties:
    headers = {"Content-Type": content_type, "Accept": "application/json"}
    serialized = client.param_serialize(method, path, header_params=headers, body=body, auth_settings=["BearerToken"])
    response = client.call_api(*serialized, _request_timeout=(_CONNECT_SECONDS, _ANSWER_SECONDS))
    text = response.read()  # type: ignore[no-untyped-call]
    if 200 <= response.status < 300:  # noqa: PLR2004 - the range of success
        answer: Properties = json.loads(text)
        return answer
    raise _api_error(response.status, text)


def _path(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def load_kubeconfig(config: Properties) -> Properties | None:
    """Returns the kubeconfig that the provider's settings give, as a path or as contents, or None for the user's own.

    A relative path starts at the folder of the program, which is where the engine starts its plugins.
    """
    text = config.get("kubeconfig")
    if not text:
        return None
    if "\n" not in text and not text.lstrip().startswith("{"):
        path = Path(text).expanduser()
        if not path.is_file():
            raise ProviderError(f"kubeconfig {text}: no such file; give a path from {Path.cwd()} or the contents")
        return _absolute(yaml.safe_load(path.read_text()), path.parent.resolve())
    loaded: Properties = yaml.safe_load(text)
    return loaded


def _absolute(kubeconfig: Properties, folder: Path) -> Properties:
    """Makes the file names in a kubeconfig absolute: they are relative to it."""
    for section, key in (("clusters", "cluster"), ("users", "user")):
        for entry in kubeconfig.get(section) or []:
            for name in ("certificate-authority", "client-certificate", "client-key", "tokenFile"):
                if name in entry[key]:
                    entry[key][name] = str(folder / entry[key][name])
    return kubeconfig


def server_of(kubeconfig: Properties, context: str | None) -> str | None:
    """Returns the URL of the API server that a kubeconfig points to."""
    cluster = _context(kubeconfig, context).get("cluster")
    servers: list[str] = [
        entry["cluster"]["server"] for entry in kubeconfig.get("clusters") or [] if entry["name"] == cluster
    ]
    return servers[0] if servers else None


def _context(kubeconfig: Properties, context: str | None) -> Properties:
    name = context or kubeconfig.get("current-context")
    contexts: list[Properties] = [
        entry["context"] for entry in kubeconfig.get("contexts") or [] if entry["name"] == name
    ]
    return contexts[0] if contexts else {}


def _namespace(kubeconfig: Properties | None, context: str | None) -> str:
    if kubeconfig is None:
        import kubernetes  # noqa: PLC0415 - see above

        contexts, active = kubernetes.config.list_kube_config_contexts()  # type: ignore[no-untyped-call]
        chosen = next((entry for entry in contexts if entry["name"] == context), active)
        return str(chosen["context"].get("namespace") or "default")
    return str(_context(kubeconfig, context).get("namespace") or "default")


def _client(kubeconfig: Properties | None, context: str | None) -> "kubernetes.client.ApiClient":
    import kubernetes  # noqa: PLC0415 - see above

    settings = kubernetes.client.Configuration()
    settings.connection_pool_maxsize = _CONNECTIONS
    if kubeconfig is None:
        kubernetes.config.load_kube_config(  # type: ignore[no-untyped-call]
            context=context, client_configuration=settings
        )
    else:
        kubernetes.config.load_kube_config_from_dict(  # type: ignore[no-untyped-call]
            kubeconfig, context=context, persist_config=False, client_configuration=settings
        )
    return kubernetes.client.ApiClient(settings)


def _api_error(status: int, text: bytes) -> ApiError:
    try:
        answer = json.loads(text)
        return ApiError(status, answer.get("reason", ""), answer.get("message", ""))
    except ValueError:
        return ApiError(status, "", text.decode(errors="replace").strip())
