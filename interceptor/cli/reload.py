"""`interceptor reload`: the running node takes its configuration file and clinical content anew, or keeps what it has."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

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
from interceptor.cli.terminal import ExitCode, print_json, print_line, printable


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("reload")(reload)


def reload(
    *,
    check: bool = typer.Option(False, "--check", help="Only say what would change."),
    accept_holds: bool = typer.Option(False, "--accept-holds", help="Take it although far more would be held."),
    actor: str = ACTOR_OPTION,
    config: Path | None = CONFIG_OPTION,
    socket: Path | None = SOCKET_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Take configuration and clinical content anew.

    Everything is checked first, and the last messages are decided again to show what changes. It is taken as a
    whole, between two messages, or not at all: exit 1 with every reason, and the earlier one runs on.
    """
    path = _socket(config, socket)
    report = ask(path, "reload", check=check, accept_holds=accept_holds, actor=name_actor(actor))
    if as_json:
        print_json(report)
    else:
        for line in _lines(report, is_check=check):
            print_line(printable(line))
    if report["problems"]:
        raise typer.Exit(ExitCode.NO)


def _socket(config: Path | None, socket: Path | None) -> Path:
    """Also for a file with problems, which the node tells of: only [node] has to be sound."""
    from interceptor.config.load import find_node_table

    node = find_node_table(config) if socket is None and config is not None else None
    if node is None:
        return find_socket(config, socket)
    return node.control_socket or node.data_directory / "control" / "control.sock"


def _lines(report: Mapping[str, Any], *, is_check: bool) -> Iterator[str]:
    yield from report["problems"]
    if "policy" in report:
        policy = report["policy"]
        yield f"policy {policy['id']} {policy['version']}, sha256 {policy['sha256']}"
        yield f"changed keys: {', '.join(report['changed']) or 'none'}"
        yield f"the last {report['decided_again']} imaging orders, decided again: {_summary(report['summary'])}"
        for one in report["decisions"]:
            was, now = ", ".join(one["reasons_was"]), ", ".join(one["reasons_now"])
            yield f"  {one['route']} {one['placer_order_number']}: {one['was']} ({was}) -> {one['now']} ({now})"
    if report["problems"]:
        yield "Not taken: the earlier configuration runs on."
    elif is_check:
        yield "It can be taken."
    else:
        yield "Taken: it is in force from the next message on."


def _summary(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "none changes"
