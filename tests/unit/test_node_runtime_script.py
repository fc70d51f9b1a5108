"""Whether a node's container runtime reads our files, asked by a real shell with what containerd really prints."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from components import node_trust
from tests.unit.test_node_trust_script import CA, Node

OURS = "/etc/docker/certs.d"
STOCK = "/etc/containerd/certs.d:/etc/docker/certs.d"
CONFIG = "/etc/containerd/config.toml"
OLD, NEW = [(Path(__file__).parent / f"containerd/{version}.toml").read_text() for version in ("1.6.20", "2.4.2")]
"""What `containerd config default` prints: Debian's version, and a build of the module."""
SECTIONS = {
    1: "plugins.cri.registry",
    2: 'plugins."io.containerd.grpc.v1.cri".registry',
    3: 'plugins."io.containerd.cri.v1.images".registry',
}


def edited(printed: str, before: str, after: str) -> str:
    assert before in printed
    return printed.replace(before, after)


def without(printed: str, plugins: str) -> str:
    return edited(printed, "disabled_plugins = []", f"disabled_plugins = [{plugins}]")


def reading(printed: str, folders: str) -> str:
    """The same with a config_path in the section of registries, which is not the only one that has such a setting."""
    found, count = re.subn(r"(\.registry\]\n +config_path = ['\"])", rf"\g<1>{folders}", printed)
    assert count == 1
    return found


def with_section(printed: str, name: str, line: str = "") -> str:
    """The same with another section of the registries' settings."""
    (prefix,) = re.findall(r"\[(plugins.*)\.registry\]", printed)
    return f"{printed}\n      [{prefix}.registry.{name}]\n        {line}\n"


@dataclass(frozen=True, kw_only=True)
class Containerd:
    version: str
    printed: str
    config_version: int | None = 2
    """Version of its configuration file; there is none if None."""
    config: str = CONFIG
    arguments: tuple[str, ...] = ()
    namespace: int = 1


def old(printed: str, version: str = "1.6.20~ds1", config_version: int | None = 2) -> Containerd:
    return Containerd(version=version, printed=printed, config_version=config_version)


def new(printed: str, version: str = "v2.4.2", config_version: int | None = 3) -> Containerd:
    return Containerd(version=version, printed=printed, config_version=config_version)


