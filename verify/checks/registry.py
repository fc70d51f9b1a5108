"""The registry's own protocol: does it answer, does it take an image and give it back."""

import errno
import gzip
import hashlib
import io
import json
import os
import secrets
import ssl
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus

import httpx

from verify.checks.network import Way
from verify.checks.tls import trusting
from verify.proof import ACT_SECONDS, Fault, Proved, reason

REPOSITORY = "verify/probe"
"""Where the image of a run is pushed to."""

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True)
class Image:
    """An image that nobody has had before.

    Attributes:
        manifest: Its manifest.
        blobs: Its configuration and its only layer, by digest.
    """

    manifest: bytes
    blobs: dict[str, bytes]

    @property
    def digest(self) -> str:
        """Digest of the manifest."""
        return _digest(self.manifest)


def make_image() -> Image:
    """Makes an image of about a kilobyte: new bytes, so that no cache of the registry or of a node answers for it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        content = secrets.token_bytes(64)
        entry = tarfile.TarInfo("probe")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    layer = gzip.compress(buffer.getvalue(), mtime=0)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [_digest(buffer.getvalue())]},
        }
    ).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": {"mediaType": _CONFIG, "digest": _digest(config), "size": len(config)},
        "layers": [{"mediaType": _LAYER, "digest": _digest(layer), "size": len(layer)}],
    }
    return Image(json.dumps(manifest).encode(), {_digest(config): config, _digest(layer): layer})


@asynccontextmanager
async def client(way: Way, ca_pem: str) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of an endpoint that goes the given way and trusts the given CA alone.

    Raises:
        ssl.SSLError: The CA is no certificate.
    """
    async with (
        way.vantage.way(way.address, way.port) as place,
        httpx.AsyncClient(
            base_url=f"https://{way.registry}/v2/",
            transport=_To(*place, trusting(ca_pem)),
            timeout=ACT_SECONDS,
            trust_env=False,
        ) as http,
    ):
        yield http


async def answers(way: Way, ca_pem: str) -> Proved[Way]:
    """Asks for `/v2/`, as every client does first.

    Raises:
        Fault: It is no registry that answers, or none that clients trust.
    """
    mend = "see what answers there: `kubectl logs` of the registry, and its Route"
    try:
        async with client(way, ca_pem) as http:
            answer = await http.get("")
    except (httpx.HTTPError, ssl.SSLError) as error:
        raise Fault(f"{way.registry} gives no answer from {way.vantage.name}: {reason(error)}", mend) from error
    if "docker-distribution-api-version" not in answer.headers:
        raise Fault(f"what answers at {way.registry} is no registry: {_said(answer)}", mend)
    if answer.status_code not in (HTTPStatus.OK, HTTPStatus.UNAUTHORIZED):
        raise Fault(f"{way.registry} answers {_said(answer)}", mend)
    return Proved(_said(answer), way)


async def login(way: Way, ca_pem: str) -> Proved[Way]:
    """Tells who may use the registry.

    Raises:
        Fault: It asks for a login, which no stack sets.
    """
    async with client(way, ca_pem) as http:
        answer = await http.get("")
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        raise Fault(
            f"it asks for a login ({answer.headers.get('www-authenticate', 'of no kind')}), but the stack has no users",
            "someone changed the Deployment: `pulumi up --refresh` puts it back",
        )
    return Proved("none is asked for: who reaches it may push and pull", way)


async def push(way: Way, ca_pem: str, image: Image) -> Proved[Way]:
    """Pushes an image by digest.

    Raises:
        Fault: The registry does not take it; the message has its reason.
    """
    async with client(way, ca_pem) as http:
        for digest, content in image.blobs.items():
            upload = _expect(await http.post(f"{REPOSITORY}/blobs/uploads/"), HTTPStatus.ACCEPTED)
            place = httpx.URL(upload.headers["location"]).copy_merge_params({"digest": digest})
            _expect(await http.put(place, content=content), HTTPStatus.CREATED)
        _expect(
            await http.put(
                f"{REPOSITORY}/manifests/{image.digest}", content=image.manifest, headers={"content-type": _MANIFEST}
            ),
            HTTPStatus.CREATED,
        )
    size = len(image.manifest) + sum(map(len, image.blobs.values()))
    return Proved(f"{size} bytes, {image.digest[:19]}…, through {way.registry}", way)


async def pull(way: Way, ca_pem: str, image: Image) -> Proved[None]:
    """Pulls an image by digest and compares every byte.

    Raises:
        Fault: The registry does not have it, or has it with other bytes.
    """
    wanted = {f"manifests/{image.digest}": image.manifest}
    wanted |= {f"blobs/{digest}": content for digest, content in image.blobs.items()}
    async with client(way, ca_pem) as http:
        for path, content in wanted.items():
            answer = await http.get(f"{REPOSITORY}/{path}", headers={"accept": _MANIFEST}, follow_redirects=True)
            if answer.status_code != HTTPStatus.OK:
                raise Fault(
                    f"{REPOSITORY}/{path}, pushed a moment ago, is not there: {_said(answer)}",
                    "replicas must share one volume, and the Service needs session affinity; see the registry's log",
                )
            if answer.content != content:
                raise Fault(
                    f"{REPOSITORY}/{path} comes back with other bytes than were pushed", "check the registry's volume"
                )
    return Proved("every byte as pushed", None)


async def delete(way: Way, ca_pem: str, image: Image) -> Proved[None]:
    """Removes the image of a run where the registry allows that."""
    async with client(way, ca_pem) as http:
        answer = await http.delete(f"{REPOSITORY}/manifests/{image.digest}")
    if answer.status_code == HTTPStatus.ACCEPTED:
        return Proved("done", None)
    if answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return Proved(f"this registry deletes nothing: the image stays in {REPOSITORY}", None)
    raise Fault(f"{REPOSITORY} keeps the image: {_said(answer)}", "see the registry's log")


class _To(httpx.AsyncHTTPTransport):
    """Sends requests to a given place, whatever host their URL names; that host is what the certificate must carry."""

    def __init__(self, address: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(verify=context, trust_env=False)
        self._place = {"host": address, "port": port}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        # The Host header is set already.
        request.extensions["sni_hostname"] = request.url.host
        request.url = request.url.copy_with(**self._place)
        return await super().handle_async_request(request)


def _expect(answer: httpx.Response, status: HTTPStatus) -> httpx.Response:
    """The answer, if it is the one that the registry's protocol has for success."""
    if answer.status_code == status:
        return answer
    if answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        raise Fault(
            f"the registry is read-only: {_said(answer)}",
            "maintenance is going on or was interrupted: see REGISTRY_STORAGE_MAINTENANCE_READONLY of the Deployment",
        )
    raise Fault(f"the registry does not take it: {_said(answer)}", "check its volume: space, owner, mount options")


def _said(answer: httpx.Response) -> str:
    """Status of an answer, and the registry's reason."""
    status = f"{answer.status_code} {answer.reason_phrase}".strip()
    try:
        faults = answer.json()["errors"]
    except (ValueError, KeyError, TypeError):
        return status
    return "; ".join(
        [status, *(f"{fault.get('message', '')} {_cause(fault.get('detail'))}".strip() for fault in faults)]
    )


def _cause(detail: object) -> str:
    """The system's error in what a storage driver says, as words."""
    match detail:
        case {"Enclosed": {"Op": str(act), "Path": str(path), "Err": int(number)}} if number in errno.errorcode:
            return f"({act} {path}: {os.strerror(number)})"
        case _:
            return f"({json.dumps(detail)})" if detail else ""


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
