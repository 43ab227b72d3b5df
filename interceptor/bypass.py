"""After a gap in which a bypass may have carried placers' messages around this node: nothing that they overtook is sent.

While the node was away, a cancel or a change of an order may have gone straight to the filler. Sent now, the order from our
queue would come after its own cancel. So what was queued becomes a dead letter, which a person sends or gives up
(`interceptor journal dead list|retry|discard`), and each held order gets a word of warning in its history and a new
version. The lanes go on: new orders wait for nobody.

The node notes every second that it lives, by the time of a file. A restart that hands over leaves no gap.

Failures: a file that cannot be touched or read is told by nothing but its age; the gap then looks longer, never shorter.
With PostgreSQL the other node has the queue, and no gap is looked for.
"""

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from interceptor.action.lifecycle import WAITING_STATES, LifecycleEvent
from interceptor.journal.port import Conflict, Entry, EntryChange
from interceptor.node_parts import NodeParts, utc_now
from interceptor.telemetry.operation_events import BYPASS_SUSPECTED

DEAD_REASON: Final = "maybe_overtaken"
ALIVE_SECONDS: Final = 1.0
_PAGE_COUNT: Final = 1000
_WARNING: Final = (
    "This node was away for {seconds:.0f} s and placers may have reached the filler without it: a cancel or a change of this"
    " order may be there already. Ask the filler before it is released."
)


def alive_file(data_directory: Path) -> Path:
    """The file whose time says when the node lived last."""
    return data_directory / "last-alive"


async def keep_alive_noted(data_directory: Path) -> None:
    """Note every second that the node lives, until cancelled."""
    while True:
        with suppress(OSError):
            await asyncio.to_thread(alive_file(data_directory).touch)
        await asyncio.sleep(ALIVE_SECONDS)


def gap_seconds(data_directory: Path, *, now: float) -> float:
    """How long the node was away until *now* (seconds since 1970); 0 when it never lived here."""
    try:
        return max(0.0, now - alive_file(data_directory).stat().st_mtime)
    except OSError:
        return 0.0


async def set_aside_overtaken(parts: NodeParts) -> None:
    """Before anything is loaded from the journal or sent: see above. Does nothing where no bypass is configured."""
    limit = parts.config.node.bypass_gap_seconds
    if not limit or parts.journal.nodes is not None:
        return
    seconds = await asyncio.to_thread(gap_seconds, parts.config.node.data_directory, now=time.time())
    if seconds < limit:
        return
    aside = [row for row in await parts.journal.undelivered_rows() if row.kind != "notice"]
    for row in aside:
        parts.metrics.destinations[row.destination].dead_letters_total.count(DEAD_REASON)
        await parts.journal.record_dead(row.outbox_id, at=utc_now(), error=DEAD_REASON, acknowledgment=b"")
    warned = await _warn_of_held(parts, _WARNING.format(seconds=seconds))
    parts.log.event(BYPASS_SUSPECTED, away_seconds=round(seconds, 1), dead_letters=len(aside), held=warned)


async def _warn_of_held(parts: NodeParts, warning: str) -> int:
    """Write the warning to every order that waits; how many there are."""
    count, after = 0, None
    while True:
        page = await parts.journal.entries(states=sorted(WAITING_STATES), limit=_PAGE_COUNT, after=after)
        if not page:
            return count
        done = await parts.journal.apply_changes([_warned(entry, warning) for entry in page], at=utc_now())
        assert not isinstance(done, Conflict), "nobody else changes orders before the node has started"
        count, after = count + len(page), page[-1].entry_id


def _warned(entry: Entry, warning: str) -> EntryChange:
    return EntryChange(
        entry_id=entry.entry_id,
        expected_version=entry.version,
        expected_state=entry.state,
        event=LifecycleEvent.COMMENTED,
        state=entry.state,
        actor="node",
        detail={"code": "S-BYPASS", "comment": warning},
        summary={**entry.summary, "bypass": warning},
    )
