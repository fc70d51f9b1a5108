"""A registry as it was deployed when the official plugins were watched; `settings.json` says what changes."""

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pulumi
import pulumi_command as command
import pulumi_kubernetes
import pulumi_tls as tls

# The overloads for nested dictionaries would cost the type checker all memory.
k8s: Any = pulumi_kubernetes

settings = json.loads(Path("settings.json").read_text())
name = settings["name"]
labels = {"app": "docker-registry"}
pod_labels = {**labels, **settings["selector"]}
cluster = pulumi.ResourceOptions(provider=k8s.Provider("cluster", kubeconfig=settings["kubeconfig"]))

namespace = k8s.core.v1.Namespace("ns", metadata={"name": name}, opts=cluster)
inside = {"namespace": namespace.metadata.name}
role = k8s.rbac.v1.ClusterRole(
    "role",
    metadata={"name": name},
    rules=[{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}],
    opts=cluster,
)
k8s.rbac.v1.ClusterRoleBinding(
    "rb",
    metadata={"name": name},
    role_ref={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
    subjects=[{"kind": "ServiceAccount", "name": "registry", "namespace": name}],
    opts=cluster,
)
account = k8s.core.v1.ServiceAccount(
    "sa", metadata={"name": "registry", **inside}, automount_service_account_token=False, opts=cluster
)
k8s.core.v1.PersistentVolume(
    "pv",
    metadata={"name": name},
    spec={
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "claimRef": {"name": "registry-storage", "namespace": name},
        "hostPath": {"path": f"/run/{name}", "type": "DirectoryOrCreate"},
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "",
    },
    opts=cluster,
)
claim = k8s.core.v1.PersistentVolumeClaim(
    "pvc",
    metadata={"name": "registry-storage", **inside},
    spec={
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "",
        "volumeName": name,
    },
    opts=cluster,
)
k8s.core.v1.Secret(
    "fixed",
    metadata={"name": "registry-http", **inside},
    string_data=pulumi.Output.secret({"secret": settings["secret"]}),
    opts=cluster,
)
config = k8s.core.v1.ConfigMap("cm", metadata=inside, data={"config.yml": settings["config"]}, opts=cluster)
service = k8s.core.v1.Service(
    "svc",
    metadata={"name": "docker-registry", "annotations": {"pulumi.com/skipAwait": "true"}, **inside},
    spec={
        "ports": [{"name": "registry", "port": 5000, "targetPort": 5000}],
        "selector": labels,
        "sessionAffinity": settings["affinity"],
    },
    opts=cluster,
)
k8s.policy.v1.PodDisruptionBudget(
    "pdb",
    metadata={"name": "docker-registry", **inside},
    spec={"maxUnavailable": 1, "selector": {"matchLabels": labels}},
    opts=cluster,
)
k8s.networking.v1.NetworkPolicy(
    "np",
    metadata={"name": "docker-registry", **inside},
    spec={"ingress": [{"ports": [{"port": 5000}]}], "podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"]},
    opts=cluster,
)
k8s.batch.v1.CronJob(
    "gc",
    metadata={"name": "registry-gc", **inside},
    spec={
        "concurrencyPolicy": "Forbid",
        "jobTemplate": {
            "spec": {
                "template": {
                    "spec": {
                        "containers": [{"args": ["--help"], "image": settings["image"], "name": "gc"}],
                        "restartPolicy": "Never",
                    }
                }
            }
        },
        "schedule": "0 3 * * *",
    },
    opts=cluster,
)
k8s.apiextensions.CustomResource(
    "route",
    api_version="route.openshift.io/v1",
    kind="Route",
    metadata={"name": "docker-registry", "labels": {"docker-registry": "default"}, **inside},
    spec={
        "host": f"{name}.cloudapps.example.com",
        "tls": {"termination": "passthrough"},
        "to": {"kind": "Service", "name": "docker-registry"},
    },
    opts=cluster,
)

key = tls.PrivateKey("key", algorithm="ECDSA", ecdsa_curve="P256")
request = tls.CertRequest(
    "csr",
    private_key_pem=key.private_key_pem,
    subject={"common_name": "docker-registry"},
    dns_names=settings["names"],
    ip_addresses=[service.spec.cluster_ip],
)
certificate = tls.LocallySignedCert(
    "crt",
    allowed_uses=["digital_signature", "key_encipherment", "server_auth"],
    ca_cert_pem=settings["caCertificate"],
    ca_private_key_pem=pulumi.Output.secret(settings["caKey"]),
    cert_request_pem=request.cert_request_pem,
    early_renewal_hours=720,
    validity_period_hours=8760,
)
pair = pulumi.Output.all(**{"tls.crt": certificate.cert_pem, "tls.key": key.private_key_pem})
served = k8s.core.v1.Secret(
    "tls",
    metadata=inside,
    type="kubernetes.io/tls",
    data=pair.apply(lambda pems: {name: b64encode(pem.encode()).decode() for name, pem in pems.items()}),
    opts=cluster,
)
probe = {"httpGet": {"path": "/v2/", "port": 5000, "scheme": "HTTPS"}, "periodSeconds": 2}
k8s.apps.v1.Deployment(
    "registry",
    metadata={"name": "docker-registry", "labels": labels, "annotations": settings["annotations"], **inside},
    spec={
        "replicas": 1,
        "selector": {"matchLabels": pod_labels},
        "strategy": {"type": "Recreate"},
        "template": {
            "metadata": {"labels": pod_labels},
            "spec": {
                "containers": [
                    {
                        "env": [
                            {"name": "REGISTRY_HTTP_TLS_CERTIFICATE", "value": "/registry-secrets/tls.crt"},
                            {"name": "REGISTRY_HTTP_TLS_KEY", "value": "/registry-secrets/tls.key"},
                        ],
                        "image": settings["image"],
                        "imagePullPolicy": "IfNotPresent",
                        "livenessProbe": probe,
                        "name": "registry",
                        "ports": [{"containerPort": 5000}],
                        "readinessProbe": probe,
                        "volumeMounts": [
                            {"mountPath": settings["mountPath"], "name": "registry-storage"},
                            {"mountPath": "/registry-secrets", "name": "tls", "readOnly": True},
                            {"mountPath": "/cfg", "name": "config"},
                        ],
                    }
                ],
                "serviceAccountName": account.metadata.name,
                "volumes": [
                    {"name": "registry-storage", "persistentVolumeClaim": {"claimName": claim.metadata.name}},
                    {"name": "tls", "secret": {"secretName": served.metadata.name}},
                    {"name": "config", "configMap": {"name": config.metadata.name}},
                ],
            },
        },
    },
    opts=pulumi.ResourceOptions.merge(
        cluster, pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create=settings["timeout"]))
    ),
)

machine = pulumi.Output.secret(settings["connection"])
folder = settings["folder"]
command.remote.Command(
    "node1",
    connection=machine,
    create=f"set -e; mkdir -p {folder}; cat > {folder}/ca.crt; sha256sum {folder}/ca.crt{settings['commandEnd']}",
    delete=f"rm -rf {folder}",
    stdin=settings["caCertificate"],
    add_previous_output_in_env=False,
)
command.remote.CopyToRemote(
    "copy", connection=machine, remote_path="/copied.txt", source=pulumi.StringAsset(settings["text"])
)
command.local.Command(
    "local",
    create="cat",
    environment={"A": "1"},
    stdin=settings["caCertificate"],
    triggers=[settings["trigger"]],
)
