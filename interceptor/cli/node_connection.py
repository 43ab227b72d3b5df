"""How commands find the running node: by its configuration file or by its control socket."""

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from interceptor.cli.terminal import ExitCode, refuse

if TYPE_CHECKING:
    from interceptor.config.schema import Config

CONFIG_VARIABLE = "INTERCEPTOR_CONFIG"
SOCKET_VARIABLE = "INTERCEPTOR_SOCKET"

CONFIG_OPTION = typer.Option(None, "-c", "--config", envvar=CONFIG_VARIABLE, help="Configuration file of the node.")
SOCKET_OPTION = typer.Option(None, "--socket", envvar=SOCKET_VARIABLE, help="Control socket, instead of -c.")
ACTOR_OPTION = typer.Option("", "--as", metavar="NAME", help="Who decides, for the audit trail; your login name.")
JSON_OPTION = typer.Option(False, "--json", help="Print JSON, for scripts.")


def read_config(path: Path | None) -> "Config":
    """The configuration, or the end of the command with every problem printed (exit 2)."""
    from interceptor.config.load import ConfigError, load_config

    if path is None:
        refuse(f"Name the configuration file: -c FILE, or set {CONFIG_VARIABLE}.", code=ExitCode.WRONG_USE)
    try:
        return load_config(path)
    except ConfigError as error:
        refuse(str(error), code=ExitCode.WRONG_USE)


def find_socket(config: Path | None, socket: Path | None) -> Path:
    """The control socket that the options name; exit 2 when they name none."""
    if socket is not None:
        return socket
    if config is None:
        refuse(
            f"Name the node: -c FILE or --socket PATH, or set {CONFIG_VARIABLE} or {SOCKET_VARIABLE}.",
            code=ExitCode.WRONG_USE,
        )
    return read_config(config).control_socket


def ask(socket: Path, command: str, **arguments: Any) -> dict[str, Any]:
    """Give a command to the node; when it says no, print why and end with exit 1.

    Arguments that are None are left out.
    """
    from interceptor.control.client import request
    from interceptor.control.protocol import ControlError

    stated = {name: value for name, value in arguments.items() if value is not None}
    try:
        return request(socket, command, **stated)
    except ControlError as error:
        refuse(error.message)


def name_actor(name: str) -> str:
    """Who acts: the name that was stated, else the login name. The node writes it to the audit trail as a user's."""
    return name or getpass.getuser()
