"""Proves from outside that a running registry does what its stack says.

It asks the API server, logs in to every node, pushes an image of a kilobyte, and lets every node pull it. Nothing else
is changed. Exit code 0: all is well; 1: something failed; 2: the stack cannot be read.
"""

import asyncio
import sys
import time
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from settings import SettingsError
from verify import report, stack
from verify.plan import verify

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=__doc__)
def main(
    stack_name: Annotated[str | None, typer.Option("--stack", "-s", help="The stack; else the selected one.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    junit: Annotated[Path | None, typer.Option(help="Write a JUnit report to this file, too.")] = None,
    resolve: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST=ADDRESS", help="Address of a host name, whatever this machine's name servers say."),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Restart the registry's pods too, and see that the image is still there.")
    ] = False,
) -> None:
    """Verifies."""
    forced = dict(_split(each) for each in resolve or [])
    started = time.monotonic()
    try:
        with Console(stderr=True).status("reading the stack"):
            found = stack.read(stack_name)
    except (stack.StackError, SettingsError) as error:
        print(f"verify: {error}", file=sys.stderr)
        raise typer.Exit(2) from error
    with Console(stderr=True).status(f"verifying stack {found.name}"):
        checks = asyncio.run(verify(found, forced, with_restart=restart))
    if junit:
        report.write_junit(junit, found.name, checks)
    if json:
        print(report.as_json(found.name, checks))
    else:
        report.print_table(Console(), checks, time.monotonic() - started)
    raise typer.Exit(0 if report.passed(checks) else 1)


def _split(resolve: str) -> tuple[str, str]:
    """Host and address of a --resolve option."""
    host, _, address = resolve.partition("=")
    try:
        return host, str(ip_address(address))
    except ValueError as error:
        raise typer.BadParameter(f"'{resolve}' is not HOST=ADDRESS with an IP address") from error


if __name__ == "__main__":
    app()
