"""Objects that exist already come under a stack's care."""

from pathlib import Path

import pytest

from tests.cluster.conftest import kubectl
from tests.engine.conftest import Project

PROGRAM = """
import pulumi, pulumi_kubernetes as kubernetes
kubernetes.core.v1.ServiceAccount(
    "builder", metadata={{"name": "builder", "namespace": "{namespace}"}}, opts=pulumi.ResourceOptions({options})
)
"""


@pytest.fixture
def project(project: Project, kubeconfig: Path, namespace: str) -> Project:
    project.environment["KUBECONFIG"] = str(kubeconfig)
    kubectl("create", "serviceaccount", "builder", f"--namespace={namespace}")
    return project


def import_builder(project: Project, namespace: str, *options: str, fails: bool = False) -> str:
    resource = ("kubernetes:core/v1:ServiceAccount", "builder", f"{namespace}/builder")
    return project.pulumi("import", *resource, "--yes", *options, fails=fails)


def test_import_needs_no_code_generation(project: Project, namespace: str) -> None:
    assert "= 1 imported" in import_builder(project, namespace, "--generate-code=false")
    project.write(PROGRAM.format(namespace=namespace, options="protect=True"))
    assert "2 unchanged" in project.pulumi("preview", "--expect-no-changes")


def test_import_with_code_generation_imports_and_says_who_could_write_the_code(
    project: Project, namespace: str
) -> None:
    output = import_builder(project, namespace, fails=True)
    assert "= 1 imported" in output
    assert "to write code, install Pulumi with its own pulumi-language-python" in output
    project.write(PROGRAM.format(namespace=namespace, options="protect=True"))
    assert "2 unchanged" in project.pulumi("preview", "--expect-no-changes")


def test_the_program_itself_can_import_and_leave_what_it_does_not_own(project: Project, namespace: str) -> None:
    project.write(PROGRAM.format(namespace=namespace, options=f"import_='{namespace}/builder', retain_on_delete=True"))
    assert "= 1 imported" in project.pulumi("up", "--yes", "--skip-preview")
    assert "- 2 deleted" in project.pulumi("destroy", "--yes", "--skip-preview")
    assert kubectl("get", "serviceaccount", "builder", f"--namespace={namespace}", "--output=name")


def test_what_does_not_exist_is_not_imported(project: Project, namespace: str) -> None:
    kubectl("delete", "serviceaccount", "builder", f"--namespace={namespace}")
    output = import_builder(project, namespace, "--generate-code=false", fails=True)
    assert "does not exist" in output
