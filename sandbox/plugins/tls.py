"""The `tls` provider: private keys, certificate requests and certificates signed by a local authority.

Every property forces a replacement, except the renewal window of a certificate. Nothing exists outside the state, so
`read` answers from it and `delete` has nothing to do.
"""

import asyncio
import base64
import hashlib
import ipaddress
from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.plugins.server import Call, Current, Difference, Provider, ProviderError, ResourceType
from sandbox.plugins.values import UNKNOWN, Properties, secret

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_CURVES: dict[str, type[ec.EllipticCurve]] = {
    "P224": ec.SECP224R1,
    "P256": ec.SECP256R1,
    "P384": ec.SECP384R1,
    "P521": ec.SECP521R1,
}
_CHOICES = {"algorithm": ["RSA", "ECDSA", "ED25519"], "ecdsaCurve": list(_CURVES)}
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
    "ocsp_signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "server_auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
}


class TlsProvider(Provider):
    """Knows `PrivateKey`, `CertRequest` and `LocallySignedCert`."""

    package = "tls"
    accepts_secrets = False

    def resource_type(self, token: str) -> ResourceType:
        """Returns how a type is handled."""
        resource_type = _TYPES.get(token)
        return resource_type() if resource_type else self.refuse(token)


class _TlsType(ResourceType):
    """What the three types have in common.

    Attributes:
        secrets: inputs and outputs that are secret whatever the program says.
        defaults: the outputs of inputs that are not given.
        computed: outputs that only `create` knows.
    """

    secrets: frozenset[str]
    defaults: ClassVar[Properties]
    computed: frozenset[str]

    @abstractmethod
    def make(self, inputs: Properties) -> tuple[str, Properties]:
        """Returns the id and the computed outputs for inputs with defaults."""

    def planned(self, outputs: Properties, inputs: Properties) -> tuple[Properties, set[str]]:  # noqa: ARG002 - see below
        """Returns the known outputs after an update, and the changes that need none of the inputs to replace."""
        return self.defaults | inputs, set()

    async def check(self, call: Call, old: Properties, new: Properties) -> tuple[Properties, list[str]]:  # noqa: ARG002
        failures = [
            f"Invalid Attribute Value Match. Attribute {name} value must be one of: [{_quoted(choices)}], "
            f"got: \"{new[name]}\". Examine values at '{call.urn.name}.{name}'."
            for name, choices in _CHOICES.items()
            if new.get(name, UNKNOWN) not in [*choices, UNKNOWN]
        ]
        return self._mark(new), failures

    async def diff(self, call: Call, outputs: Properties, old: Properties, new: Properties) -> Difference:  # noqa: ARG002
        planned, renewals = self.planned(outputs, new)
        dropped = {name for name in old if name not in new and name not in self.defaults}
        changed = {name for name, value in planned.items() if outputs.get(name) != value} | dropped | renewals
        replaces = (changed - {"earlyRenewalHours", "readyForRenewal"}) | renewals
        return Difference(bool(changed), replaces=sorted(replaces), properties=sorted(changed))

    async def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        known = self.defaults | inputs
        if call.preview:
            return "", self._mark(known | dict.fromkeys({*self.computed, "id"}, UNKNOWN))
        # An RSA key takes a second or more to find: the other resources go on meanwhile.
        resource_id, computed = await asyncio.to_thread(self.make, known)
        return resource_id, self._mark(known | computed | {"id": resource_id})

    async def read(self, call: Call, outputs: Properties, inputs: Properties) -> Current:
        if not outputs:
            raise ProviderError(f"{call.urn.type} {call.urn.name}: keys and certificates cannot be imported, only made")
        planned, _ = self.planned(outputs, inputs)
        ready = {name: planned[name] for name in ("readyForRenewal",) if name in planned}
        return Current(call.resource_id, self._mark(outputs | ready), self._mark(inputs))

    async def update(self, call: Call, outputs: Properties, new: Properties) -> Properties:  # noqa: ARG002
        planned, _ = self.planned(outputs, new)
        return self._mark(outputs | planned)

    async def delete(self, call: Call, outputs: Properties) -> None:
        """Does nothing: what is forgotten is gone."""

    def _mark(self, properties: Properties) -> Properties:
        return {name: secret(value) if name in self.secrets else value for name, value in properties.items()}


