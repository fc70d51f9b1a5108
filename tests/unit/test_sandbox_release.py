"""The official release of the engine, from a server of this machine."""

import hashlib
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sandbox.errors import SandboxError
from sandbox.process import run
from sandbox.release import Release, install
from sandbox.report import Report, Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Report().stage("engine") as stage:
        yield stage


@pytest.fixture
def published(tmp_path: Path) -> Iterator[Release]:
    """A release on a server of this machine, as the official one is packed."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho v3.255.0\n")
    program.chmod(0o755)
    served = tmp_path / "served"
    served.mkdir()
    with tarfile.open(served / "release.tar.gz", "w:gz") as tar:
        tar.add(program, "pulumi/pulumi")
    handler = partial(SimpleHTTPRequestHandler, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        checksum = hashlib.sha256((served / "release.tar.gz").read_bytes()).hexdigest()
        yield Release("3.255.0", f"http://127.0.0.1:{server.server_port}/release.tar.gz", checksum)
        server.shutdown()


def test_a_release_is_unpacked_ready_to_run(published: Release, tmp_path: Path, stage: Stage) -> None:
    install(published, tmp_path / "engine", stage)
    assert run(tmp_path / "engine" / "pulumi") == "v3.255.0\n"


def test_a_release_with_another_checksum_is_not_used(published: Release, tmp_path: Path, stage: Stage) -> None:
    with pytest.raises(SandboxError, match=r"has the checksum .* it is not used"):
        install(replace(published, sha256="0" * 64), tmp_path / "engine", stage)
    assert not (tmp_path / "engine").exists()


def test_a_release_that_cannot_be_downloaded_is_named_with_the_reason(
    published: Release, tmp_path: Path, stage: Stage
) -> None:
    with pytest.raises(SandboxError, match="cannot be downloaded: HTTP Error 404"):
        install(replace(published, url=f"{published.url}.gone"), tmp_path / "engine", stage)
    assert [file.name for file in tmp_path.iterdir() if "engine" in file.name] == []
