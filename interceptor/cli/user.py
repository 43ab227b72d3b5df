"""`interceptor user`: who may log in to the review pages.

No password is ever typed here: a new or reset account gets a one-time link, in which the person sets their own.
"""

from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

from interceptor.cli.node_connection import ACTOR_OPTION, CONFIG_OPTION, JSON_OPTION, ask, name_actor, read_config
from interceptor.cli.terminal import print_json, print_line, printable, refuse


class RoleWord(StrEnum):
    """What `--role` takes; a test compares it with the table of rights."""

    REVIEWER = "reviewer"
    TECHNOLOGIST = "technologist"
    LIAISON = "liaison"
    ANALYST = "analyst"
    OPS = "ops"
    LEAD = "lead"
    AUDITOR = "auditor"
    ADMIN = "admin"


NAME_ARGUMENT = typer.Argument(metavar="NAME", help="Name of the account.")


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="See, make and change accounts.", no_args_is_help=True, rich_markup_mode=None)
    group.command("add")(add)
    group.command("list")(list_accounts)
    group.command("roles")(set_roles)
    group.command("disable")(disable)
    group.command("enable")(enable)
    group.command("reset")(reset)
    app.add_typer(group, name="user")


def add(
    *,
    name: str = NAME_ARGUMENT,
    role: list[RoleWord] = typer.Option(..., "--role", help="What the person is here for; may be given again."),
    display_name: str = typer.Option("", "--name", help="The person's name, as colleagues read it."),
    break_glass: bool = typer.Option(
        False, "--break-glass", help="For the day the identity provider is down: needs a second factor and a reason."
    ),
    actor: str = ACTOR_OPTION,
    config: Path | None = CONFIG_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Make an account and print a one-time link for its first login."""
    _ask(
        config,
        "account_add",
        account=name,
        display_name=display_name or None,
        roles=[word.value for word in role],
        is_break_glass=break_glass,
        actor=name_actor(actor),
    )
    _print_link(config, name, name_actor(actor), as_json)


def list_accounts(config: Path | None = CONFIG_OPTION, as_json: bool = JSON_OPTION) -> None:
    """List all accounts with their roles."""
    for account in _ask(config, "account_list")["accounts"]:
        if as_json:
            print_json(account)
            continue
        state = "disabled" if account["disabled_at"] else ""
        marks = [state, "code" if account["has_totp"] else "", "break-glass" if account["is_break_glass"] else ""]
        words = [str(account["account"]), ", ".join(account["roles"]), *filter(None, marks)]
        print_line("  ".join(printable(word) for word in words))


def set_roles(
    *,
    name: str = NAME_ARGUMENT,
    role: list[RoleWord] = typer.Option(..., "--role", help="The roles from now on; may be given again."),
    actor: str = ACTOR_OPTION,
    config: Path | None = CONFIG_OPTION,
) -> None:
    """Give an account other roles; it has to log in again."""
    roles = [word.value for word in role]
    _ask(config, "account_change", account=name, roles=roles, actor=name_actor(actor))


def disable(*, name: str = NAME_ARGUMENT, actor: str = ACTOR_OPTION, config: Path | None = CONFIG_OPTION) -> None:
    """End an account's sessions and let nobody in with it any more."""
    _ask(config, "account_change", account=name, is_disabled=True, actor=name_actor(actor))


def enable(*, name: str = NAME_ARGUMENT, actor: str = ACTOR_OPTION, config: Path | None = CONFIG_OPTION) -> None:
    """Let people in with a disabled account again."""
    _ask(config, "account_change", account=name, is_disabled=False, actor=name_actor(actor))


def reset(
    *,
    name: str = NAME_ARGUMENT,
    actor: str = ACTOR_OPTION,
    config: Path | None = CONFIG_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Take password and second factor from an account and print a one-time link."""
    _ask(config, "account_change", account=name, password_hash="", totp_secret="", actor=name_actor(actor))
    _print_link(config, name, name_actor(actor), as_json)


def _ask(config: Path | None, command: str, **arguments: Any) -> dict[str, Any]:
    return ask(read_config(config).control_socket, command, **arguments)


def _print_link(config: Path | None, name: str, actor: str, as_json: bool) -> None:
    loaded = read_config(config)
    if loaded.review is None:
        refuse("The configuration has no [review] table: there are no pages to log in to.")
    made = ask(loaded.control_socket, "login_link", account=name, actor=actor)
    scheme = "https" if loaded.review.certificate_file else "http"
    address = (loaded.review.public_url or f"{scheme}://{loaded.review.listen}").rstrip("/")
    link = f"{address}/login/link/{made['secret']}"
    if as_json:
        print_json({"account": made["account"], "link": link, "expires_at": made["expires_at"]})
    else:
        print_line(f"Good once, until {made['expires_at']}: {link}")
