"""The journal's file, read by commands that do not need a running node."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from interceptor.cli.node_connection import read_config
from interceptor.cli.terminal import refuse

if TYPE_CHECKING:
    import apsw


@contextmanager
def opened_journal_file(config: Path | None) -> "Iterator[apsw.Connection | None]":
    """The journal of a node that does not run, for reading; None when it was never made."""
    from interceptor.journal.port import JournalError
    from interceptor.journal.sqlite import journal_path
    from interceptor.journal.sqlite_file import open_for_reading

    path = journal_path(read_config(config).node.data_directory)
    if not path.exists():
        yield None
        return
    try:
        connection = open_for_reading(path)
    except JournalError as error:
        refuse(f"{path}: {error}")
    with closing(connection):
        yield connection
