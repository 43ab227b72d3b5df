"""What ended long ago leaves the journal, a few hundred rows per transaction so that nobody waits long.

The SQL asks for ended rows only; triggers and foreign keys would refuse anything else. The audit chain stays.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from types import MappingProxyType

from interceptor.journal.group_commit import GroupCommit
from interceptor.journal.sql import SqlConnection
from interceptor.journal.stored_form import instant_text
from interceptor.journal.upkeep import Retention

ROWS_PER_TRANSACTION = 500

# In this order: what refers to something goes before what it refers to.
PRUNING: Mapping[str, str] = MappingProxyType(
    {
        "outbox": """
            DELETE FROM outbox WHERE outbox_id IN (
                SELECT outbox_id FROM outbox WHERE state = 'acked' AND changed_at < :message
                UNION ALL SELECT outbox_id FROM outbox WHERE state = 'dead' AND discarded_at < :message
                LIMIT :rows)""",
        "entry": """
            DELETE FROM entry WHERE entry_id IN (
                SELECT entry_id FROM entry WHERE closed_at < :entry
                AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.entry_id = entry.entry_id) LIMIT :rows)""",
        "message": """
            DELETE FROM message WHERE message_id IN (
                SELECT message_id FROM message WHERE received_at < :message
                AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.message_id = message.message_id)
                AND NOT EXISTS (SELECT 1 FROM follower WHERE follower.message_id = message.message_id)
                AND NOT EXISTS (SELECT 1 FROM entry WHERE entry.message_id = message.message_id)
                AND NOT EXISTS (SELECT 1 FROM entry WHERE entry.source_id = message.message_id) LIMIT :rows)""",
        "decision": """
            DELETE FROM decision WHERE decision_id IN (
                SELECT decision_id FROM decision WHERE decided_at < :decision LIMIT :rows)""",
        "quarantine": """
            DELETE FROM quarantine WHERE quarantine_id IN (
                SELECT quarantine_id FROM quarantine WHERE received_at < :quarantine LIMIT :rows)""",
    }
)


async def prune_all(writer: GroupCommit, *, at: datetime, retention: Retention) -> Mapping[str, int]:
    """Remove everything that ended before the retention, in small transactions; returns how many rows by table."""
    removed = {}
    for table in PRUNING:
        removed[table] = 0
        count = ROWS_PER_TRANSACTION
        while count == ROWS_PER_TRANSACTION:
            count = await writer.submit(partial(prune_some, table=table, at=at, retention=retention))
            removed[table] += count
    return removed


def prune_some(connection: SqlConnection, table: str, *, at: datetime, retention: Retention) -> int:
    """Remove up to `ROWS_PER_TRANSACTION` rows of *table* that ended before the retention; returns how many."""
    connection.execute(
        PRUNING[table],
        {
            "message": instant_text(at - timedelta(days=retention.message_days)),
            "entry": instant_text(at - timedelta(days=retention.entry_days)),
            "decision": instant_text(at - timedelta(days=retention.decision_days)),
            "quarantine": instant_text(at - timedelta(days=retention.quarantine_days)),
            "rows": ROWS_PER_TRANSACTION,
        },
    )
    return connection.changes()
