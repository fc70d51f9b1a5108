"""The language host: starts Python programs for the engine, in the virtual environment that the project names."""

import asyncio
import json
import os
import shutil
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2
from google.protobuf.message import Message
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from sandbox.plugins import rpc
from sandbox.plugins.values import Properties, decode_properties

_EXEC = Path(__file__).resolve().parent / "bin" / "pulumi-language-python-exec"
_MESSAGE_SHOWN = 32
"""Exit code of `_EXEC` when the user has already seen what is wrong."""

_OWN_GROUP = 0
"""The engine ends its plugins with SIGINT to their process group; what they run ends when the host says so."""
_CHUNK_BYTES = 65536

_LIST_PACKAGES = """
import importlib.metadata, json
packages = []
for package in importlib.metadata.distributions():
    name, plugin = package.metadata["Name"], None
    if name.startswith("pulumi"):
        path = next((file for file in package.files or () if file.name == "pulumi-plugin.json"), None)
        plugin = path and json.loads(path.read_text())
    packages.append({"name": name, "version": package.version, "plugin": plugin})
print(json.dumps(packages))
"""
"""Runs in the program's Python, because only that one knows what is installed there."""


class EnvironmentNotUsableError(Exception):
    """The Python of the program cannot be used as it is."""


class Environment:
    """The Python that runs a program.

    It is that of `virtualenv` in the options of the runtime, else that of the active environment, else the first one
    on PATH.
    """

    def __init__(self, info: language_pb2.ProgramInfo) -> None:
        option = decode_properties(info.options).get("virtualenv")
        active = os.environ.get("VIRTUAL_ENV")
        self.folder = Path(info.root_directory) / option if option else Path(active) if active else None

    @property
    def python(self) -> str:
        """The interpreter; raises `EnvironmentNotUsableError` where there is none."""
        if self.folder is None:
            found = shutil.which("python3") or shutil.which("python")
            if found is None:
                raise EnvironmentNotUsableError("no python3 on PATH: activate the program's virtual environment")
            return found
        if self.missing:
            raise EnvironmentNotUsableError(f"virtual environment {self.folder} has no bin/python: run pulumi install")
        return str(self.folder / "bin" / "python")

    @property
    def missing(self) -> bool:
        """Whether it is a virtual environment that has yet to be made."""
        return self.folder is not None and not (self.folder / "bin" / "python").exists()

    def variables(self, base: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Returns the environment variables of the programs started in it, on top of `base`."""
        if self.folder is None:
            return dict(base)
        path = f"{self.folder / 'bin'}{os.pathsep}{base.get('PATH', '')}"
        return {**base, "VIRTUAL_ENV": str(self.folder), "PATH": path}

    async def packages(self) -> list[Properties]:
        """Returns name and version of each installed package, and the plugin that it belongs to, if any."""
        process = await asyncio.create_subprocess_exec(self.python, "-c", _LIST_PACKAGES, stdout=PIPE)
        output, _ = await process.communicate()
        if process.returncode:
            raise EnvironmentNotUsableError(f"{self.python} cannot list its packages: exit code {process.returncode}")
        packages: list[Properties] = json.loads(output)
        return packages


class _LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """Answers the engine's questions about a program and runs it."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._programs: set[Process] = set()

    async def Handshake(  # noqa: N802
        self, request: language_pb2.LanguageHandshakeRequest, _context: object
    ) -> language_pb2.LanguageHandshakeResponse:
        self._engine = request.engine_address
        return language_pb2.LanguageHandshakeResponse()

    async def GetPluginInfo(self, _request: empty_pb2.Empty, _context: object) -> plugin_pb2.PluginInfo:  # noqa: N802
        return plugin_pb2.PluginInfo()

    async def GetRequiredPackages(  # noqa: N802
        self, request: language_pb2.GetRequiredPackagesRequest, context: rpc.Context
    ) -> language_pb2.GetRequiredPackagesResponse:
        packages = []
        for package in await self._packages(request.info, context):
            match package["plugin"]:
                case {"resource": True, "name": str(name), "version": str(version), **rest}:
                    server = str(rest.get("server", ""))
                    packages.append(
                        plugin_pb2.PackageDependency(kind="resource", name=name, version=version, server=server)
                    )
        return language_pb2.GetRequiredPackagesResponse(packages=packages)

    async def GetProgramDependencies(  # noqa: N802
        self, request: language_pb2.GetProgramDependenciesRequest, context: rpc.Context
    ) -> language_pb2.GetProgramDependenciesResponse:
        packages = await self._packages(request.info, context)
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[
                language_pb2.DependencyInfo(name=package["name"], version=package["version"]) for package in packages
            ]
        )

    async def About(  # noqa: N802
        self, request: language_pb2.AboutRequest, context: rpc.Context
    ) -> language_pb2.AboutResponse:
        python = await self._python(Environment(request.info), context)
        process = await asyncio.create_subprocess_exec(
            python, "-c", "import platform; print(platform.python_version())", stdout=PIPE
        )
        output, _ = await process.communicate()
        return language_pb2.AboutResponse(executable=python, version=output.decode().strip())

    async def RuntimeOptionsPrompts(  # noqa: N802
        self, _request: language_pb2.RuntimeOptionsRequest, _context: object
    ) -> language_pb2.RuntimeOptionsResponse:
        return language_pb2.RuntimeOptionsResponse()

    # A stream of responses may be written to the context as well as yielded; the stubs' types know only the latter.
    async def InstallDependencies(  # type: ignore[override]  # noqa: N802
        self, request: language_pb2.InstallDependenciesRequest, context: rpc.Context
    ) -> None:
        async def run(*command: str) -> None:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=request.directory,
                env=environment.variables(),
                stdout=PIPE,
                stderr=PIPE,
                process_group=_OWN_GROUP,
            )
            code = await self._relay(process, context, language_pb2.InstallDependenciesResponse)
            if code:
                text = f"{' '.join(command)} failed with exit code {code}"
                await context.abort(grpc.StatusCode.UNKNOWN, text)

        environment = Environment(request.info)
        if environment.missing:
            await run(sys.executable, "-m", "venv", str(environment.folder))
        if (Path(request.directory) / "requirements.txt").exists():
            python = await self._python(environment, context)
            # pip would look for a newer pip on the network, which may not be there.
            await run(python, "-m", "pip", "install", "--disable-pip-version-check", "-r", "requirements.txt")

    async def Run(  # noqa: N802
        self, request: language_pb2.RunRequest, context: rpc.Context
    ) -> language_pb2.RunResponse:
        environment = Environment(request.info)
        options = {
            "monitor": request.monitor_address,
            "engine": self._engine,
            "project": request.project,
            "stack": request.stack,
            "organization": request.organization,
            "root_directory": request.info.root_directory,
            "parallel": str(request.parallel),
        }
        settings = {
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        process = await asyncio.create_subprocess_exec(
            await self._python(environment, context),
            "-u",
            str(_EXEC),
            *(f"--{name}={value}" for name, value in options.items()),
            *(["--dry_run"] if request.dryRun else []),
            str(Path(request.info.program_directory) / request.info.entry_point),
            cwd=request.pwd,
            env=environment.variables() | settings,
            process_group=_OWN_GROUP,
        )
        code = await self._end_of(process)
        if code == 0:
            return language_pb2.RunResponse()
        if code == _MESSAGE_SHOWN:
            return language_pb2.RunResponse(bail=True)
        return language_pb2.RunResponse(error=f"Program exited with non-zero exit code: {code}")

    async def RunPlugin(  # type: ignore[override]  # noqa: N802
        self, request: language_pb2.RunPluginRequest, context: rpc.Context
    ) -> None:
        if request.kind != "analyzer":
            text = f"{request.info.program_directory}: only policy packs can be run as plugins, not {request.kind} ones"
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, text)
        environment = Environment(request.info)
        process = await asyncio.create_subprocess_exec(
            await self._python(environment, context),
            "-u",
            "-m",
            "pulumi.policy",
            *request.args,
            request.info.program_directory,
            cwd=request.pwd,
            env=environment.variables(dict(variable.split("=", 1) for variable in request.env)),
            stdout=PIPE,
            stderr=PIPE,
            process_group=_OWN_GROUP,
        )
        code = await self._relay(process, context, language_pb2.RunPluginResponse)
        await context.write(language_pb2.RunPluginResponse(exitcode=code))

    async def GenerateProgram(self, request: Any, context: rpc.Context) -> Any:  # noqa: ANN401, ARG002, N802
        text = (
            "this language host only runs programs; to write code, install Pulumi with its own pulumi-language-python"
        )
        return await context.abort(grpc.StatusCode.UNIMPLEMENTED, text)

    GenerateProject = GeneratePackage = GenerateProgram

    async def Cancel(self, _request: empty_pb2.Empty, _context: object) -> empty_pb2.Empty:  # noqa: N802
        await asyncio.gather(*map(_stop, list(self._programs)))
        return empty_pb2.Empty()

    async def _relay(self, process: Process, context: rpc.Context, response: type[Message]) -> int:
        """Sends what a program writes as responses, until it ends; returns its exit code."""
        sending = asyncio.Lock()

        async def relay(stream: str, reader: asyncio.StreamReader | None) -> None:
            while reader and (chunk := await reader.read(_CHUNK_BYTES)):
                async with sending:
                    await context.write(response(**{stream: chunk}))

        _, _, code = await asyncio.gather(
            relay("stdout", process.stdout), relay("stderr", process.stderr), self._end_of(process)
        )
        return code

    async def _end_of(self, process: Process) -> int:
        """Returns the exit code of a program when it ends; a call that is cancelled, or the host's end, ends it."""
        self._programs.add(process)
        try:
            return await process.wait()
        finally:
            await _stop(process)
            self._programs.discard(process)

    async def _python(self, environment: Environment, context: rpc.Context) -> str:
        try:
            return environment.python
        except EnvironmentNotUsableError as error:
            return await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))

    async def _packages(self, info: language_pb2.ProgramInfo, context: rpc.Context) -> list[Properties]:
        try:
            return await Environment(info).packages()
        except EnvironmentNotUsableError as error:
            return await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))


async def _stop(process: Process) -> None:
    """Ends a program that still runs, at once: it may be waiting for an engine that does not answer any more."""
    if process.returncode is None:
        process.kill()
        await process.wait()


def main() -> None:
    """Serves the language host until the engine ends this process; the last argument is the engine's address."""
    host = _LanguageHost(sys.argv[-1])
    asyncio.run(rpc.serve(lambda server: language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)))
