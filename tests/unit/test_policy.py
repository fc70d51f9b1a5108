"""The rules of the policy pack, put to what the program registers and to one mistake each."""

import importlib.util
import json
import re
from base64 import b64encode
from collections.abc import Callable
from typing import Any, cast

import pulumi_policy
import pytest
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, UnknownValueError, unknown_checking_proxy

from policy import access, images, pods, storage, tls
from tests.conftest import ROOT, Cluster
from tests.unit.test_program import RecordingMonitor, SigningMocks, run_program
from tests.violations import PROTECT, S3, SHARED, VIOLATIONS, Violation

POLICIES = {
    each.name: each for each in (*tls.POLICIES, *images.POLICIES, *storage.POLICIES, *pods.POLICIES, *access.POLICIES)
}
DIGEST = f"registry.example.com/registry@sha256:{'1' * 64}"
EXISTING_CLAIM = {
    "storage": {"kind": "existingClaim", "name": "images", "accessMode": "ReadWriteMany"},
    "replicas": 2,
}
EMPTY_DIR = {"storage": {"kind": "emptyDir", "size": "1Gi"}}
Run = Callable[..., RecordingMonitor]


@pytest.fixture
def run(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the program with settings on top of the usual ones."""

    def run(**settings: Any) -> RecordingMonitor:
        cluster.config.update({"image": DIGEST, **settings})
        return run_program(cluster, monkeypatch, SigningMocks(), preview=False)

    return run


def broken_rules(program: RecordingMonitor, violation: Violation | None = None) -> dict[str, list[str]]:
    """Puts all rules to what the program registered, changed by one violation; returns what they say."""
    said: dict[str, list[str]] = {}
    resources = []
    for name, request in program.requests.items():
        properties = program.inputs(name)
        protect = bool(request.protect)
        if violation and violation.resource == name:
            if violation.path == PROTECT:
                protect = violation.value
            else:
                violation.change(properties)
        resources.append(resource(request.type, name, properties, protect=protect))
    for each in resources:
        for rule, messages in validate(each).items():
            said.setdefault(rule, []).extend(messages)
    for rule, policy in POLICIES.items():
        if isinstance(policy, pulumi_policy.StackValidationPolicy):
            policy.validate(pulumi_policy.StackValidationArgs(resources), reporter(said, rule))
    return said


def resource(
    resource_type: str, name: str, properties: dict[str, Any], *, protect: bool = False
) -> pulumi_policy.PolicyResource:
    options = pulumi_policy.PolicyResourceOptions(
        protect, [], None, [], pulumi_policy.PolicyCustomTimeouts(0, 0, 0), [], None
    )
    urn = f"urn:pulumi:dev::registry::{resource_type}::{name}"
    proxy = unknown_checking_proxy(properties)
    return pulumi_policy.PolicyResource(resource_type, proxy, urn, name, options, None, None, [], {})


def validate(one: pulumi_policy.PolicyResource) -> dict[str, list[str]]:
    said: dict[str, list[str]] = {}
    args = pulumi_policy.ResourceValidationArgs(one.resource_type, one.props, one.urn, one.name, one.opts, None)
    for rule, policy in POLICIES.items():
        if isinstance(policy, pulumi_policy.ResourceValidationPolicy):
            policy.validate(args, reporter(said, rule))
    return said


def reporter(said: dict[str, list[str]], rule: str) -> pulumi_policy.ReportViolation:
    def report(message: str, _urn: str | None = None) -> None:
        said.setdefault(rule, []).append(message)

    return report


@pytest.mark.parametrize("settings", [{}, SHARED, S3, EXISTING_CLAIM, {"createNamespace": False}], ids=str)
def test_what_the_program_registers_keeps_every_rule(run: Run, settings: dict[str, Any]) -> None:
    assert broken_rules(run(**settings)) == {}


@pytest.mark.parametrize("violation", VIOLATIONS, ids=lambda violation: violation.case)
def test_a_mistake_breaks_its_rule_and_says_why(run: Run, violation: Violation) -> None:
    said = broken_rules(run(**violation.settings), violation)
    assert violation.message in "\n".join(said[violation.rule])


def test_every_rule_has_a_mistake_that_breaks_it() -> None:
    assert {each.rule for each in VIOLATIONS} == set(POLICIES)


def test_images_on_an_empty_dir_are_lost_with_the_pod(run: Run) -> None:
    said = broken_rules(run(**EMPTY_DIR))
    assert list(said) == ["durable-storage"]


@pytest.mark.parametrize("kept", ["data", "stringData"])
def test_a_default_password_is_found_and_not_repeated(kept: str) -> None:
    value = b64encode(b"minioadmin").decode() if kept == "data" else "minioadmin"
    said = validate(resource("kubernetes:core/v1:Secret", "s3", {kept: {"secretkey": value}}))
    assert said == {
        "no-default-passwords": ["'secretkey' is a password that everybody knows: choose another one"],
    }


@pytest.mark.parametrize("kind", ["CronJob", "DaemonSet", "Job", "StatefulSet"])
def test_images_are_found_in_every_kind_of_workload(kind: str) -> None:
    pod = {"spec": {"template": {"spec": {"containers": [], "initContainers": [{"name": "it", "image": "a:latest"}]}}}}
    properties = {"spec": {"jobTemplate": pod}} if kind == "CronJob" else pod
    assert "no-latest-image" in validate(resource(f"kubernetes:apps/v1:{kind}", "it", properties))


def test_a_value_that_a_preview_cannot_know_is_left_to_the_up() -> None:
    pod = {"spec": {"containers": [{"name": "it", "image": UNKNOWN_STRING_VALUE}]}}
    with pytest.raises(UnknownValueError) as raised:
        validate(resource("kubernetes:core/v1:Pod", "it", pod))
    assert raised.value.props[-1] == "image"


def test_resources_that_a_targeted_up_leaves_out_are_not_judged(run: Run) -> None:
    for name, request in run().requests.items():
        assert validate(resource(request.type, name, {})) == {}


@pytest.mark.parametrize("file", sorted((ROOT / "policy" / "levels").glob("*.json")), ids=lambda file: file.stem)
def test_levels_are_for_rules_that_exist(file: Any) -> None:
    levels = json.loads(file.read_text())
    assert set(levels) <= set(POLICIES)
    assert set(levels.values()) <= {level.value for level in pulumi_policy.EnforcementLevel}


def test_prod_has_every_rule_at_its_strictest() -> None:
    assert not (ROOT / "policy" / "levels" / "prod.json").exists()


def test_the_pack_has_every_rule_and_all_are_mandatory(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(
        pulumi_policy,
        "PolicyPack",
        lambda name, policies, **given: made.append({"name": name, "all": policies, **given}),
    )
    spec = importlib.util.spec_from_file_location("pack", ROOT / "policy" / "__main__.py")
    assert spec
    assert spec.loader
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    (pack,) = made
    assert {each.name for each in cast("list[pulumi_policy.Policy]", pack["all"])} == set(POLICIES)
    assert pack["enforcement_level"] is pulumi_policy.EnforcementLevel.MANDATORY
    assert all(each.enforcement_level is None and re.fullmatch(r".+\.", each.description) for each in pack["all"])
