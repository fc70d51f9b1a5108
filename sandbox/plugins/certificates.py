"""Certificate requests and certificates, from the inputs of the `tls` provider's resources."""

import hashlib
import ipaddress
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.plugins import keys
from sandbox.plugins.server import ProviderError
from sandbox.plugins.values import Properties

_SUBJECT_NAMES = {
    "country": NameOID.COUNTRY_NAME,
    "organization": NameOID.ORGANIZATION_NAME,
    "organizationalUnit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "locality": NameOID.LOCALITY_NAME,
    "province": NameOID.STATE_OR_PROVINCE_NAME,
    "postalCode": NameOID.POSTAL_CODE,
    "commonName": NameOID.COMMON_NAME,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "emailAddress": NameOID.EMAIL_ADDRESS,
}
_KEY_USAGES = {
    "digital_signature": "digital_signature",
    "content_commitment": "content_commitment",
    "key_encipherment": "key_encipherment",
    "data_encipherment": "data_encipherment",
    "key_agreement": "key_agreement",
    "cert_signing": "key_cert_sign",
    "crl_signing": "crl_sign",
    "encipher_only": "encipher_only",
    "decipher_only": "decipher_only",
}
_EXTENDED_KEY_USAGES = {
    "any_extended": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "client_auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code_signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email_protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec_end_system": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec_tunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec_user": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "microsoft_commercial_code_signing": x509.ObjectIdentifier("1.3.6.1.4.1.311.2.1.22"),
    "microsoft_kernel_code_signing": x509.ObjectIdentifier("1.3.6.1.4.1.311.61.1.1"),
    "microsoft_server_gated_crypto": x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape_server_gated_crypto": x509.ObjectIdentifier("2.16.840.1.113730.4.1"),
    "ocsp_signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "server_auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
}
ALLOWED_USES = sorted(_KEY_USAGES | _EXTENDED_KEY_USAGES)


@dataclass(frozen=True)
class Holder:
    """Whom a certificate is for."""

    subject: x509.Name
    names: list[x509.GeneralName]
    public_key: CertificatePublicKeyTypes

    @classmethod
    def of_inputs(cls, inputs: Properties, key: keys.PrivateKey) -> "Holder":
        """Returns the holder whose subject and names are in the inputs, and whose key it is."""
        return cls(_subject(inputs.get("subject") or {}), _alternative_names(inputs), key.public_key())

    @classmethod
    def of_request(cls, pem: str) -> "Holder":
        """Returns the holder that a certificate request (PEM) is for; raises `ProviderError` where it is none."""
        request = _load_request(pem)
        extensions = (extension.value for extension in request.extensions)
        names = [name for value in extensions if isinstance(value, x509.SubjectAlternativeName) for name in value]
        return cls(request.subject, names, request.public_key())


@dataclass(frozen=True)
class Issuer:
    """Who signs a certificate; `key_id` goes into it as authority key identifier, if there is one."""

    name: x509.Name
    key: keys.PrivateKey
    key_id: bytes | None


