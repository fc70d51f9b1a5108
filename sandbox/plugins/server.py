"""Serves a provider to the Pulumi engine.

This sits on the gRPC stubs of the SDK and not on its `pulumi.provider.experimental` server, because that one puts a
Python traceback into every error message, does not pass the old inputs to `diff`, and logs nothing to the engine; the
official plugins do otherwise.
"""

import asyncio
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.protobuf import empty_pb2
from google.protobuf.message import Message
from pulumi.runtime import proto
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2_grpc

from sandbox.plugins import rpc
from sandbox.plugins.values import Properties, decode_properties, encode_properties

_BLOCKING_CALLS = 64
"""How many blocking calls run at once; the engine's own limit, `--parallel`, is usually far lower."""


class ProviderError(Exception):
    """An operation failed for a reason that the user must read; the message is shown as it is."""


@dataclass(frozen=True)
class Urn:
    """The identity of a resource in its stack."""

    text: str

    @property
    def type(self) -> str:
        """The type token, without the types of the parents."""
        return self.text.split("::")[2].rsplit("$", 1)[-1]

    @property
    def name(self) -> str:
        """The name of the resource in the program."""
        return self.text.split("::", 3)[3]


class Change(IntEnum):
    """What happens to one property; the numbers are those of the protocol."""

    ADD = 0
    DELETE = 2
    UPDATE = 4


@dataclass(frozen=True)
class Difference:
    """The answer of `diff`.

    Attributes:
        changed: whether there is any change at all.
        replaces: paths of the properties that force a replacement.
        properties: names of the changed properties.
        detailed: each changed path with its change, or None where the plugin leaves the details to the engine.
    """

    changed: bool
    replaces: list[str] = field(default_factory=list)
    properties: list[str] = field(default_factory=list)
    detailed: dict[str, Change] | None = None


@dataclass(frozen=True)
class Current:
    """The answer of `read`: what exists now."""

    resource_id: str
    outputs: Properties
    inputs: Properties


@dataclass(frozen=True)
class Call:
    """What the engine asks for.

    Attributes:
        urn: the resource.
        resource_id: its id; empty as long as it has none.
        preview: whether nothing may be changed.
        timeout: seconds that the operation may take; 0 means what is usual for the type.
    """

    urn: Urn
    resource_id: str = ""
    preview: bool = False
    timeout: float = 0


class ResourceType(ABC):
    """How the resources of one type are checked, compared, made and deleted.

    Every operation raises `ProviderError` where it fails.
    """

    @abstractmethod
    async def check(self, call: Call, old: Properties, new: Properties) -> tuple[Properties, list[str]]:
        """Returns the inputs with defaults filled in, and what is wrong with them."""

    @abstractmethod
    async def diff(self, call: Call, outputs: Properties, old: Properties, new: Properties) -> Difference:
        """Compares the last known outputs and inputs of a resource with its new inputs."""

    @abstractmethod
    async def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        """Makes a resource and returns its id and its outputs; a preview says what they would be."""

    @abstractmethod
    async def read(self, call: Call, outputs: Properties, inputs: Properties) -> Current:
        """Returns what exists under an id; without outputs and inputs the resource is being imported."""

    @abstractmethod
    async def update(self, call: Call, outputs: Properties, new: Properties) -> Properties:
        """Changes a resource in place and returns its outputs; a preview says what they would be."""

    @abstractmethod
    async def delete(self, call: Call, outputs: Properties) -> None:
        """Deletes a resource; one that does not exist any more is no error."""


class Log:
    """Writes to the user's screen, under a resource."""

    def __init__(self, engine: engine_pb2_grpc.EngineStub) -> None:
        self._engine = engine

    async def info(self, urn: Urn, message: str) -> None:
        """Adds a line that stays."""
        await self._log(engine_pb2.INFO, urn, message)

    async def warning(self, urn: Urn, message: str) -> None:
        """Adds a warning."""
        await self._log(engine_pb2.WARNING, urn, message)

    async def _log(self, severity: engine_pb2.LogSeverity.ValueType, urn: Urn, message: str) -> None:
        request = engine_pb2.LogRequest(severity=severity, urn=urn.text, message=message)
        # The stub's types know blocking channels only.
        await self._engine.Log(request)  # type: ignore[misc]


