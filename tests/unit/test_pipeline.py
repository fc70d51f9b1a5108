"""What the pipelines make of the events that the engine reports."""

from pathlib import Path
from typing import Any

import pytest
from pulumi.automation.events import EngineEvent
from typer.testing import CliRunner

from pipeline import __main__ as commands
from pipeline import engine
from pipeline.page import render
from pipeline.preview import Preview, Result, from_json, summarise, to_json

REGISTRY = "registry:index:Registry"
STORAGE = "registry:index:Storage"
VOLUME, CLAIM = "kubernetes:core/v1:PersistentVolume", "kubernetes:core/v1:PersistentVolumeClaim"
KEY = "tls:index/privateKey:PrivateKey"
CERTIFICATE = "tls:index/locallySignedCert:LocallySignedCert"


def step(op: str, parents: str, type_: str, name: str = "it", **metadata: Any) -> dict[str, Any]:
    qualified = f"{parents}${type_}" if parents else type_
    urn = f"urn:pulumi:prod::registry::{qualified}::{name}"
    return {"resourcePreEvent": {"metadata": {"op": op, "urn": urn, "type": type_, "provider": "", **metadata}}}


def violation(level: str) -> dict[str, Any]:
    urn = f"urn:pulumi:prod::registry::{REGISTRY}$kubernetes:apps/v1:Deployment::registry-deployment"
    message = "Images name a version.\nimage 'a' is another one\n"
    return {
        "policyEvent": {
            "policyName": "no-latest-image",
            "enforcementLevel": level,
            "resourceUrn": urn,
            "message": message,
        }
    }


def error(message: str) -> dict[str, Any]:
    return {"diagnosticEvent": {"severity": "error", "message": message, "prefix": "", "color": "never"}}


def summary(**changes: int) -> dict[str, Any]:
    return {"summaryEvent": {"maybeCorrupt": False, "durationSeconds": 1, "resourceChanges": changes}}


def preview(*events: dict[str, Any], stack: str = "prod", diff: str = "the diff", succeeded: bool = True) -> Preview:
    return summarise(stack, map(EngineEvent.from_json, events), diff, succeeded=succeeded)


@pytest.mark.parametrize(
    ("found", "result"),
    [
        (preview(summary(same=3)), Result.UNCHANGED),
        (preview(summary(same=3, update=1)), Result.CHANGES),
        (preview(violation("advisory"), summary(create=1)), Result.CHANGES),
        (preview(violation("mandatory"), error("it stops"), succeeded=False), Result.STOPPED),
        (preview(error("no route"), succeeded=False), Result.FAILED),
        (preview(violation("advisory"), error("no route"), succeeded=False), Result.FAILED),
    ],
)
def test_how_a_preview_ended(found: Preview, result: Result) -> None:
    assert found.result is result


@pytest.mark.parametrize(
    ("planned", "operation", "lost"),
    [
        (step("replace", STORAGE, VOLUME, keys=["spec.nfs"]), "replace", "the volume of the images"),
        (step("delete-replaced", STORAGE, CLAIM), "replace", "the claim of the images"),
        (step("delete", STORAGE, CLAIM), "delete", "the claim of the images"),
        (step("delete", "", "kubernetes:core/v1:Namespace"), "delete", "everything in the namespace"),
        (step("replace", REGISTRY, KEY), "replace", "uploads that are under way, with the HTTP secret"),
        (
            step("replace", f"{REGISTRY}$registry:index:Certificate", CERTIFICATE, keys=["caCertPem"]),
            "replace",
            "the trust of clients that know the former CA alone",
        ),
    ],
)
def test_a_step_that_loses_something_is_told(planned: dict[str, Any], operation: str, lost: str) -> None:
    (change,) = preview(planned, planned, summary(replace=1)).stateful
    assert (change.resource, change.operation, change.lost) == ("it", operation, lost)


@pytest.mark.parametrize(
    "planned",
    [
        step("update", STORAGE, VOLUME),
        step("create", STORAGE, CLAIM),
        step("replace", f"{REGISTRY}$registry:index:Certificate", KEY),
        step("replace", f"{REGISTRY}$registry:index:Certificate", CERTIFICATE, keys=["readyForRenewal"]),
        step("replace", REGISTRY, "kubernetes:apps/v1:Deployment"),
    ],
)
def test_a_step_that_loses_nothing_needs_no_label(planned: dict[str, Any]) -> None:
    assert preview(planned, summary(update=1)).stateful == []


