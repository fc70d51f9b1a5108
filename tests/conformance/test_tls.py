"""The tls plugin answers as the official one (5.6.2) was seen to."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from sandbox.plugins.values import UNKNOWN, is_secret, reveal, secret
from tests.conformance.plugin import Answer, Plugin, RefusedError, Resource, Values

KEY = "tls:index/privateKey:PrivateKey"
REQUEST = "tls:index/certRequest:CertRequest"
CERTIFICATE = "tls:index/locallySignedCert:LocallySignedCert"
SELF_SIGNED = "tls:index/selfSignedCert:SelfSignedCert"
PRIVATE = ("privateKeyOpenssh", "privateKeyPem", "privateKeyPemPkcs8")
PUBLIC = ("publicKeyFingerprintMd5", "publicKeyFingerprintSha256", "publicKeyOpenssh", "publicKeyPem")
P256 = {"algorithm": "ECDSA", "ecdsaCurve": "P256"}
NAMES = ["registry.apps.example.com", "registry.registry.svc"]
NONE = {"changes": "DIFF_NONE"}


def outputs(made: Answer) -> Values:
    """Returns the outputs as the engine hands them back: this plugin takes no secret markers."""
    known: Values = reveal(made["properties"])
    return known


def told(made: Answer) -> set[str]:
    """Returns the names of the outputs, without the bookkeeping of the official plugin."""
    return {name for name in made["properties"] if not name.startswith("__")}


class Chain:
    """A key, an authority of its own, a request and a certificate, each with the inputs that it was made from."""

    def __init__(self, tls: Plugin) -> None:
        self.ca_key = tls.resource(KEY, "ca-key").create({"algorithm": "ED25519"})
        self.ca_inputs = {
            "allowedUses": ["cert_signing", "crl_signing"],
            "isCaCertificate": True,
            "privateKeyPem": outputs(self.ca_key)["privateKeyPem"],
            "subject": {"commonName": "ca"},
            "validityPeriodHours": 8760,
        }
        self.ca = tls.resource(SELF_SIGNED, "ca").create(self.ca_inputs)
        self.key = tls.resource(KEY, "key").create(P256)
        self.request_inputs = {
            "dnsNames": NAMES,
            "ipAddresses": ["172.30.91.31"],
            "privateKeyPem": outputs(self.key)["privateKeyPem"],
            "subject": {"commonName": "registry"},
        }
        self.request = tls.resource(REQUEST, "request").create(self.request_inputs)
        self.inputs = {
            "allowedUses": ["digital_signature", "key_encipherment", "server_auth"],
            "caCertPem": outputs(self.ca)["certPem"],
            "caPrivateKeyPem": outputs(self.ca_key)["privateKeyPem"],
            "certRequestPem": outputs(self.request)["certRequestPem"],
            "earlyRenewalHours": 720,
            "validityPeriodHours": 8760,
        }
        self.certificate = tls.resource(CERTIFICATE, "certificate").create(self.inputs)


@pytest.fixture(scope="module")
def chain(tls: Plugin) -> Chain:
    return Chain(tls)


@pytest.fixture
def key(tls: Plugin) -> Resource:
    return tls.resource(KEY, "key")


@pytest.fixture
def request_(tls: Plugin) -> Resource:
    return tls.resource(REQUEST, "request")


@pytest.fixture
def certificate(tls: Plugin) -> Resource:
    return tls.resource(CERTIFICATE, "certificate")


@pytest.fixture
def authority(tls: Plugin) -> Resource:
    return tls.resource(SELF_SIGNED, "ca")


@pytest.mark.parametrize(
    ("token", "news", "hidden"),
    [
        pytest.param(KEY, P256, "", id="key"),
        pytest.param(
            REQUEST,
            {"dnsNames": NAMES, "ipAddresses": [None], "privateKeyPem": "pem", "subject": {"commonName": "a"}},
            "privateKeyPem",
            id="request",
        ),
        pytest.param(REQUEST, {"dnsNames": ["a"], "privateKeyPem": UNKNOWN}, "privateKeyPem", id="request-unknown-key"),
        pytest.param(
            CERTIFICATE,
            {
                "allowedUses": ["server_auth"],
                "caCertPem": "pem",
                "caPrivateKeyPem": "pem",
                "certRequestPem": UNKNOWN,
                "earlyRenewalHours": 720,
                "validityPeriodHours": 8760,
            },
            "caPrivateKeyPem",
            id="certificate-unknown-request",
        ),
        pytest.param(
            SELF_SIGNED,
            {
                "allowedUses": ["cert_signing", "crl_signing"],
                "isCaCertificate": True,
                "privateKeyPem": "pem",
                "subject": {"commonName": "ca"},
                "validityPeriodHours": 8760,
            },
            "privateKeyPem",
            id="self-signed",
        ),
    ],
)
def test_check_adds_no_defaults_and_hides_the_key(tls: Plugin, token: str, news: Values, hidden: str) -> None:
    inputs = {name: secret(value) if name == hidden else value for name, value in news.items()}
    assert tls.resource(token, "a").check(news) == {"inputs": inputs}


@pytest.mark.parametrize("version", ["5.6.2", "5.6.3"])
def test_the_engine_compares_the_settings(tls: Plugin, version: str) -> None:
    assert tls.check_config({"version": version}) == {"inputs": {"version": version}}
    assert tls.diff_config({"version": "5.6.2"}, {"version": version}) == {}


def test_check_refuses_an_unknown_algorithm(key: Resource) -> None:
    text = 'Attribute algorithm value must be one of: ["RSA" "ECDSA" "ED25519"], got: "DSA"'
    reason = f"Invalid Attribute Value Match. {text}. Examine values at 'key.algorithm'."
    assert key.check({"algorithm": "DSA"}) == {"inputs": {"algorithm": "DSA"}, "failures": [{"reason": reason}]}


def test_check_does_not_look_into_pem(certificate: Resource) -> None:
    news = {"allowedUses": [], "caCertPem": "no", "caPrivateKeyPem": "no", "certRequestPem": "no"}
    assert "failures" not in certificate.check({**news, "validityPeriodHours": 1})


def test_a_preview_of_a_key_knows_inputs_and_defaults(key: Resource) -> None:
    properties = {**P256, "rsaBits": 2048, **dict.fromkeys(("id", *PUBLIC), UNKNOWN)}
    hidden = dict.fromkeys(PRIVATE, secret(UNKNOWN))
    assert key.create(P256, preview=True) == {"properties": {**properties, **hidden}}


def test_a_preview_of_a_request_knows_its_inputs(request_: Resource) -> None:
    inputs = {"dnsNames": NAMES, "ipAddresses": [None], "subject": {"commonName": "a"}}
    unknown = dict.fromkeys(("id", "certRequestPem", "keyAlgorithm"), UNKNOWN)
    assert request_.create({**inputs, "privateKeyPem": UNKNOWN}, preview=True) == {
        "properties": {**inputs, **unknown, "privateKeyPem": secret(UNKNOWN)}
    }


def test_a_preview_of_a_certificate_knows_inputs_and_defaults(chain: Chain, certificate: Resource) -> None:
    inputs = {**chain.inputs, "certRequestPem": UNKNOWN}
    computed = ("id", "caKeyAlgorithm", "certPem", "maxPathLength", "validityEndTime", "validityStartTime")
    assert certificate.create(inputs, preview=True) == {
        "properties": {
            **inputs,
            **dict.fromkeys(computed, UNKNOWN),
            "caPrivateKeyPem": secret(inputs["caPrivateKeyPem"]),
            "isCaCertificate": False,
            "readyForRenewal": False,
            "setSubjectKeyId": False,
        }
    }


@pytest.mark.parametrize(
    ("inputs", "curve", "header", "openssh"),
    [
        pytest.param(P256, "P256", "-----BEGIN EC PRIVATE KEY-----", "ecdsa-sha2-nistp256 ", id="ecdsa"),
        pytest.param({"algorithm": "ED25519"}, "P224", "-----BEGIN PRIVATE KEY-----", "ssh-ed25519 ", id="ed25519"),
        pytest.param(
            {"algorithm": "RSA", "rsaBits": 2048}, "P224", "-----BEGIN RSA PRIVATE KEY-----", "ssh-rsa ", id="rsa"
        ),
    ],
)
def test_a_key_comes_in_every_format(key: Resource, inputs: Values, curve: str, header: str, openssh: str) -> None:
    made = key.create(inputs)
    known = outputs(made)
    assert told(made) == {"algorithm", "ecdsaCurve", "id", "rsaBits", *PRIVATE, *PUBLIC}
    assert known["__meta"] == '{"schema_version":"1"}'
    assert (known["algorithm"], known["ecdsaCurve"], known["rsaBits"]) == (inputs["algorithm"], curve, 2048)
    assert all(is_secret(made["properties"][name]) for name in PRIVATE)
    assert known["privateKeyPem"].startswith(header)
    assert known["privateKeyPemPkcs8"].startswith("-----BEGIN PRIVATE KEY-----")
    assert known["privateKeyOpenssh"].startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    private = load_pem_private_key(known["privateKeyPem"].encode(), None)
    public = load_pem_public_key(known["publicKeyPem"].encode())
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert private.public_key() == public
    assert made["id"] == known["id"] == hashlib.sha1(der).hexdigest()
    assert known["publicKeyOpenssh"].startswith(openssh)
    assert known["publicKeyOpenssh"].endswith("\n")


def test_the_fingerprints_of_a_key_are_those_of_openssh(chain: Chain) -> None:
    known = outputs(chain.key)
    blob = base64.b64decode(known["publicKeyOpenssh"].split()[1])
    sha256 = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    assert known["publicKeyFingerprintMd5"] == hashlib.md5(blob).digest().hex(":")
    assert known["publicKeyFingerprintSha256"] == f"SHA256:{sha256}"


def test_a_request_asks_for_its_names(chain: Chain) -> None:
    known = outputs(chain.request)
    assert told(chain.request) == {*chain.request_inputs, "certRequestPem", "id", "keyAlgorithm"}
    assert is_secret(chain.request["properties"]["privateKeyPem"])
    assert known["keyAlgorithm"] == "ECDSA"
    request = x509.load_pem_x509_csr(known["certRequestPem"].encode())
    assert chain.request["id"] == known["id"] == hashlib.sha1(request.public_bytes(Encoding.DER)).hexdigest()
    assert request.subject.rfc4514_string() == "CN=registry"
    (extension,) = request.extensions
    assert isinstance(extension.value, x509.SubjectAlternativeName)
    assert not extension.critical
    assert [str(name.value) for name in extension.value] == [*NAMES, "172.30.91.31"]


def test_a_certificate_tells_what_it_is(chain: Chain) -> None:
    made, known = chain.certificate, outputs(chain.certificate)
    defaults = {"isCaCertificate", "readyForRenewal", "setSubjectKeyId"}
    computed = {"caKeyAlgorithm", "certPem", "id", "validityEndTime", "validityStartTime"}
    assert told(made) == {*chain.inputs, *defaults, *computed}
    assert known["caKeyAlgorithm"] == "ED25519"
    assert (known["isCaCertificate"], known["readyForRenewal"], known["setSubjectKeyId"]) == (False, False, False)
    assert is_secret(made["properties"]["caPrivateKeyPem"])
    start, end = (datetime.fromisoformat(known[name]) for name in ("validityStartTime", "validityEndTime"))
    assert end - start == timedelta(hours=8760)
    assert abs(datetime.now(UTC) - start) < timedelta(minutes=10)


def test_a_certificate_has_the_extensions_of_a_server(chain: Chain) -> None:
    known = outputs(chain.certificate)
    made = x509.load_pem_x509_certificate(known["certPem"].encode())
    ca = x509.load_pem_x509_certificate(outputs(chain.ca)["certPem"].encode())
    assert chain.certificate["id"] == known["id"] == str(made.serial_number)
    assert made.subject.rfc4514_string() == "CN=registry"
    made.verify_directly_issued_by(ca)
    assert [(extension.oid._name, extension.critical) for extension in made.extensions] == [
        ("keyUsage", True),
        ("extendedKeyUsage", False),
        ("basicConstraints", True),
        ("authorityKeyIdentifier", False),
        ("subjectAltName", False),
    ]
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == [*NAMES, "172.30.91.31"]
    own = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert made.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == own


def test_an_authority_signs_itself(chain: Chain) -> None:
    known = outputs(chain.ca)
    defaults = {"earlyRenewalHours", "readyForRenewal", "setAuthorityKeyId", "setSubjectKeyId"}
    computed = {"certPem", "id", "keyAlgorithm", "validityEndTime", "validityStartTime"}
    assert told(chain.ca) == {*chain.ca_inputs, *defaults, *computed}
    assert (known["keyAlgorithm"], known["earlyRenewalHours"], known["setAuthorityKeyId"]) == ("ED25519", 0, False)
    assert is_secret(chain.ca["properties"]["privateKeyPem"])
    ca = x509.load_pem_x509_certificate(known["certPem"].encode())
    assert chain.ca["id"] == str(ca.serial_number)
    assert ca.subject == ca.issuer
    assert [(extension.oid._name, extension.critical) for extension in ca.extensions] == [
        ("keyUsage", True),
        ("basicConstraints", True),
        ("subjectKeyIdentifier", False),
    ]
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, None)


def test_the_key_identifier_of_an_ed25519_authority_is_a_hash_of_the_octet_string(chain: Chain) -> None:
    ca = x509.load_pem_x509_certificate(outputs(chain.ca)["certPem"].encode())
    raw = ca.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    own = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert own == hashlib.sha1(b"\x04\x20" + raw).digest()


def test_what_is_no_request_is_refused(certificate: Resource, chain: Chain) -> None:
    with pytest.raises(RefusedError) as error:
        certificate.create({**chain.inputs, "caCertPem": "nonsense", "certRequestPem": "nonsense"})
    assert str(error.value) == (
        "Failed to parse certificate request PEM: "
        'failed to decode PEM of expected type "CERTIFICATE REQUEST" from bytes'
    )


def test_nothing_changes_by_itself(chain: Chain, tls: Plugin) -> None:
    for token, inputs, made in (
        (KEY, P256, chain.key),
        (REQUEST, chain.request_inputs, chain.request),
        (CERTIFICATE, chain.inputs, chain.certificate),
        (SELF_SIGNED, chain.ca_inputs, chain.ca),
    ):
        assert tls.resource(token, "a").diff(inputs, inputs, outputs(made), made["id"]) == NONE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("dnsNames", [*NAMES, "extra.example.com"], id="one-more-name"),
        pytest.param("ipAddresses", ["172.30.72.140"], id="another-address"),
    ],
)
def test_other_names_replace_a_request(chain: Chain, request_: Resource, name: str, value: Any) -> None:
    old = chain.request_inputs
    answer = request_.diff(old, {**old, name: value}, outputs(chain.request), chain.request["id"])
    assert answer == {"replaces": [name], "changes": "DIFF_SOME", "diffs": [name]}


def test_an_unknown_request_replaces_a_certificate(chain: Chain, certificate: Resource) -> None:
    news = {**chain.inputs, "certRequestPem": UNKNOWN}
    answer = certificate.diff(chain.inputs, news, outputs(chain.certificate), chain.certificate["id"])
    assert answer == {"replaces": ["certRequestPem"], "changes": "DIFF_SOME", "diffs": ["certRequestPem"]}


def test_a_certificate_in_its_renewal_window_says_so_and_is_replaced(chain: Chain, certificate: Resource) -> None:
    inputs = {**chain.inputs, "earlyRenewalHours": 1, "validityPeriodHours": 1}
    made = certificate.create(inputs)
    assert made["properties"]["readyForRenewal"] is True
    answer = certificate.diff(inputs, inputs, outputs(made), made["id"])
    assert answer == {"replaces": ["readyForRenewal"], "changes": "DIFF_SOME", "diffs": ["readyForRenewal"]}


def test_a_change_that_leaves_the_renewal_window_replaces_for_itself_only(chain: Chain, certificate: Resource) -> None:
    inputs = {**chain.inputs, "earlyRenewalHours": 1, "validityPeriodHours": 1}
    made = certificate.create(inputs)
    news = {**inputs, "caCertPem": "no", "caPrivateKeyPem": "no", "certRequestPem": "no"}
    del news["earlyRenewalHours"]
    pems = ["caCertPem", "caPrivateKeyPem", "certRequestPem"]
    assert certificate.diff(inputs, news, outputs(made), made["id"]) == {
        "replaces": pems,
        "changes": "DIFF_SOME",
        "diffs": [*pems, "earlyRenewalHours", "readyForRenewal"],
    }


@pytest.mark.parametrize("which", ["key", "request", "certificate"])
def test_reading_finds_what_the_state_holds(chain: Chain, tls: Plugin, which: str) -> None:
    token, inputs, made = {
        "key": (KEY, P256, chain.key),
        "request": (REQUEST, chain.request_inputs, chain.request),
        "certificate": (CERTIFICATE, chain.inputs, chain.certificate),
    }[which]
    answer = tls.resource(token, which).read(made["id"], outputs(made), inputs)
    assert answer["id"] == made["id"]
    assert outputs(answer) == outputs(made)
    assert reveal(answer["inputs"]) == inputs
    hidden = {name for name in made["properties"] if is_secret(made["properties"][name])}
    assert {name for name in answer["properties"] if is_secret(answer["properties"][name])} == hidden


@pytest.mark.parametrize("which", ["key", "request", "certificate"])
def test_deleting_is_forgetting(chain: Chain, tls: Plugin, which: str) -> None:
    token = {"key": KEY, "request": REQUEST, "certificate": CERTIFICATE}[which]
    assert tls.resource(token, which).delete(getattr(chain, which)) == {}