class Provider(ABC):
    """One provider plugin.

    Attributes:
        package: the name of its package, as in `pulumi-<package>`.
        accepts_secrets: whether property values come with secret markers; without, the engine itself marks those
            outputs secret whose inputs are.
        log: where its resources write to.
    """

    package: str
    accepts_secrets = True
    log: Log

    @abstractmethod
    def resource_type(self, token: str) -> ResourceType:
        """Returns how a type is handled; raises `ProviderError` for one that this plugin does not know."""

    async def check_config(self, config: Properties) -> Properties:
        """Returns the provider's settings as they go into the state."""
        return config

    def refuse(self, token: str) -> NoReturn:
        """Raises the error for a type or a function that this plugin does not know."""
        raise ProviderError(
            f"{token}: this plugin stands in for the official one where that cannot be downloaded, and does not know "
            f"it; {self.advice()}"
        )

    def advice(self) -> str:
        """Returns what to do where this plugin is not enough."""
        version = package_version(self.package)
        return f"install the official one: pulumi plugin install resource {self.package} {version}"


def package_version(package: str) -> str:
    """Returns the version of the installed Python package of a provider, which is also its plugin's."""
    from importlib.metadata import version  # noqa: PLC0415 - slow to import, and only needed here

    return version(f"pulumi-{package}")


Handler = Callable[["_Servicer", Any, rpc.Context], Awaitable[Any]]


def _operation(handler: Handler) -> Handler:
    """Turns the errors of an operation into those of the protocol, and lets `Cancel` end it."""

    async def run(self: "_Servicer", request: Message, context: rpc.Context) -> Any:  # noqa: ANN401 - the handler's
        task = asyncio.ensure_future(handler(self, request, context))
        self.running.add(task)
        try:
            return await task
        except ProviderError as error:
            return await context.abort(grpc.StatusCode.UNKNOWN, str(error))
        except asyncio.CancelledError:
            return await context.abort(grpc.StatusCode.CANCELLED, "the operation was cancelled")
        finally:
            self.running.discard(task)

    return run


