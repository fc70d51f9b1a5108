"""Property values as the engine sends them: plain JSON values, with markers for unknown and secret ones."""

from typing import Any

from google.protobuf import struct_pb2

_TYPE_MARKER = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the protocol's mark, the same for all secrets
_ASSET = "c44067f5952c0a294b673a41bacd8c17"
_ARCHIVE = "0def7320c3a5731c473e5ecbe6d01bc7"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""Stands, in a preview, for a value that only the update will know."""

Json = Any
"""A value of JSON; numbers without a fraction are `int`."""
Properties = dict[str, Json]
"""The inputs or the outputs of one resource."""


def decode(value: struct_pb2.Value) -> Json:
    """Returns the Python value of a protobuf value."""
    match value.WhichOneof("kind"):
        case "struct_value":
            return decode_properties(value.struct_value)
        case "list_value":
            return [decode(item) for item in value.list_value.values]
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case _:
            return None


def decode_properties(struct: struct_pb2.Struct) -> Properties:
    """Returns the Python values of a protobuf struct."""
    return {key: decode(value) for key, value in struct.fields.items()}


def encode_properties(properties: Properties) -> struct_pb2.Struct:
    """Returns the protobuf struct of Python values."""
    struct = struct_pb2.Struct()
    struct.update(properties)
    return struct


def secret(value: Json) -> Json:
    """Marks a value as secret, unless it is already."""
    return value if is_secret(value) else {_TYPE_MARKER: _SECRET, "value": value}


def is_secret(value: Json) -> bool:
    """Says whether a value itself (not a part of it) is marked as secret."""
    return isinstance(value, dict) and value.get(_TYPE_MARKER) == _SECRET


def is_asset(value: Json) -> bool:
    """Says whether a value is an asset: a `path`, a `text` or a `uri`, and the `hash` of what is there."""
    return isinstance(value, dict) and value.get(_TYPE_MARKER) == _ASSET


def is_archive(value: Json) -> bool:
    """Says whether a value is an archive: a `path`, a `uri` or `assets`, and the `hash` of what is there."""
    return isinstance(value, dict) and value.get(_TYPE_MARKER) == _ARCHIVE


def reveal(value: Json) -> Json:
    """Returns a value without the secret markers in it, at any depth."""
    if is_secret(value):
        # The engine leaves out what has no value, because what it comes from has failed.
        return reveal(value.get("value"))
    if isinstance(value, dict):
        return {key: reveal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [reveal(item) for item in value]
    return value
