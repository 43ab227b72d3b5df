"""`interceptor held`: the orders that wait for a person, and what the person decides.

Every command asks the running node, which is the only writer. `held list` and `held show` read the
journal file themselves when no node is running, so that nobody has to start one to see what waits.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

from interceptor.cli.entry_view import list_line, missed_line, show_lines
from interceptor.cli.journal_file import opened_journal_file
from interceptor.cli.node_connection import (
    ACTOR_OPTION,
    CONFIG_OPTION,
    JSON_OPTION,
    SOCKET_OPTION,
    ask,
    find_socket,
    name_actor,
)
from interceptor.cli.terminal import print_json, print_line, print_warning, refuse

HEARTBEAT_SECONDS = 10.0
"""How often `held watch` tells the node that somebody reviews."""
LOOK_SECONDS = 2.0


class StateWord(StrEnum):
    """The states of an order, as `--state` takes them; a test compares them with the lifecycle."""

    PARKED = "parked"
    HELD = "held"
    QUEUED = "queued"
    DELIVERED = "delivered"
    WITHDRAWN = "withdrawn"
    RETURNED = "returned"
    REPLACED = "replaced"
    DEAD = "dead"


ENTRY_ARGUMENT = typer.Argument(metavar="ENTRY", help="Our number of the order, as in `interceptor held list`.")
VERSION_OPTION = typer.Option(
    None, "--version", help="Only if the order is still as seen: the version that `held show` printed."
)
RELEASE_REASON_OPTION = typer.Option("", "--reason", help="Why, for the audit trail and for the note on the order.")
RETURN_REASON_OPTION = typer.Option(..., "--reason", help="Why: its orderer has to act on it.")


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="See held orders, release or return them.", no_args_is_help=True, rich_markup_mode=None)
    group.command("list")(list_orders)
    group.command("watch")(watch)
    group.command("show")(show)
    group.command("release")(release)
    group.command("return")(return_to_orderer)
    group.command("comment")(comment)
    app.add_typer(group, name="held")


def list_orders(
    state: list[StateWord] = typer.Option(
        [StateWord.HELD, StateWord.PARKED], "--state", help="Only these states; may be given again."
    ),
    retrospective: bool = typer.Option(
        False, "--retrospective", help="Orders that went on because a lookup failed and would have been held."
    ),
    config: Path | None = CONFIG_OPTION,
    socket: Path | None = SOCKET_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """List orders in our custody.

    The earliest deadline first. Without a running node its journal is read.
    """
    if retrospective:
        _list_missed(find_socket(config, socket), as_json)
        return
    states = [word.value for word in state]
    result = _ask_or_none(config, socket, "held_list", states=states)
    if result is None:
        orders: Iterable[Mapping[str, Any]] = _read_orders(config, states)
    else:
        orders = _all_pages(find_socket(config, socket), result, states)
    is_empty = True
    for order in orders:
        is_empty = False
        if as_json:
            print_json(order)
        else:
            print_line(list_line(order))
    if is_empty and not as_json:
        print_line("No order waits.")


def _all_pages(
    path: Path, page: "Mapping[str, Any]", states: "list[str] | None" = None
) -> "Iterator[Mapping[str, Any]]":
    """The orders of a `held_list` answer and of all that follow it: nobody's order may stand behind the end of a list."""
    yield from page["orders"]
    while page.get("next") is not None:
        page = ask(path, "held_list", states=states, after=page["next"])
        yield from page["orders"]


def _list_missed(path: Path, as_json: bool) -> None:
    """What the node decided again after its sources came back. These orders went to the filler; nothing holds them."""
    answer: dict[str, Any] = ask(path, "held_retrospective")
    for message in answer["missed"]:
        if as_json:
            print_json(message)
            continue
        for order in message["orders"]:
            print_line(missed_line(message, order))
    if not answer["missed"] and not as_json:
        print_line("No hold was missed.")


