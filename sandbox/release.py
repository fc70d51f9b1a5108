"""The official release of the Pulumi engine, which brings the official language hosts along."""

import hashlib
import shutil
import tarfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.report import Stage

_SECONDS_WITHOUT_DATA = 10
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Release:
    """An archive with a folder `pulumi` of programs.

    Attributes:
        version: Its version.
        url: Where it is downloaded.
        sha256: Checksum of the archive.
    """

    version: str
    url: str
    sha256: str


OFFICIAL = Release(
    "3.255.0",
    "https://get.pulumi.com/releases/sdk/pulumi-v3.255.0-linux-x64.tar.gz",
    "cf559568e2c32f7fae56ea3de8ae5fa48973ba8c5aa9dd2b3dc0c8898fe50dba",
)


def install(release: Release, folder: Path, stage: Stage) -> None:
    """Downloads a release and unpacks its programs into a folder, which exists afterwards only if all went well.

    Raises:
        SandboxError: It cannot be downloaded, or is not what the checksum says.
    """
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        archive = new / "release.tar.gz"
        _download(release.url, archive, stage)
        with archive.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != release.sha256:
            raise SandboxError(f"{release.url} has the checksum {found}, not {release.sha256}: it is not used")
        with tarfile.open(archive) as tar:
            tar.extractall(new, filter="data")
        (new / "pulumi").replace(folder)
    except OSError as error:
        raise SandboxError(f"{release.url} cannot be downloaded: {error}") from error
    finally:
        shutil.rmtree(new)


def _download(url: str, file: Path, stage: Stage) -> None:
    with urllib.request.urlopen(url, timeout=_SECONDS_WITHOUT_DATA) as answer, file.open("wb") as output:  # noqa: S310
        while chunk := answer.read(_CHUNK):
            output.write(chunk)
            stage.progress(f"{output.tell() >> 20} MiB downloaded")
