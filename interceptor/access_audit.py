"""The audit trail of refusals: who was turned away, and why, in the journal's chain, behind the wire.

The wire only notes; a task writes. What repeats is one link a minute with a count, and there are few kinds at one time:
somebody who hammers at a port fills neither the disk nor the memory.

Failures: while the journal cannot write, what was noted is kept and counted on; what does not fit any more is counted
under "other". A refusal never waits for its record.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from interceptor.journal.port import Journal, JournalUnavailable

ACTION = "access_refused"
ALERT_ACTION = "access_mismatch_allowed"
WRITE_INTERVAL_SECONDS = 60.0
FIRST_WRITE_SECONDS = 1.0
KINDS_COUNT_MAX = 256
_CLAIM_LENGTH_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One kind of refusal.

    Attributes:
        listener: Name of the route or feed.
        peer: Address that it came from.
        reason: Word of a closed set.
        certificate: Name of the certificate; "" where there was none.
        claimed: What the message said it was (MSH-3, MSH-4, MSH-9), at most 64 characters; "" for a connection.
        is_allowed: It went on all the same: the listener only alerts.
    """

    listener: str
    peer: str
    reason: str
    certificate: str = ""
    claimed: str = ""
    is_allowed: bool = False


_OTHERS = Refusal(listener="", peer="", reason="other")


class AccessAudit:
    """Collects refusals from the wire and writes them behind it."""

    def __init__(self, journal: Journal, *, now: Callable[[], datetime]) -> None:
        """Nothing is written before `run`."""
        self._journal = journal
        self._now = now
        self._noted: dict[Refusal, int] = {}
        self._is_known: set[Refusal] = set()
        self._wake = asyncio.Event()

    def note(self, refusal: Refusal) -> None:
        """Count one; never waits and never grows beyond its bounds."""
        if refusal not in self._noted and len(self._noted) >= KINDS_COUNT_MAX:
            refusal = _OTHERS
        self._noted[refusal] = self._noted.get(refusal, 0) + 1
        if refusal not in self._is_known:
            self._wake.set()

    async def run(self) -> None:
        """Write until cancelled: a new kind soon, what repeats once a minute. What waits is written at the end."""
        try:
            while True:
                try:
                    async with asyncio.timeout(WRITE_INTERVAL_SECONDS):
                        await self._wake.wait()
                    await asyncio.sleep(FIRST_WRITE_SECONDS)
                except TimeoutError:
                    self._is_known.clear()
                self._wake.clear()
                await self._write()
        finally:
            await asyncio.shield(self._write())

    async def _write(self) -> None:
        noted, self._noted = self._noted, {}
        for refusal, count in noted.items():
            try:
                await self._record(refusal, count)
            except JournalUnavailable:
                self._keep(refusal, count)
            else:
                self._remember(refusal)

    async def _record(self, refusal: Refusal, count: int) -> None:
        detail: dict[str, object] = {
            "listener": refusal.listener,
            "peer": refusal.peer,
            "reason": refusal.reason,
            "count": count,
        }
        if refusal.certificate:
            detail["certificate"] = refusal.certificate
        if refusal.claimed:
            detail["claimed"] = refusal.claimed
        action = ALERT_ACTION if refusal.is_allowed else ACTION
        await self._journal.record_audit(at=self._now(), actor="node", action=action, entry_id=None, detail=detail)

    def _keep(self, refusal: Refusal, count: int) -> None:
        """Try again later; it counts on meanwhile."""
        key = refusal if refusal in self._noted or len(self._noted) < KINDS_COUNT_MAX else _OTHERS
        self._noted[key] = self._noted.get(key, 0) + count

    def _remember(self, refusal: Refusal) -> None:
        """The next ones of this kind wait for the minute."""
        if len(self._is_known) >= KINDS_COUNT_MAX:
            self._is_known.clear()
        self._is_known.add(refusal)


def claim_of(application: bytes, facility: bytes, message_type: bytes) -> str:
    """What a message says it is, short and printable, for the audit trail."""
    text = "|".join(part.decode("latin-1") for part in (application, facility, message_type))
    return "".join(character if character.isprintable() else "?" for character in text)[:_CLAIM_LENGTH_MAX]
