"""Images made for a test, in skopeo's `dir` layout."""

import gzip
import hashlib
import json
import os
from pathlib import Path

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def write_image(folder: Path, size: int = 1 << 16) -> str:
    """Writes an image that no registry has yet, with a layer of random bytes; returns its digest."""
    folder.mkdir(parents=True)

    def blob(content: bytes) -> dict[str, str | int]:
        digest = hashlib.sha256(content).hexdigest()
        (folder / digest).write_bytes(content)
        return {"digest": f"sha256:{digest}", "size": len(content)}

    layer = os.urandom(size)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **blob(json.dumps(config).encode())},
        "layers": [
            {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **blob(gzip.compress(layer, compresslevel=0))}
        ],
    }
    (folder / "version").write_text("Directory Transport Version: 1.1\n")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return f"sha256:{hashlib.sha256((folder / 'manifest.json').read_bytes()).hexdigest()}"
