"""Property values: what the engine sends, and what is compared."""

import pytest
from pulumi.runtime import rpc

from sandbox.plugins import values
from sandbox.plugins.compare import changed_paths
from sandbox.plugins.server import Change, Urn
from sandbox.plugins.values import UNKNOWN, Properties


def test_values_survive_the_way_to_the_engine_and_back() -> None:
    properties: Properties = {
        "text": "a",
        "whole": 5000,
        "part": 0.5,
        "flag": True,
        "nothing": None,
        "list": [1, {"a": []}],
        "hidden": values.secret("x"),
    }
    decoded = values.decode_properties(values.encode_properties(properties))
    assert decoded == properties
    assert isinstance(decoded["whole"], int)


def test_secrets_are_marked_once_and_revealed_at_any_depth() -> None:
    marked = values.secret({"key": values.secret("x")})
    assert values.secret(marked) == marked
    assert values.reveal([marked]) == [{"key": "x"}]
    (without_value,) = (key for key in marked if key != "value")
    assert values.reveal({without_value: marked[without_value]}) is None


def test_the_type_in_a_urn_is_the_resource_s_own_and_a_name_may_contain_colons() -> None:
    urn = Urn("urn:pulumi:dev::registry::registry:index:Route$kubernetes:core/v1:Secret::a::b")
    assert urn.type == "kubernetes:core/v1:Secret"
    assert urn.name == "a::b"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {"a": 2}, {"a": Change.UPDATE}),
        ({"a": 1}, {"a": "1"}, {"a": Change.UPDATE}),
        ({}, {"a": {"b": 1}}, {"a": Change.ADD}),
        ({"a": {"b": 1, "c": 1}}, {"a": {"b": 1}}, {"a.c": Change.DELETE}),
        ({"data": {"tls.crt": "a"}}, {"data": {"tls.crt": "b"}}, {'data["tls.crt"]': Change.UPDATE}),
        ({"data": {"tls.crt": "a"}}, {"data": UNKNOWN}, {'data["tls.crt"]': Change.DELETE}),
        ({"triggers": [1]}, {"triggers": [2, 3]}, {"triggers[0]": Change.UPDATE, "triggers[1]": Change.ADD}),
        ({"a": [1, 2]}, {"a": [1]}, {"a[1]": Change.DELETE}),
        ({"a": "x"}, {"a": UNKNOWN}, {"a": Change.UPDATE}),
    ],
)
def test_changed_paths(old: Properties, new: Properties, expected: dict[str, Change]) -> None:
    assert changed_paths(old, new) == expected


def test_marks_are_those_of_the_sdk() -> None:
    assert values.UNKNOWN == rpc.UNKNOWN
    assert values.secret("x") == {rpc._special_sig_key: rpc._special_secret_sig, "value": "x"}
    assert values.is_asset({rpc._special_sig_key: rpc._special_asset_sig})
    assert values.is_archive({rpc._special_sig_key: rpc._special_archive_sig})
