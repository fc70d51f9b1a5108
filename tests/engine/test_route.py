"""A Route is up when one of the routers has admitted it, whatever the others say."""

from pathlib import Path

from tests.cluster.conftest import kubectl
from tests.conftest import ROOT
from tests.engine.conftest import Project

PROGRAM = """
import sys
sys.path.insert(0, {root!r})
import pulumi
from components.route import Route, RouteArgs
Route("route", RouteArgs(namespace={namespace!r}, service_name="docker-registry", host="{namespace}.example.com"))
"""


def test_a_router_that_refuses_is_not_waited_for(project: Project, kubeconfig: Path, namespace: str) -> None:
    project.environment["KUBECONFIG"] = str(kubeconfig)
    project.write(PROGRAM.format(root=str(ROOT), namespace=namespace))
    assert "created" in project.pulumi("up", "--yes", "--skip-preview")
    path = '{.status.ingress[*].conditions[?(@.type=="Admitted")].status}'
    admitted = kubectl("get", "route", "docker-registry", f"--namespace={namespace}", f"--output=jsonpath={path}")
    assert admitted.split() == ["False", "True"]
