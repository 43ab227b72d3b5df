"""The `interceptor` command: which command groups there are, and how the process ends."""

import os
import sys

import typer

from interceptor import __version__
from interceptor.cli import (
    check,
    config,
    demo,
    doctor,
    explain,
    held,
    inspect,
    journal,
    listen,
    mode,
    policy,
    registry,
    reload,
    restart,
    run,
    send,
    token,
    user,
    webhook,
)

COMMAND_GROUPS = (
    demo,
    run,
    check,
    config,
    reload,
    restart,
    doctor,
    explain,
    policy,
    inspect,
    held,
    user,
    mode,
    journal,
    registry,
    webhook,
    token,
    send,
    listen,
)
"""In the order of the help page: what a newcomer needs first."""


def build_app() -> typer.Typer:
    """The whole command line."""
    # Without rich markup, help does not import rich: a third of a second on every call.
    app = typer.Typer(
        name="interceptor",
        help="An HL7 v2 interceptor for imaging orders.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )

    @app.callback(invoke_without_command=True)
    def root(
        version: bool = typer.Option(False, "--version", help="Print the version and exit."),
    ) -> None:
        if version:
            typer.echo(f"interceptor {__version__}")
            raise typer.Exit

    for group in COMMAND_GROUPS:
        group.register(app)
    return app


def main() -> None:
    """Run the command that the process was started with."""
    try:
        build_app()(prog_name="interceptor")
    except BrokenPipeError:
        # The reader of our output went away (`| head`): not an error, and nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
