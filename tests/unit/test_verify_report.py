import asyncio
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from verify import report
from verify.proof import Check, Fault, NotTried, Outcome, Place, Proved, Section, Verification

NODE = Place(Section.NODES, "node1")
ENDPOINT = Place(Section.ENDPOINTS, "registry.example.com")


def fails() -> Proved[None]:
    raise Fault("the door is [locked]", "open it")


def passes() -> Proved[int]:
    return Proved("as it should be", 1)


def run(start: Callable[[Verification], object]) -> list[Check[Any]]:
    async def checks() -> list[Check[Any]]:
        async with asyncio.TaskGroup() as tasks:
            verification = Verification(tasks)
            start(verification)
        return verification.in_order

    return asyncio.run(checks())


def a_run(verification: Verification) -> None:
    door = verification.start(NODE, "door", fails)
    room = verification.start(NODE, "room", passes, door)
    verification.start(NODE, "bed", passes, room)
    verification.start(ENDPOINT, "bell", passes)


@pytest.fixture
def checks() -> list[Check[Any]]:
    return run(a_run)


def test_what_needs_a_failed_check_is_not_tried_and_names_the_root(checks: list[Check[Any]]) -> None:
    found = {check.name: (check.outcome, check.detail) for check in checks}
    assert found == {
        "bell": (Outcome.PASSED, "as it should be"),
        "door": (Outcome.FAILED, "the door is [locked]"),
        "room": (Outcome.NOT_TRIED, "door of node1 failed"),
        "bed": (Outcome.NOT_TRIED, "door of node1 failed"),
    }


def test_checks_are_reported_by_section_and_place(checks: list[Check[Any]]) -> None:
    assert [check.name for check in checks] == ["bell", "door", "room", "bed"]


def test_a_check_that_hangs_fails_at_its_limit() -> None:
    async def hangs() -> Proved[None]:
        await asyncio.sleep(3600)
        return Proved("", None)

    (check,) = run(lambda verification: verification.start(NODE, "door", hangs, seconds=0.05))
    assert check.outcome is Outcome.FAILED
    assert "no end within" in check.detail


def test_an_error_that_no_check_expected_is_a_failure_of_that_check() -> None:
    def breaks() -> Proved[None]:
        raise ConnectionResetError

    door, bell = run(
        lambda verification: (
            verification.start(NODE, "door", breaks),
            verification.start(NODE, "bell", passes),
        )
    )
    assert (door.outcome, door.detail) == (Outcome.FAILED, "ConnectionResetError")
    assert bell.passed


def test_a_check_waits_for_the_end_of_what_it_follows_well_or_not() -> None:
    ended = []

    async def slow() -> Proved[None]:
        await asyncio.sleep(0.01)
        ended.append("slow")
        raise NotTried("no reason")

    def last() -> Proved[None]:
        ended.append("last")
        return Proved("", None)

    run(lambda v: v.start(NODE, "last", last, after=[v.start(NODE, "slow", slow)]))
    assert ended == ["slow", "last"]


def test_json_has_everything(checks: list[Check[Any]]) -> None:
    document = json.loads(report.as_json("lab", checks))
    assert (document["stack"], document["passed"]) == ("lab", False)
    door = document["checks"][1]
    assert door.pop("seconds") >= 0
    assert door == {
        "section": "nodes",
        "check": "door",
        "place": "node1",
        "outcome": "failed",
        "detail": "the door is [locked]",
        "mend": "open it",
    }


def test_junit_has_failures_with_their_mend_and_skips_with_their_reason(
    checks: list[Check[Any]], tmp_path: Path
) -> None:
    report.write_junit(tmp_path / "report.xml", "lab", checks)
    (suite,) = ElementTree.parse(tmp_path / "report.xml").getroot()
    assert {key: suite.get(key) for key in ("name", "tests", "failures", "skipped")} == {
        "name": "registry of stack lab",
        "tests": "4",
        "failures": "1",
        "skipped": "2",
    }
    cases = {(case.get("classname"), case.get("name")): case[0] for case in suite}
    failure = cases["registry.nodes", "door of node1"]
    assert (failure.tag, failure.get("message"), failure.text) == ("failure", "the door is [locked]", "open it")
    skipped = cases["registry.nodes", "bed of node1"]
    assert (skipped.tag, skipped.get("message")) == ("skipped", "door of node1 failed")


def test_the_table_says_what_failed_how_to_mend_it_and_what_was_not_tried(checks: list[Check[Any]]) -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    report.print_table(console, checks, 1.25)
    printed = [line.rstrip() for line in console.export_text().splitlines()]
    assert printed == [
        "endpoints registry.example.com",
        " ✔ bell        as it should be",
        "nodes node1",
        " ✘ door        the door is [locked]",
        "               → open it",
        " ○ room        not tried: door of node1 failed",
        " ○ bed         not tried: door of node1 failed",
        "1 passed, 1 failed, 2 not tried in 1.2 s",
    ]


def test_only_a_failure_makes_a_run_fail(checks: list[Check[Any]]) -> None:
    assert not report.passed(checks)
    assert report.passed([check for check in checks if check.outcome is not Outcome.FAILED])
