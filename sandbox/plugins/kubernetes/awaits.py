"""Waits until an object is as it should be, or gone."""

import asyncio
import math
from collections.abc import Awaitable, Callable

from sandbox.plugins.kubernetes import conditions
from sandbox.plugins.kubernetes.cluster import ApiError, Cluster, UnreachableError
from sandbox.plugins.kubernetes.pods import PodJudge
from sandbox.plugins.kubernetes.services import IngressJudge, ServiceJudge
from sandbox.plugins.kubernetes.verdict import CONDITION_NOT_MET, Judge, Line, Verdict
from sandbox.plugins.kubernetes.volumes import ClaimJudge, VolumeJudge
from sandbox.plugins.kubernetes.workloads import DaemonSetJudge, DeploymentJudge, JobJudge, StatefulSetJudge
from sandbox.plugins.server import ProviderError
from sandbox.plugins.values import UNKNOWN, Properties

SKIP = "pulumi.com/skipAwait"
TIMEOUT = "pulumi.com/timeoutSeconds"
WAIT_FOR = "pulumi.com/waitFor"

_POLL_SECONDS = 0.3
_DELETE_SECONDS = 600
_SKIPS_DELETION = ("Namespace", "Pod", "ReplicationController", "DaemonSet", "Deployment", "StatefulSet", "Job")
"""Kinds whose deletion, too, is not waited for where their readiness is not."""

Show = Callable[[Line], Awaitable[None]]
"""Shows the user a line about what is being waited for."""


class NotReadyError(Exception):
    """An object exists but did not become what it should be.

    Attributes:
        problems: what stands in the way, as far as the cluster knows.
    """

    def __init__(self, message: str, problems: list[str]) -> None:
        super().__init__(message)
        self.problems = problems


class _ConditionJudge(Judge):
    """Waits for what an annotation asks for."""

    def __init__(self, annotation: str) -> None:
        self._conditions = conditions.parse(annotation)

    async def look(self, cluster: Cluster, live: Properties, seconds: float) -> Verdict:  # noqa: ARG002
        open_ones = [condition for condition in self._conditions if not conditions.holds(condition, live)]
        return Verdict(not open_ones, [Line(f"Waiting for {condition}") for condition in open_ones])

    def timed_out(self, name: str) -> str:  # noqa: ARG002
        return CONDITION_NOT_MET

    def cancelled(self, name: str) -> str:  # noqa: ARG002
        return "context canceled"


class _DefinitionJudge(_ConditionJudge):
    """A CustomResourceDefinition is ready when objects of its kind can be made."""

    judges_reads = False

    def __init__(self) -> None:
        super().__init__("condition=Established")


_JUDGES: dict[tuple[str, str], Callable[[], Judge]] = {
    ("apps/v1", "DaemonSet"): DaemonSetJudge,
    ("apps/v1", "Deployment"): DeploymentJudge,
    ("apps/v1", "StatefulSet"): StatefulSetJudge,
    ("batch/v1", "Job"): JobJudge,
    ("networking.k8s.io/v1", "Ingress"): IngressJudge,
    ("v1", "PersistentVolume"): VolumeJudge,
    ("v1", "PersistentVolumeClaim"): ClaimJudge,
    ("v1", "Pod"): PodJudge,
    ("v1", "Service"): ServiceJudge,
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"): _DefinitionJudge,
}


def problems(annotations: Properties) -> list[str]:
    """Returns what is wrong with the annotations that say how an object is waited for."""
    annotation = annotations.get(WAIT_FOR, UNKNOWN)
    if annotation == UNKNOWN:
        return []
    try:
        conditions.parse(annotation)
    except ValueError as error:
        return [f"annotation {WAIT_FOR}: {error}"]
    return []


