"""A storage grows where it is, and never shrinks."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox.topology import CONTROL_PLANE
from tests.cluster.api import Registry
from tests.cluster.conftest import OtherStack, kubectl, sandbox

FOLDER = "/srv/growing"


@pytest.fixture
def folder() -> Iterator[str]:
    yield FOLDER
    sandbox("exec", "--", "rm", "-rf", FOLDER)


def claim(stack: OtherStack, name: str) -> Any:
    return json.loads(kubectl("get", "persistentvolumeclaim", name, f"--namespace={stack.name}", "--output=json"))


def refuses_to_shrink(stack: OtherStack, *arguments: str) -> None:
    printed = stack.pulumi(*arguments, check=False)
    assert "registry:storage.size '1Gi' is less than the 2Gi that it has: no volume can shrink" in printed
    assert "Traceback" not in printed


def test_a_folder_of_a_node_grows_by_its_volume(folder: str, other_stack: Callable[..., OtherStack]) -> None:
    storage = {"kind": "hostPath", "node": CONTROL_PLANE.name, "path": folder, "size": "1Gi"}
    stack = other_stack("growing", storage=storage)
    stack.up()
    pushed = Registry(stack.cluster_ip).push("kept", "1")
    before = claim(stack, "registry-hostpath")

    stack.configure(storage=storage | {"size": "2Gi"})
    stack.up()

    volume = json.loads(kubectl("get", "persistentvolume", "growing-registry-hostpath", "--output=json"))
    assert volume["spec"]["capacity"] == {"storage": "2Gi"}
    assert claim(stack, "registry-hostpath")["metadata"]["uid"] == before["metadata"]["uid"]
    stack.pulumi("preview", "--expect-no-changes")
    stack.configure(storage=storage)
    refuses_to_shrink(stack, "preview")
    refuses_to_shrink(stack, "up", "--yes", "--skip-preview")
    assert Registry(stack.cluster_ip).pull("kept", "1") == pushed
