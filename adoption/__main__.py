"""The command: `python -m adoption --help`."""

import sys
from typing import Annotated

import typer
from kubernetes.client import ApiException
from kubernetes.config import ConfigException
from tenacity import RetryError
from urllib3.exceptions import HTTPError

from adoption.adoption import Adoption
from adoption.plan import AdoptionError
from settings import SettingsError, of_stack

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def adopt(stack: Annotated[str, typer.Option("--stack", "-s", help="The stack that shall have the registry.")]) -> None:
    """Take over a registry that was made by hand: its Service with its cluster IP, and its Deployment.

    Its claim and its namespace are used and stay whose they are. Pulls and pushes go on, unless only one pod can use
    the storage: then they fail while the pod is exchanged. Run it again if it was interrupted: it goes on.
    """
    try:
        Adoption(stack, of_stack(stack)).run()
    except (AdoptionError, SettingsError) as error:
        print(f"adopt: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
    except (ApiException, HTTPError, ConfigException, RetryError) as error:
        print(f"adopt: the cluster refuses or does not answer, run it again to go on: {error}", file=sys.stderr)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app(prog_name="python -m adoption")
