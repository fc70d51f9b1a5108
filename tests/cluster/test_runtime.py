"""A node whose containerd does not read what `up` would write gets nothing, and `up` says why."""

from collections.abc import Callable, Iterator

import pytest

from tests.cluster.conftest import OtherStack, sandbox

CONFIG = "/etc/containerd/config.toml"
OURS = "/etc/docker/certs.d"
STOCK = "/etc/containerd/certs.d:/etc/docker/certs.d, a list that it takes for one folder"


def on_node(node: str, script: str) -> str:
    return sandbox("exec", f"--node={node}", "--", "sh", "-c", script).stdout


@pytest.fixture(params=["node1", "node2"])
def as_it_ships(request: pytest.FixtureRequest, kubeconfig: object) -> Iterator[str]:  # noqa: ARG001
    """A node whose containerd is told no config_path, as it is when nobody has set one."""
    node = str(request.param)
    on_node(node, f"cp {CONFIG} {CONFIG}.test && sed -i '/^ *config_path = /d' {CONFIG}")
    yield node
    on_node(node, f"if [ -e {CONFIG}.test ]; then mv {CONFIG}.test {CONFIG}; fi")


def trusted(node: str, stack: OtherStack) -> list[str]:
    """Folders with the stack's mark on a node."""
    return on_node(node, f"grep -lsx registry/{stack.name} {OURS}/*/.owner || true").split()


@pytest.mark.alone
def test_up_says_for_each_node_that_its_containerd_reads_no_file_of_ours(
    as_it_ships: str, other_stack: Callable[..., OtherStack]
) -> None:
    node, other = as_it_ships, "node2" if as_it_ships == "node1" else "node1"
    stack = other_stack("runtime", storage={"kind": "emptyDir", "size": "100Mi"})

    printed = stack.up(check=False)

    assert f"{node}: containerd reads CA files from {'no folder' if node == 'node1' else STOCK}" in printed
    assert f'set `config_path = "{OURS}"` below [plugins.' in printed
    assert f".registry] in {CONFIG}, restart containerd once, then run again" in printed
    assert f"{other}: containerd" not in printed
    assert trusted(node, stack) == []
    assert trusted(other, stack)

    on_node(node, f"mv {CONFIG}.test {CONFIG}")
    stack.up()
    assert trusted(node, stack)
