"""What a preview of a stack found, from the events that the engine reports."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from pulumi.automation.events import EngineEvent, OpType, PolicyEvent
from pydantic import TypeAdapter

from pipeline.stateful import StatefulChange, stateful_change


class Result(StrEnum):
    """How a preview ended."""

    UNCHANGED = "no changes"
    CHANGES = "changes"
    STOPPED = "stopped by a policy"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A rule of the policy pack that a resource breaks, or that could not be judged yet."""

    rule: str
    mandatory: bool
    resource: str
    """Name of the resource."""
    message: str


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a preview of a stack found."""

    stack: str
    result: Result
    diff: str
    """All that the engine printed; it masks secrets."""
    operations: Counter[OpType]
    """How many resources each operation is planned for."""
    violations: list[Violation]
    stateful: list[StatefulChange]
    errors: list[str]
    """What failed, but for violations."""


_JSON = TypeAdapter(Preview)


def to_json(preview: Preview) -> bytes:
    """Returns a preview as JSON."""
    return _JSON.dump_json(preview)


def from_json(data: bytes) -> Preview:
    """Returns what `to_json` was given."""
    return _JSON.validate_json(data)


def not_started(stack: str, reason: str) -> Preview:
    """Returns what stands for a preview that could not even start."""
    return Preview(
        stack=stack, result=Result.FAILED, diff="", operations=Counter(), violations=[], stateful=[], errors=[reason]
    )


def summarise(stack: str, events: Iterable[EngineEvent], diff: str, *, succeeded: bool) -> Preview:
    """Returns what a preview found; `diff` is what the engine printed."""
    operations: Counter[OpType] = Counter()
    violations: list[Violation] = []
    stateful: dict[str, StatefulChange] = {}
    errors: list[str] = []
    for event in events:
        if event.policy_event:
            violations.append(_violation(event.policy_event))
        elif event.diagnostic_event and event.diagnostic_event.severity == "error":
            errors.append(event.diagnostic_event.message.strip())
        elif event.resource_pre_event:
            change = stateful_change(event.resource_pre_event.metadata)
            if change:
                stateful[event.resource_pre_event.metadata.urn] = change
        elif event.summary_event:
            operations.update({OpType(op): count for op, count in event.summary_event.resource_changes.items()})
    return Preview(
        stack=stack,
        result=_result(operations, violations, succeeded=succeeded),
        diff=diff,
        operations=operations,
        violations=violations,
        stateful=list(stateful.values()),
        errors=errors,
    )


def _violation(event: PolicyEvent) -> Violation:
    return Violation(
        rule=event.policy_name,
        mandatory=event.enforcement_level == "mandatory",
        resource=(event.resource_urn or "").rpartition("::")[2],
        message=" ".join(event.message.split()),
    )


def _result(operations: Counter[OpType], violations: list[Violation], *, succeeded: bool) -> Result:
    if not succeeded:
        return Result.STOPPED if any(each.mandatory for each in violations) else Result.FAILED
    return Result.CHANGES if set(operations) - {OpType.SAME} else Result.UNCHANGED
