"""Tells what is wrong with a setting, by the key as it stands in the stack's file."""

from difflib import get_close_matches
from typing import TYPE_CHECKING, get_args

from pydantic import BaseModel, SecretStr

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_TABLE = "see the table of settings in the README"


def describe(project: str, settings: type[BaseModel], fault: "ErrorDetails") -> str:
    """One line for one fault: the key, the value, the reason and the mend."""
    keys, section = _follow(settings, fault["loc"])
    value = "…" if _is_secret(section, keys[-1:]) else fault["input"]
    path = f"{project}:" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")
    match fault["type"]:
        case "missing":
            told = f" is missing: set it, {_TABLE}"
        case "union_tag_not_found":
            told = f".kind is missing: set it, {_TABLE}"
        case "union_tag_invalid":
            told = f".kind '{fault['ctx']['tag']}' is not a kind: choose one of {fault['ctx']['expected_tags']}"
        case "extra_forbidden":
            near = get_close_matches(str(keys[-1]), [str(field.alias) for field in section.model_fields.values()], n=1)
            told = " is not a setting: " + (f"did you mean '{near[0]}'?" if near else f"remove it, {_TABLE}")
        case "value_error" if isinstance(fault["input"], dict | BaseModel):
            told = f": {fault['ctx']['error']}"
            path = path.rstrip(":")
        case "value_error":
            told = f" '{value}' {fault['ctx']['error']}"
        case _:
            told = f" '{value}' is wrong: {fault['msg'].removeprefix('Input ')}"
    return path + told


def _follow(settings: type[BaseModel], location: tuple[str | int, ...]) -> tuple[list[str | int], type[BaseModel]]:
    """Follows pydantic's location of a fault; returns the keys of the way and the last section on it.

    Where a section is one of several kinds, pydantic's location has the kind in it, which is no key.
    """
    keys: list[str | int] = []
    section = settings
    kinds: dict[str, type[BaseModel]] = {}
    for part in location:
        if kinds:
            section, kinds = kinds[str(part)], {}
            continue
        keys.append(part)
        field = next((each for each in section.model_fields.values() if each.alias == part), None)
        if field is None:
            continue
        below = [each for each in (field.annotation, *get_args(field.annotation)) if _is_section(each)]
        if field.discriminator:
            kinds = {get_args(each.model_fields[str(field.discriminator)].annotation)[0]: each for each in below}
        elif below:
            (section,) = below
    return keys, section


def _is_secret(section: type[BaseModel], last: list[str | int]) -> bool:
    return any(field.annotation is SecretStr and field.alias in last for field in section.model_fields.values())


def _is_section(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
