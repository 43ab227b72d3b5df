"""`interceptor journal`: look into the journal, check it, copy it, and decide on dead letters.

Looking, checking and copying read the file itself, beside a running node or without one. What changes something
goes through the running node, the only writer. Pruning also works while no node runs, confirming a restored copy only then.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from interceptor.cli.journal_copy import copy
from interceptor.cli.journal_file import StoredJournal, change_journal, opened_stored_journal, place_name
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
from interceptor.cli.terminal import ExitCode, print_json, print_line, printable, refuse

if TYPE_CHECKING:
    from interceptor.journal.port import OutboxRow
    from interceptor.journal.sql_journal import SqlJournal

_T = TypeVar("_T")
FILE_OPTION = typer.Option(None, "--file", help="The journal's file, instead of -c; for copies.")
ROW_ARGUMENT = typer.Argument(
    metavar="NUMBER", help="Number of the dead letter, as in `interceptor journal dead list`."
)


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="See, check, back up and prune the journal.", no_args_is_help=True, rich_markup_mode=None)
    group.command("show")(show)
    group.command("verify")(verify)
    group.command("backup")(backup)
    group.command("copy")(copy)
    group.command("prune")(prune)
    group.command("confirm-restored")(confirm_restored)
    dead = typer.Typer(help="Messages that the filler refused for good.", no_args_is_help=True, rich_markup_mode=None)
    dead.command("list")(dead_list)
    dead.command("retry")(dead_retry)
    dead.command("discard")(dead_discard)
    group.add_typer(dead, name="dead")
    app.add_typer(group, name="journal")


def show(config: Path | None = CONFIG_OPTION, file: Path | None = FILE_OPTION, as_json: bool = JSON_OPTION) -> None:
    """Show how many orders stand in each state, what waits for each destination, and the end of the audit chain."""
    from interceptor.journal import entry_rows, outbox_rows, restore_rows

    with _reading(config, file) as stored:
        connection = stored.connection
        orders = {state.value: count for state, count in entry_rows.entry_counts(connection).items()}
        waiting = outbox_rows.depth(connection)
        dead_count = len(outbox_rows.dead_letters(connection, limit=100_000))
        last_link = entry_rows.last_link(connection)
        is_restored = restore_rows.is_restored(connection)
    if as_json:
        lanes = {
            name: {"waiting": count, "oldest": oldest.isoformat() if oldest else None}
            for name, (count, oldest) in waiting.items()
        }
        audit = {"number": last_link[0], "sha256": last_link[1]}
        summary = {"file": stored.where, "orders": orders, "destinations": lanes, "dead_letters": dead_count}
        print_json(summary | {"audit": audit, "restored": is_restored})
        return
    print_line(stored.where if stored.file is None else f"{stored.file}, {stored.file.stat().st_size / 1024:,.0f} KiB")
    print_line("orders       " + ", ".join(f"{count} {state}" for state, count in orders.items() if count) or "none")
    for name, (count, oldest) in waiting.items():
        print_line(f"waiting      {count} for {name}, the oldest since {oldest:%Y-%m-%d %H:%M:%S} UTC")
    print_line(f"dead letters {dead_count}")
    print_line(f"audit chain  {last_link[0]}:{last_link[1]}")
    if is_restored:
        print_line("RESTORED     This is a copy put back: nothing is sent before a person confirms it.")


def verify(
    expect: str = typer.Option("", "--expect", metavar="NUMBER:SHA256", help="An audit link that was noted earlier."),
    config: Path | None = CONFIG_OPTION,
    file: Path | None = FILE_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Check structure, digests, the audit chain, and that orders and outbox agree.

    Prints the end of the audit chain: note it elsewhere, and a later --expect can tell whether the chain was cut
    short. Exits with 1 when something is wrong.
    """
    link = _parse_link(expect)
    with _reading(config, file) as stored:
        report = stored.verify(link)
    end = f"{report.audit_number}:{report.audit_sha256}"
    if as_json:
        print_json({"rows_checked": report.rows_checked, "problems": list(report.problems), "audit": end})
    else:
        for problem in report.problems:
            print_line(problem)
        verdict = f"{len(report.problems)} problems" if report.problems else "sound"
        print_line(f"{verdict}; {report.rows_checked} rows checked; audit chain {end}")
    if report.problems:
        raise typer.Exit(ExitCode.NO)


def backup(
    target: Path = typer.Argument(help="File to write; it must not exist."),
    config: Path | None = CONFIG_OPTION,
    file: Path | None = FILE_OPTION,
) -> None:
    """Copy the journal as it stands to a file, while the node goes on.

    The copy holds patient data. A node that starts on it sends nothing before a person confirms it: what it
    believes undelivered may have been delivered since.
    """
    import apsw

    from interceptor.journal import sqlite_restore
    from interceptor.journal.port import JournalError

    with _reading(config, file) as stored:
        if not isinstance(stored.connection, apsw.Connection):
            refuse(
                "A journal on PostgreSQL is backed up with PostgreSQL's own tools: pg_dump, or pg_basebackup with its WAL.",
                code=ExitCode.WRONG_USE,
            )
        try:
            sqlite_restore.back_up(stored.connection, target, at=datetime.now(UTC))
        except FileExistsError:
            refuse(f"{target} exists.", code=ExitCode.WRONG_USE)
        except JournalError as error:
            refuse(f"{target} cannot be written ({error}).")
    print_line(f"{target}: {target.stat().st_size} bytes")


