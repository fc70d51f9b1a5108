"""Starts the policy pack for the engine, which runs this folder by itself."""

import sys
from pathlib import Path

from pulumi_policy import EnforcementLevel, PolicyPack

# The rules are imported by the name that their tests know them by.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from policy import access, images, pods, storage, tls

PolicyPack(
    "registry",
    [*tls.POLICIES, *images.POLICIES, *storage.POLICIES, *pods.POLICIES, *access.POLICIES],
    enforcement_level=EnforcementLevel.MANDATORY,
)
