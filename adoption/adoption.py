"""Takes a registry that was made by hand into a stack, while it goes on serving."""

import json
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kubernetes.client import ApiClient, ApiException
from kubernetes.config import new_client_from_config
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import NotFoundError, ResourceNotFoundError
from rich.console import Console
from tenacity import retry, retry_if_exception_type, retry_if_result, stop_after_delay, wait_fixed

from adoption.plan import AdoptionError, Object, Planned, import_file, owned_by, planned, refuse, renames_port
from settings import Settings

_LABEL = _NAME = "docker-registry"
_DEPLOYMENT: Object = {"apiVersion": "apps/v1", "kind": "Deployment"}
_POD: Object = {"apiVersion": "v1", "kind": "Pod"}
_DEPLOYMENT_TYPE = "kubernetes:apps/v1:Deployment"
_TAKEN_OVER = {"kubernetes:core/v1:Service", _DEPLOYMENT_TYPE, "kubernetes:route.openshift.io/v1:Route"}
"""Types whose objects lose what the program does not say; into the others controllers write."""
_DRAIN_SECONDS = 30
"""How long the old pods have for requests under way when no new ones reach them."""
_MERGE = "application/merge-patch+json"

_console = Console(stderr=True, soft_wrap=True, highlight=False)


class Adoption:
    """The adoption of the registry of one stack.

    Every step leaves alone what an earlier run has done, so an interrupted one goes on.
    """

    def __init__(self, stack: str, settings: Settings) -> None:
        self._stack = stack
        self._namespace = settings.namespace
        self._rolls = settings.storage.limits.strategy == "RollingUpdate"
        api: ApiClient = new_client_from_config(str(settings.kubeconfig), context=settings.context)  # type: ignore[no-untyped-call]
        self._cluster = DynamicClient(api)  # type: ignore[no-untyped-call]

    def run(self) -> None:
        """Takes the registry over.

        Raises:
            AdoptionError: It cannot be done, or an `up` failed.
            ApiException, HTTPError, RetryError: The API server refuses, does not answer, or does not come to an end.
        """
        _say("comparing the registry with the stack")
        with TemporaryDirectory() as folder:
            file = Path(folder) / "import.json"
            wanted = planned(json.loads(self._pulumi("preview", "--json", f"--import-file={file}")))
            existing = [each for each in wanted if self._get(each.inputs, each.inputs["metadata"]["name"])]
            refuse(existing, wanted, self._live)
            if not existing and not self._is_under_way(wanted):
                _say(f"nothing to adopt: stack '{self._stack}' has its registry already")
                return
            if not self._rolls:
                _say("only one pod can use the storage: pulls and pushes fail for the seconds of its exchange")
            if renames_port(existing, self._live):
                _say("the Service's port gets another name: new connections can fail for a few seconds")
            if existing:
                self._import(file, existing)
        self._take_ownership()
        if self._rolls:
            self._release_pods()
        _say("bringing the registry to what the stack says")
        self._pulumi("up", "--yes", "--skip-preview", shown=True)
        self._retire_pods()
        self._mention_deployment_config()
        _say(f"adopted: `pulumi preview --stack {self._stack}` has no changes")

    def _import(self, file: Path, existing: list[Planned]) -> None:
        """Imports into the state; of the cluster only the Deployment's rollout is paused, which `up` ends."""
        if any(each.kind == "Deployment" for each in existing):
            self._patch(_DEPLOYMENT, _NAME, {"spec": {"paused": True}})
        _say(f"importing {', '.join(f'{each.kind} {each.identity}' for each in existing)}")
        file.write_text(json.dumps(import_file(json.loads(file.read_text()), existing)))
        self._pulumi("import", f"--file={file}", "--yes", "--protect=false", "--generate-code=false", "--skip-preview")

    def _is_under_way(self, wanted: list[Planned]) -> bool:
        """Whether a run was interrupted after it had imported everything."""
        deployment = self._get(_DEPLOYMENT, _NAME)
        is_paused = deployment is not None and bool(deployment["spec"].get("paused"))
        return is_paused or any(each.kind == "Deployment" for each in wanted) or bool(self._released_pods())

    def _take_ownership(self) -> None:
        """Makes Pulumi the manager of all fields, so that `up` removes those that the program does not say."""
        for resource in self._state():
            if resource["type"] in _TAKEN_OVER:
                self._own(resource["outputs"])

    @retry(retry=retry_if_exception_type(ApiException), stop=stop_after_delay(10), wait=wait_fixed(1), reraise=True)
    def _own(self, outputs: Object) -> None:
        name = outputs["metadata"]["name"]
        live = self._get(outputs, name)
        if live:
            metadata = live["metadata"]
            # The resource version keeps what others write meanwhile from being lost.
            change = {
                "resourceVersion": metadata["resourceVersion"],
                "managedFields": owned_by(outputs["__fieldManager"], metadata.get("managedFields", [])),
            }
            self._patch(outputs, name, {"metadata": change})

    def _release_pods(self) -> None:
        """Takes the pods from the Deployment, which would kill them while requests still reach them; they go on."""
        deployment = self._get(_DEPLOYMENT, _NAME)
        if deployment is None or not deployment["spec"].get("paused"):
            return
        _say("preparing all but the new pods")
        [urn] = [each["urn"] for each in self._state() if each["type"] == _DEPLOYMENT_TYPE]
        # What can fail, fails while the Deployment still looks after the old pods.
        self._pulumi("up", "--yes", "--skip-preview", f"--exclude={urn}", shown=True)
        _say("keeping the old pods until the new ones serve")
        kind = self._cluster.resources.get(api_version="apps/v1", kind="ReplicaSet")
        for each in self._owned("apps/v1", "ReplicaSet", deployment["metadata"]["uid"]):
            kind.delete(each["metadata"]["name"], self._namespace, body={"propagationPolicy": "Orphan"})
        self._wait_for_release(deployment["metadata"]["uid"])

    @retry(retry=retry_if_result(bool), stop=stop_after_delay(60), wait=wait_fixed(0.5))
    def _wait_for_release(self, uid: str) -> list[Object]:
        return self._owned("apps/v1", "ReplicaSet", uid)

    def _owned(self, api_version: str, kind: str, uid: str) -> list[Object]:
        return [
            each
            for each in self._list(api_version, kind)
            if any(owner["uid"] == uid for owner in each["metadata"].get("ownerReferences", []))
        ]

    def _released_pods(self) -> list[str]:
        return [
            each["metadata"]["name"]
            for each in self._list("v1", "Pod")
            if not each["metadata"].get("ownerReferences") and "pod-template-hash" in each["metadata"]["labels"]
        ]

    def _retire_pods(self) -> None:
        """Ends the old pods: they leave the Service, finish what they do, and go."""
        pods = self._released_pods()
        if pods:
            _say(f"ending the old pods, in {_DRAIN_SECONDS} s")
            for pod in pods:
                self._patch(_POD, pod, {"metadata": {"labels": {_LABEL: "adopted"}}})
            time.sleep(_DRAIN_SECONDS)
            for pod in pods:
                self._cluster.resources.get(api_version="v1", kind="Pod").delete(pod, self._namespace)

    def _mention_deployment_config(self) -> None:
        config = self._get({"apiVersion": "apps.openshift.io/v1", "kind": "DeploymentConfig"}, _NAME)
        if config and config["spec"].get("replicas"):
            _say(
                f"DeploymentConfig {_NAME} still serves beside the new pods: "
                f"`oc --namespace {self._namespace} scale dc/{_NAME} --replicas=0` ends it"
            )

    def _live(self, wanted: Planned) -> Object:
        live = self._get(wanted.inputs, wanted.inputs["metadata"]["name"])
        if live is None:
            raise AdoptionError(f"{wanted.kind} {wanted.identity} went away: run it again")
        return live

    def _get(self, like: Object, name: str) -> Object | None:
        """Returns an object of the registry's namespace, or None where there is none."""
        try:
            kind = self._cluster.resources.get(api_version=like["apiVersion"], kind=like["kind"])
            found: Object = kind.get(name=name, namespace=self._namespace if kind.namespaced else None).to_dict()
        except (NotFoundError, ResourceNotFoundError):
            return None
        return found

    def _list(self, api_version: str, kind: str) -> list[Object]:
        resource = self._cluster.resources.get(api_version=api_version, kind=kind)
        found: list[Object] = resource.get(namespace=self._namespace, label_selector=_LABEL).to_dict()["items"]
        return found

    def _patch(self, like: Object, name: str, change: Object) -> None:
        kind = self._cluster.resources.get(api_version=like["apiVersion"], kind=like["kind"])
        kind.patch(body=change, name=name, namespace=self._namespace, content_type=_MERGE)

    def _state(self) -> list[Object]:
        checkpoint: dict[str, Any] = json.loads(self._pulumi("stack", "export"))
        resources: list[Object] = (checkpoint["deployment"] or {}).get("resources", [])
        return resources

    def _pulumi(self, *arguments: str, shown: bool = False) -> str:
        command = ["pulumi", *arguments, "--stack", self._stack, "--non-interactive"]
        done = subprocess.run(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=None if shown else subprocess.PIPE,
            stderr=subprocess.STDOUT if shown else subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            said = "see above" if shown else f"\n{done.stdout}{done.stderr}".rstrip()
            raise AdoptionError(f"`pulumi {arguments[0]}` failed; mend that and run this again, it goes on: {said}")
        return done.stdout or ""


def _say(line: str) -> None:
    _console.print(f"adopt: {line}", markup=False)
