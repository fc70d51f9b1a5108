"""The `command` provider: commands that run on a machine over SSH, or here."""

import asyncio
import json
import os
import secrets
import signal
from abc import abstractmethod
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterable

from sandbox.plugins.compare import changed_paths
from sandbox.plugins.server import Call, Current, Difference, Log, Provider, ProviderError, ResourceType, Urn
from sandbox.plugins.values import UNKNOWN, Json, Properties, is_secret, reveal, secret

_CREDENTIALS = ("password", "privateKey", "privateKeyPassword")
_SHOWN = {None: ("stdout", "stderr"), "stdoutAndStderr": ("stdout", "stderr"), "none": ()}


class CommandProvider(Provider):
    """Knows `command:remote:Command` and `command:local:Command`."""

    package = "command"

    def resource_type(self, token: str) -> ResourceType:
        """Returns how a type is handled."""
        match token:
            case "command:remote:Command":
                return _RemoteCommand(self.log)
            case "command:local:Command":
                return _LocalCommand(self.log)
            case _:
                return self.refuse(token)


class Output:
    """What a command has written so far; each line is also shown to the user, unless its stream is hidden."""

    def __init__(self, log: Log, urn: Urn, logging: str | None) -> None:
        self._log = log
        self._urn = urn
        self._shown = _SHOWN.get(logging, (logging,))
        self.streams = {"stdout": "", "stderr": ""}
        self.combined = ""

    async def take(self, stream: str, lines: AsyncIterable[str | bytes]) -> None:
        """Takes in the lines of a stream until it ends."""
        async for line in lines:
            text = line.decode(errors="replace") if isinstance(line, bytes) else line
            self.streams[stream] += text
            self.combined += text
            if stream in self._shown:
                await self._log.info(self._urn, text.removesuffix("\n"))


class _Command(ResourceType):
    """What commands have in common, wherever they run."""

    def __init__(self, log: Log) -> None:
        self._log = log

    @abstractmethod
    async def run(self, command: str, inputs: Properties, environment: dict[str, str], output: Output) -> str | None:
        """Runs a command; returns how it failed, or None. The inputs come without secret markers."""

    async def check(self, call: Call, old: Properties, new: Properties) -> tuple[Properties, list[str]]:  # noqa: ARG002
        if "connection" not in new:
            return new, []
        return new | {"connection": _hide_credentials(new["connection"])}, []

    async def diff(self, call: Call, outputs: Properties, old: Properties, new: Properties) -> Difference:  # noqa: ARG002
        paths = changed_paths(reveal(old), reveal(new))
        names = [name for name in sorted(old.keys() | new.keys()) if reveal(old.get(name)) != reveal(new.get(name))]
        return Difference(bool(paths), properties=names, detailed=paths)

    async def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        resource_id = call.urn.name + secrets.token_hex(4)
        if call.preview:
            return resource_id, _unknown_output(inputs)
        return resource_id, inputs | await self._run("create", call, inputs, {})

    async def read(self, call: Call, outputs: Properties, inputs: Properties) -> Current:
        if not outputs:
            raise ProviderError(f"{call.urn.type} {call.urn.name}: a command cannot be imported, only run")
        return Current(call.resource_id, outputs, inputs)

    async def update(self, call: Call, outputs: Properties, new: Properties) -> Properties:
        if call.preview:
            return _unknown_output(new)
        return new | await self._run("update" if "update" in new else "create", call, new, outputs)

    async def delete(self, call: Call, outputs: Properties) -> None:
        await self._run("delete", call, outputs, outputs)

    async def _run(self, which: str, call: Call, inputs: Properties, previous: Properties) -> Properties:
        """Runs one of the commands of a resource and returns its output, with the previous output at hand."""
        plain, before = reveal(inputs), reveal(previous)
        environment = dict(plain.get("environment") or {})
        if plain.get("addPreviousOutputInEnv", True):
            names = {"PULUMI_COMMAND_STDOUT": "stdout", "PULUMI_COMMAND_STDERR": "stderr"}
            environment |= {name: before[stream] for name, stream in names.items() if stream in before}
        output = Output(self._log, call.urn, plain.get("logging"))
        command = plain.get(which)
        if command is not None:
            try:
                async with asyncio.timeout(call.timeout or None):
                    failure = await self.run(command, plain, environment, output)
            except TimeoutError:
                failure = f"not finished after {call.timeout:g} seconds"
            if failure is not None:
                quoted = json.dumps(command, ensure_ascii=False)
                raise ProviderError(f"{failure}: running {quoted}:\n{output.combined}")
        return {stream: text.removesuffix("\n") for stream, text in output.streams.items()}


class _RemoteCommand(_Command):
    async def run(self, command: str, inputs: Properties, environment: dict[str, str], output: Output) -> str | None:
        # Importing it is half of this plugin's start-up time, and a run that changes nothing connects nowhere.
        from sandbox.plugins import ssh  # noqa: PLC0415

        async with (
            ssh.connect(inputs["connection"]) as connection,
            connection.create_process(command, env=environment, errors="replace") as process,
        ):
            process.stdin.write(inputs.get("stdin") or "")
            process.stdin.write_eof()
            await asyncio.gather(output.take("stdout", process.stdout), output.take("stderr", process.stderr))
            result = await process.wait()
        if result.exit_signal:
            return f"Process exited with signal {result.exit_signal[0]}"
        return f"Process exited with status {result.exit_status}" if result.exit_status else None


class _LocalCommand(_Command):
    async def run(self, command: str, inputs: Properties, environment: dict[str, str], output: Output) -> str | None:
        process = await asyncio.create_subprocess_exec(
            *inputs.get("interpreter", ["/bin/sh", "-c"]),
            command,
            cwd=inputs.get("dir"),
            env=os.environ | environment,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            process_group=0,
        )
        assert process.stdin and process.stdout and process.stderr  # noqa: S101, PT018 - they were asked for
        try:
            process.stdin.write((inputs.get("stdin") or "").encode())
            process.stdin.write_eof()
            await asyncio.gather(output.take("stdout", process.stdout), output.take("stderr", process.stderr))
            status = await process.wait()
        finally:
            if process.returncode is None:
                # What the shell has started goes with it.
                os.killpg(process.pid, signal.SIGKILL)
        return f"exit status {status}" if status else None


def _hide_credentials(connection: Json) -> Json:
    """Marks the credentials in a connection, and in its proxy's, as secret."""
    if is_secret(connection):
        return secret(_hide_credentials(connection["value"]))
    if not isinstance(connection, dict):
        return connection
    hidden = {name: secret(value) if name in _CREDENTIALS else value for name, value in connection.items()}
    return hidden | ({"proxy": _hide_credentials(connection["proxy"])} if "proxy" in connection else {})


def _unknown_output(inputs: Properties) -> Properties:
    return inputs | {"stdout": UNKNOWN, "stderr": UNKNOWN}
