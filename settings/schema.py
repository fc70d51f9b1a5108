"""The JSON Schema of `Pulumi.<stack>.yaml`, for editors and linters: `python -m settings.schema` prints it.

It knows names, types and bounds; what needs a look at files, or at several settings, is checked by the program.
"""

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from settings import Settings

_PREFIX = "registry:"
_ENCRYPTED = {
    "type": "object",
    "properties": {"secure": {"type": "string"}},
    "required": ["secure"],
    "additionalProperties": False,
}
"""A value that `pulumi config set --secret` wrote."""


class _WithoutTitles(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401, ARG002 (pydantic's own signature)
        return False


def stack_file() -> dict[str, Any]:
    """Returns the schema of a stack's file: its settings by their full keys, and Pulumi's own keys."""
    settings = json.loads(
        json.dumps(Settings.model_json_schema(schema_generator=_WithoutTitles)), object_hook=_secrets_encrypted
    )
    properties = {f"{_PREFIX}{key}": value for key, value in settings["properties"].items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Stack of the registry",
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "properties": properties,
                "required": [f"{_PREFIX}{key}" for key in settings["required"]],
                # Keys of providers and of Pulumi itself are not ours to know.
                "propertyNames": {"anyOf": [{"enum": list(properties)}, {"not": {"pattern": f"^{_PREFIX}"}}]},
            }
        },
        "required": ["config"],
        "$defs": settings["$defs"],
    }


def _secrets_encrypted(schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": schema["description"], **_ENCRYPTED} if schema.get("writeOnly") else schema


if __name__ == "__main__":
    print(json.dumps(stack_file(), indent=2, ensure_ascii=False))
