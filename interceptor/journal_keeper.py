"""The node's side of its journal: opening it, setting a damaged one aside, and taking out what ended long ago.

With `node.py`, the only place that names a journal's adapter.

Failures: a damaged file is kept aside under a name of its own, what it still says is reported, and a new one is
begun: traffic goes on. A journal that is in use, has a newer schema or stands on a network filesystem is refused.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

from interceptor.config.schema import Config
from interceptor.control.protocol import ControlError
from interceptor.journal.group_commit import CommitReport
from interceptor.journal.migration import load_migrations, pending_migrations
from interceptor.journal.port import JournalCorrupt, JournalUnavailable
from interceptor.journal.sql_journal import SqlJournal
from interceptor.journal.sqlite import journal_path, open_sqlite_journal
from interceptor.journal.sqlite_file import applied_migrations, open_for_reading
from interceptor.journal.sqlite_salvage import read_losses, set_aside
from interceptor.journal.upkeep import Retention
from interceptor.telemetry.events import DATABASE_WARNED, JOURNAL_REPLACED, EventLog
from interceptor.telemetry.health import DegradedReason, Health
from interceptor.telemetry.metrics import Metrics

PRUNE_INTERVAL_SECONDS = 6 * 3600.0


@asynccontextmanager
async def opened_journal(config: Config, metrics: Metrics, health: Health, log: EventLog) -> AsyncIterator[SqlJournal]:
    """The journal for the length of the block.

    One on PostgreSQL opens while the database is away. What a journal has is read, and told of, by `recovery`.

    Raises:
        JournalError: It cannot be opened, and is not damaged.
    """
    path = journal_path(config.node.data_directory)

    def observe(report: CommitReport) -> None:
        metrics.journal.commit_seconds.observe(report.seconds)
        metrics.journal.batch_size.observe(report.job_count)

    async with AsyncExitStack() as stack:
        if config.database.hosts:
            warned: set[str] = set()

            def warn(reason: str) -> None:
                if reason not in warned:
                    warned.add(reason)
                    log.event(DATABASE_WARNED, reason=reason)

            # Here, for psycopg is an extra that a node with a SQLite file does without.
            from interceptor.journal_database import opened_database

            database = opened_database(config, observe=observe, warn=warn, is_node=True)
            yield await stack.enter_async_context(database)
            return
        try:
            journal = await stack.enter_async_context(open_sqlite_journal(path, observe=observe))
        except JournalCorrupt:
            kept = set_aside(path, at=datetime.now(UTC))
            losses = read_losses(kept)
            log.event(JOURNAL_REPLACED, kept_as=kept.name, problems=len(losses.orders) + len(losses.waiting))
            health.degrade(DegradedReason.JOURNAL_REPLACED)
            journal = await stack.enter_async_context(open_sqlite_journal(path, observe=observe))
        yield journal


def check_schema(config: Config) -> None:
    """Whether this version can use the journal that another process still writes to; nothing is changed.

    Raises:
        JournalRefused: Its schema is newer than this program, or not one that this program made.
        JournalError: It cannot be read.
    """
    if config.database.hosts:
        return  # Opening it checks, and holds nothing that another process needs.
    path = journal_path(config.node.data_directory)
    if not path.exists():
        return
    connection = open_for_reading(path)
    try:
        pending_migrations(load_migrations("sqlite"), applied_migrations(connection))
    finally:
        connection.close()


async def keep_journal(journal: SqlJournal) -> None:
    """Take out, several times a day, what ended longer ago than the retention. Cancelling ends it."""
    while True:
        await asyncio.sleep(PRUNE_INTERVAL_SECONDS)
        try:
            await journal.prune(at=datetime.now(UTC), retention=Retention())
        except JournalUnavailable:
            # A full or locked journal has other worries; the gauges tell of it.
            continue


def pruner(journal: SqlJournal) -> Callable[[dict[str, Any]], Awaitable[Mapping[str, object]]]:
    """The control command `journal_prune`: days by kind in, removed rows by kind out."""

    async def prune(arguments: dict[str, Any]) -> Mapping[str, object]:
        known = {field.name for field in fields(Retention)}
        try:
            retention = Retention(**{name: int(value) for name, value in arguments.items() if name in known})
            removed = await journal.prune(at=datetime.now(UTC), retention=retention)
        except (TypeError, ValueError) as error:
            raise ControlError("bad_argument", "days are whole numbers; messages are kept 7 days at least") from error
        except JournalUnavailable as error:
            raise ControlError("journal_unavailable", f"nothing was removed: the journal is {error.reason}") from error
        return asdict(removed)

    return prune
