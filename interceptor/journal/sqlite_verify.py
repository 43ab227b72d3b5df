"""`journal verify`: is everything in the file what was put into it? Reads only.

Checks SQLite's own structure, foreign keys, the digest of every stored byte string, the audit chain link by link,
that each order's steps in the chain add up to its version, and that orders and outbox agree.
"""

from collections.abc import Iterator

import apsw

from interceptor.journal.upkeep import VerifyReport
from interceptor.journal.verify_rows import PROBLEMS_MAX, check_rows


def verify(connection: apsw.Connection, *, expected_link: tuple[int, str] | None = None) -> VerifyReport:
    """Check the whole journal in one read transaction; *expected_link* as in `check_rows`."""
    connection.execute("BEGIN")
    try:
        return check_rows(
            connection,
            expected_link=expected_link,
            before=(lambda: _structure(connection), lambda: _foreign_keys(connection)),
            errors=apsw.Error,
        )
    finally:
        connection.execute("ROLLBACK")


def _structure(connection: apsw.Connection) -> Iterator[str]:
    # SQLite's sentences name tables, indexes, pages and row numbers, never values.
    for (sentence,) in connection.execute(f"PRAGMA integrity_check({PROBLEMS_MAX})"):
        if sentence != "ok":
            yield f"structure: {sentence}"


def _foreign_keys(connection: apsw.Connection) -> Iterator[str]:
    for table, row_id, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        yield f"{table} {row_id} refers to a missing {parent}"
