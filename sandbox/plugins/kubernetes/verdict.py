"""How far an object is on its way to being ready, and who can tell."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from sandbox.plugins.kubernetes.cluster import Cluster
from sandbox.plugins.values import Properties

CONDITION_NOT_MET = "timed out waiting for the condition"


@dataclass(frozen=True)
class Line:
    """A line of progress."""

    text: str
    warning: bool = False


@dataclass
class Verdict:
    """What was found out about an object.

    Attributes:
        ready: whether it is as it should be.
        lines: what is being waited for.
        problems: what stands in the way, as far as the cluster knows.
        hopeless: whether waiting longer is of no use.
    """

    ready: bool
    lines: list[Line] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    hopeless: bool = False


class Judge(ABC):
    """Tells when objects of one kind are ready; one judge looks at one object, again and again.

    Attributes:
        seconds: how long is waited for such an object, unless its resource says otherwise.
        obeys_timeout: whether its resource can say otherwise.
        judges_reads: whether an object that is not ready is reported by a refresh, too.
    """

    seconds: float = 600
    obeys_timeout = True
    judges_reads = True

    @abstractmethod
    async def look(self, cluster: Cluster, live: Properties, seconds: float) -> Verdict:
        """Looks at an object as it is `seconds` after the waiting began; a refresh does not wait: infinitely many."""

    def timed_out(self, name: str) -> str:
        """Returns the message for an object that did not become ready in time."""
        return f"'{name}' timed out waiting to be Ready"

    def cancelled(self, name: str) -> str:
        """Returns the message for an object whose readiness the user did not wait for."""
        return f'Resource operation was cancelled for "{name}"'


def is_owned_by(owned: Properties, owner: Properties) -> bool:
    """Says whether an object was made for another one."""
    owners = owned["metadata"].get("ownerReferences") or []
    return any(reference["uid"] == owner["metadata"]["uid"] for reference in owners)


def qualified_name(live: Properties) -> str:
    """Returns an object's name, with its namespace unless that is `default`."""
    namespace, name = live["metadata"]["namespace"], str(live["metadata"]["name"])
    return name if namespace == "default" else f"{namespace}/{name}"