class Machine(Node):
    """A node with processes: folders in its /proc."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._pids = 0

    def start(self, name: str, *arguments: str, namespace: int = 1, program: str = "#!/bin/sh\nexit 1\n") -> None:
        """Starts a process that does nothing but be there, and answer as the program does."""
        self._pids += 1
        folder = self.root / f"proc/{self._pids}"
        (folder / "ns").mkdir(parents=True)
        (folder / "ns/pid").symlink_to(f"pid:[{namespace}]")
        (folder / "comm").write_text(f"{name}\n")
        (folder / "cmdline").write_bytes(b"".join(f"{word}\0".encode() for word in (name, *arguments)))
        (folder / "exe").write_text(program)
        (folder / "exe").chmod(0o755)

    def start_containerd(self, it: Containerd) -> None:
        answers, file = self.root / f"containerd-{self._pids}.toml", Path(self.at(it.config))
        answers.write_text(self.at(it.printed))
        if it.config_version:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"version = {it.config_version}\n" if it.config_version > 1 else "oom_score = 0\n")
        asked = f"--config {file} config dump" if it.config_version else "config default"
        program = f"""#!/bin/sh
        case "$*" in
        --version) echo "containerd github.com/containerd/containerd {it.version} 0123456789" ;;
        "{asked}") cat '{answers}' ;;
        *) exit 1 ;;
        esac
        """
        self.start("containerd", *map(self.at, it.arguments), namespace=it.namespace, program=program)

    def objection(self) -> str:
        """What the script has against the node, with its paths as the node has them; nothing if it wrote its files."""
        done = self.run("trust", node_trust.trust_script("registry/dev", ["a:5000"], CA))
        if done.returncode == 0:
            assert self.trusted() == {"a:5000": CA}
            assert done.stderr == ""
        else:
            assert not self.certs.exists()
            assert done.stdout == ""
        return done.stderr.replace(str(self.root), "")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def wants(path: str, config_version: int, file: str = CONFIG, hint: str = "") -> str:
    """The end of an objection."""
    return (
        f'set `config_path = "{path}"` below [{SECTIONS[config_version]}] in {file}{hint}, '
        "restart containerd once, then run again\n"
    )


@pytest.mark.parametrize("name", ["crio", "dockerd", "systemd"])
def test_a_node_without_containerd_gets_its_files(machine: Machine, name: str) -> None:
    machine.start(name)
    assert machine.objection() == ""


@pytest.mark.parametrize("server", ["crio", "cri-dockerd"])
def test_a_containerd_that_does_not_serve_the_kubelet_is_left_alone(machine: Machine, server: str) -> None:
    machine.start_containerd(old(OLD))
    machine.start(server)
    assert machine.objection() == ""


def test_a_containerd_in_a_container_is_not_the_nodes(machine: Machine) -> None:
    machine.start_containerd(Containerd(version="1.6.20", printed=OLD, namespace=2))
    assert machine.objection() == ""


def test_a_process_that_ends_meanwhile_is_passed_over(machine: Machine) -> None:
    (machine.root / "proc/7").mkdir()
    machine.start_containerd(old(OLD))
    assert "reads CA files from no folder" in machine.objection()


@pytest.mark.parametrize(
    "containerd",
    [
        old(without(OLD, '"cri"')),
        old(without(OLD, '"a", "io.containerd.grpc.v1.cri"')),
        new(without(NEW, "'io.containerd.grpc.v1.cri'")),
        new(without(NEW, "'io.containerd.cri.v1.images', 'b'")),
        # As 1.6 prints it: settings of a plugin that is disabled, or not built in, are not there.
        old(edited(OLD, "io.containerd.grpc.v1.cri", "io.containerd.else.v1.else")),
    ],
)
def test_a_containerd_without_cri_is_left_alone(machine: Machine, containerd: Containerd) -> None:
    machine.start_containerd(containerd)
    assert machine.objection() == ""


def test_a_containerd_that_cannot_be_asked_is_left_to_verify(machine: Machine) -> None:
    machine.start("containerd")
    assert machine.objection() == ""


LISTED = reading(NEW, STOCK)
MANY_DOWNLOADS = "max_concurrent_downloads = 7"


@pytest.mark.parametrize(
    "containerd",
    [
        old(reading(OLD, OURS)),
        old(reading(OLD, f"{OURS}/")),
        old(reading(OLD, STOCK), "1.7.29"),
        new(reading(NEW, f"{OURS}:/elsewhere"), "v2.0.5"),
        new(reading(NEW, OURS), "v2.1.4"),
        new(reading(NEW, f"{OURS}/")),
        # With one of these settings containerd 2.1 and later reads lists, too, and so its own default.
        new(edited(LISTED, "discard_unpacked_layers = false", "discard_unpacked_layers = true"), "v2.1.4"),
        new(edited(LISTED, "use_local_image_pull = false", "use_local_image_pull = true"), "v2.2.1"),
        new(edited(NEW, "use_local_image_pull = false", "use_local_image_pull = true")),
        new(edited(NEW, "image_pull_with_sync_fs = false", "image_pull_with_sync_fs = true")),
        new(edited(NEW, "disable_snapshot_annotations = true", "disable_snapshot_annotations = false")),
        new(NEW.replace("max_concurrent_downloads = 3", MANY_DOWNLOADS, 1), "2.3.0-rc.1"),
    ],
)
def test_a_node_whose_containerd_reads_our_folder_gets_its_files(machine: Machine, containerd: Containerd) -> None:
    machine.start_containerd(containerd)
    assert machine.objection() == ""


TAKEN_FOR_ONE = f"{STOCK}, a list that it takes for one folder"


@pytest.mark.parametrize(
    ("containerd", "reads", "wanted"),
    [
        (old(OLD), "no folder", OURS),
        (old(OLD, "1.7.29", 1), "no folder", OURS),
        (old(reading(OLD, "/etc/containerd/certs.d")), "/etc/containerd/certs.d", STOCK),
        (old(reading(OLD, "/a:/b")), "/a:/b", f"/a:/b:{OURS}"),
        (old(reading(OLD, f"{OURS}.old")), f"{OURS}.old", f"{OURS}.old:{OURS}"),
        (new(NEW, "v2.0.5"), "no folder", OURS),
        (new(NEW, "v2.1.4"), "no folder", OURS),
        (new(LISTED, "v2.1.4"), TAKEN_FOR_ONE, OURS),
        (new(LISTED, "v2.2.1", 2), TAKEN_FOR_ONE, OURS),
        (new(NEW, "v2.2.1"), "no folder", OURS),
        (new(NEW, "v2.2.2"), TAKEN_FOR_ONE, OURS),
        (new(NEW), TAKEN_FOR_ONE, OURS),
        (new(NEW, "v10.0.0", 4), TAKEN_FOR_ONE, OURS),
        # In the settings of the transfer service, where it says nothing of who pulls.
        (new(MANY_DOWNLOADS.join(NEW.rsplit("max_concurrent_downloads = 3", 1))), TAKEN_FOR_ONE, OURS),
    ],
)
def test_a_node_whose_containerd_does_not_read_our_folder_gets_no_file_but_advice(
    machine: Machine, containerd: Containerd, reads: str, wanted: str
) -> None:
    machine.start_containerd(containerd)
    assert machine.objection() == (
        f"{os.uname().nodename}: containerd reads CA files from {reads}, but they belong in {OURS}: "
        + wants(wanted, min(containerd.config_version or 1, 3))
    )


MIRROR = ("mirrors.'docker.io'", "endpoint = ['https://mirror.example.com']")
IN_PLACE = " in place of its mirrors and configs"


@pytest.mark.parametrize(
    ("containerd", "wanted", "hint"),
    [
        # It does not start with both.
        (old(with_section(OLD, *MIRROR)), OURS, IN_PLACE),
        (new(with_section(NEW, *MIRROR)), OURS, IN_PLACE),
        (old(with_section(OLD, "configs.'a:5000'.tls")), OURS, IN_PLACE),
        (new(reading(NEW, "/etc/containerd/certs.d")), OURS, ", move there what /etc/containerd/certs.d has"),
        (new(edited(reading(NEW, "/a"), "local_image_pull = false", "local_image_pull = true")), f"/a:{OURS}", ""),
    ],
)
def test_what_is_set_already_is_kept_or_named(machine: Machine, containerd: Containerd, wanted: str, hint: str) -> None:
    machine.start_containerd(containerd)
    assert machine.objection().endswith(wants(wanted, containerd.config_version or 1, hint=hint))


@pytest.mark.parametrize(
    "arguments",
    [("--config", "FILE"), ("--log-level=info", "--config=FILE"), ("-c", "FILE", "--root", "/a"), ("-c=FILE",)],
)
def test_the_file_is_the_one_that_containerd_was_started_with(machine: Machine, arguments: tuple[str, ...]) -> None:
    file = "/etc/other/containerd.toml"
    words = tuple(word.replace("FILE", file) for word in arguments)
    machine.start_containerd(Containerd(version="2.4.2", printed=NEW, config_version=3, config=file, arguments=words))
    assert machine.objection().endswith(wants(OURS, 3, file))


def test_a_containerd_without_a_file_reads_its_defaults(machine: Machine) -> None:
    machine.start_containerd(old(OLD, config_version=None))
    assert machine.objection().endswith(wants(OURS, 1))


def test_every_containerd_of_the_node_is_asked(machine: Machine) -> None:
    docker, own = "/etc/docker/containerd.toml", "/etc/own/containerd.toml"
    without_cri = without(OLD, '"cri"')
    machine.start_containerd(
        Containerd(version="1.6.20", printed=without_cri, config=docker, arguments=("--config", docker))
    )
    machine.start_containerd(old(reading(OLD, OURS)))
    assert machine.objection() == ""
    machine.start_containerd(Containerd(version="1.6.20", printed=OLD, config=own, arguments=("--config", own)))
    done = machine.run("trust", node_trust.trust_script("registry/dev", ["b:5000"], CA))
    assert done.returncode != 0
    assert own in done.stderr
    assert machine.trusted() == {"a:5000": CA}


def test_files_are_taken_back_whatever_containerd_reads(machine: Machine) -> None:
    machine.trust(["a:5000"])
    machine.start_containerd(old(OLD))
    machine.forget()
    assert machine.trusted() == {}
