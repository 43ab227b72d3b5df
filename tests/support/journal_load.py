"""Traffic for a journal that will be killed, with a ledger that stands outside of it.

Workers bring messages in store custody, orders that are queued, and orders that are held and then released or
cancelled; a courier delivers to a filler that never refuses. The ledger learns of an act only after the journal
said that it is durable, as a placer would learn of it from our acknowledgment.
"""

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from interceptor.action.lifecycle import LifecycleEvent, OrderState
from interceptor.journal.port import (
    ChangeDone,
    EntryId,
    IntakeDone,
    Journal,
    JournalError,
    OutboxRow,
)
from tests.support.journal_values import (
    NOW,
    WEEK_AGO,
    held_intake,
    intake,
    message_bytes,
    outgoing,
    step,
)

LANE = "ris"
DECIDED_SHARE = 0.7
"""Of the held orders, how many are released or cancelled at once."""


def _ignore(line: str) -> None:
    """Nobody listens."""


@dataclass
class Ledger:
    """What the outside world knows.

    Attributes:
        accepted: Control ids that were acknowledged to the placer.
        kept: Of those, the ones that must stay out of the filler's sight unless they are released.
        released: Of those, the ones whose release was confirmed.
        cancelled: Of those, the ones whose cancel was confirmed.
        received: What the filler got, in order: control id and SHA-256.
        crashes: How often the journal was killed.
        tell: Called with each line, so that a ledger in another process can be kept.
    """

    accepted: list[str] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)
    released: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    received: list[tuple[str, str]] = field(default_factory=list)
    crashes: int = 0
    tell: Callable[[str], None] = _ignore

    def note(self, line: str) -> None:
        """Write one fact down: "accepted 7", "received 7 SHA256"."""
        word, _, rest = line.partition(" ")
        match word:
            case "accepted":
                self.accepted.append(rest)
            case "received":
                control_id, _, digest = rest.partition(" ")
                self.received.append((control_id, digest))
            case "kept" | "released" | "cancelled":
                getattr(self, word).add(rest)
            case _:
                raise AssertionError(line)
        self.tell(line)

    def duplicate_count(self) -> int:
        """How many messages the filler got more than once, counted by surplus."""
        return len(self.received) - len(set(self.received))

    def problems(self) -> list[str]:
        """Every promise that was broken, once everything deliverable was delivered."""
        found = []
        counts = Counter(control_id for control_id, _ in self.received)
        digests: dict[str, set[str]] = {}
        for control_id, digest in self.received:
            digests.setdefault(control_id, set()).add(digest)
        for control_id in self.accepted:
            must_arrive = control_id not in self.kept or control_id in self.released
            if must_arrive and not counts[control_id]:
                found.append(f"{control_id} was accepted and never arrived")
        found += [f"{one} was cancelled and arrived" for one in sorted(self.cancelled) if counts[one]]
        found += [f"{one} arrived with different bytes" for one, seen in sorted(digests.items()) if len(seen) > 1]
        if self.duplicate_count() > self.crashes:
            found.append(f"{self.duplicate_count()} duplicates in {self.crashes} crashes")
        return found + self._inversions()

    def _inversions(self) -> list[str]:
        """Messages of one worker arrive in the order in which it brought them, resends aside."""
        last: dict[str, int] = {}
        found = []
        for control_id in dict.fromkeys(one for one, _ in self.received):
            worker, _, number = control_id.partition("-")
            if control_id in self.kept:
                continue  # It waited for a person; others may pass it.
            if int(number) < last.get(worker, -1):
                found.append(f"{control_id} arrived after a later one of its connection")
            last[worker] = max(last.get(worker, -1), int(number))
        return found


async def run_load(journal: Journal, ledger: Ledger, *, seed: int, start: int, worker_count: int = 4) -> None:
    """Bring traffic until the journal fails. Numbers of messages begin with *start*."""
    tasks = [
        _bring(journal, ledger, random.Random(seed * 100 + worker), worker, start) for worker in range(worker_count)
    ]
    await asyncio.gather(_deliver(journal, ledger), *tasks)


