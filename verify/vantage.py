"""Where a question is asked from: this machine, or a node that is reached over SSH."""

import asyncio
import shlex
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import asyncssh

from verify.proof import ACT_SECONDS, Fault


class Vantage(Protocol):
    """A machine that connections start from."""

    @property
    def name(self) -> str:
        """What the report calls it."""

    async def resolve(self, host: str) -> str | None:
        """The first address of a host name as this machine knows it."""

    async def connect(self, address: str, port: int) -> None:
        """Opens and closes a TCP connection.

        Raises:
            OSError: Nobody answers there.
        """

    def way(self, address: str, port: int) -> AbstractAsyncContextManager[tuple[str, int]]:
        """Address and port that lead there from here, as long as the context lasts."""


@dataclass(frozen=True)
class Here:
    """The machine that verifies.

    Attributes:
        forced: Addresses of host names, which stand above what the name servers say.
    """

    forced: Mapping[str, str]
    name: str = "this machine"

    async def resolve(self, host: str) -> str | None:
        """The address that is forced, or the first one that the machine's resolver gives."""
        if host in self.forced:
            return self.forced[host]
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except socket.gaierror:
            return None
        return str(found[0][4][0])

    async def connect(self, address: str, port: int) -> None:
        """Opens and closes a connection from this process."""
        async with asyncio.timeout(ACT_SECONDS):
            _, writer = await asyncio.open_connection(address, port)
        writer.close()

    @asynccontextmanager
    async def way(self, address: str, port: int) -> AsyncIterator[tuple[str, int]]:
        """The place itself."""
        yield address, port


@dataclass(frozen=True)
class OnNode:
    """A node, as those who log in to it see it; its SSH server has to allow TCP forwarding.

    Attributes:
        name: The node's name.
        login: An open SSH connection.
        user: Who has logged in.
    """

    name: str
    login: asyncssh.SSHClientConnection
    user: str

    async def run(self, *command: str) -> bytes | None:
        """Standard output of a command on the node, which runs with root's rights; None if it fails."""
        as_root = command if self.user == "root" else ("sudo", "-n", *command)
        async with asyncio.timeout(ACT_SECONDS):
            done = await self.login.run(shlex.join(as_root), encoding=None, stdin=asyncssh.DEVNULL)
        return done.stdout if done.exit_status == 0 and isinstance(done.stdout, bytes) else None

    async def resolve(self, host: str) -> str | None:
        """The first address that the node's resolver gives."""
        found = await self.run("getent", "ahosts", host)
        return found.split()[0].decode() if found else None

    async def connect(self, address: str, port: int) -> None:
        """Lets the node's SSH server open and close a connection.

        Raises:
            Fault: The SSH server does not do that.
        """
        try:
            async with asyncio.timeout(ACT_SECONDS):
                _, writer = await self.login.open_connection(address, port)
        except asyncssh.ChannelOpenError as error:
            if error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
                raise Fault(
                    f"the SSH server of {self.name} forbids TCP forwarding, so nothing can be asked from there",
                    "set `AllowTcpForwarding local` in its sshd_config",
                ) from error
            raise ConnectionError(error.reason) from error
        writer.close()

    @asynccontextmanager
    async def way(self, address: str, port: int) -> AsyncIterator[tuple[str, int]]:
        """A port of this machine that the SSH connection forwards."""
        async with self.login.forward_local_port("127.0.0.1", 0, address, port) as listener:
            yield "127.0.0.1", listener.get_port()
