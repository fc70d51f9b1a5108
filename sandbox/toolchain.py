"""The Pulumi toolchain: engine, language host, provider plugins, and the environment that joins them."""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path

from semver import Version

from sandbox import layout
from sandbox.errors import SandboxError
from sandbox.gobuild import ENGINE, KUBERNETES_PLUGIN, build, is_built
from sandbox.process import run
from sandbox.release import OFFICIAL, install
from sandbox.report import Report, Stage

OLDEST_ENGINE = Version(3, 231, 0)
PROVIDERS = ("kubernetes", "tls", "command")
LANGUAGE_HOST = "pulumi-language-python"

_INSTALL_SECONDS = 60
_TRY_AGAIN = "the official release could not be downloaded (to try again: remove .sandbox/pulumi/plugins)"
_FALLBACK = f"fallback, since {_TRY_AGAIN}"
_FROM_MODULE = f"official, built from its Go module since {_TRY_AGAIN}"
_FALLBACKS = layout.SOURCES / "plugins" / "bin"
_PLUGINS = layout.PULUMI_HOME / "plugins"


def ensure_engine(report: Report) -> None:
    """Makes an engine ready: the user's if it fits.

    Raises:
        SandboxError: It is missing and cannot be built.
    """
    layout.BIN.mkdir(parents=True, exist_ok=True)
    for folder in (layout.PULUMI_HOME, _PLUGINS, layout.PULUMI_STATE):
        folder.mkdir(mode=0o700, exist_ok=True)
    with report.stage("pulumi engine") as stage:
        stage.detail = _ensure_engine(stage)


def ensure_plugins(report: Report) -> None:
    """Makes the engine's plugins ready: the user's where they fit.

    Raises:
        SandboxError: One is missing and cannot be built.
    """
    with report.stage("pulumi plugins") as stage:
        _ensure_language_host()
        with ThreadPoolExecutor() as pool:
            sources = list(pool.map(partial(_ensure_provider, stage=stage), PROVIDERS))
        stage.detail = "; ".join(
            f"{', '.join(name for name, its in zip(PROVIDERS, sources, strict=True) if its == source)}: {source}"
            for source in dict.fromkeys(sources)
        )


def environment(other_stack: str | None = None) -> dict[str, str]:
    """The variables that the toolchain needs; what the user exported for backend and passphrase wins.

    Args:
        other_stack: Name of a stack that is not the sandbox's. It gets neither its cluster nor its backend, nor its
            passphrase, which everybody knows.

    Raises:
        SandboxError: No backend is named for another stack.
    """
    variables = {
        "PULUMI_HOME": str(layout.PULUMI_HOME),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PATH": os.pathsep.join([str(layout.BIN), str(layout.VENV / "bin"), _user_path()]),
    }
    if other_stack is None:
        variables["KUBECONFIG"] = str(layout.KUBECONFIG)
        variables["PULUMI_BACKEND_URL"] = os.environ.get("PULUMI_BACKEND_URL", layout.PULUMI_STATE.as_uri())
        if "PULUMI_CONFIG_PASSPHRASE" not in os.environ:
            variables["PULUMI_CONFIG_PASSPHRASE_FILE"] = os.environ.get(
                "PULUMI_CONFIG_PASSPHRASE_FILE", str(layout.SOURCES / "passphrase")
            )
    elif "PULUMI_BACKEND_URL" not in os.environ:
        raise SandboxError(
            f"stack {other_stack!r} has no backend, and only the sandbox's own stack is kept in .sandbox: set "
            "PULUMI_BACKEND_URL, such as s3://bucket or file:///folder, which `make preview-all` reads from "
            f"clusters/{other_stack}/environment; the README says what else such a stack needs (Use it on your cluster)"
        )
    return variables


def _user_path() -> str:
    """PATH without the sandbox's own folders, so that what is found there is the user's."""
    own = {str(layout.BIN), str(layout.VENV / "bin")}
    return os.pathsep.join(folder for folder in os.environ["PATH"].split(os.pathsep) if folder not in own)


def _ensure_engine(stage: Stage) -> str:
    """Puts an engine into `.sandbox/bin`: the user's, the official release, or one built here; says which and why."""
    installed = shutil.which("pulumi", path=_user_path())
    if installed is None:
        reason = "none on PATH"
    else:
        found = Version.parse(run(installed, "version").strip().removeprefix("v"))
        if found >= OLDEST_ENGINE:
            _link(ENGINE.path, Path(installed))
            return f"{found} from {installed}"
        reason = f"{installed} is {found}, older than {OLDEST_ENGINE}"
    programs = layout.HOME / f"pulumi-{OFFICIAL.version}"
    if not programs.exists() and not is_built(ENGINE):
        try:
            install(OFFICIAL, programs, stage)
        except SandboxError as error:
            reason = f"{reason} and {error}"
    if programs.exists():
        _link(ENGINE.path, programs / ENGINE.name)
        return f"{OFFICIAL.version}, the official release, {reason}"
    build(ENGINE, stage)
    return f"{run(ENGINE.path, 'version').strip().removeprefix('v')} built from its Go module, {reason}"


def _ensure_language_host() -> None:
    """Links the fallback unless the engine finds a host beside it or on PATH."""
    link = layout.BIN / LANGUAGE_HOST
    beside = ENGINE.path.resolve().parent / LANGUAGE_HOST
    if shutil.which(LANGUAGE_HOST, path=_user_path()) or (beside != link and beside.exists()):
        link.unlink(missing_ok=True)
    else:
        _link(link, _FALLBACKS / LANGUAGE_HOST)


def _ensure_provider(name: str, stage: Stage) -> str:
    """Makes a provider plugin available; says where it is from."""
    program = f"pulumi-resource-{name}"
    wanted = version(f"pulumi-{name}")
    folder = f"resource-{name}-v{wanted}"
    plugin = _PLUGINS / folder
    installed = _user_home() / "plugins" / folder
    if shutil.which(program, path=_user_path()):
        if plugin.is_symlink() or (plugin / program).is_symlink():
            _remove(plugin)
        return "from PATH"
    if (installed / program).exists():
        _link(plugin, installed)
        return f"from {installed.parent}"
    # A link says that an installation was tried before and failed.
    tried = (plugin / program).is_symlink()
    if not tried and ((plugin / program).exists() or _install(name, wanted)):
        return "official"
    plugin.mkdir(exist_ok=True)
    if program == KUBERNETES_PLUGIN.path.name:
        build(KUBERNETES_PLUGIN, stage)
        _link(plugin / program, KUBERNETES_PLUGIN.path)
        return _FROM_MODULE
    _link(plugin / program, _FALLBACKS / program)
    return _FALLBACK


def _user_home() -> Path:
    """The Pulumi home of the user, in which `env` may have been evaluated."""
    home = Path(os.environ.get("PULUMI_HOME", "~/.pulumi")).expanduser()
    return Path("~/.pulumi").expanduser() if home == layout.PULUMI_HOME else home


def _install(name: str, wanted: str) -> bool:
    try:
        done = subprocess.run(  # noqa: S603
            (ENGINE.path, "plugin", "install", "resource", name, wanted),
            env={**os.environ, **environment()},
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _link(link: Path, target: Path) -> None:
    """Makes or moves a link; a file or folder in its place gives way."""
    if link.is_symlink() and link.readlink() == target:
        return
    _remove(link)
    link.symlink_to(target)


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
