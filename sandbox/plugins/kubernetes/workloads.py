"""When the objects that run pods are ready."""

from sandbox.plugins.kubernetes.cluster import ApiError, Cluster
from sandbox.plugins.kubernetes.conditions import status_condition
from sandbox.plugins.kubernetes.pods import REPORT_SECONDS, owned_pods, pod_problems
from sandbox.plugins.kubernetes.verdict import CONDITION_NOT_MET, Judge, Line, Verdict, is_owned_by, qualified_name
from sandbox.plugins.values import Properties

_REVISION = "deployment.kubernetes.io/revision"


class DeploymentJudge(Judge):
    """A Deployment is ready when the pods of its newest ReplicaSet are, and the claims they mount are bound."""

    async def look(self, cluster: Cluster, live: Properties, seconds: float) -> Verdict:
        """Looks at a Deployment, its newest ReplicaSet, that one's pods and its claims."""
        if not _is_observed(live):
            return Verdict(ready=False, problems=["Minimum number of live Pods was not attained"])
        available, progressing = status_condition(live, "Available"), status_condition(live, "Progressing")
        conditions = [
            f"[{condition['reason']}] {condition['message']}"
            for condition in (progressing, available)
            if condition.get("status") == "False"
        ]
        lines = [Line(text, warning=True) for text in conditions]
        replica_set = await self._newest_replica_set(cluster, live)
        replicas = replica_set["spec"].get("replicas", 1) if replica_set else 1
        ready_replicas = ((replica_set or {}).get("status") or {}).get("readyReplicas", 0)
        rolled_out = replica_set is not None and ready_replicas >= replicas
        if not rolled_out:
            lines.append(
                Line(f"Waiting for app ReplicaSet to be available ({ready_replicas}/{replicas} Pods available)")
            )
        elif replicas == 0:
            lines.append(Line(f'Replicas scaled to 0 for Deployment "{live["metadata"]["name"]}"', warning=True))
        unbound = await self._unbound_claims(cluster, live)
        lines += [
            Line(f"PersistentVolumeClaim: [{name}] is not ready. status.phase currently at: {phase}", warning=True)
            for name, phase in unbound.items()
        ]
        first = (live["metadata"].get("annotations") or {}).get(_REVISION) == "1"
        finished = first or (progressing.get("reason"), progressing.get("status")) == ("NewReplicaSetAvailable", "True")
        if available.get("status") == "True" and finished and rolled_out and not unbound:
            return Verdict(ready=True, lines=[*lines, Line("Deployment initialization complete")])
        problems = conditions
        if unbound:
            problems.append(f'Failed to bind PersistentVolumeClaim(s): "{",".join(unbound)}"')
        if available.get("status") != "True":
            problems.append("Minimum number of live Pods was not attained")
        elif first or not finished:
            problems.append("Minimum number of Pods to consider the application live was not attained")
        else:
            problems.append(
                "Attempted to roll forward to new ReplicaSet, but minimum number of Pods did not become live"
            )
        of_pods = await _pod_problems(cluster, replica_set) if replica_set else []
        return Verdict(ready=False, lines=lines + _late(of_pods, seconds), problems=problems + of_pods)

    async def _newest_replica_set(self, cluster: Cluster, live: Properties) -> Properties | None:
        revision = (live["metadata"].get("annotations") or {}).get(_REVISION)
        url = f"/apis/apps/v1/namespaces/{live['metadata']['namespace']}/replicasets"
        for replica_set in (await cluster.request("GET", url))["items"]:
            its_revision = (replica_set["metadata"].get("annotations") or {}).get(_REVISION)
            if its_revision == revision and is_owned_by(replica_set, live):
                found: Properties = replica_set
                return found
        return None

    async def _unbound_claims(self, cluster: Cluster, live: Properties) -> dict[str, str]:
        unbound: dict[str, str] = {}
        for volume in live["spec"]["template"]["spec"].get("volumes") or []:
            if "persistentVolumeClaim" not in volume:
                continue
            name = volume["persistentVolumeClaim"]["claimName"]
            url = f"/api/v1/namespaces/{live['metadata']['namespace']}/persistentvolumeclaims/{name}"
            try:
                phase = ((await cluster.request("GET", url)).get("status") or {}).get("phase", "")
            except ApiError as error:
                if error.reason != "NotFound":
                    raise
                continue
            if phase != "Bound":
                unbound[name] = phase
        return unbound


