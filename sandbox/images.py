"""Container images made from files, as OCI archives that containerd and skopeo read."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox import gobuild, layout
from sandbox.process import run

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True)
class Image:
    """An image of one layer.

    Attributes:
        reference: Its name and tag.
        files: Path in the image to the file it is made from.
        links: Path in the image to the target of the link.
        entrypoint: The program that a container starts.
        command: The arguments it gets if the pod gives none.
        environment: Environment variables of the container, besides PATH.
    """

    reference: str
    files: Mapping[str, Path]
    links: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def archive(self) -> Path:
        """Where the image's archive is."""
        return layout.IMAGES / f"{self.reference.rpartition('/')[2].partition(':')[0]}.tar"


def sandbox_images() -> list[Image]:
    """The images that every node has without a registry."""
    busybox = _busybox()
    return [
        Image("sandbox.local/pause:1", {"pause": gobuild.PAUSE.path}, entrypoint=("/pause",)),
        Image("sandbox.local/busybox:1", {"bin/busybox": busybox}, links=_applets(), command=("sh",)),
        Image(
            "sandbox.local/registry:3.1.2",
            {
                # A shell, as the project's own image has one.
                "bin/sh": busybox,
                "bin/registry": gobuild.REGISTRY.path,
                "etc/distribution/config.yml": layout.SOURCES / "config" / "registry.yml",
            },
            links={"bin/rm": "sh", "bin/sleep": "sh"},
            entrypoint=("/bin/registry", "serve"),
            command=("/etc/distribution/config.yml",),
            # Without it version 3 sends traces to a collector on localhost.
            environment={"OTEL_TRACES_EXPORTER": "none"},
        ),
    ]


def for_tests() -> list[Image]:
    """The images of tools that only the tests need."""
    busybox = _busybox()
    return [
        Image(
            "sandbox.local/kubectl:1.34.2",
            {"bin/busybox": busybox, "usr/local/bin/kubectl": gobuild.KUBERNETES.path},
            links=_applets(),
            command=("sh",),
        ),
        Image(
            "sandbox.local/rclone:1.76.0",
            {"bin/busybox": busybox, "usr/local/bin/rclone": gobuild.RCLONE.path},
            links=_applets(),
            entrypoint=("rclone",),
        ),
    ]


def _busybox() -> Path:
    return layout.DEBIAN / "usr" / "bin" / "busybox"


def _applets() -> dict[str, str]:
    """A link for each program that busybox stands in for."""
    names = run(_busybox(), "--list").split()
    return {f"bin/{name}": "busybox" for name in names if name != "busybox"}


def write(images: list[Image]) -> None:
    """Writes the archives that are missing or older than a file they are made from."""
    layout.IMAGES.mkdir(parents=True, exist_ok=True)
    for image in images:
        if _is_stale(image):
            image.archive.write_bytes(archive(image))


def _is_stale(image: Image) -> bool:
    if not image.archive.exists():
        return True
    made = image.archive.stat().st_mtime
    return any(source.stat().st_mtime > made for source in (*image.files.values(), Path(__file__)))


def archive(image: Image) -> bytes:
    """Makes an OCI image layout in a tar file; the same image gives the same bytes."""
    layer = _layer(image)
    blobs: dict[str, bytes] = {}

    def blob(content: bytes) -> dict[str, str | int]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"digest": f"sha256:{digest}", "size": len(content)}

    platform = {"architecture": "amd64", "os": "linux"}
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **image.environment}
    config = {
        **platform,
        "config": {
            "Env": [f"{name}={value}" for name, value in environment.items()],
            "Entrypoint": list(image.entrypoint),
            "Cmd": list(image.command),
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **blob(_json(config))},
        "layers": [
            {
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                **blob(gzip.compress(layer, compresslevel=1, mtime=0)),
            }
        ],
    }
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                "mediaType": _MANIFEST,
                **blob(_json(manifest)),
                "platform": platform,
                "annotations": {
                    "io.containerd.image.name": image.reference,
                    "org.opencontainers.image.ref.name": image.reference.rpartition(":")[2],
                },
            }
        ],
    }
    files = {"oci-layout": _json({"imageLayoutVersion": "1.0.0"}), "index.json": _json(index), **blobs}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            _add_file(tar, name, content, 0o644)
    return buffer.getvalue()


def _layer(image: Image) -> bytes:
    """The image's files and links with the folders they are in, and a /tmp, as an uncompressed tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        parents = {str(parent) for name in (*image.files, *image.links) for parent in Path(name).parents} - {"."}
        for name in sorted({*parents, "tmp"}):
            folder = tarfile.TarInfo(name)
            folder.type = tarfile.DIRTYPE
            folder.mode = 0o1777 if name == "tmp" else 0o755
            tar.addfile(folder)
        for name, source in image.files.items():
            _add_file(tar, name, source.read_bytes(), source.stat().st_mode & 0o111 | 0o644)
        for name, target in image.links.items():
            link = tarfile.TarInfo(name)
            link.type = tarfile.SYMTYPE
            link.linkname = target
            tar.addfile(link)
    return buffer.getvalue()


def _add_file(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = mode
    tar.addfile(entry, io.BytesIO(content))


def _json(value: Any) -> bytes:  # noqa: ANN401 - any JSON document
    return json.dumps(value).encode()
