"""When a pod is ready, and what keeps it from being so."""

from sandbox.plugins.kubernetes.cluster import Cluster
from sandbox.plugins.kubernetes.conditions import status_condition
from sandbox.plugins.kubernetes.verdict import Judge, Line, Verdict, is_owned_by, qualified_name
from sandbox.plugins.values import Properties

REPORT_SECONDS = 10
"""How long pods may take to start before it is shown what is wrong with them."""

_STEPS = {"PodScheduled": "scheduled", "Initialized": "initialized", "Ready": "ready"}


class PodJudge(Judge):
    """A pod is ready when its containers are, or when it has succeeded."""

    async def look(self, cluster: Cluster, live: Properties, seconds: float) -> Verdict:  # noqa: ARG002
        """Looks at a pod."""
        name = qualified_name(live)
        lines = []
        for condition, step in _STEPS.items():
            lines.append(Line(f'Waiting for Pod "{name}" to be {step}'))
            if not _holds(live, condition):
                return Verdict(ready=False, lines=lines, problems=pod_problems(live))
        return Verdict(ready=True, lines=lines)


async def owned_pods(cluster: Cluster, owner: Properties) -> list[Properties]:
    """Returns the pods that an object runs."""
    url = f"/api/v1/namespaces/{owner['metadata']['namespace']}/pods"
    labels = owner["spec"]["selector"].get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    pods = await cluster.request("GET", url, labelSelector=selector)
    return [pod for pod in pods["items"] if is_owned_by(pod, owner)]


def pod_problems(pod: Properties) -> list[str]:
    """Returns what keeps the containers of a pod from running."""
    for condition in ("Initialized", "Ready"):
        state = status_condition(pod, condition)
        if not state:
            return []
        if _holds(pod, condition):
            continue
        message = state["message"] if state.get("reason") and state.get("message") else ""
        statuses = (pod.get("status") or {}).get("containerStatuses") or []
        errors = "\n".join(error for status in statuses if not status["ready"] for error in _container_problems(status))
        return [f"[Pod {qualified_name(pod)}]: {message}{errors}"] if message or errors else []
    return []


def _holds(pod: Properties, condition: str) -> bool:
    succeeded = (pod.get("status") or {}).get("phase") == "Succeeded"
    return status_condition(pod, condition).get("status") == "True" or (condition == "Ready" and succeeded)


def _container_problems(status: Properties) -> list[str]:
    problems = []
    state = status.get("state") or {}
    waiting, terminated = state.get("waiting"), state.get("terminated")
    if waiting and waiting.get("reason") != "ContainerCreating":
        problems.append(f"[{waiting.get('reason', '')}] {waiting.get('message', '')}")
    if terminated and terminated.get("reason"):
        message = terminated.get("message")
        completed = f'container "{status["name"]}" completed with exit code {terminated["exitCode"]}'
        problems.append(f"[{terminated['reason']}] {message}" if message else completed)
    last = (status.get("lastState") or {}).get("terminated")
    if last:
        problems.append(
            f'container "{status["name"]}" terminated at {last["finishedAt"]} '
            f"({last.get('reason', '')}: exit code {last['exitCode']})"
        )
        problems += [last["message"]] if last.get("message") else []
    return problems
