"""The export of the audit trail, put together from the configuration."""

import os
import random
import secrets
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from interceptor.atna.exporter import AuditExporter, ExporterParts
from interceptor.atna.message import AuditSource
from interceptor.credentials import ATNA
from interceptor.journal.port import JournalError
from interceptor.node_parts import NodeParts, utc_now
from interceptor.transport.tls import Credential


@asynccontextmanager
async def exported_audit(parts: NodeParts, credentials: Mapping[str, Credential]) -> AsyncIterator[None]:
    """Export what the configuration asks for, for the length of the block; start and stop are acts of their own.

    *credentials*: see `LineSecurity`.
    """
    table = parts.config.atna
    if table is None:
        yield
        return
    credential = credentials[ATNA]
    exporter = AuditExporter(
        ExporterParts(
            host=table.address.host,
            port=table.address.port,
            server_name=table.server_name,
            context=lambda: credential.context,
            source=AuditSource(
                node=parts.config.node.name, host=socket.gethostname(), process=os.getpid(), site=table.enterprise_site
            ),
            holder=f"{parts.config.node.name}-{secrets.token_hex(8)}",
            seconds_max=table.timeout_seconds,
            waiting_max=table.waiting_max,
            journal=parts.journal,
            tables=parts.journal.side_tables,
            now=utc_now,
            jitter=random.random,
            metrics=parts.metrics.line,
            log=parts.log,
        )
    )
    with suppress(JournalError):
        await exporter.begin()
    await _record(parts, "node_started")
    parts.run(exporter.run(), name="audit-export")
    try:
        yield
    finally:
        await _record(parts, "node_stopped")


async def _record(parts: NodeParts, action: str) -> None:
    """A journal that cannot write stops no start and no stop."""
    with suppress(JournalError):
        await parts.journal.record_audit(at=utc_now(), actor="supervisor", action=action, entry_id=None, detail={})
