"""The `command` provider: commands that run on a machine over SSH, or here, and files copied to a machine."""

import asyncio
import codecs
import contextlib
import json
import os
import secrets
import signal
from abc import abstractmethod
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable

from sandbox.plugins import connection
from sandbox.plugins.compare import changed_paths, property_name
from sandbox.plugins.masking import Mask
from sandbox.plugins.server import (
    Call,
    Current,
    Difference,
    Log,
    Provider,
    ProviderError,
    ResourceType,
    Urn,
    package_version,
)
from sandbox.plugins.values import UNKNOWN, Json, Properties, is_archive, is_asset, reveal

_SHOWN = {None: ("stdout", "stderr"), "stdoutAndStderr": ("stdout", "stderr"), "none": ()}
_CHUNK_BYTES = 65536
_LIBRARY = {"__pulumi-go-provider-version": "v1.5.0"}
"""A setting that the official plugin adds: without it the provider would be updated whenever the other one runs."""
_COMMANDS = {"create", "update", "delete", "triggers", "environment", "stdin", "logging", "addPreviousOutputInEnv"}


class CommandProvider(Provider):
    """Knows `command:remote:Command`, `command:remote:CopyToRemote` and `command:local:Command`."""

    package = "command"

    async def check_config(self, config: Properties) -> Properties:
        """Returns the provider's settings as the official plugin completes them."""
        return config | _LIBRARY

    def resource_type(self, token: str) -> ResourceType:
        """Returns how a type is handled."""
        match token:
            case "command:remote:Command":
                return _RemoteCommand(self.log)
            case "command:remote:CopyToRemote":
                return _CopyToRemote()
            case "command:local:Command":
                return _LocalCommand(self.log)
            case _:
                return self.refuse(token)


