"""The sandbox's commands: `python -m sandbox --help`."""

import os
import shlex
import sys
from typing import Annotated, cast

import typer
from rich.console import Console
from rich.table import Table

from sandbox import choice, cluster, layout, node, toolchain
from sandbox.errors import SandboxError
from sandbox.report import Report
from sandbox.topology import CONTROL_PLANE, NODES, node_named

# What follows the command's name belongs to the program that is run.
_PASS_ON = {"allow_interspersed_args": False, "ignore_unknown_options": True}

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
NodeName = Annotated[str, typer.Option("--node", help="The node.")]
StackName = Annotated[
    str | None, typer.Option("--stack", help="A stack; one that is not the sandbox's gets its own environment.")
]


@app.command()
def up(
    stack: Annotated[
        str | None, typer.Option(help="Start the cluster only if the settings of this stack name it.")
    ] = None,
    for_tests: Annotated[
        bool, typer.Option("--for-tests", help="Add what only the tests need: NFS, S3 and enforced network policies.")
    ] = False,
) -> None:
    """Bring the toolchain and the cluster up; what is up already is left alone."""
    report = Report()
    if stack:
        with report.stage("cluster to use") as stage:
            chosen = choice.choose(stack)
            stage.detail = chosen.reason
        if not chosen.sandbox:
            toolchain.ensure_engine(report)
            toolchain.ensure_plugins(report)
            return
    cluster.up(report, for_tests=for_tests)


@app.command()
def down() -> None:
    """Stop the cluster; what it stores is kept in .sandbox."""
    with Report().stage("cluster stopped"):
        cluster.down()


@app.command()
def reset() -> None:
    """Stop the cluster and forget it, images and Pulumi state included; what was built is kept."""
    with Report().stage("cluster stopped and forgotten"):
        cluster.reset()


@app.command()
def status() -> None:
    """Show the programs of each node as supervisor sees them."""
    table = Table("node", "program", "state", "")
    for each in NODES:
        if node.pid(each) is None:
            table.add_row(each.name, "", "DOWN", "start it with `python -m sandbox up`")
            continue
        processes = cast("list[dict[str, str]]", node.supervisor(each).supervisor.getAllProcessInfo())
        for process in processes:
            table.add_row(each.name, process["name"], process["statename"], process["description"])
        try:
            ready = cluster.is_ready(each)
        except OSError:
            ready = False
        table.add_row(each.name, "(node)", "READY" if ready else "NOT READY", str(each.address))
    Console().print(table)


@app.command(context_settings=_PASS_ON)
def exec(command: list[str], node_name: NodeName = CONTROL_PLANE.name) -> None:
    """Run a command inside a node; its exit code is passed on."""
    entering = node.entering(node_named(node_name), *command)
    os.execvp(entering[0], entering)  # noqa: S606


@app.command()
def logs(
    program: str,
    node_name: NodeName = CONTROL_PLANE.name,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines are added.")] = False,
) -> None:
    """Show the end of a program's log."""
    folder = node_named(node_name).logs
    log = folder / f"{program}.log"
    if not log.exists():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.log"))) or "none yet"
        raise SandboxError(f"{node_name} has no log of {program!r}: there are {known}")
    os.execvp("tail", ["tail", "--lines=200", *(["--follow=name"] if follow else []), str(log)])  # noqa: S606, S607


@app.command()
def env(stack: StackName = None) -> None:
    """Print the variables for using kubectl and pulumi by hand: eval "$(python -m sandbox env)"."""
    for name, value in _environment(stack).items():
        print(f"export {name}={shlex.quote(value)}")


@app.command(context_settings=_PASS_ON)
def pulumi(arguments: list[str], stack: StackName = None) -> None:
    """Run the Pulumi engine with the sandbox's environment; its exit code is passed on."""
    engine = layout.BIN / "pulumi"
    if not engine.exists():
        raise SandboxError(f"there is no engine at {engine}: run `python -m sandbox up` first")
    if stack:
        arguments = [*arguments, "--stack", stack]
    os.execve(engine, [str(engine), *arguments], {**os.environ, **_environment(stack)})  # noqa: S606


def _environment(stack: str | None) -> dict[str, str]:
    """The variables of the toolchain for a stack; without one, for the sandbox's own."""
    return toolchain.environment(None if stack is None or choice.choose(stack).sandbox else stack)


def main() -> None:
    """Runs a command; a failure is one message."""
    try:
        app()
    except SandboxError as error:
        sys.exit(f"sandbox: {error}")


if __name__ == "__main__":
    main()
