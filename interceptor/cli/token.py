"""`interceptor token`: programs that may use the API."""

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
from interceptor.cli.terminal import print_json, print_line


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Programs that may use the API.", no_args_is_help=True, rich_markup_mode=None)
    group.command("add")(add)
    group.command("list")(list_tokens)
    group.command("revoke")(revoke)
    app.add_typer(group, name="token")


def add(
    *,
    name: str = typer.Argument(..., help="Name of the program, for the audit trail; never used twice."),
    scope: list[str] = typer.Option(
        ..., "--scope", help="What it may do, e.g. orders:read; give the option several times."
    ),
    days: int = typer.Option(90, min=1, max=730, help="Days until it ends."),
    actor: str = ACTOR_OPTION,
    config: Path | None = CONFIG_OPTION,
    socket: Path | None = SOCKET_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Make a token. It is shown once, here; the node keeps only its checksum."""
    made = ask(find_socket(config, socket), "token_add", account=name, scopes=scope, days=days, actor=name_actor(actor))
    if as_json:
        print_json(made)
        return
    print_line(f"{made['token']}")
    print_line(f"Good until {str(made['expires_at'])[:10]} for {', '.join(scope)}. It is not shown again.")


def list_tokens(
    *, config: Path | None = CONFIG_OPTION, socket: Path | None = SOCKET_OPTION, as_json: bool = JSON_OPTION
) -> None:
    """Show all tokens without their secrets, ended ones too."""
    tokens = ask(find_socket(config, socket), "token_list")["tokens"]
    assert isinstance(tokens, list), "token_list answers with a list"
    for one in tokens:
        if as_json:
            print_json(one)
        else:
            state = f"ended {one['revoked_at'][:10]}" if one["revoked_at"] else f"until {one['expires_at'][:10]}"
            print_line(f"{one['name']:<24}  {state:<17}  {', '.join(one['scopes'])}")


def revoke(
    *,
    name: str = typer.Argument(..., help="Name of the token."),
    actor: str = ACTOR_OPTION,
    config: Path | None = CONFIG_OPTION,
    socket: Path | None = SOCKET_OPTION,
) -> None:
    """End a token, at once."""
    ask(find_socket(config, socket), "token_revoke", account=name, actor=name_actor(actor))
    print_line(f"{name} is ended.")
