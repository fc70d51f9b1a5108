"""What the API server says about a registry, read at once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from kubernetes import client, config
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from components.endpoints import Endpoints
from settings import Settings
from verify.proof import ACT_SECONDS, Fault, NotTried, Proved, reason

Object = dict[str, Any]

SELECTOR = "docker-registry=default"
"""Label of the registry's pods."""
CONTAINER = "registry"
"""Name of the registry's container in its pods."""
_NAME_SERVERS = (("kube-system", "kube-dns"), ("openshift-dns", "dns-default"))
_FOLDER = "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The objects of one registry, as they stand in JSON.

    Attributes:
        api: A client of the API server.
        service: The Service.
        slices: Its EndpointSlices.
        deployment: The Deployment.
        pods: Its pods, without those that are about to go.
        warnings: Events that warn about pods of the namespace, the oldest first.
        claim: The claim that the Deployment's pods write to.
        volume: The volume it is bound to.
        route: The Route.
        nodes: Nodes, by name.
    """

    api: client.ApiClient
    service: Object | None = None
    slices: list[Object] = field(default_factory=list)
    deployment: Object | None = None
    pods: list[Object] = field(default_factory=list)
    warnings: list[Object] = field(default_factory=list)
    claim: Object | None = None
    volume: Object | None = None
    route: Object | None = None
    nodes: dict[str, Object] = field(default_factory=dict)

    @property
    def user(self) -> int | None:
        """User that the registry's pods run as, one that the namespace admits; None if there is no Deployment."""
        pod = self.deployment["spec"]["template"]["spec"] if self.deployment else {}
        user: int | None = pod.get("securityContext", {}).get("runAsUser")
        return user


def read(settings: Settings, endpoints: Endpoints) -> Proved[Cluster]:
    """Reads the objects of a registry; the one that is missing is None.

    Raises:
        Fault: The API server does not answer, or there is no such namespace.
    """
    api = _connect(settings)
    core, apps, custom = client.CoreV1Api(api), client.AppsV1Api(api), client.CustomObjectsApi(api)
    discovery = client.DiscoveryV1Api(api)
    namespace, name = endpoints.namespace, endpoints.service

    def ask(call: Callable[..., Any], *arguments: str, **options: Any) -> Any:  # noqa: ANN401 - the client's own types
        try:
            answer = call(*arguments, **options, _request_timeout=ACT_SECONDS)
        except ApiException as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise
        return api.sanitize_for_serialization(answer)  # type: ignore[no-untyped-call]

    try:
        version = client.VersionApi(api).get_code(_request_timeout=ACT_SECONDS)
        if ask(core.read_namespace, namespace) is None:
            raise Fault(f"there is no namespace {namespace}", "run `pulumi up`")
        pods = [
            pod
            for pod in ask(core.list_namespaced_pod, namespace, label_selector=SELECTOR)["items"]
            if "deletionTimestamp" not in pod["metadata"]
        ]
        warnings = ask(core.list_namespaced_event, namespace, field_selector="type=Warning,involvedObject.kind=Pod")
        deployment = ask(apps.read_namespaced_deployment, name, namespace)
        claimed = claim_name(deployment) if deployment else None
        claim = ask(core.read_namespaced_persistent_volume_claim, claimed, namespace) if claimed else None
        bound = claim["spec"].get("volumeName") if claim else None
        cluster = Cluster(
            api=api,
            service=ask(core.read_namespaced_service, name, namespace),
            slices=ask(
                discovery.list_namespaced_endpoint_slice,
                namespace,
                label_selector=f"kubernetes.io/service-name={name}",
            )["items"],
            deployment=deployment,
            pods=pods,
            warnings=sorted(warnings["items"], key=lambda event: event.get("lastTimestamp") or ""),
            claim=claim,
            volume=ask(core.read_persistent_volume, bound) if bound else None,
            route=ask(custom.get_namespaced_custom_object, "route.openshift.io", "v1", namespace, "routes", name),
            nodes={node["metadata"]["name"]: node for node in ask(core.list_node)["items"]},
        )
    except (ApiException, HTTPError, OSError) as error:
        raise Fault(
            f"the API server {api.configuration.host} does not answer: {reason(error)}",
            "see whether `kubectl get nodes` answers with the stack's kubeconfig",
        ) from error
    return Proved(f"answers, {version.git_version}", cluster)


def name_server(api: client.ApiClient) -> str:
    """The cluster IP of the name server that pods ask.

    Raises:
        NotTried: It is in none of the usual places, or may not be looked at.
    """
    for namespace, name in _NAME_SERVERS:
        try:
            found: Any = client.CoreV1Api(api).read_namespaced_service(name, namespace, _request_timeout=ACT_SECONDS)
        except ApiException as error:
            if error.status not in (HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN):
                raise
        else:
            return str(found.spec.cluster_ip)
    places = " nor ".join("/".join(place) for place in _NAME_SERVERS)
    raise NotTried(f"the cluster's name server can be found neither as {places}")


def is_ready(thing: Object) -> bool:
    """Whether a pod or a node is ready."""
    conditions = thing["status"].get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def container(deployment: Object) -> Object:
    """The registry's container in a Deployment's pods.

    Raises:
        Fault: There is none.
    """
    for each in deployment["spec"]["template"]["spec"]["containers"]:
        if each["name"] == CONTAINER:
            return dict(each)
    raise Fault(
        f"the Deployment has no container '{CONTAINER}'", "it is not the stack's: `pulumi up --refresh` puts it back"
    )


def storage_mount(deployment: Object) -> Object | None:
    """The mount of the folder that holds the images; None if they are in an object store."""
    folders = [each["value"] for each in container(deployment)["env"] if each["name"] == _FOLDER]
    mounts = {mount["mountPath"]: mount for mount in container(deployment).get("volumeMounts", [])}
    return mounts.get(folders[0]) if folders else None


def storage_volume(deployment: Object) -> Object | None:
    """The pod's volume that holds the images; None if they are in an object store."""
    mount = storage_mount(deployment)
    volumes = deployment["spec"]["template"]["spec"].get("volumes", [])
    return next((volume for volume in volumes if mount and volume["name"] == mount["name"]), None)


def claim_name(deployment: Object) -> str | None:
    """Name of the claim that holds the images, if one does."""
    volume = storage_volume(deployment)
    return volume["persistentVolumeClaim"]["claimName"] if volume and "persistentVolumeClaim" in volume else None


def _connect(settings: Settings) -> client.ApiClient:
    """A client of the stack's cluster that asks once: what does not answer is a finding, nothing to wait for.

    Raises:
        Fault: The kubeconfig cannot be used.
    """
    configuration = client.Configuration()
    configuration.retries = False
    try:
        config.load_kube_config(  # type: ignore[no-untyped-call]
            str(settings.kubeconfig), settings.context, client_configuration=configuration
        )
    except config.ConfigException as error:
        raise Fault(f"'{settings.kubeconfig}' cannot be used: {error}", "give another one as kubeconfig") from error
    return client.ApiClient(configuration)
