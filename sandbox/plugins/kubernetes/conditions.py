"""The conditions of `pulumi.com/waitFor` annotations."""

import json

from sandbox.plugins.kubernetes.jsonpath import select
from sandbox.plugins.values import Json, Properties


def parse(annotation: str) -> list[str]:
    """Returns the conditions of an annotation: one, or a JSON list of them that must all hold.

    Raises:
        ValueError: a condition is not understood.
    """
    conditions: list[str] = json.loads(annotation) if annotation.startswith("[") else [annotation]
    for condition in conditions:
        holds(condition, {})
    return conditions


def holds(condition: str, live: Properties) -> bool:
    """Says whether a condition holds for an object; raises `ValueError` for one that is not understood."""
    what, _, rest = condition.partition("=")
    if what == "condition":
        kind, _, status = rest.partition("=")
        return str(status_condition(live, kind).get("status")).lower() == (status or "True").lower()
    if what == "jsonpath":
        expression, closed, value = rest.partition("}")
        found = select(expression + closed, live)
        return bool(found) if not value else any(_text(item) == value.removeprefix("=") for item in found)
    raise ValueError(
        f"{condition}: use jsonpath={{...}}, jsonpath={{...}}=value, condition=Type or condition=Type=Status"
    )


def status_condition(live: Properties, kind: str) -> Properties:
    """Returns the condition of a type in the status of an object; it is empty where there is none."""
    conditions: list[Properties] = (live.get("status") or {}).get("conditions") or []
    return next((condition for condition in conditions if condition["type"] == kind), {})


def _text(value: Json) -> str:
    return json.dumps(value) if isinstance(value, bool | dict | list) else str(value)
