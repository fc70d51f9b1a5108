"""The registry's serving certificate."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s
import pulumi_tls as tls


@dataclass(frozen=True, kw_only=True)
class CertificateAuthority:
    """The cluster CA."""

    cert_pem: str
    """The CA's certificate (PEM)."""
    key_pem: pulumi.Output[str]
    """The CA's unencrypted private key (PEM), a secret."""


@dataclass(frozen=True, kw_only=True)
class CertificateArgs:
    """Arguments of `Certificate`. A change of any but `early_renewal_hours` replaces certificate and Secret."""

    authority: CertificateAuthority
    """The CA that signs."""
    namespace: pulumi.Input[str]
    """Namespace of the Secret."""
    dns_names: pulumi.Input[Sequence[str]]
    """DNS names the certificate is for."""
    ip_addresses: pulumi.Input[Sequence[str]]
    """IP addresses the certificate is for."""
    validity_hours: int
    """Hours from its creation until the certificate ends."""
    early_renewal_hours: int
    """Hours before its end from which on the next `pulumi up` replaces the certificate."""


class Certificate(pulumi.ComponentResource):
    """A key and a certificate signed by the cluster CA, in a Secret of type `kubernetes.io/tls`.

    The Secret's name is generated: a new certificate is a Secret of a new name, so the pods that mount it
    roll over to it, and the old one goes when nothing uses it any more.
    """

    secret_name: pulumi.Output[str]
    """Name of the Secret with the keys `tls.crt` and `tls.key`."""
    cert_pem: pulumi.Output[str]
    """The certificate (PEM)."""
    validity_end_time: pulumi.Output[str]
    """End of the certificate's validity (RFC 3339)."""

    def __init__(self, name: str, args: CertificateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("registry:index:Certificate", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        key = tls.PrivateKey(f"{name}-key", algorithm="ECDSA", ecdsa_curve="P256", opts=child)
        request = tls.CertRequest(
            f"{name}-request",
            private_key_pem=key.private_key_pem,
            subject={"common_name": "docker-registry"},
            dns_names=args.dns_names,
            ip_addresses=args.ip_addresses,
            opts=child,
        )
        certificate = tls.LocallySignedCert(
            f"{name}-signed",
            cert_request_pem=request.cert_request_pem,
            ca_cert_pem=args.authority.cert_pem,
            ca_private_key_pem=args.authority.key_pem,
            allowed_uses=["digital_signature", "key_encipherment", "server_auth"],
            validity_period_hours=args.validity_hours,
            early_renewal_hours=args.early_renewal_hours,
            opts=child,
        )
        secret = k8s.core.v1.Secret(
            f"{name}-secret",
            metadata={"namespace": args.namespace},
            type="kubernetes.io/tls",
            data={"tls.crt": certificate.cert_pem.apply(_base64), "tls.key": key.private_key_pem.apply(_base64)},
            opts=child,
        )
        self.secret_name = secret.metadata.name
        self.cert_pem = certificate.cert_pem
        self.validity_end_time = certificate.validity_end_time
        self.register_outputs(
            {
                "secret_name": self.secret_name,
                "cert_pem": self.cert_pem,
                "validity_end_time": self.validity_end_time,
            }
        )


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()
