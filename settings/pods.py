"""What the pods of the registry and of its Jobs have in common."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from settings import rules
from settings.section import Section


def _text(value: Any) -> Any:  # noqa: ANN401 (any value)
    # A quantity without a unit is a number in YAML.
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


_NUMBER_OR_TEXT = WithJsonSchema({"type": ["number", "string"]})
_Cpu = Annotated[str, BeforeValidator(_text), AfterValidator(rules.cpu), _NUMBER_OR_TEXT]
_Bytes = Annotated[str, BeforeValidator(_text), AfterValidator(rules.quantity), _NUMBER_OR_TEXT]


class TolerationSettings(Section):
    """A toleration, as Kubernetes has it: the pods may run on nodes with the taints that match it."""

    key: str | None = None
    """Key of the taint; every key unless set, which needs the operator `Exists`."""
    operator: Literal["Equal", "Exists", "Lt", "Gt"] | None = None
    """How the taint's value is compared with `value`; `Equal` unless set. `Exists` is for every value."""
    value: str | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; every effect unless set."""
    toleration_seconds: int | None = None
    """Seconds that a pod stays on a node that gets a taint with the effect `NoExecute`; for ever unless set."""


class AmountSettings(Section):
    """Amounts of what a node has, for one container."""

    cpu: _Cpu | None = None
    """Cores, such as `500m` for half of one."""
    memory: _Bytes | None = None
    """Memory as a Kubernetes quantity, such as `512Mi`."""
    ephemeral_storage: _Bytes | None = Field(default=None, alias="ephemeral-storage")
    """Space on the node's own disk as a Kubernetes quantity, such as `1Gi`: for logs and temporary files."""

    @property
    def amounts(self) -> dict[str, str]:
        """Those that are set, by the name that Kubernetes has for the resource."""
        return self.model_dump(by_alias=True, exclude_none=True)


class ResourceSettings(Section):
    """What each container of the registry and of its Jobs requests, and what it may use at most."""

    requests: AmountSettings = AmountSettings()
    """What a node must have free for each container. Unless set, `cpu: 100m` and `memory: 256Mi` for the registry and
    for Jobs that copy images, `cpu: 50m` and `memory: 64Mi` for other Jobs. A change restarts the registry's pods."""
    limits: AmountSettings = AmountSettings()
    """What each container may use at most; no limit unless set. A change restarts the registry's pods."""