def show(
    entry: int = ENTRY_ARGUMENT,
    config: Path | None = CONFIG_OPTION,
    socket: Path | None = SOCKET_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Show one order: why it is held, its message.

    Without a running node its journal is read.
    """
    result = _ask_or_none(config, socket, "held_show", entry=entry) or _read_order(config, entry)
    if as_json:
        print_json(result)
        return
    for line in show_lines(result):
        print_line(line)


def watch(
    config: Path | None = CONFIG_OPTION,
    socket: Path | None = SOCKET_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Watch orders come and go, until Ctrl-C.

    While it runs the node knows that somebody reviews (hold.review_heartbeat_seconds).
    """
    path = find_socket(config, socket)
    with suppress(KeyboardInterrupt):
        for is_new, order in _watch(path):
            if as_json:
                print_json({"change": "came" if is_new else "went", "order": order})
            else:
                print_line(f"{'+' if is_new else '-'} {list_line(order)}")


def _watch(path: Path) -> "Iterator[tuple[bool, Mapping[str, Any]]]":
    """Orders that have come (True) or gone (False), for ever; ends the command when the node does."""
    seen: dict[int, Mapping[str, Any]] = {}
    heartbeat_due = 0.0
    while True:
        if time.monotonic() >= heartbeat_due:
            ask(path, "review_heartbeat")
            heartbeat_due = time.monotonic() + HEARTBEAT_SECONDS
        answer: dict[str, Any] = ask(path, "held_list")
        orders = {order["entry"]: order for order in _all_pages(path, answer)}
        yield from ((False, order) for entry, order in seen.items() if entry not in orders)
        yield from ((True, order) for entry, order in orders.items() if entry not in seen)
        seen = orders
        time.sleep(LOOK_SECONDS)


def release(
    *,
    entry: int = ENTRY_ARGUMENT,
    reason: str = RELEASE_REASON_OPTION,
    version: int | None = VERSION_OPTION,
    actor: str = ACTOR_OPTION,
    config: Path | None = CONFIG_OPTION,
    socket: Path | None = SOCKET_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Release an order to the filler as ordered.

    The filler gets it with a note that it was reviewed. Exits with 1 when somebody else was first.
    """
    path = find_socket(config, socket)
    _report(
        entry, ask(path, "held_release", entry=entry, version=version, reason=reason, actor=name_actor(actor)), as_json
    )


def return_to_orderer(
    *,
    entry: int = ENTRY_ARGUMENT,
    reason: str = RETURN_REASON_OPTION,
    version: int | None = VERSION_OPTION,
    actor: str = ACTOR_OPTION,
    config: Path | None = CONFIG_OPTION,
    socket: Path | None = SOCKET_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Return an order to the orderer.

    The filler never sees it. Exits with 1 when somebody else was first.
    """
    path = find_socket(config, socket)
    _report(
        entry, ask(path, "held_return", entry=entry, version=version, reason=reason, actor=name_actor(actor)), as_json
    )


def comment(
    *,
    entry: int = ENTRY_ARGUMENT,
    text: str = typer.Argument(metavar="TEXT", help="What to write."),
    actor: str = ACTOR_OPTION,
    config: Path | None = CONFIG_OPTION,
    socket: Path | None = SOCKET_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Write a comment to an order's history."""
    path = find_socket(config, socket)
    _report(entry, ask(path, "held_comment", entry=entry, comment=text, actor=name_actor(actor)), as_json)


def _ask_or_none(config: Path | None, socket: Path | None, command: str, **arguments: Any) -> dict[str, Any] | None:
    """The node's answer; None when no node runs and the configuration tells where its journal is."""
    from interceptor.control.client import request
    from interceptor.control.protocol import ControlError

    path = find_socket(config, socket)
    try:
        return request(path, command, **arguments)
    except ControlError as error:
        if error.code != "not_running" or config is None:
            refuse(error.message)
        print_warning("No node runs; this is what its journal says.")
        return None


def _read_orders(config: Path | None, states: list[str]) -> list[dict[str, object]]:
    """What the node would answer to `held_list`, from its journal."""
    from interceptor.action.lifecycle import OrderState
    from interceptor.journal.entry_rows import ENTRIES_IN_STATES, read_entries, state_list
    from interceptor.journal.sql_journal import ROWS_MAX
    from interceptor.review.desk import entry_json

    names = state_list([OrderState(state) for state in states])
    with opened_journal_file(config) as connection:
        if connection is None:
            return []
        return [entry_json(entry) for entry in read_entries(connection, ENTRIES_IN_STATES, (*names, ROWS_MAX, None))]


def _read_order(config: Path | None, number: int) -> dict[str, object]:
    """What the node would answer to `held_show`, from its journal."""
    from interceptor.journal.entry_rows import ENTRY_BY_ID, audit_rows, read_entries
    from interceptor.journal.port import EntryId
    from interceptor.review.desk import LIST_COUNT_MAX, audit_json, entry_json

    with opened_journal_file(config) as connection:
        found = read_entries(connection, ENTRY_BY_ID, (number,)) if connection else ()
        if connection is None or not found:
            refuse(f"There is no order {number}.")
        history = audit_rows(connection, entry_id=EntryId(number), limit=LIST_COUNT_MAX)
    return {
        "order": entry_json(found[0]),
        "decision": dict(found[0].decision),
        "content": found[0].content.decode("latin-1"),
        "history": [audit_json(row) for row in history],
    }


def _report(entry: int, result: Mapping[str, object], as_json: bool) -> None:
    if as_json:
        print_json(result)
    else:
        print_line(f"{entry}: {result.get('state', 'done')}")
