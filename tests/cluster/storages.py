"""Storages of the sandbox, as settings choose them."""

import configparser
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sandbox import layout, nfs, s3
from sandbox.topology import CONTROL_PLANE
from tests.cluster.conftest import kubectl

NFS_OPTIONS = ["vers=3", "proto=tcp", f"port={nfs.PORT}", f"mountport={nfs.PORT}", "nolock"]


def nfs_storage(folder: str) -> dict[str, Any]:
    """A folder of the sandbox's NFS server."""
    return {
        "kind": "nfs",
        "server": str(CONTROL_PLANE.address),
        "path": folder,
        "size": "1Gi",
        "mountOptions": NFS_OPTIONS,
    }


def bucket_storage(prefix: str) -> dict[str, str]:
    """A prefix of the sandbox's bucket, an absolute path."""
    credentials = configparser.ConfigParser()
    credentials.read(s3.credentials())
    account = credentials["default"]
    return {
        "kind": "s3",
        "bucket": s3.BUCKET,
        "region": "us-east-1",
        "endpoint": f"https://{CONTROL_PLANE.address}:{s3.PORT}",
        "caFile": str(layout.PKI / "ca.crt"),
        "rootDirectory": prefix,
        "accessKey": account["aws_access_key_id"],
        "secretKey": account["aws_secret_access_key"],
    }


@contextmanager
def class_with_volume(name: str, folder: str) -> Iterator[None]:
    """A StorageClass with one volume, both of that name; the volume is a folder of the first node, which exists."""
    documents: list[dict[str, Any]] = [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": name},
            "provisioner": "kubernetes.io/no-provisioner",
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": name,
                "hostPath": {"path": folder, "type": "Directory"},
            },
        },
    ]
    kubectl("create", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}))
    try:
        yield
    finally:
        kubectl("delete", "persistentvolume,storageclass", name, "--ignore-not-found", "--wait=false")
