"""Which cluster a stack is for: the sandbox, or one of the user's."""

import os
from dataclasses import dataclass

import yaml

from sandbox import layout
from sandbox.errors import SandboxError

_SETTING = "registry:kubeconfig"


@dataclass(frozen=True)
class Choice:
    """The cluster that a stack is for.

    Attributes:
        sandbox: Whether it is the sandbox.
        reason: Which it is and why, as a sentence's end.
    """

    sandbox: bool
    reason: str


def choose(stack: str) -> Choice:
    """Reads from a stack's settings which cluster it is for.

    Raises:
        SandboxError: The settings do not say, or they name the sandbox while KUBECONFIG names another cluster.
    """
    file = layout.REPOSITORY / f"Pulumi.{stack}.yaml"
    if not file.exists():
        raise SandboxError(
            f"stack {stack!r} has no settings: {file.name} does not exist, Pulumi.dev.yaml is an example"
        )
    named = (yaml.safe_load(file.read_text()).get("config") or {}).get(_SETTING)
    if not named:
        raise SandboxError(f"{file.name} has no {_SETTING}: set it to the kubeconfig of the stack's cluster")
    if (layout.REPOSITORY / named).resolve() != layout.KUBECONFIG.resolve():
        return Choice(sandbox=False, reason=f"that of {named}, as {file.name} says; the sandbox is not started")
    exported = os.environ.get("KUBECONFIG", "")
    if exported not in ("", str(layout.KUBECONFIG)):
        raise SandboxError(
            f"KUBECONFIG is {exported}, but stack {stack!r} is the sandbox's ({_SETTING} in {file.name}), with its "
            "nodes, keys and CA, so nothing was started: to use that cluster, describe it in a stack of its own "
            "(see the README); to use the sandbox, unset KUBECONFIG"
        )
    return Choice(sandbox=True, reason=f"the sandbox, as {_SETTING} in {file.name} says")