class Output:
    """What a command has written so far; each line is also shown to the user, unless its stream is hidden."""

    def __init__(self, show: Callable[[str], Awaitable[None]], logging: str | None) -> None:
        self._show = show
        self._shown = _SHOWN.get(logging, (logging,))
        self.streams = {"stdout": "", "stderr": ""}
        self.combined = ""

    async def take(self, stream: str, read: Callable[[int], Awaitable[bytes]]) -> None:
        """Takes in a stream until it ends."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        unfinished, chunk = "", b"not read yet"
        while chunk:
            chunk = await read(_CHUNK_BYTES)
            text = decoder.decode(chunk, final=not chunk)
            self.streams[stream] += text
            self.combined += text
            *lines, unfinished = (unfinished + text).split("\n")
            if not chunk and unfinished:
                lines.append(unfinished)
            if stream in self._shown:
                for line in lines:
                    await self._show(line)


class _Type(ResourceType):
    """What all types have in common.

    Attributes:
        fields: the names of the inputs; a program's others are dropped.
    """

    fields: frozenset[str]

    async def check(self, call: Call, old: Properties, new: Properties) -> tuple[Properties, list[str]]:  # noqa: ARG002
        known = {name: value for name, value in new.items() if name in self.fields}
        if "connection" in known:
            known["connection"] = connection.check(known["connection"])
        return known, list(self.problems(reveal(known)))

    def problems(self, inputs: Properties) -> list[str]:  # noqa: ARG002 - for the overriding ones
        """Returns what is wrong with inputs, which come without secret markers."""
        return []

    async def diff(self, call: Call, outputs: Properties, old: Properties, new: Properties) -> Difference:  # noqa: ARG002
        paths = changed_paths(reveal(old), reveal(new))
        names = sorted({property_name(path) for path in paths})
        return Difference(bool(paths), properties=names, detailed=paths)

    async def read(self, call: Call, outputs: Properties, inputs: Properties) -> Current:
        if not outputs:
            raise ProviderError(f"{call.urn.type} {call.urn.name}: it cannot be imported, only run")
        return Current(call.resource_id, outputs, inputs)


class _Command(_Type):
    """What commands have in common, wherever they run."""

    def __init__(self, log: Log) -> None:
        self.log = log

    @abstractmethod
    async def run(self, urn: Urn, command: str, inputs: Properties, previous: dict[str, str], output: Output) -> str:
        """Runs a command with inputs (without secret markers), and with the previous output as environment.

        Returns how it failed, or nothing.
        """

    async def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        resource_id = call.urn.name + secrets.token_hex(4)
        if call.preview:
            return resource_id, _unknown_output(inputs)
        return resource_id, inputs | await self._run("create", call, inputs, {})

    async def update(self, call: Call, outputs: Properties, new: Properties) -> Properties:
        if call.preview:
            return _unknown_output(new)
        return new | await self._run("update" if "update" in new else "create", call, new, outputs)

    async def delete(self, call: Call, outputs: Properties) -> None:
        await self._run("delete", call, outputs, outputs)

    async def _run(self, which: str, call: Call, inputs: Properties, before: Properties) -> Properties:
        """Runs one of the commands of a resource and returns its output; without a command the output stays."""
        plain, last = reveal(inputs), {stream: reveal(before.get(stream) or "") for stream in ("stdout", "stderr")}
        command = plain.get(which)
        if command is None:
            return last
        mask = Mask(inputs, before)
        output = Output(lambda line: self.log.info(call.urn, mask(line)), plain.get("logging"))
        previous = {f"PULUMI_COMMAND_{stream.upper()}": text for stream, text in last.items() if text}
        if not plain.get("addPreviousOutputInEnv", True):
            previous = {}
        try:
            async with asyncio.timeout(call.timeout or None):
                failure = await self.run(call.urn, command, plain, previous, output)
        except TimeoutError:
            failure = f"not finished after {call.timeout:g} seconds"
        if failure:
            quoted = json.dumps(mask(command), ensure_ascii=False)
            raise ProviderError(f"{failure}: running {quoted}:\n{mask(output.combined)}")
        return {stream: text.removesuffix("\n") for stream, text in output.streams.items()}


class _RemoteCommand(_Command):
    fields = frozenset({*_COMMANDS, "connection"})

    async def run(self, urn: Urn, command: str, inputs: Properties, previous: dict[str, str], output: Output) -> str:
        # Importing it is half of this plugin's start-up time, and a run that changes nothing connects nowhere.
        from sandbox.plugins import ssh  # noqa: PLC0415

        async with ssh.connect(inputs["connection"]) as machine:
            process = await ssh.start(machine, command, inputs.get("environment") or {}, previous)
            if process.refused:
                names = ", ".join(process.refused)
                text = f"{names}: refused by the SSH server; its AcceptEnv or addPreviousOutputInEnv=False mends that"
                await self.log.warning(urn, text)
            # A command that has ended already reads nothing.
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write((inputs.get("stdin") or "").encode())
                process.stdin.write_eof()
            await asyncio.gather(output.take("stdout", process.stdout.read), output.take("stderr", process.stderr.read))
            await process.wait_closed()
        if process.exit_signal:
            return f"Process exited with signal {process.exit_signal[0]}"
        if process.exit_status is None:
            return "wait: remote command exited without exit status or exit signal"
        return f"Process exited with status {process.exit_status}" if process.exit_status else ""


class _LocalCommand(_Command):
    fields = frozenset({*_COMMANDS, "interpreter", "dir", "assetPaths", "archivePaths"})

    def problems(self, inputs: Properties) -> list[str]:
        return [
            f"{name}: this plugin stands in for the official one and does not know it; install the official one: "
            f"pulumi plugin install resource command {package_version('command')}"
            for name in ("assetPaths", "archivePaths")
            if name in inputs
        ]

    async def run(self, urn: Urn, command: str, inputs: Properties, previous: dict[str, str], output: Output) -> str:  # noqa: ARG002
        interpreter = inputs.get("interpreter") or ["/bin/sh", "-c"]
        try:
            process = await asyncio.create_subprocess_exec(
                *interpreter,
                command,
                cwd=inputs.get("dir"),
                env=os.environ | (inputs.get("environment") or {}) | previous,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                process_group=0,
            )
        except OSError as error:
            return f"{error.filename or interpreter[0]}: {error.strerror}"
        assert process.stdin and process.stdout and process.stderr  # noqa: S101, PT018 - they were asked for
        try:
            process.stdin.write((inputs.get("stdin") or "").encode())
            process.stdin.write_eof()
            await asyncio.gather(output.take("stdout", process.stdout.read), output.take("stderr", process.stderr.read))
            status = await process.wait()
        except BaseException:
            # What the shell has started goes with it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
        if status < 0:
            return f"signal: {signal.strsignal(-status)}".lower()
        return f"exit status {status}" if status else ""


class _CopyToRemote(_Type):
    fields = frozenset({"connection", "remotePath", "source", "triggers"})

    def problems(self, inputs: Properties) -> list[str]:
        source: Json = inputs.get("source")
        if source == UNKNOWN:
            return []
        if is_asset(source):
            fits = "path" in source or "text" in source
            return [] if fits else ["asset must be a path-based file asset or a text asset"]
        if is_archive(source):
            return [] if "path" in source else ["archive must be a path to a file or directory"]
        return ["either asset or archive must be set"]

    async def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        if call.preview:
            return "", inputs
        await self._copy(call, inputs)
        return secrets.token_hex(4), inputs

    async def update(self, call: Call, outputs: Properties, new: Properties) -> Properties:
        if not call.preview and _destination(outputs) != _destination(new):
            await self._copy(call, new)
        return new

    async def delete(self, call: Call, outputs: Properties) -> None:
        """Does nothing: what was copied stays."""

    async def _copy(self, call: Call, inputs: Properties) -> None:
        from sandbox.plugins import ssh  # noqa: PLC0415 - as above

        plain = reveal(inputs)
        try:
            async with asyncio.timeout(call.timeout or None), ssh.connect(plain["connection"]) as machine:
                await ssh.copy(machine, plain["source"], plain["remotePath"])
        except TimeoutError:
            raise ProviderError(f"{plain['remotePath']}: not copied after {call.timeout:g} seconds") from None


def _destination(properties: Properties) -> tuple[object, ...]:
    """Returns what is copied, and where to: a change of the rest, such as another login key, copies nothing."""
    plain = reveal(properties)
    machine = plain["connection"]
    return plain["source"]["hash"], plain["remotePath"], machine["host"], machine.get("port")


def _unknown_output(inputs: Properties) -> Properties:
    return inputs | {"stdout": UNKNOWN, "stderr": UNKNOWN}
