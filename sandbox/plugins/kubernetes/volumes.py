"""When volumes and claims are ready."""

from sandbox.plugins.kubernetes.cluster import ApiError, Cluster
from sandbox.plugins.kubernetes.verdict import Judge, Line, Verdict
from sandbox.plugins.values import Properties


class _StorageJudge(Judge):
    """Volumes and claims are waited for five minutes, whatever their resource says, as the official plugin does."""

    seconds = 300
    obeys_timeout = False
    judges_reads = False

    def timed_out(self, name: str) -> str:
        """Returns the message for one that did not become ready in time."""
        return f"Timeout occurred polling for '{name}'"

    def cancelled(self, name: str) -> str:
        """Returns the message for one whose readiness the user did not wait for."""
        return f"Resource operation was cancelled for '{name}'"


class VolumeJudge(_StorageJudge):
    """A PersistentVolume is ready when it can be bound, or is."""

    async def look(self, cluster: Cluster, live: Properties, seconds: float) -> Verdict:  # noqa: ARG002
        """Looks at a PersistentVolume."""
        done = {"Available": "PV marked available", "Bound": "PV has been bound"}
        phase = _phase(live)
        return Verdict(ready=True, lines=[Line(done[phase])]) if phase in done else Verdict(ready=False)


class ClaimJudge(_StorageJudge):
    """A PersistentVolumeClaim is ready when it is bound, or pending where its class waits for a pod."""

    async def look(self, cluster: Cluster, live: Properties, seconds: float) -> Verdict:  # noqa: ARG002
        """Looks at a PersistentVolumeClaim and its StorageClass."""
        if _phase(live) == "Bound":
            return Verdict(ready=True)
        name = live["spec"].get("storageClassName")
        if not name:
            missing = f'no storage class found for "{live["metadata"]["name"]}"'
            return Verdict(ready=False, lines=[Line(missing, warning=True)])
        try:
            storage_class = await cluster.request("GET", f"/apis/storage.k8s.io/v1/storageclasses/{name}")
        except ApiError as error:
            return Verdict(ready=False, lines=[Line(f'getting storage class "{name}": {error}', warning=True)])
        waits = storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"
        return Verdict(ready=waits and _phase(live) == "Pending")


def _phase(live: Properties) -> str:
    return str((live.get("status") or {}).get("phase"))