def test_a_page_has_a_row_and_a_diff_for_each_stack() -> None:
    previews = [
        preview(summary(create=2, same=1), stack="dev", diff="+ a Service"),
        preview(summary(same=3), stack="lab", diff="nothing to do"),
    ]
    page = render(previews, allow_replace=False)
    assert "| dev | **changes** | 2 | 0 | 0 | 0 | 1 |" in page
    assert "| lab | **no changes** | 0 | 0 | 0 | 0 | 3 |" in page
    assert "<summary>dev: diff</summary>\n\n```\n+ a Service\n```\n" in page
    assert "<summary>lab: diff</summary>\n\n```\nnothing to do\n```\n" in page
    assert "## " not in page


@pytest.mark.parametrize("allowed", [True, False])
def test_a_page_tells_what_would_be_lost(allowed: bool) -> None:
    change = step("replace", STORAGE, VOLUME, "images", keys=["spec.nfs"])
    page = render([preview(change, summary(replace=1))], allow_replace=allowed)
    assert "- **prod**: replace `images` because of spec.nfs: the volume of the images" in page
    assert ("refused: stateful resources would be lost" in page) is not allowed


def test_a_page_tells_what_stops_before_what_warns() -> None:
    page = render([preview(violation("advisory"), violation("mandatory"), succeeded=False)], allow_replace=False)
    stops = "- **prod**: `no-latest-image` **stops** at `registry-deployment`: Images name a version. image 'a' is"
    assert stops in page
    assert page.index("**stops**") < page.index("warns")


def test_a_page_tells_why_a_preview_failed() -> None:
    page = render([preview(error("no such host\n"), succeeded=False)], allow_replace=False)
    assert "**prod**:\n\n```\nno such host\n```" in page
    assert "error: no stack" in render([preview(diff="error: no stack", succeeded=False)], allow_replace=False)


def test_a_page_is_no_longer_than_a_comment_may_be() -> None:
    long = "x" * 100_000
    previews = [preview(error(long), stack=stack, diff=long, succeeded=False) for stack in ("dev", "lab", "prod")]
    page = render(previews, allow_replace=False)
    assert 50_000 < len(page) < 65_536
    assert page.count("characters more: run `make preview-all`") == 6


def test_nothing_in_a_diff_ends_its_block() -> None:
    page = render([preview(summary(create=1), diff="a\n```\n</details>\n")], allow_replace=False)
    assert "````\na\n```\n</details>\n````" in page


@pytest.mark.parametrize(
    ("found", "arguments", "code"),
    [
        ([preview(summary(update=1))], [], 0),
        ([preview(error("no"), succeeded=False), preview(violation("mandatory"), succeeded=False)], [], 1),
        ([preview(violation("mandatory"), succeeded=False), preview(step("delete", STORAGE, CLAIM))], [], 3),
        ([preview(step("delete", STORAGE, CLAIM), summary(delete=1))], [], 4),
        ([preview(step("delete", STORAGE, CLAIM), summary(delete=1))], ["--allow-replace"], 0),
    ],
)
def test_the_exit_code_tells_what_went_wrong(
    found: list[Preview], arguments: list[str], code: int, tmp_path: Path
) -> None:
    files = [tmp_path / f"stack{number}.json" for number in range(len(found))]
    for file, each in zip(files, found, strict=True):
        file.write_bytes(to_json(each))
    out = tmp_path / "page.md"
    ran = CliRunner().invoke(commands.app, ["page", *map(str, files), "--out", str(out), *arguments])
    assert ran.exit_code == code, ran.output
    assert "# Pulumi preview" in out.read_text()


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (preview(step("delete", STORAGE, CLAIM), summary(delete=1)), 0),
        (preview(error("no"), succeeded=False), 1),
        (preview(violation("mandatory"), succeeded=False), 3),
    ],
)
def test_a_preview_is_kept_for_the_page(
    found: Preview, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(engine, "preview", lambda _stack: found)
    out = tmp_path / "prod.json"
    ran = CliRunner().invoke(commands.app, ["preview", "--stack", "prod", "--out", str(out)])
    assert ran.exit_code == code, ran.output
    assert from_json(out.read_bytes()) == found


@pytest.mark.parametrize("log", ["sandbox: no backend", None])
def test_a_preview_that_is_missing_has_failed(log: str | None, tmp_path: Path) -> None:
    if log:
        (tmp_path / "lab.log").write_text(log)
    out = tmp_path / "page.md"
    ran = CliRunner().invoke(commands.app, ["page", str(tmp_path / "lab.json"), "--out", str(out)])
    assert ran.exit_code == 1
    assert "| lab | **failed** |" in out.read_text()
    assert (log or "its preview did not run") in out.read_text()
