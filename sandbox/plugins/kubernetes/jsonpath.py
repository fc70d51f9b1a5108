"""The part of JSONPath that `pulumi.com/waitFor` annotations use, as kubectl understands it."""

import re
from collections.abc import Iterator

from sandbox.plugins.values import Json

_STEP = re.compile(
    r"""
    \.(?P<name>[\w-]+)                                                    # .name
    | \[\?\(@\.(?P<filter>[\w.-]+)\s*==\s*["'](?P<equals>[^"']*)["']\)\]  # [?(@.name=="value")]
    | \['(?P<quoted>[^']+)'\]                                             # ['na.me']
    | \[(?P<index>-?\d+)\]                                                # [0]
    | (?P<all>\[\*\]|\.\*)                                                # [*]
    """,
    re.VERBOSE,
)


class JsonPathError(ValueError):
    """An expression is not understood."""


def select(expression: str, document: Json) -> list[Json]:
    """Returns every value that an expression such as `{.status.conditions[?(@.type=="Ready")].status}` selects.

    Raises:
        JsonPathError: the expression uses something else than names, indices, `*` and filters with `==`.
    """
    path = expression.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    if path and not path.startswith((".", "[")):
        path = f".{path}"
    selected, position = [document], 0
    while position < len(path):
        step = _STEP.match(path, position)
        if step is None:
            raise JsonPathError(f"JSONPath {expression}: not understood from {path[position:]!r} on")
        selected = [found for value in selected for found in _follow(step, value)]
        position = step.end()
    return selected


def _follow(step: re.Match[str], value: Json) -> Iterator[Json]:
    groups = step.groupdict()
    name = groups["name"] or groups["quoted"]
    if name is not None:
        if isinstance(value, dict) and name in value:
            yield value[name]
    elif groups["index"] is not None:
        index = int(groups["index"])
        if isinstance(value, list) and -len(value) <= index < len(value):
            yield value[index]
    elif groups["filter"] is not None:
        for item in value if isinstance(value, list) else []:
            if groups["equals"] in map(str, select(groups["filter"], item)):
                yield item
    elif isinstance(value, dict | list):
        yield from value.values() if isinstance(value, dict) else value
