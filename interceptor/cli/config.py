"""`interceptor config`: what a configuration says in full, and its schema for editors."""

from pathlib import Path

import typer

from interceptor.cli.node_connection import CONFIG_VARIABLE, JSON_OPTION, read_config
from interceptor.cli.terminal import print_line


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, help="What a configuration says, and its schema.")
    group.command("show")(show)
    group.command("schema")(schema)
    app.add_typer(group, name="config")


def show(
    config: Path = typer.Option(..., "-c", "--config", envvar=CONFIG_VARIABLE, help="Configuration file."),
    effective: bool = typer.Option(False, "--effective", help="Every key with its value, defaults too."),
    redact: bool = typer.Option(False, "--redact", help="Leave out where secrets are and who we are to other servers."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Print a configuration as TOML.

    Without --effective only what differs from the defaults. Secrets are never in it, only where they are found.
    """
    from interceptor.config.show import config_values, to_json_text, to_toml

    values = config_values(read_config(config), effective=effective, redact=redact)
    print_line((to_json_text(values) if as_json else to_toml(values)).rstrip("\n"))


def schema() -> None:
    """Print the JSON Schema of the configuration file, for editors.

    The same as docs/reference/config.schema.json.
    """
    from interceptor.config.show import build_config_schema

    print_line(build_config_schema().rstrip("\n"))