class _PrivateKeyType(_TlsType):
    secrets = frozenset({"privateKeyOpenssh", "privateKeyPem", "privateKeyPemPkcs8"})
    defaults: ClassVar[Properties] = {"ecdsaCurve": "P224", "rsaBits": 2048}
    computed = secrets | {
        "publicKeyFingerprintMd5",
        "publicKeyFingerprintSha256",
        "publicKeyOpenssh",
        "publicKeyPem",
    }

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        key: PrivateKey
        match inputs["algorithm"]:
            case "RSA":
                key = rsa.generate_private_key(public_exponent=65537, key_size=inputs["rsaBits"])
                pem_format = PrivateFormat.TraditionalOpenSSL
            case "ECDSA":
                key = ec.generate_private_key(_CURVES[inputs["ecdsaCurve"]]())
                pem_format = PrivateFormat.TraditionalOpenSSL
            case _:
                key = ed25519.Ed25519PrivateKey.generate()
                pem_format = PrivateFormat.PKCS8
        public = key.public_key()
        return _state_id(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)), {
            "privateKeyPem": key.private_bytes(Encoding.PEM, pem_format, NoEncryption()).decode(),
            "privateKeyPemPkcs8": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            "publicKeyPem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
            **_openssh(key),
        }


def _openssh(key: PrivateKey) -> Properties:
    """Returns the outputs in the formats of OpenSSH; they are empty for P224, which OpenSSH does not know."""
    try:
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    except (UnsupportedAlgorithm, ValueError):
        names = ("privateKeyOpenssh", "publicKeyOpenssh", "publicKeyFingerprintMd5", "publicKeyFingerprintSha256")
        return dict.fromkeys(names, "")
    blob = base64.b64decode(public.split()[1])
    sha256 = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return {
        "privateKeyOpenssh": private.decode(),
        "publicKeyOpenssh": f"{public.decode()}\n",
        "publicKeyFingerprintMd5": hashlib.md5(blob, usedforsecurity=False).digest().hex(":"),
        "publicKeyFingerprintSha256": f"SHA256:{sha256}",
    }


class _CertRequestType(_TlsType):
    secrets = frozenset({"privateKeyPem"})
    defaults: ClassVar[Properties] = {}
    computed = frozenset({"certRequestPem", "keyAlgorithm"})

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        key = _load_key("private key PEM", inputs["privateKeyPem"])
        builder = x509.CertificateSigningRequestBuilder().subject_name(_name(inputs.get("subject") or {}))
        names: list[x509.GeneralName] = [
            *(x509.DNSName(name) for name in inputs.get("dnsNames") or []),
            *(x509.IPAddress(_address(text)) for text in inputs.get("ipAddresses") or []),
            *(x509.UniformResourceIdentifier(uri) for uri in inputs.get("uris") or []),
        ]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical="subject" not in inputs)
        request = builder.sign(key, _digest(key))
        return _state_id(request.public_bytes(Encoding.DER)), {
            "certRequestPem": request.public_bytes(Encoding.PEM).decode(),
            "keyAlgorithm": _algorithm(key),
        }


