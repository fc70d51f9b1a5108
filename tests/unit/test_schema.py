"""The JSON Schema of stack files: what an editor accepts and marks."""

from copy import deepcopy
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from settings.schema import stack_file
from tests.conftest import ROOT

SCHEMA = Draft202012Validator(stack_file())
DEV = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())
S3 = {"kind": "s3", "bucket": "images", "region": "eu-1"}
ENCRYPTED = {"accessKey": {"secure": "v1:a"}, "secretKey": {"secure": "v1:b"}}


def faults(**settings: Any) -> list[str]:
    """Says what is wrong with the dev stack's file after a change; a setting of None is taken out."""
    file = deepcopy(DEV)
    for name, value in settings.items():
        file["config"][f"registry:{name}"] = value
        if value is None:
            del file["config"][f"registry:{name}"]
    return [error.message for error in SCHEMA.iter_errors(file)]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"replicas": 3, "storage": {"kind": "nfs", "server": "nfs.example.com", "path": "/registry", "size": "1Gi"}},
        {"storage": {**S3, **ENCRYPTED}},
        {"tolerations": [{"operator": "Exists"}, {"key": "a", "value": "b", "effect": "NoExecute"}]},
        {"resources": {"requests": {"cpu": 0.5}, "limits": {"cpu": "2", "memory": "1Gi", "ephemeral-storage": "1Gi"}}},
        {"imagePullSecrets": ["pull"], "priorityClassName": "high"},
    ],
    ids=str,
)
def test_a_stack_that_the_program_takes_is_accepted(settings: dict[str, Any]) -> None:
    assert faults(**settings) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"image": None},
        {"kubeconfg": "typo"},
        {"replicas": -1},
        {"route": {"hots": "registry.example.com"}},
        {"nodes": []},
        {"storage": {"kind": "floppy"}},
        {"tolerations": {"key": "a"}},
        {"tolerations": [{"operator": "Is"}]},
        {"tolerations": [{"value": True}]},
        {"resources": {"limits": {"gpu": 1}}},
        {"resources": {"limits": {"cpu": True}}},
        {"resources": {"limits": {"ephemeralStorage": "1Gi"}}},
        {"imagePullSecrets": "pull"},
        {"storage": {**S3, "accessKey": "in plain text", "secretKey": "in plain text"}},
    ],
    ids=str,
)
def test_a_mistake_is_marked(settings: dict[str, Any]) -> None:
    assert faults(**settings)


def test_keys_of_others_are_left_alone() -> None:
    file = deepcopy(DEV)
    file["config"]["kubernetes:namespace"] = "elsewhere"
    assert SCHEMA.is_valid(file)


def test_every_setting_says_what_it_is() -> None:
    schema = stack_file()
    sections = [schema["properties"]["config"], *schema["$defs"].values()]
    assert all(field["description"] for section in sections for field in section["properties"].values())
