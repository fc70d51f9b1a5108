"""The steps of the pipelines: `python -m pipeline --help`."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline import engine
from pipeline.page import render, verdict
from pipeline.preview import Preview, Result, from_json, not_started, to_json

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
Stack = Annotated[str, typer.Option(help="The stack, such as prod.")]

_FAILED, _STOPPED, _REFUSED = 1, 3, 4


@app.command()
def preview(stack: Stack, out: Annotated[Path, typer.Option(help="The JSON file to write.")]) -> None:
    """Preview a stack with the policy pack.

    The exit code is 0 if all went well, 1 if the preview failed, and 3 if a policy stopped it.
    """
    found = engine.preview(stack)
    out.write_bytes(to_json(found))
    typer.echo(f"{stack}: {found.result}")
    raise typer.Exit(_exit_code([found], allow_replace=True))


@app.command()
def page(
    previews: Annotated[
        list[Path], typer.Argument(help="What `preview` wrote, STACK.json; STACK.log says why there is none.")
    ],
    out: Annotated[Path, typer.Option(help="The Markdown page to write.")],
    allow_replace: Annotated[
        bool, typer.Option(help="Accept that stateful resources are replaced or deleted.")
    ] = False,
) -> None:
    """Make one page of the previews of stacks, and judge them.

    The exit code is 0 if all may go on, 1 if a preview failed or is missing, 3 if a policy stopped one, and 4 if
    stateful resources would be replaced or deleted without --allow-replace.
    """
    found = [_read(file) for file in previews]
    out.write_text(render(found, allow_replace=allow_replace))
    for each in found:
        typer.echo(f"{each.stack}: {verdict(each, allow_replace=allow_replace)}")
    raise typer.Exit(_exit_code(found, allow_replace=allow_replace))


@app.command()
def deploy(stack: Stack) -> None:
    """Run `pulumi up` of a stack with the policy pack."""
    raise typer.Exit(engine.up(stack))


@app.command()
def drift(stack: Stack) -> None:
    """Fail if somebody changed what a stack has in the cluster; nothing is changed."""
    code = engine.drift(stack)
    if code:
        typer.echo(
            f"the cluster is not as stack '{stack}' left it, or could not be asked: see above; "
            f"`pulumi up --refresh --stack {stack}` takes changes back",
            err=True,
        )
    raise typer.Exit(code)


def _read(file: Path) -> Preview:
    if file.exists():
        return from_json(file.read_bytes())
    log = file.with_suffix(".log")
    return not_started(
        file.stem, log.read_text() if log.exists() else "its preview did not run: the log of that step says why"
    )


def _exit_code(previews: list[Preview], *, allow_replace: bool) -> int:
    results = {each.result for each in previews}
    if Result.FAILED in results:
        return _FAILED
    if Result.STOPPED in results:
        return _STOPPED
    return _REFUSED if any(each.stateful for each in previews) and not allow_replace else 0


if __name__ == "__main__":
    app(prog_name="python -m pipeline")
