"""Where the registry keeps its images: one kind of storage a file, all with the same outcome."""

from components.storage.backend import Backend
from components.storage.claim import ExistingClaim, NewClaim
from components.storage.component import Kind, Storage, StorageArgs
from components.storage.empty_dir import EmptyDir
from components.storage.host_path import HostPath
from components.storage.nfs import Nfs
from components.storage.s3 import S3

__all__ = [
    "S3",
    "Backend",
    "EmptyDir",
    "ExistingClaim",
    "HostPath",
    "Kind",
    "NewClaim",
    "Nfs",
    "Storage",
    "StorageArgs",
]