class _LocallySignedCertType(_TlsType):
    secrets = frozenset({"caPrivateKeyPem"})
    defaults: ClassVar[Properties] = {
        "earlyRenewalHours": 0,
        "isCaCertificate": False,
        "readyForRenewal": False,
        "setSubjectKeyId": False,
    }
    computed = frozenset({"caKeyAlgorithm", "certPem", "maxPathLength", "validityEndTime", "validityStartTime"})

    def planned(self, outputs: Properties, inputs: Properties) -> tuple[Properties, set[str]]:
        known = self.defaults | inputs
        end = datetime.fromisoformat(outputs["validityEndTime"])
        if known["earlyRenewalHours"] != UNKNOWN and _is_due(end, known["earlyRenewalHours"]):
            return known | {"readyForRenewal": True}, {"readyForRenewal"}
        return known, set()

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        request = _load_request(inputs["certRequestPem"])
        key = _load_key("CA private key PEM", inputs["caPrivateKeyPem"])
        authority = _load_certificate(inputs["caCertPem"])
        start = datetime.now(UTC)
        end = start + timedelta(hours=inputs["validityPeriodHours"])
        builder = (
            x509.CertificateBuilder()
            .issuer_name(authority.subject)
            .subject_name(request.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
        )
        for extension, critical in _extensions(inputs, request, authority):
            builder = builder.add_extension(extension, critical=critical)
        certificate = builder.sign(key, _digest(key))
        return str(certificate.serial_number), {
            "certPem": certificate.public_bytes(Encoding.PEM).decode(),
            "caKeyAlgorithm": _algorithm(key),
            "readyForRenewal": _is_due(end, inputs["earlyRenewalHours"]),
            "validityStartTime": _timestamp(start),
            "validityEndTime": _timestamp(end),
        }


_TYPES: dict[str, type[_TlsType]] = {
    "tls:index/privateKey:PrivateKey": _PrivateKeyType,
    "tls:index/certRequest:CertRequest": _CertRequestType,
    "tls:index/locallySignedCert:LocallySignedCert": _LocallySignedCertType,
}


def _extensions(
    inputs: Properties, request: x509.CertificateSigningRequest, authority: x509.Certificate
) -> list[tuple[x509.ExtensionType, bool]]:
    """Returns the extensions of a certificate, each with whether it is critical."""
    extensions: list[tuple[x509.ExtensionType, bool]] = []
    uses: list[str] = inputs["allowedUses"]
    usages = {name: use in uses for use, name in _KEY_USAGES.items()}
    if any(usages.values()):
        extensions.append((x509.KeyUsage(**usages), True))
    extended = [_EXTENDED_KEY_USAGES[use] for use in uses if use in _EXTENDED_KEY_USAGES]
    if extended:
        extensions.append((x509.ExtendedKeyUsage(extended), False))
    is_authority = inputs["isCaCertificate"]
    path_length = inputs.get("maxPathLength", -1)
    constraints = x509.BasicConstraints(ca=is_authority, path_length=path_length if path_length >= 0 else None)
    extensions.append((constraints, True))
    if is_authority or inputs["setSubjectKeyId"]:
        extensions.append((x509.SubjectKeyIdentifier.from_public_key(request.public_key()), False))
    for extension in authority.extensions:
        if isinstance(extension.value, x509.SubjectKeyIdentifier):
            key_id = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(extension.value)
            extensions.append((key_id, False))
    for extension in request.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            extensions.append((extension.value, extension.critical))
    return extensions


def _quoted(words: list[str]) -> str:
    return " ".join(f'"{word}"' for word in words)


def _name(subject: Properties) -> x509.Name:
    attributes = [(_SUBJECT_NAMES[key], subject[key]) for key in _SUBJECT_NAMES if subject.get(key)]
    streets = [(NameOID.STREET_ADDRESS, street) for street in subject.get("streetAddresses") or []]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in [*attributes, *streets]])


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise ProviderError(f'Failed to parse IP address: "{text}" is not an IPv4 or IPv6 address') from None


def _load_request(pem: str) -> x509.CertificateSigningRequest:
    _require_pem("certificate request PEM", "CERTIFICATE REQUEST", pem)
    try:
        return x509.load_pem_x509_csr(pem.encode())
    except ValueError as error:
        raise ProviderError(f"Failed to parse certificate request PEM: {error}") from None


def _load_certificate(pem: str) -> x509.Certificate:
    """Returns the first certificate of a bundle: the one that the authority's key has to belong to."""
    _require_pem("CA certificate PEM", "CERTIFICATE", pem)
    try:
        return x509.load_pem_x509_certificates(pem.encode())[0]
    except ValueError as error:
        raise ProviderError(f"Failed to parse CA certificate PEM: {error}") from None


def _require_pem(what: str, kind: str, pem: str) -> None:
    if f"-----BEGIN {kind}-----" not in pem:
        raise ProviderError(f'Failed to parse {what}: failed to decode PEM of expected type "{kind}" from bytes')


def _load_key(what: str, pem: str) -> PrivateKey:
    try:
        key: Any = serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's own message may quote the key.
        raise ProviderError(f"Failed to parse {what}: it is not an unencrypted private key in PEM format") from None
    if not isinstance(key, PrivateKey):
        raise ProviderError(f"Failed to parse {what}: only RSA, ECDSA and ED25519 keys can be used")
    return key


def _algorithm(key: PrivateKey) -> str:
    match key:
        case rsa.RSAPrivateKey():
            return "RSA"
        case ec.EllipticCurvePrivateKey():
            return "ECDSA"
        case _:
            return "ED25519"


def _digest(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    match key:
        case ed25519.Ed25519PrivateKey():
            return None
        case ec.EllipticCurvePrivateKey(curve=ec.SECP384R1()):
            return hashes.SHA384()
        case ec.EllipticCurvePrivateKey(curve=ec.SECP521R1()):
            return hashes.SHA512()
        case _:
            return hashes.SHA256()


def _is_due(end: datetime, early_hours: float) -> bool:
    return datetime.now(UTC) >= end - timedelta(hours=early_hours)


def _timestamp(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


def _state_id(der: bytes) -> str:
    return hashlib.sha1(der, usedforsecurity=False).hexdigest()
