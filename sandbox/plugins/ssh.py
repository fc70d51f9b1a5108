"""Connections to machines over SSH, as the `connection` property of a command describes them."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncssh

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


async def _dial(settings: Properties, tunnel: asyncssh.SSHClientConnection | None) -> asyncssh.SSHClientConnection:
    limit = settings.get("dialErrorLimit", 10)
    options = _options(settings)
    pause, failed = _FIRST_PAUSE, 0
    while True:
        try:
            return await asyncssh.connect(settings["host"], tunnel=tunnel, options=options)
        except (OSError, asyncssh.Error) as error:
            failed += 1
            if 0 < limit <= failed:
                raise ProviderError(f"after {failed} failed attempts: {_reason(settings, error)}") from None
        await asyncio.sleep(pause)
        pause = min(pause * _PAUSE_GROWTH, _LONGEST_PAUSE)


def _options(settings: Properties) -> asyncssh.SSHClientConnectionOptions:
    """Returns how to connect; the user's own SSH configuration and known hosts play no part in it."""
    host_key = settings.get("hostKey")
    private_key = settings.get("privateKey")
    try:
        return asyncssh.SSHClientConnectionOptions(
            config=None,
            port=int(settings.get("port", 22)),
            username=settings.get("user", "root"),
            password=settings.get("password"),
            client_keys=[asyncssh.import_private_key(private_key, settings.get("privateKeyPassword"))]
            if private_key
            else None,
            agent_path=None if private_key else settings.get("agentSocketPath", os.environ.get("SSH_AUTH_SOCK")),
            known_hosts=([asyncssh.import_public_key(host_key)], [], []) if host_key else None,
            # A server that accepts the connection and then says nothing counts as a failed attempt, too.
            connect_timeout=settings.get("perDialTimeout", 15) or None,
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
