"""Every rule of the policy pack stops a preview of the program on the sandbox."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.engine.conftest import Project
from tests.violations import VIOLATIONS, Violation

PROGRAM = """
import runpy, sys

sys.path.insert(0, {root!r})

import pulumi
from tests.violations import PROTECT, VIOLATIONS

def changed(violation, properties):
    violation.change(properties)
    return properties

def change(args):
    for violation in VIOLATIONS[{chosen}]:
        if args.name == violation.resource:
            top = violation.path[0]
            if violation.path == PROTECT:
                args.opts.protect = violation.value
            elif isinstance(args.props.get(top), pulumi.Output) and len(violation.path) > 1:
                args.props[top] = args.props[top].apply(lambda value: changed(violation, {{top: value}})[top])
            else:
                violation.change(args.props)
    return pulumi.ResourceTransformResult(args.props, args.opts)

pulumi.runtime.register_resource_transform(change)
runpy.run_path({root!r} + "/__main__.py")
"""
LATE_IMAGE = """
import pulumi, pulumi_command as command, pulumi_kubernetes as k8s

image = command.local.Command("image", create="printf registry:latest").stdout
k8s.core.v1.Pod(
    "pod",
    spec={{"containers": [{{"name": "it", "image": image}}]}},
    opts=pulumi.ResourceOptions(provider=k8s.Provider("cluster", kubeconfig={root!r} + "/.sandbox/kubeconfig")),
)
"""
# In the program, the names need the Service's cluster IP: a preview of a new stack cannot know them.
NAMES_KNOWN = """
import sys

sys.path.insert(0, {root!r})

import pulumi, pulumi_kubernetes as k8s, pulumi_tls as tls
from components.route import Route, RouteArgs

key = tls.PrivateKey("key", algorithm="ED25519")
tls.CertRequest("request", private_key_pem=key.private_key_pem, dns_names=["registry.example.com"])
cluster = pulumi.ResourceOptions(provider=k8s.Provider("cluster", kubeconfig={root!r} + "/.sandbox/kubeconfig"))
Route("route", RouteArgs(namespace="default", service_name="it", host={host!r}), cluster)
"""
PACK = ("--policy-pack", str(ROOT / "policy"))
DIGEST = f"sandbox.local/registry@sha256:{'1' * 64}"
NAMES_KNOWN_LATE = "route-host-in-certificate"
ONE_A_RULE = {
    each.rule: index for index, each in reversed(list(enumerate(VIOLATIONS))) if each.rule != NAMES_KNOWN_LATE
}


@pytest.fixture
def on_sandbox(project: Project, kubeconfig: Path) -> Project:
    """The program in a project of its own, with the dev stack's settings but a namespace of its own."""
    assert kubeconfig.exists()
    configure(project)
    return project


def configure(project: Project, **settings: Any) -> None:
    """Sets the dev stack's settings, and others on top of them; files are found from the repository."""
    config = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())["config"]
    settings = {"namespace": "policy", "image": DIGEST, **settings}
    config |= {f"registry:{name}": value for name, value in settings.items()}
    text = yaml.safe_dump({"config": config}).replace(".sandbox/", f"{ROOT}/.sandbox/")
    (project.folder / "Pulumi.test.yaml").write_text(text)


def write(project: Project, chosen: str) -> None:
    """Makes the project's program that of the repository, changed by some violations: a slice of all."""
    project.write(PROGRAM.format(root=str(ROOT), chosen=chosen))


def test_the_program_keeps_every_rule(on_sandbox: Project) -> None:
    write(on_sandbox, ":0")
    preview = on_sandbox.pulumi("preview", *PACK)
    assert "registry@v1.0.0" in preview
    assert "[mandatory]" not in preview


@pytest.mark.parametrize("rule", ONE_A_RULE)
def test_a_rule_stops_the_preview(on_sandbox: Project, rule: str) -> None:
    index = ONE_A_RULE[rule]
    violation: Violation = VIOLATIONS[index]
    configure(on_sandbox, **violation.settings)
    write(on_sandbox, f"{index}:{index + 1}")
    preview = on_sandbox.pulumi("preview", *PACK, fails=True)
    assert f"[mandatory]  {rule}" in preview
    assert violation.message in preview


@pytest.mark.parametrize("host", ["registry.example.com", "other.example.com"])
def test_a_route_whose_host_the_certificate_lacks_stops_the_preview(on_sandbox: Project, host: str) -> None:
    on_sandbox.write(NAMES_KNOWN.format(root=str(ROOT), host=host))
    wrong = host == "other.example.com"
    preview = on_sandbox.pulumi("preview", *PACK, fails=wrong)
    assert (f"[mandatory]  {NAMES_KNOWN_LATE}" in preview) == wrong
    assert ("'other.example.com' is no name of the certificate (registry.example.com)" in preview) == wrong


def test_a_rule_that_a_preview_cannot_judge_stops_the_up(on_sandbox: Project) -> None:
    on_sandbox.write(LATE_IMAGE.format(root=str(ROOT)))
    levels = on_sandbox.folder / "levels.json"
    levels.write_text('{"all": "disabled", "no-latest-image": "mandatory"}')
    pack = (*PACK, "--policy-pack-config", str(levels))
    assert "can't run policy 'no-latest-image'" in on_sandbox.pulumi("preview", *pack)
    up = on_sandbox.pulumi("up", "--yes", "--skip-preview", *pack, fails=True)
    assert "[mandatory]  no-latest-image" in up
    assert "core/v1:Pod" not in on_sandbox.pulumi("stack", "export")


@pytest.mark.parametrize(("stack", "level"), [("dev", "advisory"), ("lab", "mandatory")])
def test_a_stack_s_levels_decide_what_stops_it(on_sandbox: Project, stack: str, level: str) -> None:
    write(on_sandbox, ":0")
    configure(on_sandbox, storage={"kind": "emptyDir", "size": "1Gi"})
    levels = ("--policy-pack-config", str(ROOT / "policy" / "levels" / f"{stack}.json"))
    preview = on_sandbox.pulumi("preview", *PACK, *levels, fails=level == "mandatory")
    assert f"[{level}]  durable-storage" in preview
