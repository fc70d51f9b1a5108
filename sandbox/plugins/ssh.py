"""Connections to machines over SSH, as the `connection` property of a command describes them."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path, PurePosixPath

import asyncssh
from asyncssh.packet import String

from sandbox.plugins.server import ProviderError
from sandbox.plugins.values import Properties

_FIRST_PAUSE, _PAUSE_GROWTH, _LONGEST_PAUSE = 0.1, 1.5, 5.0
"""Seconds between attempts to connect, as the official plugin has them."""


@asynccontextmanager
async def connect(settings: Properties) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """Connects to a machine, by way of its proxy if it has one, and closes all connections at the end.

    Raises:
        ProviderError: the machine cannot be reached or refuses, or the connection breaks.
    """
    async with AsyncExitStack() as connections:
        tunnel = None
        if settings.get("proxy"):
            tunnel = await connections.enter_async_context(await _dial(settings["proxy"], None))
        connection = await connections.enter_async_context(await _dial(settings, tunnel))
        try:
            yield connection
        except (OSError, asyncssh.Error) as error:
            raise ProviderError(f"{settings['host']}: {error}") from None


class Process(asyncssh.SSHClientProcess[bytes]):
    """A command that runs on a machine.

    Attributes:
        refused: the names of those environment variables that the server does not accept.
    """

    def __init__(self, environment: dict[str, str], extra: dict[str, str]) -> None:
        super().__init__()
        self._environment = environment
        self._extra = extra
        self.refused: list[str] = []

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:  # type: ignore[override]
        """Puts the environment before the command; asyncssh itself does not ask whether it is accepted."""
        super().connection_made(chan)
        ask = chan._make_request

        async def ask_environment_first(request: bytes, *arguments: bytes) -> bool | None:
            for name, value in (self._environment | self._extra).items():
                if not await ask(b"env", String(name), String(value)):
                    self.refused.append(name)
            needed = [name for name in self.refused if name in self._environment]
            if needed:
                raise ProviderError(
                    f"environment: the SSH server refuses {', '.join(needed)}: allow that with AcceptEnv in its "
                    f"sshd_config, or hand the value to the command on stdin"
                )
            return await ask(request, *arguments)

        chan._make_request = ask_environment_first  # type: ignore[method-assign]


async def start(
    connection: asyncssh.SSHClientConnection, command: str, environment: dict[str, str], extra: dict[str, str]
) -> Process:
    """Starts a command on a machine.

    Raises:
        ProviderError: the server refuses a variable of `environment`; it may refuse those of `extra`.
    """
    _, process = await connection.create_session(lambda: Process(environment, extra), command, encoding=None)
    assert isinstance(process, Process)  # noqa: S101 - for the type checker
    return process


async def copy(connection: asyncssh.SSHClientConnection, source: Properties, remote_path: str) -> None:
    """Copies an asset or archive to a machine.

    A folder lands in `remote_path`, under its own name, or, where its path ends in a slash, what is in it does. A file
    lands in `remote_path` if that is a folder, and is called so if it is not. Folders on the way are made.

    Raises:
        ProviderError: a text is to be copied to a folder.
    """
    async with connection.start_sftp_client() as sftp:
        if "text" in source:
            if await sftp.isdir(remote_path):
                text = "is a directory; when using a text asset, remotePath must be a file path"
                raise ProviderError(f"remote path {remote_path} {text}")
            await sftp.makedirs(PurePosixPath(remote_path).parent, exist_ok=True)
            async with sftp.open(remote_path, "wb") as file:
                await file.write(source["text"].encode())
            return
        path = source["path"]
        if Path(path).is_dir():
            await sftp.makedirs(remote_path, exist_ok=True)
            what = sorted(Path(path).iterdir()) if path.endswith("/") else [Path(path)]
        else:
            await sftp.makedirs(PurePosixPath(remote_path).parent, exist_ok=True)
            what = [Path(path)]
        for each in what:
            await sftp.put(each, remote_path, recurse=True, follow_symlinks=True)


async def _dial(settings: Properties, tunnel: asyncssh.SSHClientConnection | None) -> asyncssh.SSHClientConnection:
    limit = settings.get("dialErrorLimit", 10)
    pause, failed = _FIRST_PAUSE, 0
    async with _agent_keys(settings) as agent_keys:
        options = _options(settings, agent_keys)
        while True:
            try:
                return await asyncssh.connect(settings["host"], tunnel=tunnel, options=options)
            except (OSError, asyncssh.Error) as error:
                failed += 1
                if 0 < limit <= failed:
                    raise ProviderError(f"after {failed} failed attempts: {_reason(settings, error)}") from None
            await asyncio.sleep(pause)
            pause = min(pause * _PAUSE_GROWTH, _LONGEST_PAUSE)


@asynccontextmanager
async def _agent_keys(settings: Properties) -> AsyncIterator[Sequence[asyncssh.SSHKeyPair]]:
    """Yields the keys of the SSH agent, as long as it is connected, where a connection has no login key of its own.

    Raises:
        ProviderError: the agent does not answer.
    """
    path = settings.get("agentSocketPath") or os.environ.get("SSH_AUTH_SOCK")
    if settings.get("privateKey") or not path:
        yield []
        return
    try:
        async with await asyncssh.connect_agent(path) as agent:
            yield await agent.get_keys()
    except (OSError, ValueError) as error:
        raise ProviderError(f"{settings['host']}: the SSH agent at {path} does not answer: {error}") from None


def _options(settings: Properties, agent_keys: Sequence[asyncssh.SSHKeyPair]) -> asyncssh.SSHClientConnectionOptions:
    """Returns how to connect; the user's own SSH configuration and known hosts play no part in it."""
    host_key = settings.get("hostKey")
    private_key = settings.get("privateKey")
    patience = settings.get("perDialTimeout", 15)
    try:
        return asyncssh.SSHClientConnectionOptions(
            config=None,
            port=int(settings.get("port", 22)),
            username=settings.get("user", "root"),
            password=settings.get("password"),
            # An empty list would mean the user's own keys.
            client_keys=[asyncssh.import_private_key(private_key, settings.get("privateKeyPassword"))]
            if private_key
            else agent_keys or None,
            agent_path=None,
            known_hosts=([asyncssh.import_public_key(host_key)], [], []) if host_key else None,
            # A server that accepts the connection and then says nothing counts as a failed attempt, too.
            connect_timeout=patience or None,
            # One that says nothing any more, whether it is gone or hangs, counts as gone after three such times.
            keepalive_interval=patience,
            keepalive_count_max=3,
        )
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise ProviderError(f"{settings['host']}: privateKey or hostKey cannot be used: {error}") from None


def _reason(settings: Properties, error: Exception) -> str:
    target = f"dial tcp {settings['host']}:{settings.get('port', 22)}"
    match error:
        case asyncssh.HostKeyNotVerifiable():
            return "ssh: handshake failed: ssh: host key mismatch"
        case asyncssh.PermissionDenied():
            return f"ssh: handshake failed: ssh: unable to authenticate: {error.reason}"
        case TimeoutError():
            return f"{target}: i/o timeout"
        case ConnectionRefusedError():
            return f"{target}: connect: connection refused"
        case _:
            return f"{target}: {error}"
