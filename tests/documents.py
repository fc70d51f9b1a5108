"""The commands of README and runbooks, and the list that says which of them are run."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs" / "runbook").glob("*.md"))]
LIST = ROOT / "tests" / "commands.yaml"

_PROGRAMS = {
    *("make", "python", "python3", "pip", "pulumi", "kubectl", "oc", "docker", "podman", "skopeo"),
    *("curl", "openssl", "ssh", "ssh-keyscan", "chown"),
}
_FENCE = re.compile(r"^( *)```(\S*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`]+)`")
_VARIABLES = re.compile(r"^([A-Z0-9_]+=\S* )+")
_COMMENT = re.compile(r"\s+# .*")
_GOES_ON = ("\\", "|", "&&")


def blocks(document: Path) -> Iterator[tuple[str, str]]:
    """Yields the fenced blocks of a document: what they say they are, and the text."""
    for _, kind, text in _FENCE.findall(document.read_text()):
        yield kind, text


def commands(document: Path) -> Iterator[str]:
    """Yields the commands of a document, each on one line: those in its blocks, then those within its sentences."""
    for kind, text in blocks(document):
        if kind == "sh":
            yield from _lines(text)
    for text in _INLINE.findall(_FENCE.sub("", document.read_text())):
        command = " ".join(text.split())
        if _is_command(command):
            yield command


def settings(document: Path) -> Iterator[dict[str, Any]]:
    """Yields the settings that the blocks of a document show."""
    for kind, text in blocks(document):
        if kind == "yaml":
            yield yaml.safe_load(text)


def listed() -> dict[str, Any]:
    """Returns the list: under `run` the commands by the test that runs them, under `not run` the reason for each."""
    loaded: dict[str, Any] = yaml.safe_load(LIST.read_text())
    return loaded


def to_run(group: str) -> list[str]:
    """Returns the commands of one test."""
    found: list[str] = listed()["run"][group]
    return found


def _lines(text: str) -> Iterator[str]:
    """Yields the commands of a block without their comments; one may take several lines."""
    command = ""
    for line in text.splitlines():
        command = f"{command} {_COMMENT.sub('', line).strip()}".strip()
        if command and not command.endswith(_GOES_ON):
            yield command
            command = ""
        command = command.removesuffix("\\").rstrip()


def _is_command(text: str) -> bool:
    """Says whether a text is a program with arguments, or an executable file of this repository."""
    program, _, arguments = _VARIABLES.sub("", text).partition(" ")
    if program in _PROGRAMS or program.startswith(".sandbox/"):
        return bool(arguments)
    file = ROOT / program
    return ROOT in file.parents and file.is_file() and os.access(file, os.X_OK)