def prune(
    message_days: int = typer.Option(30, min=7, help="Days that delivered messages are kept."),
    entry_days: int = typer.Option(365, min=1, help="Days that ended orders are kept."),
    decision_days: int = typer.Option(365, min=1, help="Days that decisions are kept."),
    quarantine_days: int = typer.Option(30, min=1, help="Days that bytes which are not HL7 are kept."),
    config: Path | None = CONFIG_OPTION,
    socket: Path | None = SOCKET_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Remove what ended long ago.

    What was not delivered, dead letters that nobody discarded, and the audit chain always stay.
    """
    from interceptor.control.client import request
    from interceptor.control.protocol import ControlError
    from interceptor.journal.upkeep import Retention

    retention = Retention(
        message_days=message_days,
        entry_days=entry_days,
        decision_days=decision_days,
        quarantine_days=quarantine_days,
    )
    days = {name: getattr(retention, name) for name in Retention.__slots__}
    try:
        removed = request(find_socket(config, socket), "journal_prune", **days)
    except ControlError as error:
        if error.code != "not_running" or config is None:
            refuse(error.message)
        pruned = _change_file(config, lambda journal: journal.prune(at=datetime.now(UTC), retention=retention))
        removed = {name: getattr(pruned, name) for name in pruned.__slots__}
    if as_json:
        print_json(removed)
    else:
        print_line(", ".join(f"{name.removesuffix('_count')}: {count}" for name, count in removed.items()))


def confirm_restored(
    delivered_until: datetime | None = typer.Option(
        None, help="UTC time up to which everything queued is taken as delivered: it becomes dead letters to look at."
    ),
    actor: str = ACTOR_OPTION,
    config: Path | None = CONFIG_OPTION,
) -> None:
    """Let a journal that was put back from a copy send again; the node must not run.

    What the copy believes undelivered may have been delivered since. All of it is marked as a possible duplicate;
    with --delivered-until the older part is not sent at all before a person looks at each.
    """
    if config is None:
        refuse("Name the configuration file: -c FILE.", code=ExitCode.WRONG_USE)
    until = None if delivered_until is None else delivered_until.replace(tzinfo=UTC)
    name = f"user:{name_actor(actor)}"

    async def confirm(journal: "SqlJournal") -> int | None:
        if not await journal.is_restored():
            return None
        return await journal.confirm_restored(at=datetime.now(UTC), actor=name, delivered_until=until)

    dead_count = _change_file(config, confirm)
    if dead_count is None:
        refuse("This journal was not put back from a copy; there is nothing to confirm.")
    print_line(f"confirmed; {dead_count} dead letters to look at")


def dead_list(
    config: Path | None = CONFIG_OPTION, file: Path | None = FILE_OPTION, as_json: bool = JSON_OPTION
) -> None:
    """List dead letters, the oldest first."""
    from interceptor.journal import outbox_rows

    with _reading(config, file) as stored:
        rows = outbox_rows.dead_letters(stored.connection, limit=100_000)
    for row in rows:
        if as_json:
            print_json(_dead_json(row))
        else:
            order = f"order {row.entry_id}" if row.entry_id is not None else row.kind
            print_line(
                f"{row.outbox_id:>6}  {row.queued_at:%Y-%m-%d %H:%M:%S}  {row.destination}  {order}"
                f"  sent {row.attempt_count} times  {printable(row.last_error)}"
            )
    if not rows and not as_json:
        print_line("No dead letters.")


def dead_retry(
    number: int = ROW_ARGUMENT,
    actor: str = ACTOR_OPTION,
    config: Path | None = CONFIG_OPTION,
    socket: Path | None = SOCKET_OPTION,
) -> None:
    """Send a dead letter again, through the running node."""
    ask(find_socket(config, socket), "dead_retry", outbox_id=number, actor=name_actor(actor))
    print_line(f"{number}: queued")


def dead_discard(
    number: int = ROW_ARGUMENT,
    reason: str = typer.Option(..., "--reason", help="Why nobody needs it any more."),
    actor: str = ACTOR_OPTION,
    config: Path | None = CONFIG_OPTION,
    socket: Path | None = SOCKET_OPTION,
) -> None:
    """Give a dead letter up, through the running node. It stays in the journal."""
    ask(find_socket(config, socket), "dead_discard", outbox_id=number, actor=name_actor(actor), reason=reason)
    print_line(f"{number}: discarded")


@contextmanager
def _reading(config: Path | None, file: Path | None) -> Iterator[StoredJournal]:
    loaded = None if file is not None else read_config(config)
    with opened_stored_journal(loaded, file) as stored:
        if stored is None:
            refuse(f"There is no journal at {file or (place_name(loaded) if loaded else '')}.")
        yield stored


def _parse_link(text: str) -> tuple[int, str] | None:
    if not text:
        return None
    number, _, sha256 = text.partition(":")
    if not number.isdecimal() or len(sha256) != 64:
        refuse("--expect takes NUMBER:SHA256 as `interceptor journal verify` prints it.", code=ExitCode.WRONG_USE)
    return int(number), sha256


def _change_file(config: Path, work: "Callable[[SqlJournal], Awaitable[_T]]") -> _T:
    """Do *work* on the journal of a node that does not run; refused when one does after all."""
    loaded = read_config(config)
    with opened_stored_journal(loaded) as stored:
        if stored is None:
            refuse(f"There is no journal at {place_name(loaded)}.")
    return change_journal(loaded, work)


def _dead_json(row: "OutboxRow") -> dict[str, object]:
    return {
        "outbox": row.outbox_id,
        "destination": row.destination,
        "kind": row.kind,
        "entry": row.entry_id,
        "error": row.last_error,
        "attempts": row.attempt_count,
        "queued_at": row.queued_at.isoformat(),
    }
