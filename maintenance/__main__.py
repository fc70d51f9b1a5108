"""What a registry needs beyond `pulumi up`: `python -m maintenance --help`."""

import typer

from maintenance.adopt import adopt

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(adopt)


@app.callback()
def main() -> None:
    """What a registry needs beyond `pulumi up`."""


if __name__ == "__main__":
    app(prog_name="python -m maintenance")
