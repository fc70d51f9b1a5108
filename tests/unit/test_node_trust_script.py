"""The shell script that runs on the nodes, run by a real shell in a folder of its own."""

import re
import subprocess
from pathlib import Path

import pytest

from components import node_trust
from components.ssh import Ssh

CA = "-----BEGIN CERTIFICATE-----\nfirst\n-----END CERTIFICATE-----\n"
OTHER_CA = CA.replace("first", "second")


class Node:
    """A folder that the scripts take for a node's root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.certs = root / "etc/docker/certs.d"
        (root / "etc/containerd").mkdir(parents=True)
        (root / "proc/self/ns").mkdir(parents=True)
        (root / "proc/self/ns/pid").symlink_to("pid:[1]")

    def at(self, text: str) -> str:
        """A text with the paths in it below this folder."""
        return re.sub(r"(?<![\w.])/(etc|proc)/", rf"{self.root}/\1/", text)

    def run(self, verb: str, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", "-s", verb], input=self.at(script), text=True, capture_output=True, check=False
        )

    def trust(self, folders: list[str], ca: str = CA, owner: str = "registry/dev") -> str:
        done = self.run("trust", node_trust.trust_script(owner, folders, ca))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def forget(self, owner: str = "registry/dev") -> None:
        done = self.run("forget", node_trust.trust_script(owner, ["any:5000"], CA))
        assert done.returncode == 0, done.stderr

    def trusted(self) -> dict[str, str]:
        return {file.parent.name: file.read_text() for file in self.certs.glob("*/ca.crt")}


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_it_writes_every_folder_and_says_which(node: Node) -> None:
    printed = node.trust(["172.30.0.9:5000", "registry.example.com"])
    assert node.trusted() == {"172.30.0.9:5000": CA, "registry.example.com": CA}
    assert printed.splitlines() == [
        f"{node.certs}/172.30.0.9:5000/ca.crt",
        f"{node.certs}/registry.example.com/ca.crt",
    ]
    assert (node.certs / "registry.example.com/ca.crt").stat().st_mode & 0o777 == 0o644


def test_running_it_again_changes_nothing(node: Node) -> None:
    first = node.trust(["a:5000"])
    assert node.trust(["a:5000"]) == first
    assert node.trusted() == {"a:5000": CA}
    assert not list(node.certs.glob(".*"))


def test_folders_that_are_no_longer_wanted_go(node: Node) -> None:
    node.trust(["old:5000", "kept:5000"])
    node.trust(["kept:5000", "new:5000"], ca=OTHER_CA)
    assert node.trusted() == {"kept:5000": OTHER_CA, "new:5000": OTHER_CA}
    assert not (node.certs / "old:5000").exists()


def test_names_with_pattern_characters_are_taken_as_they_are(node: Node) -> None:
    node.trust(["[fd00::1]:5000", "f:5000"])
    node.trust(["[fd00::1]:5000"])
    assert node.trusted() == {"[fd00::1]:5000": CA}


def test_forget_removes_only_what_this_owner_wrote(node: Node) -> None:
    (node.certs / "theirs:5000").mkdir(parents=True)
    (node.certs / "theirs:5000/ca.crt").write_text("theirs")
    (node.certs / "shared:5000").mkdir()
    (node.certs / "shared:5000/client.cert").write_text("theirs")
    node.trust(["lab:5000"], owner="registry/lab")
    node.trust(["ours:5000", "shared:5000"])
    node.forget()
    assert node.trusted() == {"theirs:5000": "theirs", "lab:5000": CA}
    assert [file.name for file in (node.certs / "shared:5000").iterdir()] == ["client.cert"]
    assert not (node.certs / "ours:5000").exists()


def test_a_foreign_certificate_in_a_wanted_place_is_an_error_and_nothing_is_written(node: Node) -> None:
    (node.certs / "b:5000").mkdir(parents=True)
    (node.certs / "b:5000/ca.crt").write_text("theirs")
    done = node.run("trust", node_trust.trust_script("registry/dev", ["a:5000", "b:5000"], CA))
    assert done.returncode != 0
    assert f"{node.certs}/b:5000/ca.crt is not ours" in done.stderr
    assert node.trusted() == {"b:5000": "theirs"}


def test_the_same_certificate_put_there_by_hand_serves_and_stays(node: Node) -> None:
    (node.certs / "a:5000").mkdir(parents=True)
    (node.certs / "a:5000/ca.crt").write_text(CA)
    node.trust(["a:5000"])
    node.forget()
    assert node.trusted() == {"a:5000": CA}


def test_a_cut_transfer_is_an_error_and_writes_nothing(node: Node) -> None:
    script = node_trust.trust_script("registry/dev", ["a:5000"], CA)
    ends_of_lines = [at for at, character in enumerate(script[:-1]) if character == "\n"]
    for length in (*ends_of_lines, len(script) - 10):
        done = node.run("trust", script[:length])
        assert (length, done.returncode != 0, done.stdout) == (length, True, "")
    assert not node.certs.exists()


def test_another_user_than_root_runs_the_same_script_by_sudo(tmp_path: Path) -> None:
    sudo = tmp_path / "sudo"
    sudo.write_text('#!/bin/sh\n[ "$1" = -n ] && shift && echo "by sudo:" && exec "$@"\n')
    sudo.chmod(0o755)
    login = Ssh(host="node1", port=22, user="ops", host_key="", private_key=None)
    command = login.as_root("""printf "%s\\n" 'it is' "$(cat)" \\\\""")
    done = subprocess.run(
        ["/bin/sh", "-c", command], input="data", env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["by sudo:", "it is", "data", "\\"]
