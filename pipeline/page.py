"""The page that reviewers of a pull request read, in GitHub's and GitLab's Markdown."""

import re
from collections.abc import Iterator, Sequence

from pulumi.automation.events import OpType

from pipeline.preview import Preview, Result

_MAX = 60_000
"""Characters of a page: GitHub refuses comments of more than 65536."""
_MAX_ERROR = 3_000

_COLUMNS = {
    "create": {OpType.CREATE, OpType.IMPORT},
    "update": {OpType.UPDATE},
    "replace": {OpType.REPLACE, OpType.CREATE_REPLACEMENT, OpType.IMPORT_REPLACEMENT},
    "delete": {OpType.DELETE},
    "unchanged": {OpType.SAME},
}


def verdict(preview: Preview, *, allow_replace: bool) -> str:
    """One line: how a stack's preview ended."""
    if preview.stateful and not allow_replace and preview.result is Result.CHANGES:
        return f"{preview.result}, refused: stateful resources would be lost"
    return preview.result


def render(previews: Sequence[Preview], *, allow_replace: bool) -> str:
    """Returns the page: a table, what needs a reviewer's eye, and the diff of each stack, folded and cut to fit."""
    head = "\n".join(
        [
            "# Pulumi preview",
            "",
            *_table(previews, allow_replace=allow_replace),
            *_stateful(previews, allow_replace=allow_replace),
            *_violations(previews),
            *_errors(previews),
        ]
    )
    room = (_MAX - len(head)) // len(previews)
    return "\n".join([head, *(line for preview in previews for line in _diff(preview, room)), ""])


def _table(previews: Sequence[Preview], *, allow_replace: bool) -> Iterator[str]:
    yield f"| stack | result | {' | '.join(_COLUMNS)} |"
    yield f"|---|---|{'--:|' * len(_COLUMNS)}"
    for preview in previews:
        counts = (sum(preview.operations[each] for each in operations) for operations in _COLUMNS.values())
        result = verdict(preview, allow_replace=allow_replace)
        yield f"| {preview.stack} | **{result}** | {' | '.join(map(str, counts))} |"


def _stateful(previews: Sequence[Preview], *, allow_replace: bool) -> Iterator[str]:
    if any(preview.stateful for preview in previews):
        yield from ("", "## Stateful resources", "")
        if allow_replace:
            yield "What would be lost; the label `allow-replace` accepts it:"
        else:
            yield "What would be lost, and is refused without the label `allow-replace`:"
        yield ""
    for preview in previews:
        for change in preview.stateful:
            causes = f" because of {', '.join(change.causes)}" if change.causes else ""
            yield f"- **{preview.stack}**: {change.operation} `{change.resource}`{causes}: {change.lost}"


def _violations(previews: Sequence[Preview]) -> Iterator[str]:
    if any(preview.violations for preview in previews):
        yield from ("", "## Policies", "")
        yield "A rule that cannot run during the preview is checked again by `up`."
        yield ""
    for preview in previews:
        for each in sorted(preview.violations, key=lambda violation: not violation.mandatory):
            level = "**stops**" if each.mandatory else "warns"
            yield f"- **{preview.stack}**: `{each.rule}` {level} at `{each.resource}`: {each.message}"


def _errors(previews: Sequence[Preview]) -> Iterator[str]:
    failed = [preview for preview in previews if preview.result is Result.FAILED]
    if failed:
        yield from ("", "## Failures")
    for preview in failed:
        reason = "\n".join(preview.errors) or preview.diff
        yield from ("", f"**{preview.stack}**:", "", *_fenced(_cut(reason, _MAX_ERROR)))


def _diff(preview: Preview, room: int) -> Iterator[str]:
    yield from ("", f"<details><summary>{preview.stack}: diff</summary>", "")
    yield from (*_fenced(_cut(preview.diff, room)), "", "</details>")


def _cut(text: str, room: int) -> str:
    text = text.strip()
    if len(text) <= room:
        return text
    return f"{text[:room]}\n… and {len(text) - room} characters more: run `make preview-all`"


def _fenced(text: str) -> Iterator[str]:
    """Yields text as a block that nothing in it can end."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from (fence, text, fence)
