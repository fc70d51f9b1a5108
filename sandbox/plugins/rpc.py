"""The gRPC server that every plugin is."""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any, TypeAlias

import grpc.aio
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS as CHANNEL_OPTIONS

__all__ = ["CHANNEL_OPTIONS", "Context", "serve"]

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
"""What a gRPC method gets besides its request."""


async def serve(register: Callable[[grpc.aio.Server], None]) -> None:
    """Serves what `register` adds to the server, and tells the engine the port, until the engine ends this process."""
    stopped = asyncio.Event()
    for ending in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(ending, stopped.set)
    server = grpc.aio.server(options=CHANNEL_OPTIONS)
    register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    watching = asyncio.create_task(_wait_for_orphaning())
    await asyncio.wait((watching, asyncio.create_task(stopped.wait())), return_when=asyncio.FIRST_COMPLETED)
    await server.stop(grace=0)


async def _wait_for_orphaning() -> None:
    """Returns when the engine, which started this process, is gone: one that is killed ends no plugin."""
    engine = os.getppid()
    while os.getppid() == engine:
        await asyncio.sleep(1)
