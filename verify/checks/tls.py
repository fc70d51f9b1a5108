"""The certificate that an endpoint serves."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from verify.checks.network import Way
from verify.proof import ACT_SECONDS, Fault, Proved, reason

_RENEW = "run `pulumi up`, which makes a new certificate"


async def certificate(way: Way, ca_pem: str, ends: datetime, early_renewal: timedelta) -> Proved[x509.Certificate]:
    """Compares the served certificate with what clients demand and with what the stack made.

    Args:
        way: The endpoint.
        ca_pem: The only CA that is trusted (PEM).
        ends: End of the stack's certificate.
        early_renewal: How long before its end it should have been renewed.

    Raises:
        Fault: A client would refuse it, it is due for renewal, or it is not the stack's.
    """
    served = await _served(way)
    ca = x509.load_pem_x509_certificate(ca_pem.encode())
    left = served.not_valid_after_utc - datetime.now(UTC)
    signer = _name(served.issuer)
    if not _is_signed_by(served, ca):
        raise Fault(
            f"its certificate is signed by '{signer}', not by the stack's CA '{_name(ca.subject)}'",
            "something else answers there, or another CA signed; `pulumi up` gives the registry its own certificate",
        )
    if not is_for(served, way.host):
        raise Fault(f"its certificate is not for {way.host}, only for {', '.join(names(served))}", _RENEW)
    if left <= timedelta():
        raise Fault(f"its certificate has expired on {served.not_valid_after_utc:%Y-%m-%d %H:%M} UTC", _RENEW)
    if served.not_valid_before_utc > datetime.now(UTC):
        raise Fault(
            f"its certificate is valid from {served.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on, not yet",
            "compare the clocks of this machine and of the one that ran `pulumi up`",
        )
    if abs(served.not_valid_after_utc - ends) > timedelta(seconds=1):
        raise Fault(
            f"it serves another certificate than the stack made: that one ends {ends:%Y-%m-%d %H:%M} UTC, this one "
            f"{served.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
            "the pod still serves an old Secret: see whether the Deployment rolled out, or run `pulumi up`",
        )
    if left <= early_renewal:
        raise Fault(f"its certificate ends in {left.days} days, and was due for renewal before", _RENEW)
    return Proved(f"signed by '{signer}', for this name, {left.days} days left", served)


def is_for(certificate: x509.Certificate, host: str) -> bool:
    """Whether a certificate carries a host name or IP address."""
    try:
        return str(ip_address(host)) in names(certificate)
    except ValueError:
        return host in names(certificate)


def names(certificate: x509.Certificate) -> list[str]:
    """Host names and IP addresses that a certificate carries."""
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [
        *alternative.get_values_for_type(x509.DNSName),
        *map(str, alternative.get_values_for_type(x509.IPAddress)),
    ]


def trusting(ca_pem: str) -> ssl.SSLContext:
    """A client's TLS context that trusts one CA and no other.

    Raises:
        ssl.SSLError: That is no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ca_pem)
    return context


async def _served(way: Way) -> x509.Certificate:
    """The certificate that is served for the endpoint's name, whatever it is worth."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with way.vantage.way(way.address, way.port) as (address, port), asyncio.timeout(ACT_SECONDS):
            _, writer = await asyncio.open_connection(address, port, ssl=context, server_hostname=way.host)
            certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            writer.close()
    except TimeoutError as error:
        raise Fault(
            f"{way.address}:{way.port} takes connections, but says nothing for {ACT_SECONDS} s",
            "see whether the registry hangs: `kubectl logs` and `kubectl describe` of its pod",
        ) from error
    except (ssl.SSLError, OSError) as error:
        raise Fault(
            f"{way.address}:{way.port} does not speak TLS: {reason(error)}",
            "see whether the router knows the Route, and whether the registry's log says `tls`",
        ) from error
    return x509.load_der_x509_certificate(certificate)


def _is_signed_by(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _name(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string()
