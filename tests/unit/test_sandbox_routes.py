from typing import Any

import pytest

from sandbox.routes import Verdict, haproxy_configuration, hosts_file, ingress_status, judge


def route(
    name: str,
    host: str = "a.example",
    termination: str | None = "passthrough",
    created: str = "2026-01-01T00:00:00Z",
    **spec: Any,
) -> dict[str, Any]:
    metadata = {"namespace": "ns", "name": name, "creationTimestamp": created}
    tls = {"tls": {"termination": termination}} if termination else {}
    return {"metadata": metadata, "spec": {"host": host, "to": {"name": "registry"}, **tls, **spec}}


SERVICE = {
    "metadata": {"namespace": "ns", "name": "registry"},
    "spec": {
        "clusterIP": "172.30.0.9",
        "ports": [{"name": "metrics", "port": 81, "targetPort": 8081}, {"name": "https", "port": 5000}],
    },
}


def test_the_oldest_route_gets_the_host() -> None:
    young = route("a", created="2026-02-01T00:00:00Z")
    old, late = judge([young, route("b")], [SERVICE])
    assert (old.name, old.admitted) == ("b", True)
    assert (late.name, late.reason) == ("a", "HostAlreadyClaimed")
    assert "ns/b already exposes a.example" in late.message


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (route("r", host=""), "NoHostValue"),
        (route("r", termination="edge"), "UnsupportedTermination"),
        (route("r", termination=None), "UnsupportedTermination"),
    ],
)
def test_what_is_not_admitted_claims_no_host(given: dict[str, Any], reason: str) -> None:
    refused, admitted = judge([given, route("z")], [SERVICE])
    assert refused.reason == reason
    assert admitted.admitted


@pytest.mark.parametrize(
    ("port", "backend"),
    [
        ({}, "172.30.0.9:81"),
        ({"port": {"targetPort": "https"}}, "172.30.0.9:5000"),
        ({"port": {"targetPort": 5000}}, "172.30.0.9:5000"),
        ({"port": {"targetPort": 8081}}, "172.30.0.9:81"),
        ({"port": {"targetPort": "nope"}}, ""),
    ],
)
def test_the_port_is_named_or_the_first(port: dict[str, Any], backend: str) -> None:
    assert judge([route("r", **port)], [SERVICE])[0].backend == backend


def test_a_route_without_its_service_is_admitted_but_leads_nowhere() -> None:
    (verdict,) = judge([route("r")], [])
    assert verdict.admitted
    assert "use_backend" not in haproxy_configuration([verdict])


def test_only_admitted_hosts_are_served_and_resolved() -> None:
    verdicts = [Verdict("ns", "r", "a.example", backend="172.30.0.9:5000"), Verdict("ns", "s", "b.example", "No", "no")]
    configuration = haproxy_configuration(verdicts)
    assert "use_backend ns:r if { req.ssl_sni -i a.example }" in configuration
    assert "backend ns:r\n  server service 172.30.0.9:5000" in configuration
    assert "b.example" not in configuration
    assert hosts_file(verdicts).splitlines()[-1] == "10.213.0.11 a.example"


def test_the_status_of_an_unchanged_verdict_is_unchanged() -> None:
    verdict = Verdict("ns", "r", "a.example")
    first = ingress_status(verdict, route("r"), "2026-01-01T00:00:00Z")
    again = ingress_status(verdict, {**route("r"), "status": {"ingress": first}}, "2026-01-02T00:00:00Z")
    assert again == first
    assert [each["conditions"][0]["status"] for each in first] == ["False", "True"]
    refused = Verdict("ns", "r", "a.example", "HostAlreadyClaimed", "taken")
    _, changed = ingress_status(refused, {**route("r"), "status": {"ingress": first}}, "2026-01-02T00:00:00Z")
    assert changed["conditions"] == [
        {
            "type": "Admitted",
            "status": "False",
            "reason": "HostAlreadyClaimed",
            "message": "taken",
            "lastTransitionTime": "2026-01-02T00:00:00Z",
        }
    ]
