"""A client of the registry's API, for tests that push and pull while something else happens."""

import hashlib
import itertools
import json
import os
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import httpx

from sandbox import layout

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class Registry:
    """A registry, by its cluster IP; every refused or failed request is an `httpx.HTTPError`."""

    cluster_ip: str
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        trust = ssl.create_default_context(cafile=str(layout.PKI / "ca.crt"))
        client = httpx.Client(base_url=f"https://{self.cluster_ip}:5000/v2", verify=trust, timeout=20)
        client.event_hooks["response"] = [lambda answer: answer.raise_for_status()]
        object.__setattr__(self, "client", client)

    def push(self, name: str, reference: str | None, size: int = 1 << 16) -> str:
        """Pushes a new image with a layer of random bytes, by its digest without a tag; returns its digest."""
        layer = os.urandom(size)
        config = {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._push_blob(name, _CONFIG, json.dumps(config).encode()),
            "layers": [self._push_blob(name, _LAYER, layer)],
        }
        return self._push_manifest(name, reference, manifest)

    def push_index(self, name: str, reference: str) -> str:
        """Pushes an image for two platforms, whose own manifests have no tag; returns its digest."""
        entries = []
        for architecture in ("amd64", "arm64"):
            digest = self.push(name, None)
            size = len(self.client.get(f"/{name}/manifests/{digest}", headers={"Accept": MANIFEST}).content)
            platform = {"architecture": architecture, "os": "linux"}
            entries.append({"mediaType": MANIFEST, "digest": digest, "size": size, "platform": platform})
        return self._push_manifest(name, reference, {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})

    def pull(self, name: str, reference: str) -> str:
        """Pulls every byte of an image, of all its platforms; compares them with their digests and returns its own."""
        accept = {"Accept": f"{MANIFEST}, {INDEX}"}
        content = self.client.get(f"/{name}/manifests/{reference}", headers=accept).content
        manifest = json.loads(content)
        for entry in manifest.get("manifests", []):
            assert self.pull(name, entry["digest"]) == entry["digest"]
        for blob in (*manifest.get("layers", []), *[manifest[key] for key in ("config",) if key in manifest]):
            assert _digest(self.client.get(f"/{name}/blobs/{blob['digest']}").content) == blob["digest"]
        return _digest(content)

    def layer(self, name: str, reference: str) -> str:
        """Returns the digest of an image's layer."""
        manifest = self.client.get(f"/{name}/manifests/{reference}", headers={"Accept": MANIFEST}).json()
        return str(manifest["layers"][0]["digest"])

    def delete(self, name: str, digest: str) -> None:
        """Deletes a manifest."""
        self.client.delete(f"/{name}/manifests/{digest}")

    def _push_blob(self, name: str, media_type: str, content: bytes) -> dict[str, str | int]:
        digest = _digest(content)
        place = self.client.post(f"/{name}/blobs/uploads/").headers["Location"]
        self.client.put(httpx.URL(place).copy_merge_params({"digest": digest}), content=content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def _push_manifest(self, name: str, reference: str | None, manifest: dict[str, object]) -> str:
        content = json.dumps(manifest).encode()
        digest = _digest(content)
        headers = {"Content-Type": str(manifest["mediaType"])}
        self.client.put(f"/{name}/manifests/{reference or digest}", content=content, headers=headers)
        return digest


@dataclass
class Puller:
    """A client that pulls an image again and again, each time over new connections."""

    cluster_ip: str
    name: str
    reference: str
    pulls: int = 0
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._pull)

    def __enter__(self) -> "Puller":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _pull(self) -> None:
        while not self._end.is_set():
            registry = Registry(self.cluster_ip)
            try:
                registry.pull(self.name, self.reference)
                self.pulls += 1
            except httpx.HTTPError as error:
                self.failures.append(repr(error))
            registry.client.close()


@contextmanager
def pushing(registry: Registry) -> Iterator[dict[str, str]]:
    """A client that pushes one image after the other; yields the digests of those that the registry accepted."""
    accepted: dict[str, str] = {}
    over = threading.Event()

    def push() -> None:
        for number in itertools.count():
            # A client that never rests leaves nothing to others of such a machine.
            if over.wait(0.2):
                return
            with suppress(httpx.HTTPError):
                accepted[f"pushed/{number}"] = registry.push(f"pushed/{number}", "1")

    client = threading.Thread(target=push)
    client.start()
    try:
        yield accepted
    finally:
        over.set()
        client.join()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
