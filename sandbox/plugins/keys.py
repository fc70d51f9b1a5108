"""Private keys, in the formats of the `tls` provider."""

import base64
import hashlib
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from sandbox.plugins.server import ProviderError
from sandbox.plugins.values import Properties

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

ALGORITHMS = ["RSA", "ECDSA", "ED25519"]
CURVES: dict[str, type[ec.EllipticCurve]] = {
    "P224": ec.SECP224R1,
    "P256": ec.SECP256R1,
    "P384": ec.SECP384R1,
    "P521": ec.SECP521R1,
}


def make(algorithm: str, curve: str, bits: int) -> PrivateKey:
    """Makes a key; `curve` counts for ECDSA and `bits` for RSA only."""
    match algorithm:
        case "RSA":
            return rsa.generate_private_key(public_exponent=65537, key_size=bits)
        case "ECDSA":
            return ec.generate_private_key(CURVES[curve]())
        case _:
            return ed25519.Ed25519PrivateKey.generate()


def load(what: str, pem: str) -> PrivateKey:
    """Returns the key in a PEM text; raises `ProviderError`, which names it by `what`, where there is none."""
    try:
        key: Any = serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's own message may quote the key.
        raise ProviderError(f"Failed to parse {what}: it is not an unencrypted private key in PEM format") from None
    if not isinstance(key, PrivateKey):
        raise ProviderError(f"Failed to parse {what}: only RSA, ECDSA and ED25519 keys can be used")
    return key


def algorithm(key: PrivateKey) -> str:
    """Returns the name of a key's algorithm."""
    match key:
        case rsa.RSAPrivateKey():
            return "RSA"
        case ec.EllipticCurvePrivateKey():
            return "ECDSA"
        case _:
            return "ED25519"


def digest(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    """Returns the hash to sign with; ED25519 has its own."""
    match key:
        case ed25519.Ed25519PrivateKey():
            return None
        case ec.EllipticCurvePrivateKey(curve=ec.SECP384R1()):
            return hashes.SHA384()
        case ec.EllipticCurvePrivateKey(curve=ec.SECP521R1()):
            return hashes.SHA512()
        case _:
            return hashes.SHA256()


def formats(key: PrivateKey) -> Properties:
    """Returns a key in every format that the outputs of `PrivateKey` have."""
    pem_format = PrivateFormat.PKCS8 if isinstance(key, ed25519.Ed25519PrivateKey) else PrivateFormat.TraditionalOpenSSL
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return {
        "privateKeyPem": key.private_bytes(Encoding.PEM, pem_format, NoEncryption()).decode(),
        "privateKeyPemPkcs8": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "publicKeyPem": public.decode(),
        **_openssh(key),
    }


def public_der(key: PrivateKey) -> bytes:
    """Returns the public half in DER."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


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
