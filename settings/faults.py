"""Tells what is wrong with a setting, by the key as it stands in the stack's file."""

import json
from difflib import get_close_matches
from typing import TYPE_CHECKING, get_args

from pydantic import BaseModel, SecretStr

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_TABLE = "see the table of settings in the README"
_REASONS = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": f"must be a map, {_TABLE}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "less_than_equal": "must be at most {le}",
    "list_type": f"must be a list, {_TABLE}",
    "literal_error": "must be {expected}",
    "model_attributes_type": f"must be a map, {_TABLE}",
    "model_type": f"must be a map, {_TABLE}",
    "path_type": "must be the path of a file",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_type": "must be text: put it in quotes",
    "too_short": "must have at least {min_length} entries",
}
"""What pydantic finds, in a user's words."""


def describe(project: str, settings: type[BaseModel], fault: "ErrorDetails") -> str:
    """One line for one fault: the key, the value, the reason and the mend."""
    keys, section = _follow(settings, fault["loc"])
    value = _shown(fault["input"], secret=_is_secret(section, keys[-1:]))
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
            told = f"{value} {fault['ctx']['error']}"
        case known if known in _REASONS:
            told = f"{value} {_REASONS[known].format(**fault.get('ctx', {}))}"
        case _:
            told = f"{value} is wrong: {fault['msg']}"
    return path + told


def _shown(value: object, *, secret: bool) -> str:
    """A value on one line, after a space; nothing for a map or a list, which can have a secret in it."""
    if isinstance(value, dict | list):
        return ""
    text = "…" if secret else json.dumps(value, ensure_ascii=False).removeprefix('"').removesuffix('"')
    return f" '{text}'"


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