async def run_script(journal: Journal, ledger: Ledger, *, start: int) -> None:
    """One of everything, one after the other, always the same: each way in, each decision, and every delivery."""
    rng = random.Random(start)
    for choice in range(4):
        await _bring_one(journal, ledger, rng, f"0-{start + choice}", choice=choice, is_decided=True)
    await deliver_what_waits(journal, ledger)


async def deliver_what_waits(journal: Journal, ledger: Ledger) -> None:
    """After a restart: send everything that can be sent."""
    await journal.recover_outbox(at=NOW)
    row = await journal.claim_next(LANE, at=NOW, inflight=True)
    while row is not None:
        row = await _send(journal, ledger, row)


async def _deliver(journal: Journal, ledger: Ledger) -> None:
    try:
        row: OutboxRow | None = None
        while True:
            row = row or await journal.claim_next(LANE, at=NOW, inflight=True)
            if row is None:
                await asyncio.sleep(0.001)
            else:
                row = await _send(journal, ledger, row)
    except JournalError:
        return


async def _send(journal: Journal, ledger: Ledger, row: OutboxRow) -> OutboxRow | None:
    ledger.note(f"received {row.control_id.decode()} {hashlib.sha256(row.content).hexdigest()}")
    return await journal.record_acked(row.outbox_id, at=NOW, acknowledgment=b"AA", claim_next=True)


async def _bring(journal: Journal, ledger: Ledger, rng: random.Random, worker: int, start: int) -> None:
    number = start
    try:
        while True:
            number += 1
            choice, is_decided = rng.randrange(4), rng.random() < DECIDED_SHARE
            await _bring_one(journal, ledger, rng, f"{worker}-{number}", choice=choice, is_decided=is_decided)
    except JournalError:
        return


async def _bring_one(
    journal: Journal, ledger: Ledger, rng: random.Random, control_id: str, *, choice: int, is_decided: bool
) -> None:
    raw = message_bytes(control_id, order=f"P{control_id}^EHR") + b"NTE|1||" + b"x" * rng.randrange(2000) + b"\r"
    match choice:
        case 0:
            leaves = (outgoing(raw, control_id, kind="message"),)
            value = intake(raw, control_id, outgoing=leaves, duplicates_since=WEEK_AGO)
            assert isinstance(await journal.record_intake(value), IntakeDone)
        case 1:
            value = held_intake(control_id, order=f"P{control_id}^EHR", state=OrderState.QUEUED)
            assert isinstance(await journal.record_intake(value), IntakeDone)
        case _:
            value = held_intake(control_id, order=f"P{control_id}^EHR")
            done = await journal.record_intake(value)
            assert isinstance(done, IntakeDone)
            ledger.note(f"kept {control_id}")
            ledger.note(f"accepted {control_id}")
            if is_decided:
                await _decide(journal, ledger, control_id, done.entry_ids[0], value.raw, is_release=choice == 2)
            return
    ledger.note(f"accepted {control_id}")


async def _decide(
    journal: Journal, ledger: Ledger, control_id: str, entry_id: EntryId, raw: bytes, *, is_release: bool
) -> None:
    if is_release:
        content = raw + b"NTE|1|O|released\r"
        change = step(
            entry_id, LifecycleEvent.RELEASED, version=1, outgoing=(outgoing(content, control_id, original=raw),)
        )
        assert isinstance(await journal.apply_change(change, at=NOW), ChangeDone)
        ledger.note(f"released {control_id}")
        return
    cancel = message_bytes(f"{control_id}C", order=f"P{control_id}^EHR", control="CA")
    change = step(entry_id, LifecycleEvent.CANCELLED, version=1, actor="placer")
    assert isinstance(await journal.record_intake(intake(cancel, f"{control_id}C", changes=(change,))), IntakeDone)
    ledger.note(f"cancelled {control_id}")


async def missing_from(journal: Journal, ledger: Ledger) -> list[str]:
    """Accepted messages of which the journal knows nothing."""
    found = []
    for control_id in ledger.accepted:
        entry = await journal.latest_entry_for(f"P{control_id}^EHR")
        if control_id in ledger.kept and entry is None:
            found.append(f"{control_id} was accepted and is gone")
    return found
