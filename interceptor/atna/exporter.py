"""Hand the audit chain to the repository, link by link, as long as the node lives.

    audit chain behind the cursor -> XML -> syslog over TLS -> the cursor moves

The chain is the spool: durable, and bounded by the disk that the journal watches. In memory there is one batch.

Failures: a repository that is away, refuses or does not read is tried again with growing pauses, told once and shown as a
number of links that wait. A journal that is unavailable postpones the round. Nothing else ever waits for this. A link may
be sent twice (its number tells); none is left out.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from interceptor.atna.message import AuditSource, OrderObject, build_audit_message
from interceptor.atna.syslog import SyslogConnection, build_syslog_message
from interceptor.journal import export_rows as cursor
from interceptor.journal.port import AuditRow, Journal, JournalUnavailable
from interceptor.journal.side_tables import SideTables
from interceptor.telemetry.events import EventLog
from interceptor.telemetry.line_events import AUDIT_SINK_BEHIND, AUDIT_SINK_CONNECTED, AUDIT_SINK_LOST
from interceptor.telemetry.metrics import LineMetrics

BATCH_COUNT_MAX = 100
LOOK_SECONDS = 1.0
PAUSE_SECONDS_MAX = 60.0
HELD = timedelta(seconds=30)
"""How long this node keeps the export without a sign of life; another one takes it then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterParts:
    """What the exporter is plugged to.

    Attributes:
        host, port, server_name: Of the repository; the name that its certificate must have, None for *host*.
        context: Gives the TLS context of the next connection.
        holder: Names this process among the nodes of one journal.
        seconds_max: How long connecting, and handing over one batch, may take.
        waiting_max: Links that may wait before somebody is told.
    """

    host: str
    port: int
    server_name: str | None
    context: Callable[[], ssl.SSLContext]
    source: AuditSource
    holder: str
    seconds_max: float
    waiting_max: int
    journal: Journal
    tables: SideTables
    now: Callable[[], datetime]
    jitter: Callable[[], float]
    metrics: LineMetrics
    log: EventLog


class AuditExporter:
    """The export of one node."""

    def __init__(self, parts: ExporterParts) -> None:
        """Nothing happens before `run`."""
        self._parts = parts
        self._connection: SyslogConnection | None = None
        self._is_lost_told = False
        self._is_behind_told = False
        self._failure_count = 0

    async def begin(self) -> None:
        """Mark the place in the chain where the export begins, where it never ran before.

        Raises:
            JournalUnavailable: It is marked with the first round.
        """
        await self._parts.tables.write(cursor.begin)

    async def run(self) -> None:
        """Export until cancelled; what was not handed over is there at the next start."""
        try:
            while True:
                has_more = False
                try:
                    has_more = await self._round()
                except JournalUnavailable:
                    self._failure_count += 1
                except (OSError, TimeoutError) as error:
                    self._lose(type(error).__name__)
                if not has_more:
                    await asyncio.sleep(self._pause())
        finally:
            self._close()

    async def _round(self) -> bool:
        """Hand over one batch; True when more waits."""
        parts = self._parts
        now = parts.now()
        holding = partial(cursor.hold, holder=parts.holder, at=now, until=now + HELD)
        position = await self._look()
        if not await self._parts.tables.write(holding):
            self._close()
            return False
        rows = await parts.journal.audit_rows(after=position.exported, limit=BATCH_COUNT_MAX)
        connection = await self._connect(position)
        if rows:
            data = b"".join([await self._build(row) for row in rows])
            await connection.hand_over(data, seconds_max=parts.seconds_max)
            await parts.tables.write(partial(cursor.advance, holder=parts.holder, number=rows[-1].number))
            parts.metrics.audit_exported.inc(len(rows))
        self._failure_count = 0
        return len(rows) == BATCH_COUNT_MAX

    async def _look(self) -> cursor.Position:
        """Where the export stands, shown and told."""
        position = await self._parts.tables.read(cursor.read_position)
        self._parts.metrics.audit_waiting.set(position.waiting)
        is_behind = position.waiting > self._parts.waiting_max
        if is_behind and not self._is_behind_told:
            self._parts.log.event(AUDIT_SINK_BEHIND, waiting=position.waiting)
        self._is_behind_told = is_behind
        return position

    async def _connect(self, position: cursor.Position) -> SyslogConnection:
        if self._connection is None:
            parts = self._parts
            self._connection = await SyslogConnection.open(
                parts.host,
                parts.port,
                context=parts.context(),
                server_name=parts.server_name,
                seconds_max=parts.seconds_max,
            )
            parts.metrics.audit_sink_up.set(1)
            parts.log.event(AUDIT_SINK_CONNECTED, waiting=position.waiting)
            self._is_lost_told = False
        return self._connection

    async def _build(self, row: AuditRow) -> bytes:
        source = self._parts.source
        order = None
        if row.entry_id is not None:
            entry = await self._parts.journal.entry(row.entry_id)
            order = OrderObject()
            if entry is not None:
                order = OrderObject(
                    placer_order_number=entry.placer_order_number,
                    patient_id=str(entry.summary.get("patient_id", "")),
                    patient_authority=str(entry.summary.get("patient_id_authority", "")),
                )
        return build_syslog_message(build_audit_message(row, source, order), source, row.at)

    def _lose(self, reason: str) -> None:
        self._close()
        self._failure_count += 1
        if not self._is_lost_told:
            self._is_lost_told = True
            self._parts.log.event(AUDIT_SINK_LOST, reason=reason)

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        self._parts.metrics.audit_sink_up.set(0)
        if connection is not None:
            connection.close()

    def _pause(self) -> float:
        pause = min(LOOK_SECONDS * 2 ** min(self._failure_count, 10), PAUSE_SECONDS_MAX)
        return pause * (0.5 + self._parts.jitter()) if self._failure_count else LOOK_SECONDS
