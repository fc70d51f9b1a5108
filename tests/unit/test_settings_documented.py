"""Every setting is where users look for it: in Pulumi.yaml, and in the tables of the README."""

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from settings import Settings
from settings.storage import StorageSettings
from tests.conftest import ROOT

PULUMI = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
README = (ROOT / "README.md").read_text()
KINDS = {get_args(kind.model_fields["kind"].annotation)[0]: kind for kind in get_args(get_args(StorageSettings)[0])}


def section_of(field: FieldInfo) -> tuple[type[BaseModel], str] | None:
    """The section that a setting is, with what its path in the README ends on."""
    for annotation in (field.annotation, *get_args(field.annotation)):
        if isinstance(annotation, type) and issubclass(annotation, BaseModel) and not field.discriminator:
            return annotation, "[]" if annotation is not field.annotation and "list" in str(field.annotation) else ""
    return None


def leaves(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yields the settings that hold a value, by their path in the README."""
    for field in section.model_fields.values():
        path = f"{prefix}{field.alias}"
        if field.discriminator:
            yield f"{path}.kind", field
        elif below := section_of(field):
            yield from leaves(below[0], f"{path}{below[1]}.")
        else:
            yield path, field


def table(head: str) -> dict[str, list[str]]:
    """The rows of a table in the README by the keys of their first column; `.port` stands for one beside the first."""
    lines = README[README.index(head) :].split("\n\n")[0].splitlines()[2:]
    rows: dict[str, list[str]] = {}
    for line in lines:
        first, *others = [cell.strip() for cell in line.strip("|").split(" | ")]
        keys = re.findall("`([^`]+)`", first)
        parent = keys[0].rpartition(".")[0]
        rows |= {f"{parent}{key}" if key.startswith(".") else key: others for key in keys}
    return rows


def test_pulumi_knows_every_setting_its_type_and_its_default() -> None:
    types = {"string": str, "boolean": bool, "integer": int, "object": dict, "array": list}
    assert set(PULUMI) == {field.alias for field in Settings.model_fields.values()}
    for field in Settings.model_fields.values():
        known = PULUMI[field.alias]
        assert known["description"]
        assert ("default" in known) is not field.is_required()
        if field.is_required():
            continue
        default = field.default
        if isinstance(default, BaseModel):
            default = default.model_dump(by_alias=True, exclude_none=True)
        assert isinstance(known["default"], types[known["type"]])
        assert (known["default"] or None) == (default or None)


SETTINGS = table("| setting | meaning | unless set |")


def test_the_table_has_every_setting_and_no_other() -> None:
    assert set(SETTINGS) == {path for path, _ in leaves(Settings)}


@pytest.mark.parametrize("path", SETTINGS)
def test_the_table_says_what_must_be_set_and_what_holds_otherwise(path: str) -> None:
    field = dict(leaves(Settings))[path]
    *_, unless_set = SETTINGS[path]
    # A section that may be left out is required nowhere; a row of several settings says what each needs.
    if not path.startswith(("garbageCollection", "backup", "move", "nodes")):
        assert unless_set.startswith("required") == field.is_required()
    if isinstance(field.default, bool):
        assert unless_set == f"`{json.dumps(field.default)}`"
    elif isinstance(field.default, int | str):
        assert str(field.default) in unless_set


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_of_storage_has_every_setting_of_a_kind(kind: str) -> None:
    told, _ = table("| `storage.kind` | settings | pods |")[kind]
    every: set[Any] = {field.alias for each in KINDS.values() for field in each.model_fields.values()}
    own = {field.alias for field in KINDS[kind].model_fields.values()} - {"kind"}
    assert every & set(re.findall("`([^`]+)`", told)) == own


def test_the_table_of_storage_has_every_kind_and_no_other() -> None:
    assert set(table("| `storage.kind` | settings | pods |")) == set(KINDS)
