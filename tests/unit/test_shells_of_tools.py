"""A shell that cannot run the scripts of the Jobs says so at once, and the ones that the README names run them."""

import shutil
import subprocess
from pathlib import Path

import pytest

from components import copying, garbage_collection
from sandbox import layout

SCRIPTS = {"registry:tools.rclone": copying._COPY, "registry:image": garbage_collection._COLLECT}
NEEDS = "the shell of this image has no option pipefail"

each_script = pytest.mark.parametrize("setting", list(SCRIPTS))


def run(setting: str, *shell: str | Path, path: Path) -> subprocess.CompletedProcess[str]:
    """Runs a script where no program is."""
    environment = {"MODE": "backup", "HELD": "", "FROM": str(path), "TO": str(path), "PATH": str(path)}
    return subprocess.run(
        [*shell, "-c", SCRIPTS[setting]], env=environment, text=True, capture_output=True, check=False
    )


@pytest.fixture
def dash() -> str:
    """A shell without pipefail, such as Debian 12's."""
    shell = shutil.which("dash")
    if not shell or not subprocess.run([shell, "-c", "set -o pipefail"], check=False, capture_output=True).returncode:
        pytest.skip("this machine has no shell without pipefail")
    return shell


@each_script
def test_a_shell_without_pipefail_says_so_and_which_setting_names_its_image(
    setting: str, dash: str, tmp_path: Path
) -> None:
    done = run(setting, dash, path=tmp_path)
    # What fails with 1 has said why and is not tried again.
    assert done.returncode == 1
    assert f"{NEEDS}: give {setting} one with bash or busybox as /bin/sh" in done.stderr


@each_script
@pytest.mark.parametrize("shell", ["bash", "busybox"])
def test_the_shells_that_the_readme_names_are_taken(setting: str, shell: str, tmp_path: Path) -> None:
    busybox = layout.DEBIAN / "usr" / "bin" / "busybox"
    if shell == "busybox" and not busybox.exists():
        pytest.skip("this checkout has no sandbox")
    done = run(setting, *(["/bin/bash"] if shell == "bash" else [busybox, "sh"]), path=tmp_path)
    assert done.returncode
    assert NEEDS not in done.stderr
