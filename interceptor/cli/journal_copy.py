"""`interceptor journal copy`: move a SQLite journal to PostgreSQL."""

import os
from contextlib import closing
from pathlib import Path

from interceptor.cli.node_connection import CONFIG_OPTION, read_config
from interceptor.cli.terminal import ExitCode, print_line, refuse


def copy(config: Path | None = CONFIG_OPTION) -> None:
    """Copy the SQLite journal of the data directory into the empty database of [database]; no node may run on either.

    Broken off, it goes on where it was when it is started again. At the end every table is compared row by row and the
    journal in the database is verified. The file stays as it is.
    """
    from interceptor.config.secret import SecretError
    from interceptor.journal.copying import copy_journal
    from interceptor.journal.port import JournalError
    from interceptor.journal.postgres import verify
    from interceptor.journal.postgres_connection import check_server, connect, migrate
    from interceptor.journal.sqlite import journal_path
    from interceptor.journal.sqlite_file import OwnerLock, open_for_reading
    from interceptor.journal_database import postgres_place

    loaded = read_config(config)
    path = journal_path(loaded.node.data_directory)
    if not loaded.database.hosts:
        refuse("The configuration has no table [database] to copy to.", code=ExitCode.WRONG_USE)
    if not path.exists():
        refuse(f"There is no journal at {path}.")
    try:
        lock = OwnerLock(path)
        with closing(open_for_reading(path)) as source:
            target = connect(postgres_place(loaded, os.environ), role="copy")
            with closing(target.raw):
                check_server(target)
                migrate(target)
                copy_journal(source, target, tell=lambda table, count: print_line(f"{table}: {count}"))
                report = verify(target, None)
        lock.give_back()
    except (JournalError, SecretError) as error:
        refuse(f"not copied: {error}")
    if report.problems:
        refuse(f"copied, and {len(report.problems)} problems found: interceptor journal verify tells them")
    print_line(f"copied and verified; audit chain {report.audit_number}:{report.audit_sha256}")
