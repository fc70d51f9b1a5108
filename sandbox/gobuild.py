"""Building programs from the pinned Go modules in `sandbox/build`."""

import hashlib
import json
import os
import shutil
import subprocess
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from sandbox import layout
from sandbox.errors import SandboxError
from sandbox.process import failure, run
from sandbox.report import Stage

MODULES = layout.SOURCES / "build"

_LAST_LINES = 40


@dataclass(frozen=True)
class Program:
    """A Go program.

    Attributes:
        name: The file it becomes in `.sandbox/bin`.
        module: The folder in `sandbox/build` whose go.mod pins it.
        package: The main package to build.
        variables: Go variables set by the linker, such as versions.
        links: Names that select a part of the program.
        borrowed: Files that the build finds in its module's folder, by the Go module and the path that they are from.
    """

    name: str
    module: str
    package: str = "."
    variables: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    borrowed: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """Where the built program is."""
        return layout.BIN / self.name

    def arguments(self) -> list[str]:
        """What `go build` gets, apart from the output file. Nothing in it depends on the machine."""
        flags = " ".join(["-s", "-w", *(f"-X {variable}" for variable in self.variables)])
        # What the linker would drop is not made: that saves a twentieth of the compiler's time.
        return ["-trimpath", "-buildvcs=false", "-gcflags", "all=-dwarf=false", "-ldflags", flags, self.package]


_KUBERNETES_VERSION = (
    "gitVersion=v1.34.2",
    "gitMajor=1",
    "gitMinor=34",
    "gitTreeState=clean",
    "gitCommit=module",
    "buildDate=2026-01-01T00:00:00Z",
)
KUBERNETES = Program(
    "kubernetes",
    "kubernetes",
    variables=tuple(
        f"{package}.{value}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for value in _KUBERNETES_VERSION
    ),
    links=(
        "coredns",
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-proxy",
        "kube-scheduler",
        "kubectl",
        "kubelet",
    ),
)
_PLUGIN_MODULE = "github.com/pulumi/pulumi-kubernetes/provider/v4"
# In the module of Kubernetes: most of what it needs is compiled then.
KUBERNETES_PLUGIN = Program(
    # In a folder of its own: a plugin on PATH would be used for every version that a program asks for.
    "plugins/pulumi-resource-kubernetes",
    "kubernetes",
    package="./plugin",
    variables=(f"{_PLUGIN_MODULE}/pkg/version.Version={version('pulumi-kubernetes')}",),
    borrowed={"plugin/schema.json": (_PLUGIN_MODULE, "cmd/pulumi-resource-kubernetes/schema.json")},
)
PAUSE = Program("pause", "kubernetes", package="./pause")
CONTAINERD = Program(
    "containerd-2.4",
    "containerd",
    package="github.com/containerd/containerd/v2/cmd/containerd",
    variables=("github.com/containerd/containerd/v2/version.Version=2.4.2",),
)
CONTAINERD_SHIM = Program(
    "containerd-shim-2.4",
    "containerd",
    package="github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
)
KUBE_ROUTER = Program("kube-router", "kube-router", package="github.com/cloudnativelabs/kube-router/v2/cmd/kube-router")
REGISTRY = Program(
    "registry", "registry", variables=("github.com/distribution/distribution/v3/version.version=v3.1.2",)
)
NFS_SERVER = Program("nfsd", "nfs", package="./server")
NFS_MOUNT = Program("mount.nfs", "nfs", package="./mount")
S3_SERVER = Program("s3d", "s3", package="./server")
RCLONE = Program("rclone", "s3", package="./rclone", variables=("github.com/rclone/rclone/fs.Version=v1.76.0",))
FOR_TESTS = (KUBE_ROUTER, NFS_SERVER, NFS_MOUNT, S3_SERVER, RCLONE)
"""What only the tests need."""
ENGINE = Program(
    "pulumi",
    "engine",
    package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    variables=("github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v3.274.1",),
)


def is_built(program: Program) -> bool:
    """Whether the program in `.sandbox/bin` was built from the present inputs."""
    record = _record(program)
    # A link is a program from elsewhere that stands in for the built one.
    return (
        program.path.exists()
        and not program.path.is_symlink()
        and record.exists()
        and record.read_text() == _digest(program)
    )


def build(program: Program, stage: Stage) -> None:
    """Builds a program unless it is built.

    Raises:
        SandboxError: Go is missing or the build failed.
    """
    if not is_built(program):
        record = _record(program)
        for file in (program.path, record):
            file.parent.mkdir(parents=True, exist_ok=True)
        _compile(program, stage)
        record.write_text(_digest(program))
    for name in program.links:
        link = layout.BIN / name
        if not link.is_symlink():
            link.symlink_to(program.name)


def _record(program: Program) -> Path:
    """Where it is kept what the program was built from."""
    return layout.HOME / "built" / program.name


def _digest(program: Program) -> str:
    """Identifies what the build depends on: sources, pinned modules and flags."""
    digest = hashlib.sha256(repr(program.arguments()).encode())
    for source in sorted((MODULES / program.module).rglob("*")):
        if source.is_file():
            digest.update(source.read_bytes())
    return digest.hexdigest()


def _beside(program: Program, ending: str) -> Path:
    """A hidden file of the build, in the folder of the program."""
    return program.path.with_name(f".{program.path.name}.{ending}")


def _borrowing(program: Program) -> tuple[str | Path, ...]:
    """The option that shows the compiler files of other modules as its own."""
    if not program.borrowed:
        return ()
    here = MODULES / program.module
    places = {}
    for file, (module, path) in program.borrowed.items():
        downloaded = json.loads(run("go", "mod", "download", "-json", module, cwd=here))
        places[str(here / file)] = str(Path(downloaded["Dir"], path))
    overlay = _beside(program, "overlay.json")
    overlay.write_text(json.dumps({"Replace": places}))
    return "-overlay", overlay


def _compile(program: Program, stage: Stage) -> None:
    if not shutil.which("go"):
        raise SandboxError(f"`go` is not on PATH, but {program.name} has to be built: install Go 1.26.6 or newer")
    new = _beside(program, "new")
    command: tuple[str | Path, ...] = ("go", "build", "-v", *_borrowing(program), "-o", new, *program.arguments())
    # Collecting garbage takes a third of the compiler's time; a limit keeps a small machine from swapping.
    environment = {**os.environ, "CGO_ENABLED": "0", "GOGC": "off", "GOMEMLIMIT": "2GiB"}
    with subprocess.Popen(  # noqa: S603
        command,
        cwd=MODULES / program.module,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as compiler:
        assert compiler.stderr  # noqa: S101 - it is a pipe
        last: deque[str] = deque(maxlen=_LAST_LINES)
        packages = 0
        for line in compiler.stderr:
            last.append(line)
            packages += not line.startswith("go: ")
            stage.progress(f"{packages} packages compiled" if packages else "downloading modules")
    if compiler.returncode != 0:
        raise failure(command, compiler.returncode, "".join(last))
    new.replace(program.path)
