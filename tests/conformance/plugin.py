"""A provider plugin, started and asked as the Pulumi engine does it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from pulumi.runtime import proto
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2_grpc

from sandbox import layout
from tests.conftest import ROOT

FALLBACKS = ROOT / "sandbox" / "plugins" / "bin"
STACK = "urn:pulumi:test::conformance"

Answer = dict[str, Any]
"""A message of the protocol in its JSON form: what has its default value, such as the change `ADD`, is not in it."""
Values = dict[str, Any]


class RefusedError(Exception):
    """A call ended with an error, whose message the user reads."""

    def __init__(self, error: grpc.RpcError) -> None:
        assert isinstance(error, grpc.Call)
        super().__init__(error.details())


class Engine(engine_pb2_grpc.EngineServicer):
    """The engine's side: takes what a plugin logs."""

    def Log(self, _request: engine_pb2.LogRequest, _context: object) -> Empty:  # noqa: N802 - the protocol's name
        return Empty()


class Plugin:
    """One running plugin; every call returns the answer in its JSON form, or raises `RefusedError`."""

    def __init__(self, stub: provider_pb2_grpc.ResourceProviderStub) -> None:
        self._stub = stub

    def call(self, method: str, message: type[Message], **fields: Any) -> Answer:
        """Calls a method with a message that has these fields."""
        request = json_format.ParseDict(fields, message())
        try:
            return json_format.MessageToDict(getattr(self._stub, method)(request))
        except grpc.RpcError as error:
            raise RefusedError(error) from None

    def configure(self, **settings: Any) -> Answer:
        return self.call(
            "Configure",
            proto.ConfigureRequest,
            args=settings,
            acceptSecrets=True,
            acceptResources=True,
            sendsOldInputs=True,
            sendsOldInputsToDelete=True,
        )

    def check_config(self, settings: Values) -> Answer:
        """Checks the provider's settings."""
        return self.call("CheckConfig", proto.CheckRequest, news=settings)

    def diff_config(self, old: Values, new: Values) -> Answer:
        """Compares the provider's settings with earlier ones."""
        return self.call("DiffConfig", proto.DiffRequest, olds=old, oldInputs=old, news=new)

    def resource(self, token: str, name: str) -> "Resource":
        """Returns a resource by its type token, such as `command:local:Command`, and its name in the program."""
        return Resource(self, token, name)


class Resource:
    """One resource of a program, and what can be asked about it."""

    def __init__(self, plugin: Plugin, token: str, name: str) -> None:
        self._plugin = plugin
        self._fields = {"urn": f"{STACK}::{token}::{name}", "name": name, "type": token}

    def check(self, news: Values, olds: Values | None = None) -> Answer:
        return self._call("Check", proto.CheckRequest, olds=olds or {}, news=news)

    def inputs(self, news: Values, olds: Values | None = None) -> Values:
        """Returns checked inputs; nothing may be wrong with them."""
        answer = self.check(news, olds)
        assert "failures" not in answer
        inputs: Values = answer["inputs"]
        return inputs

    def diff(self, old_inputs: Values, news: Values, outputs: Values | None = None, resource_id: str = "id") -> Answer:
        """Compares inputs; what is known of the resource are its inputs where no outputs are given."""
        olds = old_inputs if outputs is None else outputs
        return self._call("Diff", proto.DiffRequest, id=resource_id, olds=olds, oldInputs=old_inputs, news=news)

    def create(self, inputs: Values, *, preview: bool = False, timeout: float = 0) -> Answer:
        return self._call("Create", proto.CreateRequest, properties=inputs, preview=preview, timeout=timeout)

    def read(self, resource_id: str, outputs: Values | None = None, inputs: Values | None = None) -> Answer:
        """Reads the resource; without outputs and inputs it is being imported."""
        return self._call("Read", proto.ReadRequest, id=resource_id, properties=outputs or {}, inputs=inputs or {})

    def update(self, made: Answer, old_inputs: Values, news: Values, *, preview: bool = False) -> Answer:
        """Updates what `create` or `read` answered."""
        return self._call(
            "Update",
            proto.UpdateRequest,
            id=made["id"],
            olds=made["properties"],
            oldInputs=old_inputs,
            news=news,
            preview=preview,
        )

    def delete(self, made: Answer, timeout: float = 0) -> Answer:
        """Deletes what `create` or `read` answered."""
        return self._call("Delete", proto.DeleteRequest, id=made["id"], properties=made["properties"], timeout=timeout)

    def _call(self, method: str, message: type[Message], **fields: Any) -> Answer:
        return self._plugin.call(method, message, **fields, **self._fields)


def program(package: str) -> Path:
    """Returns the plugin to ask: the fallback if there is one, else (or with PLUGINS=official) the official one."""
    name = f"pulumi-resource-{package}"
    fallback = FALLBACKS / name
    if fallback.exists() and os.environ.get("PLUGINS") != "official":
        return fallback
    wanted = version(f"pulumi-{package}")
    installed = layout.PULUMI_HOME / "plugins" / f"resource-{package}-v{wanted}" / name
    for found in (shutil.which(name), shutil.which(installed)):
        if found and FALLBACKS not in Path(found).resolve().parents:
            return Path(found)
    pytest.fail(f"no official {name}: pulumi plugin install resource {package} {wanted}, and add its folder to PATH")


@contextmanager
def start(package: str) -> Iterator[Plugin]:
    """Starts a plugin; nothing of it is left in the end."""
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    engine_pb2_grpc.add_EngineServicer_to_server(Engine(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    process = subprocess.Popen(
        [program(package), f"127.0.0.1:{port}"],
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        address = f"127.0.0.1:{process.stdout.readline().strip()}"
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        with grpc.insecure_channel(address, options=unlimited) as channel:
            yield Plugin(provider_pb2_grpc.ResourceProviderStub(channel))
    finally:
        process.kill()
        process.communicate()
        server.stop(grace=None)
