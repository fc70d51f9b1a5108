"""Every command of README and runbooks is run by a test, or `commands.yaml` says why not."""

import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from settings.schema import stack_file
from tests.conftest import ROOT
from tests.documents import DOCUMENTS, blocks, commands, listed, settings

LIST = listed()
RUN = [command for group in LIST["run"].values() for command in group]
NOT_RUN = LIST["not run"]

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)


@each_document
def test_every_block_says_what_it_is(document: Path) -> None:
    assert {kind for kind, _ in blocks(document)} <= {"sh", "text", "yaml"}


@each_document
def test_every_command_is_in_a_list(document: Path) -> None:
    assert [command for command in commands(document) if command not in RUN and command not in NOT_RUN] == []


def test_every_command_in_a_list_stands_in_a_document_and_in_no_other_list() -> None:
    documented = {command for document in DOCUMENTS for command in commands(document)}
    assert sorted([*RUN, *NOT_RUN]) == sorted(documented)


def test_every_command_that_is_not_run_has_a_reason_of_one_line() -> None:
    assert [command for command, reason in NOT_RUN.items() if not re.fullmatch(r"\S.{10,}", reason)] == []


def test_every_group_of_commands_is_run_by_a_test() -> None:
    source = "".join(file.read_text() for file in (ROOT / "tests" / "cluster").glob("test_documented_*.py"))
    assert re.findall(r'@runs\("(.+?)"\)', source) == list(LIST["run"])


def test_every_example_stands_in_a_command() -> None:
    assert [example for example in LIST["examples"] if not any(example in command for command in RUN)] == []


@each_document
def test_the_settings_that_a_document_shows_are_settings(document: Path) -> None:
    schema = stack_file()
    schema["properties"]["config"]["required"] = []
    validator = Draft202012Validator(schema)
    assert [error.message for shown in settings(document) for error in validator.iter_errors({"config": shown})] == []
