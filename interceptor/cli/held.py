"""`interceptor held`: the orders that wait for a person, and what the person decides.

Every command asks the running node, which is the only writer. `held list` and `held show` read the
journal file themselves when no node is running, so that nobody has to start one to see what waits.
"""

from collections.abc import Mapping
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from interceptor.cli.entry_view import describe_entry, list_line, show_lines
from interceptor.cli.node_connection import (
    ACTOR_OPTION,
    CONFIG_OPTION,
    JSON_OPTION,
    SOCKET_OPTION,
    ask,
    find_socket,
    name_actor,
    read_config,
)
from interceptor.cli.terminal import print_json, print_line, print_warning, refuse

if TYPE_CHECKING:
    from interceptor.journal.port import Entry

ENTRIES_MAX = 10_000
"""As many as the node answers with."""


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
REASON_OPTION = typer.Option(..., "--reason", help="Why, for the audit trail and for the note on the order.")


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="See held orders, release or return them.", no_args_is_help=True, rich_markup_mode=None)
    group.command("list")(list_orders)
    group.command("show")(show)
    group.command("release")(release)
    group.command("return")(return_to_orderer)
    app.add_typer(group, name="held")


def list_orders(
    state: list[StateWord] = typer.Option(
        [StateWord.HELD, StateWord.PARKED], "--state", help="Only these states; may be given again."
    ),
    config: Path | None = CONFIG_OPTION,
    socket: Path | None = SOCKET_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """List orders in our custody.

    The earliest deadline first. Without a running node its journal is read.
    """
    states = [word.value for word in state]
    result = _ask_or_none(config, socket, "held_list", states=states)
    entries = _read_entries(config, states) if result is None else entries_of(result)
    for entry in entries:
        if as_json:
            print_json(entry)
        else:
            print_line(list_line(entry))
    if not entries and not as_json:
        print_line("No order waits.")


def show(
    entry: int = ENTRY_ARGUMENT,
    config: Path | None = CONFIG_OPTION,
    socket: Path | None = SOCKET_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Show one order: why it is held, its message.

    Without a running node its journal is read.
    """
    result = _ask_or_none(config, socket, "held_show", entry=entry)
    if result is None:
        result = _read_entry(config, entry)
    if as_json:
        print_json(result)
        return
    for line in show_lines(result):
        print_line(line)


def release(
    entry: int = ENTRY_ARGUMENT,
    reason: str = REASON_OPTION,
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
    entry: int = ENTRY_ARGUMENT,
    reason: str = REASON_OPTION,
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


def entries_of(result: Mapping[str, object]) -> list[Mapping[str, object]]:
    """The orders in the node's answer to `held_list`."""
    entries = result.get("entries")
    assert isinstance(entries, list), "held_list answers with entries"
    return entries


def _ask_or_none(
    config: Path | None, socket: Path | None, command: str, **arguments: Any
) -> Mapping[str, object] | None:
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


def _read_entries(config: Path | None, states: list[str]) -> list[Mapping[str, object]]:
    from interceptor.action.lifecycle import OrderState
    from interceptor.journal.sqlite_entry import ENTRIES_IN_STATES, state_list

    names = state_list([OrderState(state) for state in states])
    return [describe_entry(entry) for entry in _query(config, ENTRIES_IN_STATES, (names, ENTRIES_MAX))]


def _read_entry(config: Path | None, number: int) -> Mapping[str, object]:
    from interceptor.journal.sqlite_entry import ENTRY_BY_ID

    found = _query(config, ENTRY_BY_ID, (number,))
    return describe_entry(found[0]) if found else refuse(f"There is no order {number}.")


def _query(config: Path | None, query: str, parameters: tuple[object, ...]) -> "tuple[Entry, ...]":
    """Read the journal of a node that does not run; a journal that was never made has no orders."""
    from interceptor.journal.port import JournalError
    from interceptor.journal.sqlite import journal_path
    from interceptor.journal.sqlite_entry import read_entries
    from interceptor.journal.sqlite_file import open_for_reading

    path = journal_path(read_config(config).node.data_directory)
    if not path.exists():
        return ()
    try:
        connection = open_for_reading(path)
    except JournalError as error:
        refuse(f"{path}: {error}")
    with closing(connection):
        return read_entries(connection, query, parameters)


def _report(entry: int, result: Mapping[str, object], as_json: bool) -> None:
    if as_json:
        print_json(result)
    else:
        print_line(f"{entry}: {result.get('state', 'done')}")