class _Servicer(proto.ResourceProviderServicer):
    """Translates between the protocol and a provider."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.running: set[asyncio.Future[Any]] = set()

    async def GetPluginInfo(self, _request: empty_pb2.Empty, _context: object) -> proto.PluginInfo:  # noqa: N802
        return proto.PluginInfo(version=package_version(self.provider.package))

    async def GetSchema(self, _request: proto.GetSchemaRequest, context: rpc.Context) -> proto.GetSchemaResponse:  # noqa: N802
        return await context.abort(
            grpc.StatusCode.UNIMPLEMENTED,
            f"this plugin stands in for the official one where that cannot be downloaded, and has no schema to write "
            f"code from; {self.provider.advice()}",
        )

    async def Cancel(self, _request: empty_pb2.Empty, _context: object) -> empty_pb2.Empty:  # noqa: N802
        for task in self.running:
            task.cancel()
        return empty_pb2.Empty()

    @_operation
    async def CheckConfig(self, request: proto.CheckRequest, _context: object) -> proto.CheckResponse:  # noqa: N802
        checked = await self.provider.check_config(decode_properties(request.news))
        return proto.CheckResponse(inputs=encode_properties(checked))

    async def DiffConfig(self, _request: proto.DiffRequest, _context: object) -> proto.DiffResponse:  # noqa: N802
        return proto.DiffResponse()

    async def Configure(self, _request: proto.ConfigureRequest, _context: object) -> proto.ConfigureResponse:  # noqa: N802
        return proto.ConfigureResponse(acceptSecrets=self.provider.accepts_secrets, supportsPreview=True)

    @_operation
    async def Invoke(self, request: proto.InvokeRequest, _context: object) -> proto.InvokeResponse:  # noqa: N802
        return self.provider.refuse(request.tok)

    @_operation
    async def Check(self, request: proto.CheckRequest, _context: object) -> proto.CheckResponse:  # noqa: N802
        call = Call(Urn(request.urn))
        olds, news = decode_properties(request.olds), decode_properties(request.news)
        inputs, failures = await self._type_of(call).check(call, olds, news)
        return proto.CheckResponse(
            inputs=encode_properties(inputs), failures=[proto.CheckFailure(reason=reason) for reason in failures]
        )

    @_operation
    async def Diff(self, request: proto.DiffRequest, _context: object) -> proto.DiffResponse:  # noqa: N802
        call = Call(Urn(request.urn), request.id)
        outputs, old, new = map(decode_properties, (request.olds, request.old_inputs, request.news))
        return _diff_response(await self._type_of(call).diff(call, outputs, old, new))

    @_operation
    async def Create(self, request: proto.CreateRequest, _context: object) -> proto.CreateResponse:  # noqa: N802
        call = Call(Urn(request.urn), preview=request.preview, timeout=request.timeout)
        resource_id, outputs = await self._type_of(call).create(call, decode_properties(request.properties))
        return proto.CreateResponse(id=resource_id, properties=encode_properties(outputs))

    @_operation
    async def Read(self, request: proto.ReadRequest, _context: object) -> proto.ReadResponse:  # noqa: N802
        call = Call(Urn(request.urn), request.id)
        outputs, inputs = decode_properties(request.properties), decode_properties(request.inputs)
        current = await self._type_of(call).read(call, outputs, inputs)
        return proto.ReadResponse(
            id=current.resource_id,
            properties=encode_properties(current.outputs),
            inputs=encode_properties(current.inputs),
        )

    @_operation
    async def Update(self, request: proto.UpdateRequest, _context: object) -> proto.UpdateResponse:  # noqa: N802
        call = Call(Urn(request.urn), request.id, request.preview, request.timeout)
        outputs, news = decode_properties(request.olds), decode_properties(request.news)
        return proto.UpdateResponse(properties=encode_properties(await self._type_of(call).update(call, outputs, news)))

    @_operation
    async def Delete(self, request: proto.DeleteRequest, _context: object) -> empty_pb2.Empty:  # noqa: N802
        call = Call(Urn(request.urn), request.id, timeout=request.timeout)
        await self._type_of(call).delete(call, decode_properties(request.properties))
        return empty_pb2.Empty()

    def _type_of(self, call: Call) -> ResourceType:
        return self.provider.resource_type(call.urn.type)


def _diff_response(difference: Difference) -> proto.DiffResponse:
    detailed = {
        path: proto.PropertyDiff(kind=change.value)  # type: ignore[arg-type]
        for path, change in (difference.detailed or {}).items()
    }
    return proto.DiffResponse(
        changes=proto.DiffResponse.DIFF_SOME if difference.changed else proto.DiffResponse.DIFF_NONE,
        replaces=difference.replaces,
        diffs=difference.properties,
        detailedDiff=detailed,
        hasDetailedDiff=difference.detailed is not None,
    )


def serve(provider: Provider) -> None:
    """Serves a provider until the engine ends this process; the first argument of the command line is the engine."""
    asyncio.run(_serve(provider, sys.argv[1]))


async def _serve(provider: Provider, engine: str) -> None:
    with ThreadPoolExecutor(_BLOCKING_CALLS) as threads:
        asyncio.get_running_loop().set_default_executor(threads)
        async with grpc.aio.insecure_channel(engine, options=rpc.CHANNEL_OPTIONS) as channel:
            provider.log = Log(engine_pb2_grpc.EngineStub(channel))
            servicer = _Servicer(provider)
            await rpc.serve(lambda server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server))
