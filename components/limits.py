"""What a storage allows the registry's pods; plain facts that need no Pulumi."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How pods may share a storage."""

    reason: str
    """Why, as the end of a sentence."""
    most_replicas: int | None
    """How many pods may run; any number if None."""
    strategy: str
    """Strategy of the Deployment: `Recreate` or `RollingUpdate`."""
    session_affinity: str
    """Session affinity of the Service: `None` or `ClientIP`."""


ONE_POD = Limits(
    reason="only one pod can use it",
    most_replicas=1,
    strategy="Recreate",
    session_affinity="None",
)
SHARED_FOLDER = Limits(
    reason="pods share its files",
    most_replicas=None,
    strategy="RollingUpdate",
    # A push is many requests, and over NFS a pod can see what another one wrote a moment too late.
    session_affinity="ClientIP",
)
OBJECT_STORE = Limits(
    reason="pods share its objects",
    most_replicas=None,
    strategy="RollingUpdate",
    session_affinity="None",
)
