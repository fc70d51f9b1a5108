"""The `tls` provider: private keys, certificate requests, and certificates signed by an authority or by themselves.

Every property forces a replacement, except the renewal window of a certificate. Nothing exists outside the state, so
`read` answers from it and `delete` has nothing to do.
"""

import asyncio
import hashlib
import re
from abc import abstractmethod
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from cryptography.hazmat.primitives.serialization import Encoding

from sandbox.plugins import certificates, keys
from sandbox.plugins.server import Call, Current, Difference, Provider, ProviderError, ResourceType
from sandbox.plugins.values import UNKNOWN, Json, Properties, secret

_CHOICES = {"algorithm": keys.ALGORITHMS, "ecdsaCurve": list(keys.CURVES)}
_NOT_NEGATIVE = ("validityPeriodHours", "earlyRenewalHours")


class TlsProvider(Provider):
    """Knows `PrivateKey`, `CertRequest`, `LocallySignedCert` and `SelfSignedCert`."""

    package = "tls"
    accepts_secrets = False

    def resource_type(self, token: str) -> ResourceType:
        """Returns how a type is handled."""
        resource_type = _TYPES.get(token)
        return resource_type() if resource_type else self.refuse(token)


class _TlsType(ResourceType):
    """What the types have in common.

    Attributes:
        secrets: inputs and outputs that are secret whatever the program says; such inputs are required.
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
        failures = [f"{problem}. Examine values at '{call.urn.name}.{path}'." for path, problem in _problems(new)]
        failures += [
            f"Missing required argument. This plugin needs '{call.urn.name}.{name}'."
            for name in sorted(self.secrets - self.computed - new.keys())
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
        try:
            resource_id, computed = await asyncio.to_thread(self.make, known)
        except ValueError as error:
            raise ProviderError(f"{call.urn.name}: {error}") from None
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
        key = keys.make(inputs["algorithm"], inputs["ecdsaCurve"], inputs["rsaBits"])
        # The official plugin takes a key without this for one of its first version.
        return _state_id(keys.public_der(key)), keys.formats(key) | {"__meta": '{"schema_version":"1"}'}


class _CertRequestType(_TlsType):
    secrets = frozenset({"privateKeyPem"})
    defaults: ClassVar[Properties] = {}
    computed = frozenset({"certRequestPem", "keyAlgorithm"})

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        key = keys.load("private key PEM", inputs["privateKeyPem"])
        request = certificates.request(certificates.Holder.of_inputs(inputs, key), key)
        return _state_id(request.public_bytes(Encoding.DER)), {
            "certRequestPem": request.public_bytes(Encoding.PEM).decode(),
            "keyAlgorithm": keys.algorithm(key),
        }


class _CertificateType(_TlsType):
    """What certificates have in common, whoever signs them."""

    defaults: ClassVar[Properties] = {
        "earlyRenewalHours": 0,
        "isCaCertificate": False,
        "readyForRenewal": False,
        "setSubjectKeyId": False,
    }
    computed = frozenset({"certPem", "maxPathLength", "validityEndTime", "validityStartTime"})

    @abstractmethod
    def parties(self, inputs: Properties) -> tuple[certificates.Holder, certificates.Issuer, Properties]:
        """Returns whom the certificate is for, who signs it, and the outputs that tell about the key."""

    def planned(self, outputs: Properties, inputs: Properties) -> tuple[Properties, set[str]]:
        known = self.defaults | inputs
        end = datetime.fromisoformat(outputs["validityEndTime"])
        if known["earlyRenewalHours"] != UNKNOWN and _is_due(end, known["earlyRenewalHours"]):
            return known | {"readyForRenewal": True}, {"readyForRenewal"}
        return known, set()

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        holder, issuer, about_key = self.parties(inputs)
        start = datetime.now(UTC)
        end = start + timedelta(hours=inputs["validityPeriodHours"])
        certificate = certificates.issue(holder, issuer, start, end, inputs)
        return str(certificate.serial_number), about_key | {
            "certPem": certificate.public_bytes(Encoding.PEM).decode(),
            "readyForRenewal": _is_due(end, inputs["earlyRenewalHours"]),
            "validityStartTime": _timestamp(start),
            "validityEndTime": _timestamp(end),
        }


class _LocallySignedCertType(_CertificateType):
    secrets = frozenset({"caPrivateKeyPem"})
    computed = _CertificateType.computed | {"caKeyAlgorithm"}

    def parties(self, inputs: Properties) -> tuple[certificates.Holder, certificates.Issuer, Properties]:
        holder = certificates.Holder.of_request(inputs["certRequestPem"])
        key = keys.load("CA private key PEM", inputs["caPrivateKeyPem"])
        issuer = certificates.load_authority(inputs["caCertPem"], key, holder)
        return holder, issuer, {"caKeyAlgorithm": keys.algorithm(key)}


class _SelfSignedCertType(_CertificateType):
    secrets = frozenset({"privateKeyPem"})
    defaults: ClassVar[Properties] = _CertificateType.defaults | {"setAuthorityKeyId": False}
    computed = _CertificateType.computed | {"keyAlgorithm"}

    def parties(self, inputs: Properties) -> tuple[certificates.Holder, certificates.Issuer, Properties]:
        key = keys.load("private key PEM", inputs["privateKeyPem"])
        holder = certificates.Holder.of_inputs(inputs, key)
        key_id = None
        if inputs["setAuthorityKeyId"]:
            if not (inputs["isCaCertificate"] or inputs["setSubjectKeyId"]):
                text = "Could not determine Authority Key Identifier"
                raise ProviderError(f"Invalid Certificate Authority: {text}: set setSubjectKeyId, too")
            key_id = certificates.key_id(holder.public_key)
        return holder, certificates.Issuer(holder.subject, key, key_id), {"keyAlgorithm": keys.algorithm(key)}


_TYPES: dict[str, type[_TlsType]] = {
    "tls:index/privateKey:PrivateKey": _PrivateKeyType,
    "tls:index/certRequest:CertRequest": _CertRequestType,
    "tls:index/locallySignedCert:LocallySignedCert": _LocallySignedCertType,
    "tls:index/selfSignedCert:SelfSignedCert": _SelfSignedCertType,
}


def _problems(inputs: Properties) -> Iterator[tuple[str, str]]:
    """Yields what is wrong with inputs, each with the path of the property."""
    uses = inputs.get("allowedUses")
    chosen = {f"allowedUses[{index}]": use for index, use in enumerate(uses if isinstance(uses, list) else [])}
    for path, value in chosen.items():
        yield from _choice(path, value, certificates.ALLOWED_USES)
    for name in _CHOICES.keys() & inputs.keys():
        yield from _choice(name, inputs[name], _CHOICES[name])
    for name in _NOT_NEGATIVE:
        hours = inputs.get(name)
        if isinstance(hours, (int, float)) and hours < 0:
            yield name, f"Invalid Attribute Value. Attribute {_attribute(name)} value must be at least 0, got: {hours}"


def _choice(path: str, value: Json, choices: list[str]) -> Iterator[tuple[str, str]]:
    if value not in [*choices, UNKNOWN]:
        quoted = " ".join(f'"{choice}"' for choice in choices)
        text = f'Attribute {_attribute(path)} value must be one of: [{quoted}], got: "{value}"'
        yield path, f"Invalid Attribute Value Match. {text}"


def _attribute(path: str) -> str:
    """Returns what the official plugin calls a property: `allowed_uses[0]` for `allowedUses[0]`."""
    return re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", path)


def _is_due(end: datetime, early_hours: float) -> bool:
    return datetime.now(UTC) >= end - timedelta(hours=early_hours)


def _timestamp(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


def _state_id(der: bytes) -> str:
    return hashlib.sha1(der, usedforsecurity=False).hexdigest()
