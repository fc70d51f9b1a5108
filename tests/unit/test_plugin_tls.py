"""The tls plugin answers as the official one (5.6.2) was seen to answer."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID

from sandbox.plugins.server import Call, Difference, ProviderError, Urn
from sandbox.plugins.tls import TlsProvider
from sandbox.plugins.values import UNKNOWN, Properties, is_secret, reveal

KEY = "tls:index/privateKey:PrivateKey"
REQUEST = "tls:index/certRequest:CertRequest"
CERTIFICATE = "tls:index/locallySignedCert:LocallySignedCert"
SELF_SIGNED = "tls:index/selfSignedCert:SelfSignedCert"


def call(token: str, *, preview: bool = False) -> Call:
    return Call(Urn(f"urn:pulumi:dev::p::{token}::k"), preview=preview)


def create(token: str, inputs: Properties, *, preview: bool = False) -> tuple[str, Properties]:
    return asyncio.run(TlsProvider().resource_type(token).create(call(token, preview=preview), inputs))


def diff(token: str, outputs: Properties, old: Properties, new: Properties) -> Difference:
    return asyncio.run(TlsProvider().resource_type(token).diff(call(token), outputs, old, new))


@pytest.fixture(scope="module")
def authority() -> dict[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ca")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {
        "caCertPem": certificate.public_bytes(serialization.Encoding.PEM).decode(),
        "caPrivateKeyPem": pem.decode(),
    }


@pytest.fixture(scope="module")
def request_pem() -> str:
    _, key = create(KEY, {"algorithm": "ECDSA", "ecdsaCurve": "P256"})
    _, request = create(
        REQUEST,
        {
            "privateKeyPem": reveal(key["privateKeyPem"]),
            "dnsNames": ["b.example.com", "a.example.com"],
            "ipAddresses": ["10.0.0.1"],
            "subject": {"commonName": "registry"},
        },
    )
    return str(request["certRequestPem"])


@pytest.mark.parametrize(
    ("inputs", "kind", "header"),
    [
        ({"algorithm": "RSA"}, rsa.RSAPrivateKey, "-----BEGIN RSA PRIVATE KEY-----"),
        ({"algorithm": "ECDSA", "ecdsaCurve": "P256"}, ec.EllipticCurvePrivateKey, "-----BEGIN EC PRIVATE KEY-----"),
        ({"algorithm": "ED25519"}, ed25519.Ed25519PrivateKey, "-----BEGIN PRIVATE KEY-----"),
    ],
)
def test_a_key_is_what_was_asked_for_and_secret(inputs: Properties, kind: type, header: str) -> None:
    resource_id, outputs = create(KEY, inputs)
    pem = reveal(outputs["privateKeyPem"])
    assert pem.startswith(header)
    key = serialization.load_pem_private_key(pem.encode(), None)
    assert isinstance(key, kind)
    assert outputs["id"] == resource_id
    assert len(resource_id) == 40
    assert outputs["rsaBits"] == 2048
    assert outputs["ecdsaCurve"] == inputs.get("ecdsaCurve", "P224")
    assert all(is_secret(outputs[name]) for name in ("privateKeyPem", "privateKeyOpenssh", "privateKeyPemPkcs8"))
    assert outputs["publicKeyOpenssh"].endswith("\n")
    assert outputs["publicKeyFingerprintSha256"].startswith("SHA256:")


def test_openssh_outputs_are_empty_for_a_curve_that_openssh_does_not_know() -> None:
    _, outputs = create(KEY, {"algorithm": "ECDSA", "ecdsaCurve": "P224"})
    assert outputs["publicKeyOpenssh"] == ""
    assert reveal(outputs["privateKeyOpenssh"]) == ""


def test_a_preview_knows_inputs_and_defaults_and_nothing_else() -> None:
    assert create(KEY, {"algorithm": "ED25519"}, preview=True) == (
        "",
        {
            "algorithm": "ED25519",
            "ecdsaCurve": "P224",
            "rsaBits": 2048,
            "id": UNKNOWN,
            "publicKeyFingerprintMd5": UNKNOWN,
            "publicKeyFingerprintSha256": UNKNOWN,
            "publicKeyOpenssh": UNKNOWN,
            "publicKeyPem": UNKNOWN,
            **{
                name: {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": UNKNOWN}
                for name in ("privateKeyOpenssh", "privateKeyPem", "privateKeyPemPkcs8")
            },
        },
    )


def test_an_unknown_algorithm_is_refused() -> None:
    _, failures = asyncio.run(TlsProvider().resource_type(KEY).check(call(KEY), {}, {"algorithm": "DSA"}))
    assert failures == [
        'Invalid Attribute Value Match. Attribute algorithm value must be one of: ["RSA" "ECDSA" "ED25519"], '
        "got: \"DSA\". Examine values at 'k.algorithm'."
    ]


def test_a_certificate_carries_the_names_of_its_request(authority: dict[str, str], request_pem: str) -> None:
    uses = ["digital_signature", "key_encipherment", "server_auth"]
    resource_id, outputs = create(
        CERTIFICATE, {"certRequestPem": request_pem, "validityPeriodHours": 10, "allowedUses": uses, **authority}
    )
    certificate = x509.load_pem_x509_certificate(outputs["certPem"].encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["b.example.com", "a.example.com"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1"]
    assert certificate.subject.rfc4514_string() == "CN=registry"
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(hours=10)
    extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(extended) == [ExtendedKeyUsageOID.SERVER_AUTH]
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert (usage.value.digital_signature, usage.value.key_encipherment, usage.value.key_cert_sign) == (
        True,
        True,
        False,
    )
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority["caCertPem"].encode()))
    assert resource_id == str(certificate.serial_number)
    assert (outputs["caKeyAlgorithm"], outputs["readyForRenewal"]) == ("ECDSA", False)
    assert is_secret(outputs["caPrivateKeyPem"])


def test_a_certificate_in_its_renewal_window_is_replaced(authority: dict[str, str], request_pem: str) -> None:
    inputs = {**authority, "certRequestPem": request_pem, "validityPeriodHours": 1, "allowedUses": ["server_auth"]}
    _, due = create(CERTIFICATE, {**inputs, "earlyRenewalHours": 1})
    assert due["readyForRenewal"]
    early = {**inputs, "earlyRenewalHours": 1}
    assert diff(CERTIFICATE, reveal(due), early, early) == Difference(
        changed=True, replaces=["readyForRenewal"], properties=["readyForRenewal"]
    )
    _, fresh = create(CERTIFICATE, inputs)
    assert not diff(CERTIFICATE, reveal(fresh), inputs, inputs).changed


def test_only_the_renewal_window_changes_in_place(authority: dict[str, str], request_pem: str) -> None:
    inputs = {**authority, "certRequestPem": request_pem, "validityPeriodHours": 100, "allowedUses": ["server_auth"]}
    _, outputs = create(CERTIFICATE, inputs)
    window = diff(CERTIFICATE, reveal(outputs), inputs, {**inputs, "earlyRenewalHours": 2})
    assert (window.properties, window.replaces) == (["earlyRenewalHours"], [])
    request = diff(CERTIFICATE, reveal(outputs), inputs, {**inputs, "certRequestPem": UNKNOWN})
    assert (request.properties, request.replaces) == (["certRequestPem"], ["certRequestPem"])


@pytest.mark.parametrize(
    ("token", "inputs", "message"),
    [
        (
            CERTIFICATE,
            {"certRequestPem": "nonsense", "caCertPem": "nonsense", "caPrivateKeyPem": "nonsense"},
            'Failed to parse certificate request PEM: failed to decode PEM of expected type "CERTIFICATE REQUEST" '
            "from bytes",
        ),
        (
            REQUEST,
            {"privateKeyPem": "secret nonsense"},
            "Failed to parse private key PEM: it is not an unencrypted private key in PEM format",
        ),
    ],
)
def test_what_is_no_pem_is_named_but_not_quoted(token: str, inputs: Properties, message: str) -> None:
    with pytest.raises(ProviderError) as error:
        create(token, {"validityPeriodHours": 1, "allowedUses": [], **inputs})
    assert str(error.value) == message


def test_an_authority_and_a_key_that_do_not_belong_together_are_refused(
    authority: dict[str, str], request_pem: str
) -> None:
    _, other = create(KEY, {"algorithm": "ED25519"})
    inputs = {**authority, "certRequestPem": request_pem, "validityPeriodHours": 1, "allowedUses": ["server_auth"]}
    with pytest.raises(ProviderError, match="caPrivateKeyPem is not the key of caCertPem"):
        create(CERTIFICATE, {**inputs, "caPrivateKeyPem": reveal(other["privateKeyPem"])})


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        (
            {"ecdsaCurve": "P1"},
            'Invalid Attribute Value Match. Attribute ecdsa_curve value must be one of: ["P224" "P256" "P384" "P521"], '
            "got: \"P1\". Examine values at 'k.ecdsaCurve'.",
        ),
        (
            {"validityPeriodHours": -1},
            "Invalid Attribute Value. Attribute validity_period_hours value must be at least 0, got: -1. "
            "Examine values at 'k.validityPeriodHours'.",
        ),
    ],
)
def test_a_value_that_cannot_be_is_refused(inputs: Properties, reason: str) -> None:
    _, failures = asyncio.run(TlsProvider().resource_type(KEY).check(call(KEY), {}, inputs))
    assert failures == [reason]


def test_an_unknown_use_is_refused_and_named_by_its_place() -> None:
    inputs = {"caPrivateKeyPem": "", "allowedUses": ["server_auth", "serve", UNKNOWN]}
    _, failures = asyncio.run(TlsProvider().resource_type(CERTIFICATE).check(call(CERTIFICATE), {}, inputs))
    assert len(failures) == 1
    assert 'Attribute allowed_uses[1] value must be one of: ["any_extended" "cert_signing" ' in failures[0]
    assert failures[0].endswith("got: \"serve\". Examine values at 'k.allowedUses[1]'.")


def test_a_missing_key_is_named() -> None:
    _, failures = asyncio.run(TlsProvider().resource_type(REQUEST).check(call(REQUEST), {}, {"privateKeyPemWo": "k"}))
    assert failures == ["Missing required argument. This plugin needs 'k.privateKeyPem'."]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"ipAddresses": ["10.0.0"]}, 'Invalid IP address: Failed to parse "10.0.0"'),
        ({"subject": {"commonName": "a" * 65}}, "k: Attribute's length must be"),
        ({"dnsNames": ["bücher.example.com"]}, "k: DNSName values should be passed as an A-label string"),
    ],
)
def test_names_that_cannot_be_in_a_request_are_refused(inputs: Properties, message: str) -> None:
    _, key = create(KEY, {"algorithm": "ED25519"})
    with pytest.raises(ProviderError, match=message):
        create(REQUEST, {"privateKeyPem": reveal(key["privateKeyPem"]), **inputs})


def self_signed(**inputs: Any) -> x509.Certificate:
    _, key = create(KEY, {"algorithm": "ECDSA", "ecdsaCurve": "P256"})
    defaults = {"allowedUses": [], "validityPeriodHours": 1, "privateKeyPem": reveal(key["privateKeyPem"])}
    _, outputs = create(SELF_SIGNED, {**defaults, **inputs})
    return x509.load_pem_x509_certificate(outputs["certPem"].encode())


def test_a_self_signed_certificate_names_its_own_key_as_authority() -> None:
    made = self_signed(dnsNames=["a"], setSubjectKeyId=True, setAuthorityKeyId=True)
    made.verify_directly_issued_by(made)
    own = made.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert made.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == own
    assert made.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical
    with pytest.raises(ProviderError, match="Could not determine Authority Key Identifier"):
        self_signed(setAuthorityKeyId=True)


def test_the_length_of_a_path_counts_for_authorities_only() -> None:
    limited = self_signed(isCaCertificate=True, maxPathLength=0, subject={"commonName": "ca"})
    assert limited.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    server = self_signed(maxPathLength=3)
    assert server.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length is None


def test_an_authority_needs_a_name() -> None:
    with pytest.raises(ProviderError, match="Must contain at least one Distinguished Name"):
        self_signed(isCaCertificate=True)


def test_an_unknown_type_names_the_official_plugin() -> None:
    with pytest.raises(ProviderError, match="pulumi plugin install resource tls "):
        TlsProvider().resource_type("tls:index/other:Other")
