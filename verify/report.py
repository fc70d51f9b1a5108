"""What was found: a table for people, JSON for programs, JUnit for pipelines."""

import json
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from verify.proof import Check, Outcome

_MARKS = {Outcome.PASSED: "[green]✔[/]", Outcome.FAILED: "[bold red]✘[/]", Outcome.NOT_TRIED: "[yellow]○[/]"}

_NAME_WIDTH = 11

Checks = Sequence[Check[Any]]


def passed(checks: Checks) -> bool:
    """Whether nothing failed."""
    return all(check.outcome is not Outcome.FAILED for check in checks)


def print_table(console: Console, checks: Checks, seconds: float) -> None:
    """Prints a line for each check, by the place that it is about, with the mend below what failed, and a summary."""
    for place, group in groupby(checks, key=lambda check: check.place):
        console.print(f"[bold]{place.section}[/] {escape(place.name)}", soft_wrap=True)
        table = Table.grid(padding=(0, 1))
        table.add_column()
        table.add_column(width=_NAME_WIDTH)
        table.add_column(overflow="fold")
        for check in group:
            table.add_row(f" {_MARKS[check.outcome]}", escape(check.name), _seen(check))
        console.print(table)
    counts = Counter(check.outcome for check in checks)
    summary = ", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome if counts[outcome])
    colour = "green" if passed(checks) else "bold red"
    console.print(f"[{colour}]{summary}[/] in {seconds:.1f} s")


def as_json(stack: str, checks: Checks) -> str:
    """The findings as a JSON document."""
    return json.dumps(
        {
            "stack": stack,
            "passed": passed(checks),
            "checks": [
                {
                    "section": check.place.section,
                    "check": check.name,
                    "place": check.place.name,
                    "outcome": check.outcome,
                    "detail": check.detail,
                    "mend": check.mend,
                    "seconds": round(check.seconds, 3),
                }
                for check in checks
            ],
        },
        indent=2,
    )


def write_junit(file: Path, stack: str, checks: Checks) -> None:
    """Writes the findings as a JUnit report.

    Raises:
        OSError: The file cannot be written.
    """
    counts = Counter(check.outcome for check in checks)
    suite = ElementTree.Element(
        "testsuite",
        name=f"registry of stack {stack}",
        tests=str(len(checks)),
        failures=str(counts[Outcome.FAILED]),
        skipped=str(counts[Outcome.NOT_TRIED]),
        errors="0",
    )
    for check in checks:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=f"registry.{check.place.section}",
            name=f"{check.name} of {check.place.name}",
            time=f"{check.seconds:.3f}",
        )
        match check.outcome:
            case Outcome.PASSED:
                ElementTree.SubElement(case, "system-out").text = check.detail
            case Outcome.FAILED:
                ElementTree.SubElement(case, "failure", message=check.detail).text = check.mend
            case Outcome.NOT_TRIED:
                ElementTree.SubElement(case, "skipped", message=check.detail)
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    ElementTree.ElementTree(suites).write(file, encoding="utf-8", xml_declaration=True)


def _seen(check: Check[Any]) -> str:
    detail = escape(check.detail)
    match check.outcome:
        case Outcome.PASSED:
            return detail
        case Outcome.FAILED:
            return f"[red]{detail}[/]" + (f"\n→ {escape(check.mend)}" if check.mend else "")
        case Outcome.NOT_TRIED:
            return f"[yellow]not tried: {detail}[/]"
