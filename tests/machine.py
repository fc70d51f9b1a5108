"""A machine with an SSH server, as far as remote commands and copies see it."""

import asyncio
import contextlib
import os
import signal
import threading
import time
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncssh

_CHUNK_BYTES = 65536


class Machine:
    """A running SSH server.

    Attributes:
        connection: how to connect to it, as the `connection` property says it.
        files: the folder that is its root for copies.
        open: how many connections are open now.
        loop: where the server runs.
    """

    def __init__(self, files: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.files = files
        self.loop = loop
        self.open = 0
        self._host_key = asyncssh.generate_private_key("ssh-ed25519")
        self._login_key = asyncssh.generate_private_key("ssh-ed25519")
        self._shells: set[int] = set()
        self.connection: dict[str, Any] = {}

    async def serve(self) -> asyncssh.SSHAcceptor:
        """Starts the server on a free port of this machine."""
        machine = self

        class Server(asyncssh.SSHServer):
            def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:  # noqa: ARG002
                machine.open += 1

            def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
                machine.open -= 1

            def connection_requested(self, *_: object) -> bool:
                return True

        server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=Server,
            server_host_keys=[self._host_key],
            authorized_client_keys=asyncssh.import_authorized_keys(self._login_key.export_public_key().decode()),
            process_factory=self._execute,
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(self.files).encode()),
            encoding=None,
        )
        self.connection = {
            "host": "127.0.0.1",
            "port": server.get_port(),
            "user": "root",
            "hostKey": self._host_key.export_public_key().decode().strip(),
            "privateKey": self._login_key.export_private_key().decode(),
            "dialErrorLimit": 1,
            "perDialTimeout": 5,
        }
        return server

    def wait_until_closed(self) -> None:
        """Returns when the last connection is closed."""
        deadline = time.monotonic() + 10
        while self.open:
            assert time.monotonic() < deadline, f"{self.open} connections are still open"
            time.sleep(0.05)

    async def _execute(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        shell = await asyncio.create_subprocess_shell(
            process.command or "", stdin=PIPE, stdout=PIPE, stderr=PIPE, env=dict(process.env), process_group=0
        )
        self._shells.add(shell.pid)

        async def feed() -> None:
            assert shell.stdin is not None
            with contextlib.suppress(asyncssh.Error):
                while chunk := await process.stdin.read(_CHUNK_BYTES):
                    shell.stdin.write(chunk)
                shell.stdin.close()

        async def show(reader: asyncio.StreamReader | None, writer: asyncssh.SSHWriter[bytes]) -> None:
            while reader and (chunk := await reader.read(_CHUNK_BYTES)):
                writer.write(chunk)

        feeding = asyncio.create_task(feed())
        await asyncio.gather(show(shell.stdout, process.stdout), show(shell.stderr, process.stderr))
        code = await shell.wait()
        feeding.cancel()
        self._shells.discard(shell.pid)
        if code < 0:
            process.close()
        else:
            process.exit(code)

    async def end_commands(self) -> None:
        """Ends the commands that still run: like those of sshd, they outlive their connections."""
        for shell in self._shells:
            os.killpg(shell, signal.SIGKILL)
        while self._shells:
            await asyncio.sleep(0.01)


@contextmanager
def running(files: Path) -> Iterator[Machine]:
    """Runs a machine beside the test."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    machine = Machine(files, loop)
    server = asyncio.run_coroutine_threadsafe(machine.serve(), loop).result()
    try:
        yield machine
    finally:
        asyncio.run_coroutine_threadsafe(machine.end_commands(), loop).result()
        loop.call_soon_threadsafe(server.close)
        asyncio.run_coroutine_threadsafe(server.wait_closed(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
