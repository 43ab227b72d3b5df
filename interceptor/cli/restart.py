"""`interceptor restart`: a fresh node takes over from the running one, and no connection is refused."""

import time
from pathlib import Path
from typing import Any

import typer

from interceptor.cli.node_connection import CONFIG_OPTION, JSON_OPTION, SOCKET_OPTION, ask, find_socket
from interceptor.cli.terminal import ExitCode, print_json, print_line, refuse

_LOOK_SECONDS = 0.1


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("restart")(restart)


def restart(
    *,
    config: Path | None = CONFIG_OPTION,
    socket: Path | None = SOCKET_OPTION,
    timeout_seconds: float = typer.Option(120.0, "--timeout", help="How long to wait for the fresh node."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Put a fresh node in the place of the running one.

    The fresh node is of the version that is installed now, and reads the whole configuration. It takes over the
    listening sockets; the running node finishes what is under way. When it cannot start, the running one goes on: exit 1.
    """
    path = find_socket(config, socket)
    was = ask(path, "restart")
    began = time.monotonic()
    while time.monotonic() < began + timeout_seconds:
        time.sleep(_LOOK_SECONDS)
        now = _status(path)
        if now is not None and now["pid"] != was["pid"] and now["ready"]:
            seconds = round(time.monotonic() - began, 1)
            answer = {"was": was["pid"], "pid": now["pid"], "version": now["version"], "seconds": seconds}
            if as_json:
                print_json(answer)
            else:
                print_line(f"node {was['pid']} -> {now['pid']}, version {now['version']}, after {seconds} s")
            return
    refuse(f"No fresh node serves after {timeout_seconds:.0f} s; the log says why.", code=ExitCode.NO)


def _status(path: Path) -> dict[str, Any] | None:
    """How the node stands; None while one goes and the next has not come."""
    from interceptor.control.client import request
    from interceptor.control.protocol import ControlError

    try:
        return request(path, "status")
    except ControlError:
        return None
