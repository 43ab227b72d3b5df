"""From the table [database] of the configuration to a journal on PostgreSQL.

Failures: a password that cannot be read, or a driver that is not installed, is a `JournalRefused`, as a server that is not
fit is.
"""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from interceptor.config.schema import Config
from interceptor.config.secret import SecretError, read_secret
from interceptor.journal.group_commit import CommitReport
from interceptor.journal.port import JournalReason, JournalRefused
from interceptor.journal.postgres import PostgresSettings, open_postgres_journal
from interceptor.journal.postgres_connection import PostgresPlace
from interceptor.journal.postgres_reader import PostgresReaders
from interceptor.journal.sql_journal import SqlJournal


def postgres_place(config: Config, environment: Mapping[str, str]) -> PostgresPlace:
    """The database that [database] names, with its password.

    Raises:
        SecretError: The password cannot be read.
    """
    table = config.database
    hosts = [host if host.startswith("/") else host.rpartition(":") for host in table.hosts]
    names = [host if isinstance(host, str) else host[0] or host[2] for host in hosts]
    ports = [host[2] if not isinstance(host, str) and host[0] else "5432" for host in hosts]
    password = read_secret(
        "database.password", file=table.password_file, variable=table.password_env, environment=environment
    )
    return PostgresPlace(
        host=",".join(names),
        port=",".join(ports),
        database=table.name,
        user=table.user,
        password=password or "",
        sslmode=table.sslmode,
        sslrootcert=str(table.ca_file or ""),
        sslcert=str(table.certificate_file or ""),
        sslkey=str(table.key_file or ""),
        connect_timeout_seconds=table.connect_timeout_seconds,
        tcp_user_timeout_seconds=table.tcp_user_timeout_seconds,
        node=config.node.name,
    )


def open_database_readers(config: Config, *, count: int) -> PostgresReaders:
    """Connections that cannot write, for a process beside the node; the caller closes them.

    Raises:
        SecretError: The password cannot be read.
    """
    return PostgresReaders(postgres_place(config, os.environ), count=count)


@asynccontextmanager
async def opened_database(
    config: Config,
    *,
    observe: Callable[[CommitReport], None] | None = None,
    warn: Callable[[str], None] | None = None,
    is_node: bool = False,
) -> AsyncIterator[SqlJournal]:
    """The journal on PostgreSQL for the length of the block.

    *is_node*: for a node, which delivers under a lease only, and starts while the database is away.

    Raises:
        JournalError: It cannot be opened, or its password cannot be read.
    """
    try:
        place = postgres_place(config, os.environ)
    except SecretError as error:
        raise JournalRefused(JournalReason.SETTINGS, str(error)) from error
    settings = PostgresSettings(is_fenced=is_node, may_start_away=is_node)
    async with open_postgres_journal(place, settings=settings, observe=observe, warn=warn) as journal:
        yield journal
