"""A bucket of an S3-compatible object store."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.storage.backend import Backend, Bucket
from components.storage.component import StorageArgs

_CA = "/registry-storage-ca"
_EGRESS: k8s.networking.v1.NetworkPolicyEgressRuleArgsDict = {
    "ports": [
        # A policy is judged by the port of the pod, after that of its Service was translated, and a store inside the
        # cluster may listen on any. DNS over TCP is among them.
        {"protocol": "TCP"},
        # Where DNS is asked, and where OpenShift's pods for it listen behind that port.
        {"port": 53, "protocol": "UDP"},
        {"port": 5353, "protocol": "UDP"},
    ]
}
"""What a pod must reach to use a bucket: the store and, for its name, DNS."""


@dataclass(frozen=True, kw_only=True)
class S3:
    """A bucket that exists; the credentials are in a Secret."""

    bucket: str
    """Name of the bucket."""
    region: str
    """Region of the bucket."""
    endpoint: str | None
    """URL of the store, `https://host:port`; Amazon's if None."""
    ca_pem: str | None
    """Certificates of the CAs that signed the store's certificate (PEM), besides those that the image trusts."""
    root_directory: str
    """Prefix of all objects, an absolute path."""
    access_key: pulumi.Output[str]
    """Access key, a secret."""
    secret_key: pulumi.Output[str]
    """Secret key, a secret."""

    def make(self, name: str, args: StorageArgs, parent: pulumi.Resource) -> Backend:
        """Makes the Secret of the credentials, and one of the CA; new content is a new name, so the pods roll over."""
        child = pulumi.ResourceOptions(parent=parent)
        credentials = k8s.core.v1.Secret(
            f"{name}-credentials",
            metadata={"namespace": args.namespace},
            string_data={"accesskey": self.access_key, "secretkey": self.secret_key},
            opts=child,
        )
        settings = {
            # It takes the place of whatever storage the image's own configuration has.
            "REGISTRY_STORAGE": "s3",
            "REGISTRY_STORAGE_S3_BUCKET": self.bucket,
            "REGISTRY_STORAGE_S3_REGION": self.region,
            "REGISTRY_STORAGE_S3_ROOTDIRECTORY": self.root_directory,
            # Clients trust the registry, and need neither trust nor reach the store.
            "REGISTRY_STORAGE_REDIRECT_DISABLE": "true",
            "REGISTRY_STORAGE_CACHE_BLOBDESCRIPTOR": "inmemory",
        }
        if self.endpoint:
            settings["REGISTRY_STORAGE_S3_REGIONENDPOINT"] = self.endpoint
            settings["REGISTRY_STORAGE_S3_FORCEPATHSTYLE"] = "true"
        volumes: list[k8s.core.v1.VolumeArgsDict] = []
        mounts: list[k8s.core.v1.VolumeMountArgsDict] = []
        if self.ca_pem:
            authorities = k8s.core.v1.ConfigMap(
                f"{name}-ca", metadata={"namespace": args.namespace}, data={"ca.crt": self.ca_pem}, opts=child
            )
            settings["SSL_CERT_DIR"] = _CA
            volumes.append({"name": "storage-ca", "config_map": {"name": authorities.metadata.name}})
            mounts.append({"name": "storage-ca", "mount_path": _CA, "read_only": True})
        return Backend(
            environment=[
                *[_variable(name, value) for name, value in settings.items()],
                _key("REGISTRY_STORAGE_S3_ACCESSKEY", credentials, "accesskey"),
                _key("REGISTRY_STORAGE_S3_SECRETKEY", credentials, "secretkey"),
            ],
            volumes=volumes,
            mounts=mounts,
            egress=[_EGRESS],
            bucket=Bucket(
                path=f"{self.bucket}{self.root_directory.rstrip('/')}",
                access=[
                    _variable("TYPE", "s3"),
                    _variable("PROVIDER", "Other" if self.endpoint else "AWS"),
                    _variable("REGION", self.region),
                    *([_variable("ENDPOINT", self.endpoint)] if self.endpoint else []),
                    # Whoever may write objects need not be allowed to make buckets, or to look for them.
                    _variable("NO_CHECK_BUCKET", "true"),
                    _key("ACCESS_KEY_ID", credentials, "accesskey"),
                    _key("SECRET_ACCESS_KEY", credentials, "secretkey"),
                ],
            ),
        )


def _variable(name: str, value: str) -> k8s.core.v1.EnvVarArgsDict:
    return {"name": name, "value": value}


def _key(name: str, credentials: k8s.core.v1.Secret, key: str) -> k8s.core.v1.EnvVarArgsDict:
    return {"name": name, "value_from": {"secret_key_ref": {"name": credentials.metadata.name, "key": key}}}
