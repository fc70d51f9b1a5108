"""What `adopt` decides before it touches anything."""

from typing import Any

import pytest

from adoption.plan import AdoptionError, Planned, import_file, owned_by, planned, refuse

LABELS = {"matchLabels": {"docker-registry": "default"}}


def deployment(**volume: Any) -> dict[str, Any]:
    spec = {"selector": LABELS, "template": {"spec": {"volumes": [volume] if volume else []}}}
    return {"kind": "Deployment", "metadata": {"namespace": "images", "name": "docker-registry"}, "spec": spec}


def wanted(inputs: dict[str, Any]) -> Planned:
    return Planned(type=f"kubernetes:any:{inputs['kind']}", name=inputs["kind"].lower(), inputs=inputs)


def claim(name: str) -> dict[str, Any]:
    return {"persistentVolumeClaim": {"claimName": name}}


SERVICE = wanted({"kind": "Service", "metadata": {"namespace": "images", "name": "docker-registry"}})


def refusal(live: dict[str, Any], plan: dict[str, Any], *more: dict[str, Any]) -> str:
    target = wanted(plan)
    with pytest.raises(AdoptionError) as raised:
        refuse([SERVICE, target], [SERVICE, target, *map(wanted, more)], lambda _: live)
    return str(raised.value)


def test_images_elsewhere_are_refused() -> None:
    assert "on claim old, but registry:storage is claim new" in refusal(
        deployment(**claim("old")), deployment(**claim("new"))
    )
    assert "on an emptyDir, but registry:storage is claim new" in refusal(
        deployment(emptyDir={}), deployment(**claim("new"))
    )
    volume = {"kind": "PersistentVolume", "metadata": {"name": "images"}, "spec": {"hostPath": {"path": "/other"}}}
    assert "on hostPath /registry, but" in refusal(
        deployment(hostPath={"path": "/registry"}), deployment(**claim("new")), volume
    )


def test_a_folder_that_the_stack_makes_a_volume_of_is_the_same_storage() -> None:
    target = wanted(deployment(**claim("registry-nfs")))
    source = {"nfs": {"server": "nfs.example.com", "path": "/images"}}
    volume = wanted({"kind": "PersistentVolume", "metadata": {"name": "images"}, "spec": source})
    refuse([SERVICE, target], [SERVICE, target, volume], lambda _: deployment(**source))


def test_a_claim_that_the_stack_would_make_stays_its_makers() -> None:
    existing = wanted({"kind": "PersistentVolumeClaim", "metadata": {"namespace": "images", "name": "registry-nfs"}})
    with pytest.raises(AdoptionError, match=r"use it with registry:storage\.kind existingClaim"):
        refuse([SERVICE, existing], [SERVICE, existing], lambda _: {})


def test_only_what_exists_is_imported_with_the_components_around_it() -> None:
    template = {
        "nameTable": {"cluster": "urn"},
        "resources": [
            {"type": "registry:index:Registry", "name": "registry", "component": True},
            {"type": "kubernetes:core/v1:Service", "name": "registry-service", "id": "<PLACEHOLDER>"},
            {"type": "kubernetes:core/v1:Secret", "name": "registry-http-secret", "id": "<PLACEHOLDER>"},
        ],
    }
    metadata = {"namespace": "images", "name": "docker-registry"}
    preview = {
        "steps": [
            {
                "op": "create",
                "urn": "urn:pulumi:lab::registry::registry:index:Registry$kubernetes:core/v1:Service::registry-service",
                "newState": {
                    "type": "kubernetes:core/v1:Service",
                    "inputs": {"kind": "Service", "metadata": metadata},
                },
            },
            {"op": "read", "urn": "urn::claim", "newState": {"type": "kubernetes:core/v1:PersistentVolumeClaim"}},
        ]
    }
    file = import_file(template, planned(preview))
    assert file["nameTable"] == {"cluster": "urn"}
    assert [(each["name"], each.get("id")) for each in file["resources"]] == [
        ("registry", None),
        ("registry-service", "images/docker-registry"),
    ]


def test_one_manager_gets_all_that_was_declared_and_controllers_keep_theirs() -> None:
    status = {
        "manager": "kube-controller-manager",
        "operation": "Update",
        "subresource": "status",
        "fieldsV1": {"f:status": {}},
    }
    managed = [
        {"manager": "oc", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}, "f:template": {"f:a": {}}}}},
        {"manager": "web", "operation": "Update", "fieldsV1": {"f:spec": {"f:template": {"f:b": {}}}}},
        status,
    ]
    entry, kept = owned_by("pulumi-1", managed)
    assert (entry["manager"], entry["operation"]) == ("pulumi-1", "Apply")
    assert entry["fieldsV1"] == {"f:spec": {"f:replicas": {}, "f:template": {"f:a": {}, "f:b": {}}}}
    assert kept == status
    assert owned_by("pulumi-1", [entry, kept]) == [entry, kept]
