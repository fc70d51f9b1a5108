"""Debian packages, unpacked into `.sandbox/debian` and installed nowhere."""

import shutil
from pathlib import Path

from sandbox import layout
from sandbox.process import run
from sandbox.report import Stage

PACKAGES = (
    "busybox-static",
    "containerd",
    "containernetworking-plugins",
    "haproxy",
    "ipset",
    "iptables",
    "nfs-common",
    "openssh-server",
    "runc",
    "skopeo",
    "sudo",
)

# Hooks of the machine's configuration may write outside `.sandbox`, so they are cleared.
_CONFIGURATION = """\
Dir::State "{apt}/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "{apt}/cache";
Dir::Log "{apt}/log";
Debug::NoLocking "true";
APT::Sandbox::User "";
APT::Install-Recommends "false";
Acquire::Languages "none";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
"""


def unpack(stage: Stage) -> None:
    """Downloads the packages, and the libraries they need that the machine lacks, and unpacks them.

    Raises:
        SandboxError: The machine has no apt, or a package cannot be downloaded.
    """
    record = layout.HOME / "built" / "debian"
    wanted = " ".join(PACKAGES)
    if layout.DEBIAN.exists() and record.exists() and record.read_text() == wanted:
        return
    apt = layout.HOME / "apt"
    shutil.rmtree(apt, ignore_errors=True)
    archives = apt / "cache" / "archives"
    for folder in (archives / "partial", apt / "state" / "lists" / "partial"):
        folder.mkdir(parents=True)
    configuration = apt / "apt.conf"
    configuration.write_text(_CONFIGURATION.format(apt=apt))
    stage.progress("reading the package lists")
    run("apt-get", "-c", configuration, "update")
    stage.progress("downloading")
    # Reinstall: what the machine has already is needed too, for images and as a known version.
    run("apt-get", "-c", configuration, "install", "--reinstall", "--download-only", "--yes", *PACKAGES)

    shutil.rmtree(layout.DEBIAN, ignore_errors=True)
    for package in sorted(archives.glob("*.deb")):
        stage.progress(f"unpacking {package.name.partition('_')[0]}")
        run("dpkg", "-x", package, layout.DEBIAN)
    _merge_usr(layout.DEBIAN)
    _choose_nft_iptables(layout.DEBIAN / "usr" / "sbin")
    shutil.rmtree(apt)
    record.parent.mkdir(exist_ok=True)
    record.write_text(wanted)


def _merge_usr(tree: Path) -> None:
    """Moves /bin, /sbin and /lib below /usr, where an installed system has them."""
    for name in ("bin", "sbin", "lib"):
        if (tree / name).exists():
            shutil.copytree(tree / name, tree / "usr" / name, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(tree / name)


def _choose_nft_iptables(sbin: Path) -> None:
    """Makes the links that update-alternatives would make."""
    for family in ("iptables", "ip6tables"):
        for suffix in ("", "-save", "-restore"):
            (sbin / f"{family}{suffix}").symlink_to("xtables-nft-multi")
