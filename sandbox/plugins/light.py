"""The SDK's protocol modules without the SDK.

Importing `pulumi.runtime.proto` first imports all of `pulumi`, which takes longer than everything else that a plugin
does before it answers.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType


def import_protocol_only() -> None:
    """Puts empty packages around the protocol modules; what runs in this process cannot use the SDK any more."""
    spec = find_spec("pulumi")
    assert spec is not None  # noqa: S101 - it is in the requirements
    assert spec.origin is not None  # noqa: S101
    folder = Path(spec.origin).parent
    for name, path in (("pulumi", folder), ("pulumi.runtime", folder / "runtime")):
        package = ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
