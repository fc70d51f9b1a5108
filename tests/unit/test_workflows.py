"""The pipelines of GitHub and GitLab: what no linter knows about them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pipeline import __main__ as commands
from pipeline import engine
from tests.conftest import ROOT
from tests.unit.test_pipeline import preview, summary

WORKFLOWS = {file.stem: yaml.safe_load(file.read_text()) for file in (ROOT / ".github" / "workflows").glob("*.yml")}
GITLAB = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text())
SCRIPTS = {
    "github": [
        step["run"]
        for workflow in WORKFLOWS.values()
        for job in workflow["jobs"].values()
        for step in job["steps"]
        if "run" in step
    ],
    "gitlab": [line for job in GITLAB.values() if isinstance(job, dict) for line in job.get("script", ())],
}


def pipeline_commands(forge: str) -> Iterator[list[str]]:
    """Yields the arguments of every `python -m pipeline` of a forge."""
    for script in SCRIPTS[forge]:
        for line in script.splitlines():
            if line.startswith(".venv/bin/python -m pipeline "):
                yield shlex.split(line.replace("$REPLACE", "$replace"))[3:]


@pytest.mark.parametrize("forge", SCRIPTS)
@pytest.mark.parametrize("replace", ["--allow-replace", "--no-allow-replace"])
def test_the_steps_are_commands_that_run_by_hand(
    forge: str, replace: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(engine, "preview", lambda stack: preview(summary(same=1), stack=stack))
    monkeypatch.setattr(engine, "up", lambda _stack: 0)
    monkeypatch.setattr(engine, "drift", lambda _stack: 0)
    monkeypatch.chdir(tmp_path)
    steps = list(pipeline_commands(forge))
    assert {step[0] for step in steps} == {"preview", "page", "deploy", "drift"}
    for stack in ("lab", "prod"):
        known = {"$STACK": stack, "$STACK.json": f"{stack}.json", "$replace": replace}
        for step in steps:
            done = CliRunner().invoke(commands.app, [known.get(word, word) for word in step])
            # The page misses prod as long as only lab was previewed.
            assert done.exit_code == (step[0] == "page" and stack == "lab"), (step, done.output)


def test_both_forges_do_the_same() -> None:
    assert set(map(tuple, pipeline_commands("github"))) == set(map(tuple, pipeline_commands("gitlab")))


def test_actions_are_pinned_by_commit() -> None:
    for file in (ROOT / ".github" / "workflows").glob("*.yml"):
        uses = re.findall(r"uses: (.*)", file.read_text())
        assert uses
        assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each) for each in uses)


def test_nothing_but_the_comment_may_write() -> None:
    granted = set()
    for name, workflow in WORKFLOWS.items():
        assert workflow["permissions"] == {}
        for job_name, job in workflow["jobs"].items():
            granted |= {
                (name, job_name, scope) for scope, access in job.get("permissions", {}).items() if access == "write"
            }
    assert granted == {("pull-request", "page", "pull-requests")}


def test_secrets_stay_away_from_forks() -> None:
    jobs = WORKFLOWS["pull-request"]["jobs"]
    assert [name for name, job in jobs.items() if "secrets." in str(job)] == ["preview"]
    assert jobs["preview"]["if"] == "github.event.pull_request.head.repo.full_name == github.repository"
    for name in ("preview", "page"):
        (rule,) = GITLAB[name]["rules"]
        assert "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_PROJECT_ID" in rule["if"]


def test_each_stack_has_an_environment_of_its_own() -> None:
    github = {name: job.get("environment") for each in WORKFLOWS.values() for name, job in each["jobs"].items()}
    assert github == {
        "check": None,
        "preview": "${{ matrix.stack }}-preview",
        "page": None,
        "up": "${{ matrix.stack }}",
    }
    assert GITLAB["preview"]["environment"]["name"] == "$STACK-preview"
    assert GITLAB[".up"]["environment"] == "$STACK"


def test_an_up_is_alone_on_its_stack_and_never_cancelled() -> None:
    job = WORKFLOWS["deploy"]["jobs"]["up"]
    assert job["concurrency"] == {"group": "up-${{ matrix.stack }}", "cancel-in-progress": False}
    assert "concurrency" not in WORKFLOWS["deploy"]
    assert "timeout-minutes" not in job
    assert GITLAB[".up"]["resource_group"] == "$STACK"
    assert GITLAB[".up"]["interruptible"] is False
    for name in ("up-prod", "up-lab", "nightly"):
        while name != ".up":
            assert not {"resource_group", "interruptible"} & set(GITLAB[name])
            name = GITLAB[name]["extends"]  # noqa: PLW2901 (up the chain)
