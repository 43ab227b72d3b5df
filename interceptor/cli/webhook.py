"""`interceptor webhook`: what other systems were told, and what they answered."""

from pathlib import Path

import typer

from interceptor.cli.node_connection import CONFIG_OPTION, JSON_OPTION, SOCKET_OPTION, ask, find_socket
from interceptor.cli.terminal import print_json, print_line


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Other systems that are told of held orders.", no_args_is_help=True, rich_markup_mode=None)
    group.command("log")(log)
    app.add_typer(group, name="webhook")


def log(
    *,
    limit: int = typer.Option(50, min=1, max=1000, help="How many, the newest first."),
    config: Path | None = CONFIG_OPTION,
    socket: Path | None = SOCKET_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Show the newest events, to whom they went and how the last attempt ended."""
    deliveries = ask(find_socket(config, socket), "webhook_log", limit=limit)["deliveries"]
    assert isinstance(deliveries, list), "webhook_log answers with a list"
    for one in deliveries:
        if as_json:
            print_json(one)
        else:
            print_line(
                f"{one['created_at'][:19]}  {one['state']:<9}  {one['webhook']:<16}  {one['event_type']:<26}"
                f"  {one['attempts']} attempts  {one['result']}"
            )
    if not deliveries and not as_json:
        print_line("Nothing was told yet.")
