"""`journal verify` on what is stored, row by row: SQL only, the same on every database.

Checks the digest of every stored byte string, the audit chain link by link, that each order's steps in the chain add
up to its version, and that orders and outbox agree.
"""

from collections.abc import Callable, Iterator

from interceptor.action.lifecycle import LifecycleEvent
from interceptor.journal.sql import SqlConnection
from interceptor.journal.stored_form import CHAIN_START, chain_link, digest_of
from interceptor.journal.upkeep import VerifyReport

PROBLEMS_MAX = 100
"""Problems that are told one by one; a ruined database has millions."""


class _Count:
    """Rows that were looked at."""

    def __init__(self) -> None:
        self.rows = 0
        self.audit_number = 0
        self.audit_sha256 = CHAIN_START


def check_rows(
    connection: SqlConnection,
    *,
    expected_link: tuple[int, str] | None,
    before: tuple[Callable[[], Iterator[str]], ...],
    errors: type[Exception],
) -> VerifyReport:
    """Check everything within the caller's read transaction.

    Args:
        connection: Sees one state of the database throughout.
        expected_link: Number and SHA-256 of an audit link that was noted earlier and must still be there.
        before: Checks of the database itself, that come first.
        errors: What the database raises where it cannot be read: told as a problem, the other checks go on.
    """
    count = _Count()
    problems: list[str] = []
    checks: tuple[Callable[[], Iterator[str]], ...] = (
        *before,
        lambda: _digests(connection, count),
        lambda: _chain(connection, count, expected_link),
        lambda: _versions(connection),
        lambda: _orders_and_outbox(connection),
    )
    for check in checks:
        try:
            problems.extend(check())
        except errors as error:
            problems.append(f"cannot be read: {type(error).__name__}")
    if len(problems) > PROBLEMS_MAX:
        problems[PROBLEMS_MAX:] = [f"and {len(problems) - PROBLEMS_MAX} more"]
    return VerifyReport(
        rows_checked=count.rows,
        problems=tuple(problems),
        audit_number=count.audit_number,
        audit_sha256=count.audit_sha256,
    )


def _digests(connection: SqlConnection, count: _Count) -> Iterator[str]:
    queries = {
        "message": "SELECT message_id, digest, raw FROM message",
        "entry": "SELECT entry_id, digest, content FROM entry_with_content",
        "outbox": "SELECT outbox_id, digest, content FROM outbox_with_content",
        "follower": "SELECT follower_id, follower.digest, coalesce(content, raw) FROM follower JOIN message USING (message_id)",
        "quarantine": "SELECT quarantine_id, digest, raw FROM quarantine",
    }
    for table, query in queries.items():
        for number, digest, content in connection.execute(query):
            count.rows += 1
            if content is None:
                yield f"{table} {number}: the bytes are missing"
            elif digest_of(content) != digest:
                yield f"{table} {number}: the bytes are not those that were stored"


def _chain(connection: SqlConnection, count: _Count, expected_link: tuple[int, str] | None) -> Iterator[str]:
    query = "SELECT number, at, actor, action, entry_id, detail, sha256 FROM audit ORDER BY number"
    previous = CHAIN_START
    number = 0
    found_expected = expected_link is None
    for found, at, actor, action, entry_id, detail, sha256 in connection.execute(query):
        count.rows += 1
        if found != number + 1:
            yield f"audit {number + 1} to {found - 1}: missing"
        number = found
        link = chain_link(
            number=number, at=at, actor=actor, action=action, entry_id=entry_id, detail=detail, previous=previous
        )
        if link != sha256:
            yield f"audit {number}: changed, or what stands before it was"
        previous = sha256
        found_expected = found_expected or (number, sha256) == expected_link
    count.audit_number, count.audit_sha256 = number, previous
    if not found_expected:
        yield "the audit chain no longer holds the link that was noted earlier"


_STEPS = f"""
SELECT entry.entry_id, entry.version, count(audit.number) FROM entry
LEFT JOIN audit ON audit.entry_id = entry.entry_id AND audit.action IN ({", ".join("?" for _ in LifecycleEvent)})
GROUP BY entry.entry_id HAVING entry.version <> count(audit.number)
"""  # noqa: S608 - placeholders only


def _versions(connection: SqlConnection) -> Iterator[str]:
    for entry_id, version, steps in connection.execute(_STEPS, tuple(map(str, LifecycleEvent))):
        yield f"entry {entry_id}: version {version}, but {steps} steps in the audit chain"


_CONTRADICTIONS = {
    "is queued, but nothing in the outbox would deliver it": """
        SELECT entry_id FROM entry WHERE state = 'queued' AND NOT EXISTS (
            SELECT 1 FROM outbox WHERE outbox.entry_id = entry.entry_id AND kind = 'order'
            AND outbox.state IN ('pending', 'claimed', 'inflight'))""",
    "waits for a decision, but the outbox would deliver it": """
        SELECT entry_id FROM entry WHERE state IN ('parked', 'held') AND EXISTS (
            SELECT 1 FROM outbox WHERE outbox.entry_id = entry.entry_id AND kind = 'order'
            AND outbox.state IN ('pending', 'claimed', 'inflight'))""",
    "was never to leave, but was delivered": """
        SELECT entry_id FROM entry WHERE state IN ('parked', 'held', 'withdrawn', 'returned', 'replaced') AND EXISTS (
            SELECT 1 FROM outbox WHERE outbox.entry_id = entry.entry_id AND kind = 'order' AND outbox.state = 'acked')""",
}


def _orders_and_outbox(connection: SqlConnection) -> Iterator[str]:
    for sentence, query in _CONTRADICTIONS.items():
        for (entry_id,) in connection.execute(query):
            yield f"entry {entry_id} {sentence}"