async def wait_until_ready(cluster: Cluster, url: str, written: Properties, timeout: float, show: Show) -> Properties:
    """Waits until an object is ready and returns it as it is then.

    Args:
        cluster: where the object is.
        url: its path there.
        written: the object as the API server answered when it was created or updated.
        timeout: seconds; 0 means what the object's annotation says, or else what is usual for its kind.
        show: shows progress.

    Raises:
        NotReadyError: it did not become ready in time, cannot become so, or the user cancelled the waiting.
    """
    metadata = written["metadata"]
    annotations = metadata.get("annotations") or {}
    judge = _judge(written, annotations)
    if judge is None or annotations.get(SKIP) == "true":
        return written
    name, live, latest, shown = metadata["name"], written, Verdict(ready=False), set[Line]()
    started = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(_limit(judge, timeout, annotations)):
            while True:
                try:
                    latest = await judge.look(cluster, live, asyncio.get_running_loop().time() - started)
                    await _show_new(show, latest.lines, shown)
                    if latest.ready:
                        await show(Line(""))
                        return live
                    if latest.hopeless:
                        raise NotReadyError(f"Resource '{name}' was created but failed to initialize", latest.problems)
                    await asyncio.sleep(_POLL_SECONDS)
                    live = await cluster.request("GET", url)
                except UnreachableError as error:
                    # The API server may come back before the time is over.
                    await _show_new(show, [Line(str(error), warning=True)], shown)
                    await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise NotReadyError(judge.timed_out(name), latest.problems) from None
    except asyncio.CancelledError:
        raise NotReadyError(judge.cancelled(name), latest.problems) from None
    except ProviderError as error:
        raise NotReadyError(f"'{name}' cannot be read any more: {error}", latest.problems) from None


async def assert_ready(cluster: Cluster, live: Properties) -> None:
    """Raises `NotReadyError` for an object that should be ready and is not."""
    metadata = live["metadata"]
    known = _JUDGES.get((live["apiVersion"], live["kind"]))
    if known is None or (metadata.get("annotations") or {}).get(SKIP) == "true":
        return
    judge = known()
    if judge.judges_reads:
        verdict = await judge.look(cluster, live, math.inf)
        if not verdict.ready:
            raise NotReadyError(f"Resource '{metadata['name']}' was created but failed to initialize", verdict.problems)


async def wait_until_gone(cluster: Cluster, url: str, outputs: Properties, timeout: float, show: Show) -> None:
    """Waits until an object does not exist any more.

    Raises:
        NotReadyError: it still exists in the end; its finalizers are the problems.
    """
    annotations = outputs["metadata"].get("annotations") or {}
    if annotations.get(SKIP) == "true" and outputs["kind"] in _SKIPS_DELETION:
        return
    finalizers: list[str] = []
    shown = set[Line]()
    try:
        async with asyncio.timeout(timeout or _seconds(annotations) or _DELETE_SECONDS):
            while True:
                try:
                    live = await cluster.request("GET", url)
                    if live["metadata"]["uid"] != outputs["metadata"]["uid"]:
                        break
                    finalizers = live["metadata"].get("finalizers") or []
                except UnreachableError as error:
                    await _show_new(show, [Line(str(error), warning=True)], shown)
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise NotReadyError(CONDITION_NOT_MET, finalizers) from None
    except asyncio.CancelledError:
        raise NotReadyError("context canceled", finalizers) from None
    except ApiError as error:
        if error.reason != "NotFound":
            raise
    await show(Line(""))


async def _show_new(show: Show, lines: list[Line], shown: set[Line]) -> None:
    for line in lines:
        if line not in shown:
            await show(line)
            shown.add(line)


def _judge(written: Properties, annotations: Properties) -> Judge | None:
    if WAIT_FOR in annotations:
        return _ConditionJudge(annotations[WAIT_FOR])
    known = _JUDGES.get((written["apiVersion"], written["kind"]))
    return known() if known else None


def _limit(judge: Judge, timeout: float, annotations: Properties) -> float:
    if not judge.obeys_timeout:
        return judge.seconds
    return timeout or _seconds(annotations) or judge.seconds


def _seconds(annotations: Properties) -> float | None:
    """Returns the timeout that an object's annotation asks for; one that is no whole number asks for nothing."""
    text = str(annotations.get(TIMEOUT, ""))
    return float(text) if text.isdecimal() else None