class StatefulSetJudge(Judge):
    """A StatefulSet is ready when all its pods are, of the newest revision unless they are updated by hand."""

    async def look(self, cluster: Cluster, live: Properties, seconds: float) -> Verdict:
        """Looks at a StatefulSet and its pods."""
        status = live.get("status") or {}
        wanted, ready = live["spec"].get("replicas", 1), status.get("readyReplicas", 0)
        current, newest = status.get("currentRevision", ""), status.get("updateRevision", "")
        first = live["metadata"]["generation"] == 1
        by_hand = not first and live["spec"]["updateStrategy"].get("type") == "OnDelete"
        up_to_date = by_hand or (bool(current) and current == newest)
        complete = wanted == status.get("replicas", 0) == ready and (
            by_hand or wanted == status.get("currentReplicas", 0)
        )
        if _is_observed(live) and complete and up_to_date:
            return Verdict(ready=True, lines=[Line("StatefulSet initialization complete")])
        # While a rollout goes on, pods of the previous revision are ready as well.
        counted = ready if up_to_date else min(ready, status.get("updatedReplicas", 0))
        problems = [] if complete else [f"{counted} out of {wanted} replicas succeeded readiness checks"]
        if first:
            line = f"[1/2] Waiting for StatefulSet to create Pods ({counted}/{wanted} Pods ready)"
        elif not complete:
            line = f"[1/3] Waiting for StatefulSet update to roll out ({counted}/{wanted} Pods ready)"
        else:
            line = "[2/3] Waiting for StatefulSet to update .status.currentRevision"
        if not up_to_date:
            problems.append(
                f'StatefulSet controller failed to advance from revision "{current}" to revision "{newest}"'
            )
        of_pods = await _pod_problems(cluster, live)
        return Verdict(ready=False, lines=[Line(line), *_late(of_pods, seconds)], problems=problems + of_pods)


class DaemonSetJudge(Judge):
    """A DaemonSet is ready when a pod of its newest generation is ready on every node that should have one."""

    async def look(self, cluster: Cluster, live: Properties, seconds: float) -> Verdict:
        """Looks at a DaemonSet and its pods."""
        status = live.get("status") or {}
        generation, observed = live["metadata"]["generation"], status.get("observedGeneration", 0)
        wanted = status.get("desiredNumberScheduled", 0)
        counts = {
            "Current": "currentNumberScheduled",
            "Updated": "updatedNumberScheduled",
            "Available": "numberAvailable",
            "Ready": "numberReady",
        }
        missing = [
            f"{name}: {status.get(count, 0)}/{wanted}"
            for name, count in counts.items()
            if status.get(count, 0) < wanted
        ]
        if not _is_observed(live):
            missing = [f"DaemonSet generation is {generation}, but latest observed generation is {observed}"]
        if not missing:
            done = f"All replicas scheduled as expected. Replicas: {wanted}"
            return Verdict(ready=True, lines=[Line(done)])
        of_pods = await _pod_problems(cluster, live)
        return Verdict(ready=False, lines=[Line(missing[0]), *_late(of_pods, seconds)], problems=of_pods)

    def timed_out(self, name: str) -> str:  # noqa: ARG002
        """Returns the message for a DaemonSet that did not become ready in time."""
        return CONDITION_NOT_MET


class JobJudge(Judge):
    """A Job is ready when it has completed."""

    async def look(self, cluster: Cluster, live: Properties, seconds: float) -> Verdict:
        """Looks at a Job and its pods."""
        status, name = live.get("status") or {}, qualified_name(live)
        lines = [Line(f'Waiting for Job "{name}" to start')]
        if "startTime" in status:
            counts = " | ".join(
                f"{state.title()}: {status.get(state, 0)}" for state in ("active", "succeeded", "failed")
            )
            lines.append(Line(f'Waiting for Job "{name}" to succeed ({counts})'))
            if status_condition(live, "Complete").get("status") == "True":
                return Verdict(ready=True, lines=lines)
        failed = status_condition(live, "Failed")
        failure = []
        if failed.get("status") == "True" and failed["reason"] in ("BackoffLimitExceeded", "DeadlineExceeded"):
            failure = [f"[{failed['reason']}] {failed['message']}"]
            lines.append(Line(failure[0], warning=True))
        of_pods = await _pod_problems(cluster, live)
        # A pod that works is not ready either: only what its containers say is of interest.
        shown = [problem for problem in of_pods if "containers with unready status" not in problem]
        lines += _late(shown, seconds)
        return Verdict(ready=False, lines=lines, problems=failure + of_pods, hopeless=bool(failure))


def _is_observed(live: Properties) -> bool:
    """Says whether the controller has seen the object as it is now."""
    return bool((live.get("status") or {}).get("observedGeneration") == live["metadata"]["generation"])


async def _pod_problems(cluster: Cluster, owner: Properties) -> list[str]:
    return [problem for pod in await owned_pods(cluster, owner) for problem in pod_problems(pod)]


def _late(problems: list[str], seconds: float) -> list[Line]:
    """Returns the lines for problems of pods: they are normal while those start."""
    return [Line(problem, warning=True) for problem in problems if seconds >= REPORT_SECONDS]
