"""`interceptor mode`: see and set how far a route may go, on the running node, at once and durably."""

from enum import StrEnum
from pathlib import Path

import typer

from interceptor.cli.node_connection import (
    ACTOR_OPTION,
    CONFIG_OPTION,
    JSON_OPTION,
    SOCKET_OPTION,
    ask,
    find_socket,
    name_actor,
)
from interceptor.cli.terminal import ExitCode, print_json, print_line, refuse


class ModeWord(StrEnum):
    """What may be asked for; the node's own words."""

    SHADOW = "shadow"
    ANNOTATE = "annotate"
    ENFORCE = "enforce"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("mode")(mode)


def mode(
    *,
    route: str | None = typer.Argument(None, help="Name of the route; without it, all routes are shown."),
    new_mode: ModeWord | None = typer.Argument(None, metavar="[shadow|annotate|enforce]", help="The new mode."),
    reason: str = typer.Option("", "--reason", help="Why, for the audit trail."),
    actor: str = ACTOR_OPTION,
    config: Path | None = CONFIG_OPTION,
    socket: Path | None = SOCKET_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """See or set the mode of a route, at once.

    shadow passes every byte and records decisions, annotate adds notes, enforce holds too. The change is durable
    and audited, and wins over the configuration file.
    """
    path = find_socket(config, socket)
    if route is not None and new_mode is not None:
        result = ask(path, "mode_set", route=route, mode=new_mode.value, actor=name_actor(actor), reason=reason)
        if as_json:
            print_json(result)
        else:
            print_line(f"{route}: {result['mode']} (was {result['was']})")
        return
    modes = _modes(ask(path, "mode_get"))
    if route is not None:
        if route not in modes:
            refuse(f"There is no route {route} (known: {', '.join(modes)}).", code=ExitCode.NO)
        modes = {route: modes[route]}
    if as_json:
        print_json(modes)
        return
    for name, word in modes.items():
        print_line(f"{name}: {word}")


def _modes(result: dict[str, object]) -> dict[str, str]:
    routes = result["routes"]
    assert isinstance(routes, dict), "mode_get answers with the mode of each route"
    return {str(name): str(word) for name, word in routes.items()}
