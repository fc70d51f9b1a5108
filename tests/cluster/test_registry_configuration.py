"""The registry's own program, with the official image's configuration and the variables of the pod."""

import hashlib
import os
import socket
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from sandbox import gobuild, layout
from tests.conftest import Cluster
from tests.unit.test_program import RecordingMonitor, SigningMocks, container, run_program


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@dataclass
class Registry:
    """The registry's program and how it is started.

    Attributes:
        port: Where it serves.
        debug_port: Where the configuration makes it serve pprof and metrics.
        configuration: The configuration that is in the official image, with free ports.
        environment: The variables of the pod, with the places of this machine.
        log: What it says.
    """

    port: int
    debug_port: int
    configuration: Path
    environment: dict[str, str]
    log: Path

    def serve(self) -> subprocess.Popen[bytes]:
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [gobuild.REGISTRY.path, "serve", self.configuration], env=self.environment, stdout=log, stderr=log
            )

    def collect_garbage(self, *flags: str) -> str:
        command = [str(gobuild.REGISTRY.path), "garbage-collect", *flags, str(self.configuration)]
        return subprocess.run(command, env=self.environment, text=True, capture_output=True, check=True).stdout


def official_configuration(port: int, debug_port: int) -> str:
    """The official image's own configuration, as the sandbox's image has it, on free ports of this machine."""
    configuration = yaml.safe_load((layout.SOURCES / "config" / "registry.yml").read_text())
    assert configuration["log"]["level"] == "debug"
    assert configuration["http"]["debug"]["addr"] == ":5001"
    configuration["http"] |= {"addr": f"127.0.0.1:{port}"}
    configuration["http"]["debug"] |= {"addr": f"127.0.0.1:{debug_port}"}
    return str(yaml.safe_dump(configuration))


def variables(program: RecordingMonitor, places: dict[str, str]) -> dict[str, str]:
    """The variables of the pod; those that name a place of the pod get one of this machine."""
    given = {each["name"]: each.get("value", "") for each in container(program)["env"]}
    assert set(places) <= set(given)
    return given | places


@pytest.fixture
def registry(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Registry:
    program = run_program(cluster, monkeypatch, SigningMocks(), preview=False)
    for name, content in program.inputs("registry-certificate-secret")["data"].items():
        (tmp_path / name).write_bytes(b64decode(content))
    port, debug_port = free_port(), free_port()
    configuration = tmp_path / "config.yml"
    configuration.write_text(official_configuration(port, debug_port))
    places = {
        "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(tmp_path / "images"),
        "REGISTRY_HTTP_ADDR": f"127.0.0.1:{port}",
        "REGISTRY_HTTP_SECRET": "of the test",
        "REGISTRY_HTTP_TLS_CERTIFICATE": str(tmp_path / "tls.crt"),
        "REGISTRY_HTTP_TLS_KEY": str(tmp_path / "tls.key"),
    }
    environment = {"PATH": os.environ["PATH"], **variables(program, places)}
    return Registry(port, debug_port, configuration, environment, tmp_path / "log")


@pytest.fixture
def process(registry: Registry) -> Iterator[subprocess.Popen[bytes]]:
    """The registry, serving."""
    process = registry.serve()
    try:
        deadline = time.monotonic() + 20
        while f":{registry.port}, tls" not in registry.log.read_text():
            assert process.poll() is None, registry.log.read_text()
            assert time.monotonic() < deadline, registry.log.read_text()
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def client(registry: Registry, process: subprocess.Popen[bytes]) -> Iterator[httpx.Client]:  # noqa: ARG001
    with httpx.Client(base_url=f"https://127.0.0.1:{registry.port}", verify=False) as client:
        yield client


def test_nothing_but_the_registry_s_own_port_is_open(
    registry: Registry, process: subprocess.Popen[bytes], client: httpx.Client
) -> None:
    assert client.get("/v2/").status_code == 200
    listening = {each.laddr.port for each in psutil.Process(process.pid).net_connections() if each.status == "LISTEN"}
    assert listening == {registry.port}
    with socket.socket() as debug:
        assert debug.connect_ex(("127.0.0.1", registry.debug_port)) != 0


def test_its_log_has_requests_and_no_debugging(registry: Registry, client: httpx.Client) -> None:
    client.get("/v2/of-nobody/manifests/1")
    log = registry.log.read_text()
    assert "/v2/of-nobody/manifests/1" in log
    assert "level=debug" not in log


def test_garbage_is_found_and_deleted_with_the_same_configuration(registry: Registry, client: httpx.Client) -> None:
    digest = f"sha256:{hashlib.sha256(b'garbage').hexdigest()}"
    upload = httpx.URL(client.post("/v2/it/blobs/uploads/").headers["Location"])
    assert client.put(upload.copy_merge_params({"digest": digest}), content=b"garbage").status_code == 201
    assert f"blob eligible for deletion: {digest}" in registry.collect_garbage("--dry-run")
    assert f"blob eligible for deletion: {digest}" in registry.collect_garbage()
    assert "blob eligible" not in registry.collect_garbage()
