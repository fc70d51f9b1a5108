"""The Pulumi project of the scenario that the official plugins were watched with."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sandbox import layout
from tests.conftest import make_ca
from tests.engine.conftest import Project
from tests.machine import running

PROGRAM = Path(__file__).parent / "scenario" / "__main__.py"


class Scenario:
    """The project of `scenario/`, and what its settings are now; the image of its registry does not exist at first."""

    def __init__(self, project: Project, settings: dict[str, Any]) -> None:
        self.project = project
        self.settings = settings
        self.name = str(settings["name"])
        shutil.copy(PROGRAM, project.folder)
        self.change()

    def change(self, **settings: Any) -> None:
        self.settings |= settings
        (self.project.folder / "settings.json").write_text(json.dumps(self.settings))

    def fix(self) -> None:
        """Gives the registry an image that exists."""
        self.change(
            image="sandbox.local/registry:3.1.2",
            mountPath="/var/lib/registry",
            annotations={"pulumi.com/timeoutSeconds": "45"},
            timeout="60s",
        )

    def preview(self) -> set[str]:
        self.project.environment["PULUMI_ENABLE_STREAMING_JSON_PREVIEW"] = "true"
        return plan(self.project.pulumi("preview", "--json"))

    def up(self, *, fails: bool = False) -> set[str]:
        return plan(self.project.pulumi("up", "--yes", "--skip-preview", "--json", fails=fails))

    def refresh(self) -> str:
        return self.project.pulumi("refresh", "--yes", "--skip-preview", "--json")

    def destroy(self) -> set[str]:
        return plan(self.project.pulumi("destroy", "--yes", "--skip-preview", "--json"))


def events(output: str, kind: str) -> Iterator[dict[str, Any]]:
    """Returns the engine's events of a kind."""
    for line in output.splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        if kind in event:
            yield event[kind]


def plan(output: str) -> set[str]:
    """Returns a line for each step that is not `same`: what is done to which resource because of what."""
    lines = set()
    for event in events(output, "resourcePreEvent"):
        step = event["metadata"]
        if step["op"] == "same":
            continue
        changed = ", ".join(sorted(step.get("detailedDiff") or step.get("diffs") or []))
        replaces = ", ".join(sorted(step.get("keys") or []))
        line = f"{step['op']} {resource(step['urn'])}"
        lines.add(line + (f": {changed}" if changed else "") + (f" replaces {replaces}" if replaces else ""))
    return lines


def resource(urn: str) -> str:
    return " ".join(urn.split("::")[2:])


@contextmanager
def prepared(kubeconfig: Path, folder: Path) -> Iterator[Scenario]:
    """Makes the project in a folder, with a machine for its remote commands; all its resources are gone in the end."""
    files, program = folder / "machine", folder / "project"
    files.mkdir()
    program.mkdir()
    ca, key = make_ca("lab-ca")
    with running(files) as machine:
        scenario = Scenario(
            Project(program, str(layout.BIN / "pulumi")),
            {
                "name": f"scenario-{uuid4().hex[:8]}",
                "kubeconfig": str(kubeconfig),
                "image": "sandbox.local/nothing:1",
                "mountPath": "/registry",
                "timeout": "4s",
                "annotations": None,
                "selector": {},
                "secret": "a",
                "config": "step: 1",
                "affinity": "None",
                "names": ["docker-registry.cloudapps.example.com", "docker-registry.registry.svc"],
                "caCertificate": ca.public_bytes(Encoding.PEM).decode(),
                "caKey": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
                "connection": machine.connection,
                "folder": str(folder / "trust"),
                "commandEnd": "",
                "text": "hello",
                "trigger": 1,
            },
        )
        try:
            yield scenario
        finally:
            scenario.destroy()
