"""Policy packs in Python, run by the fallback language host."""

import json
import signal
import textwrap

import pytest

from tests.engine.conftest import Project, wait_until

PROGRAM = """
import pulumi_command as command, pulumi_tls as tls
key = tls.PrivateKey("key", algorithm="ED25519")
command.local.Command("shown", create="true", stdin=key.public_key_pem)
"""
PACK = """
import pulumi_policy as policy

def algorithm(args, report):
    if args.resource_type == "tls:index/privateKey:PrivateKey":
        allowed = (args.get_config() or {}).get("allowed", "ED25519")
        if args.props["algorithm"] != allowed:
            report(f"algorithm is {args.props['algorithm']}, not {allowed}")

def stdin(args, report):
    if args.resource_type == "command:local:Command" and "PUBLIC KEY" in args.props["stdin"]:
        report("stdin is a public key")

def stack(args, report):
    types = [resource.resource_type for resource in args.resources]
    if "command:local:Command" in types:
        report("the stack runs commands")

mandatory, advisory = policy.EnforcementLevel.MANDATORY, policy.EnforcementLevel.ADVISORY
schema = policy.PolicyConfigSchema({"allowed": {"type": "string"}})
rules = {
    "algorithm": policy.ResourceValidationPolicy(
        "algorithm", "Keys have the allowed algorithm.", algorithm, mandatory, config_schema=schema
    ),
    "stdin": policy.ResourceValidationPolicy("stdin", "No public key on stdin.", stdin, mandatory),
    "stdin-advisory": policy.ResourceValidationPolicy("stdin-advisory", "Better no stdin.", stdin, advisory),
    "stack": policy.StackValidationPolicy("stack", "No commands.", stack, mandatory),
}
"""
PREVIEW = ("preview", "--policy-pack", "policy")
UP = ("up", "--yes", "--skip-preview", "--policy-pack", "policy")


@pytest.fixture
def project(project: Project) -> Project:
    project.write(PROGRAM)
    return project


def write_pack(project: Project, *rules: str, code: str = "", options: str = "") -> None:
    folder = project.folder / "policy"
    folder.mkdir()
    (folder / "PulumiPolicy.yaml").write_text(
        f"name: house\nversion: 1.2.3\nruntime:\n  name: python\n  options: {{{options}}}\n"
    )
    chosen = ", ".join(f"rules[{rule!r}]" for rule in rules)
    code = code or f"{PACK}\npolicy.PolicyPack('house', [{chosen}])\n"
    (folder / "__main__.py").write_text(textwrap.dedent(code))


def test_a_mandatory_rule_stops_preview_and_up_before_the_resource_is_made(project: Project) -> None:
    write_pack(project, "algorithm")
    project.write(PROGRAM.replace("ED25519", "RSA"))
    violation = "Keys have the allowed algorithm.\n          algorithm is RSA, not ED25519"
    preview = project.pulumi(*PREVIEW, fails=True)
    assert "[mandatory]  algorithm  (tls:index:PrivateKey: key)" in preview
    assert violation in preview
    assert "house@v1.2.3" in preview
    assert violation in project.pulumi(*UP, fails=True)
    assert "privateKey" not in project.pulumi("stack", "export")


def test_a_stack_that_keeps_the_rules_goes_up(project: Project) -> None:
    write_pack(project, "algorithm")
    assert "✅ house@v1.2.3" in project.pulumi(*UP)
    assert "privateKey" in project.pulumi("stack", "export")
    assert project.plugins() == []


def test_an_advisory_rule_warns_and_goes_on(project: Project) -> None:
    write_pack(project, "stdin-advisory")
    up = project.pulumi(*UP)
    assert "[advisory]  stdin-advisory  (command:local:Command: shown)" in up
    assert "stdin is a public key" in up
    assert "3 created" in up


def test_a_rule_for_the_whole_stack_sees_all_its_resources(project: Project) -> None:
    write_pack(project, "stack")
    assert "No commands.\n          the stack runs commands" in project.pulumi(*PREVIEW, fails=True)
    project.write("import pulumi_tls as tls\ntls.PrivateKey('key', algorithm='RSA')\n")
    assert "✅ house@v1.2.3" in project.pulumi(*PREVIEW)


def test_a_mandatory_rule_that_needs_an_unknown_value_waits_for_up(project: Project) -> None:
    write_pack(project, "stdin")
    preview = project.pulumi(*PREVIEW)
    assert "can't run policy 'stdin' from policy pack 'house@v0.0.1' during preview: " in preview
    assert ".stdin can't be known during preview" in preview
    up = project.pulumi(*UP, fails=True)
    assert "[mandatory]  stdin  (command:local:Command: shown)" in up
    assert "command:local:Command" not in project.pulumi("stack", "export")


def test_the_configuration_of_a_pack_reaches_its_rules(project: Project) -> None:
    write_pack(project, "algorithm", "stack")
    file = project.folder / "policy.json"
    file.write_text(json.dumps({"algorithm": {"allowed": "RSA"}, "stack": "disabled"}))
    preview = project.pulumi(*PREVIEW, "--policy-pack-config", "policy.json", fails=True)
    assert "algorithm is ED25519, not RSA" in preview
    assert "the stack runs commands" not in preview
    file.write_text(json.dumps({"algorithm": {"enforcementLevel": "advisory", "allowed": "RSA"}, "stack": "advisory"}))
    preview = project.pulumi(*PREVIEW, "--policy-pack-config", "policy.json")
    assert "[advisory]  algorithm" in preview
    assert "[advisory]  stack" in preview
    file.write_text(json.dumps({"algorithm": {"allowed": 7}}))
    assert "allowed: Invalid type. Expected: string, given: integer" in project.pulumi(
        *PREVIEW, "--policy-pack-config", "policy.json", fails=True
    )


def test_a_pack_that_does_not_start_shows_its_exception_once(project: Project) -> None:
    write_pack(project, code="raise ValueError('so wrong')\n")
    preview = project.pulumi(*PREVIEW, fails=True)
    diagnostics = preview[preview.index("Diagnostics:") :]
    assert diagnostics.count("ValueError: so wrong") == 1
    assert "failed to start" in diagnostics
    assert project.plugins() == []


def test_a_rule_that_raises_stops_the_run_with_its_message(project: Project) -> None:
    write_pack(
        project,
        "algorithm",
        code=f"{PACK}\nraising = policy.ResourceValidationPolicy('r', 'R', lambda *_: 1 / 0)\n"
        "policy.PolicyPack('house', [raising])\n",
    )
    preview = project.pulumi(*PREVIEW, fails=True)
    assert preview[preview.index("Diagnostics:") :].count("division by zero") == 1


def test_the_missing_virtual_environment_of_a_pack_is_named(project: Project) -> None:
    write_pack(project, "algorithm", options="virtualenv: venv")
    preview = project.pulumi(*PREVIEW, fails=True)
    assert f"{project.folder}/policy/venv has no bin/python: run pulumi install" in preview


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_a_pack_ends_with_the_engine(project: Project, ending: signal.Signals) -> None:
    slow = "import time\ndef wait(args, report):\n    time.sleep(600)\n"
    write_pack(
        project, code=f"{slow}{PACK}\npolicy.PolicyPack('house', [policy.ResourceValidationPolicy('w', 'W', wait)])"
    )
    process = project.start(*PREVIEW)
    wait_until(lambda: any("pulumi.policy" in line for line in project.plugins()), "the policy pack was not started")
    process.send_signal(ending)
    process.communicate(timeout=30)
    assert process.returncode
    wait_until(lambda: not project.plugins(), "a policy pack runs on without its engine")