def request(holder: Holder, key: keys.PrivateKey) -> x509.CertificateSigningRequest:
    """Returns the request of a holder for a certificate."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(holder.subject)
    if holder.names:
        builder = builder.add_extension(x509.SubjectAlternativeName(holder.names), critical=False)
    return builder.sign(key, keys.digest(key))


def issue(holder: Holder, issuer: Issuer, start: datetime, end: datetime, inputs: Properties) -> x509.Certificate:
    """Signs a certificate; the inputs say what it may be used for."""
    if inputs["isCaCertificate"] and not holder.subject.rdns:
        text = "Must contain at least one Distinguished Name when creating Certificate Authority (CA)"
        raise ProviderError(f"Invalid Certificate Subject: {text}")
    builder = (
        x509.CertificateBuilder()
        .issuer_name(issuer.name)
        .subject_name(holder.subject)
        .public_key(holder.public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    for extension, critical in _extensions(holder, issuer, inputs):
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer.key, keys.digest(issuer.key))


def load_authority(pem: str, key: keys.PrivateKey, holder: Holder) -> Issuer:
    """Returns the authority of the first certificate in a bundle (PEM) as issuer of a certificate for a holder.

    Raises:
        ProviderError: there is no certificate, or the key is not its key.
    """
    _require_pem("CA certificate PEM", "CERTIFICATE", pem)
    try:
        authority = x509.load_pem_x509_certificates(pem.encode())[0]
    except ValueError as error:
        raise ProviderError(f"Failed to parse CA certificate PEM: {error}") from None
    if authority.public_key() != key.public_key():
        text = "x509: provided PrivateKey doesn't match parent's PublicKey"
        raise ProviderError(f"Failed to create certificate: {text}: caPrivateKeyPem is not the key of caCertPem")
    key_ids = (extension.value for extension in authority.extensions)
    key_id = next((value.digest for value in key_ids if isinstance(value, x509.SubjectKeyIdentifier)), None)
    return Issuer(authority.subject, key, key_id if authority.subject != holder.subject else None)


def key_id(public_key: CertificatePublicKeyTypes) -> bytes:
    """Returns the subject key identifier of a key, as the official plugin makes it."""
    if isinstance(public_key, ed25519.Ed25519PublicKey):
        # It hashes the key as an ASN.1 octet string, unlike RFC 5280.
        return hashlib.sha1(b"\x04\x20" + public_key.public_bytes_raw(), usedforsecurity=False).digest()
    return x509.SubjectKeyIdentifier.from_public_key(public_key).digest


def _extensions(holder: Holder, issuer: Issuer, inputs: Properties) -> list[tuple[x509.ExtensionType, bool]]:
    """Returns the extensions of a certificate, each with whether it is critical."""
    extensions: list[tuple[x509.ExtensionType, bool]] = []
    uses: list[str] = inputs["allowedUses"]
    usages = {name: use in uses for use, name in _KEY_USAGES.items()}
    if any(usages.values()):
        extensions.append((x509.KeyUsage(**usages), True))
    extended = [_EXTENDED_KEY_USAGES[use] for use in uses if use in _EXTENDED_KEY_USAGES]
    if extended:
        extensions.append((x509.ExtendedKeyUsage(extended), False))
    is_authority, path_length = inputs["isCaCertificate"], inputs.get("maxPathLength", -1)
    limit = path_length if is_authority and path_length >= 0 else None
    extensions.append((x509.BasicConstraints(ca=is_authority, path_length=limit), True))
    if is_authority or inputs["setSubjectKeyId"]:
        extensions.append((x509.SubjectKeyIdentifier(key_id(holder.public_key)), False))
    if issuer.key_id is not None:
        extensions.append((x509.AuthorityKeyIdentifier(issuer.key_id, None, None), False))
    if holder.names:
        extensions.append((x509.SubjectAlternativeName(holder.names), not holder.subject.rdns))
    return extensions


def _subject(subject: Properties) -> x509.Name:
    attributes = [(_SUBJECT_NAMES[key], subject[key]) for key in _SUBJECT_NAMES if subject.get(key)]
    streets = [(NameOID.STREET_ADDRESS, street) for street in subject.get("streetAddresses") or []]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in [*attributes, *streets]])


def _alternative_names(inputs: Properties) -> list[x509.GeneralName]:
    return [
        *(x509.DNSName(name) for name in inputs.get("dnsNames") or []),
        *(x509.IPAddress(_address(text)) for text in inputs.get("ipAddresses") or []),
        *(x509.UniformResourceIdentifier(uri) for uri in inputs.get("uris") or []),
    ]


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise ProviderError(f'Invalid IP address: Failed to parse "{text}"') from None


def _load_request(pem: str) -> x509.CertificateSigningRequest:
    _require_pem("certificate request PEM", "CERTIFICATE REQUEST", pem)
    try:
        return x509.load_pem_x509_csr(pem.encode())
    except ValueError as error:
        raise ProviderError(f"Failed to parse certificate request PEM: {error}") from None


def _require_pem(what: str, kind: str, pem: str) -> None:
    if f"-----BEGIN {kind}-----" not in pem:
        raise ProviderError(f'Failed to parse {what}: failed to decode PEM of expected type "{kind}" from bytes')
