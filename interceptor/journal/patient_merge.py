"""Two patient numbers become one while an order waits here: the order is shown as the surviving patient's.

The bytes of the order stay as placed: the filler gets them and the merge message, each as it came. What changes is
ours: the worklist's patient, the key of the order's set, the history. The version changes too, so that a reviewer who
looked at the order before has to look again (hazard H16), and the summary says why.

Merges are carried out in the order of arrival. A merge message waits for that, before it goes on or is acknowledged, while
orders are in our custody: a node that is killed in between has acknowledged nothing, and the merge is sent again. Carrying it
out twice changes nothing. Other messages wait for nothing.

Failures:
    journal unavailable     tried again every second; the merge message goes on after `WAIT_SECONDS_MAX`, and from
                            then on a restart forgets the merge: the order keeps its old number
    journal broken          ends with JournalBroken; the node stops
    our own fault           told; the merge is given up, the order keeps its old number

Source: HL7 v2.5.1 chapter 3: A40 and its older forms, PID-3, MRG-1 (before 2.3.1 MRG-4).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from interceptor.action.lifecycle import OPEN_STATES, LifecycleEvent, decide_transition
from interceptor.journal.custody import Custody
from interceptor.journal.order_index import OpenOrder
from interceptor.journal.patient_number import PatientNumber, numbers_of_segment
from interceptor.journal.port import Entry, EntryChange, JournalError, JournalReason, JournalUnavailable
from interceptor.message.header import Header
from interceptor.message.view import MessageView
from interceptor.telemetry.events import MERGE_FAILED, ORDER_MOVED, EventLog
from interceptor.telemetry.redaction import describe_error

MERGE_TRIGGERS = frozenset({"A18", "A30", "A34", "A36", "A39", "A40"})
RETRY_SECONDS = 1.0
WAIT_SECONDS_MAX = 1.0
"""The longest that a merge message waits for the journal."""
ATTEMPTS_MAX = 5
"""Tries to change an order that others keep moving."""
WAITING_COUNT_MAX = 10_000
"""Merges not yet carried out; a registration system that merges more while the journal is away is beyond help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientMerge:
    """*given_up* is *kept* from now on. `source` is the feed or route, `reference` the control id, for the history."""

    given_up: PatientNumber
    kept: PatientNumber
    source: str
    reference: str = ""


def is_merge(header: Header | MessageView) -> bool:
    """Whether a message merges patients."""
    kind = header.message_type
    return kind.code == "ADT" and kind.trigger in MERGE_TRIGGERS


def read_merges(view: MessageView, *, source: str) -> tuple[PatientMerge, ...]:
    """The merges that a message tells of: each MRG-1 into the first number of the PID before it."""
    found: list[PatientMerge] = []
    kept: PatientNumber | None = None
    reference = view.control_id.decode("latin-1")
    for segment in view.segments if is_merge(view) else ():
        if segment.name == "PID":
            numbers = numbers_of_segment(segment, 3)
            kept = numbers[0] if numbers else None
        elif segment.name == "MRG" and kept is not None:
            given_up = numbers_of_segment(segment, 1) or numbers_of_segment(segment, 4)
            found.extend(PatientMerge(given_up=one, kept=kept, source=source, reference=reference) for one in given_up)
    return tuple(found)


def merged_set_key(set_key: str, merge: PatientMerge, *, is_same_authority: bool) -> str:
    """The key that the set has under the surviving patient: see `context.order_set.set_key`.

    Within one authority its spelling stays that of the orders, which later siblings will use, too.
    """
    kind, _, rest = set_key.partition("\x1f")
    patient, _, others = rest.partition("\x1f")
    authority = patient.partition("\x1e")[2] if is_same_authority else merge.kept.authority
    return "\x1f".join((kind, f"{merge.kept.value}\x1e{authority}", others)) if others else set_key


def merged_summary(summary: Mapping[str, object], merge: PatientMerge) -> dict[str, object]:
    """The worklist's summary under the surviving patient, with what the reviewer has to know."""
    given_up, kept = merge.given_up.value, merge.kept.value
    return {
        **summary,
        "patient_id": kept,
        "patient_id_authority": merge.kept.authority or summary.get("patient_id_authority", ""),
        "merged_from": given_up,
        "merged": f"Patient {given_up}, whom the order names, was merged into {kept}. Confirm the patient again.",
    }


def keep_merge(entry: Entry, summary: Mapping[str, object], set_key: str) -> tuple[Mapping[str, object], str]:
    """Summary and set key of a changed order: still the surviving patient's where the change names the old number."""
    if not entry.summary.get("merged") or summary.get("patient_id") == entry.summary["patient_id"]:
        return summary, set_key
    kept = {
        name: entry.summary.get(name, "") for name in ("patient_id", "patient_id_authority", "merged_from", "merged")
    }
    return {**summary, **kept}, entry.set_key


class PatientMerges:
    """Merges that were heard of, carried out on what is ours."""

    def __init__(
        self,
        custody: Custody,
        *,
        spell: Callable[[str, str], str],
        now: Callable[[], datetime],
        log: EventLog,
    ) -> None:
        """*spell* gives the one spelling of an assigning authority (namespace id, universal id), "" where none is stated."""
        self._custody = custody
        self._spell = spell
        self._now = now
        self._log = log
        self._waiting: deque[PatientMerge | tuple[str, bytes]] = deque(maxlen=WAITING_COUNT_MAX)
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def note(self, merges: Sequence[PatientMerge]) -> None:
        """Carry these out soon; never waits."""
        if merges:
            self._note(*merges)

    def note_message(self, header: Header, raw: bytes, *, source: str) -> Callable[[], Awaitable[None]] | None:
        """The same for a message of any kind; where it may concern an order of ours, what it has to wait for."""
        if not is_merge(header):
            return None
        self._note((source, raw))
        return self.settled if self._custody.index.orders() else None

    async def settled(self) -> None:
        """Return when everything noted so far is durable; at the latest after `WAIT_SECONDS_MAX`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                await self._idle.wait()

    def _note(self, *merges: PatientMerge | tuple[str, bytes]) -> None:
        self._waiting.extend(merges)
        self._idle.clear()
        self._wake.set()

    async def run(self) -> None:
        """Carry out merges until cancelled."""
        while True:
            self._wake.clear()
            await self.work()
            await self._wake.wait()

    async def work(self) -> None:
        """Carry out what was noted, in order; returns when nothing is left."""
        while self._waiting:
            first = self._waiting.popleft()
            try:
                merges = (
                    (first,) if isinstance(first, PatientMerge) else read_merges(MessageView(first[1]), source=first[0])
                )
                for merge in merges:
                    await self._carry_out(merge)
            except JournalUnavailable:
                self._waiting.appendleft(first)
                await asyncio.sleep(RETRY_SECONDS)
            except JournalError:
                raise
            except Exception as error:  # noqa: BLE001 - a merge that we cannot follow must not end the node
                self._log.event(MERGE_FAILED, **describe_error(error))
        self._idle.set()

    async def _carry_out(self, merge: PatientMerge) -> None:
        """Change every order of the given-up number; one that names the surviving patient already stays as it is."""
        if not self._custody.is_loaded:
            raise JournalUnavailable(JournalReason.AWAY, "what is ours has not been read yet")
        for order in self._custody.index.orders():
            if any(self._is_same(merge.given_up, number) for number in order.patients):
                await self._rekey(order, merge)

    async def _rekey(self, order: OpenOrder, merge: PatientMerge) -> None:
        is_same_authority = self._authority(merge.given_up) == self._authority(merge.kept)
        async with self._custody.turn((order.order_key, order.set_key)):
            for _ in range(ATTEMPTS_MAX):
                entry = await self._custody.journal.entry(order.entry_id)
                if entry is None or entry.state not in OPEN_STATES or self._is_done(entry, merge):
                    return
                change = self._change(entry, merge, is_same_authority=is_same_authority)
                if isinstance(await self._custody.move([change], at=self._now()), tuple):
                    self._log.event(
                        ORDER_MOVED,
                        entry=entry.entry_id,
                        step=change.event.value,
                        state=change.state.value,
                        was=entry.state.value,
                        actor=change.actor,
                    )
                    return

    def _change(self, entry: Entry, merge: PatientMerge, *, is_same_authority: bool) -> EntryChange:
        event = LifecycleEvent.PATIENT_MERGED
        transition = decide_transition(entry.state, event)
        return EntryChange(
            entry_id=entry.entry_id,
            expected_version=entry.version,
            expected_state=entry.state,
            event=event,
            state=transition.state,
            actor="node",
            reason=transition.reason,
            summary=merged_summary(entry.summary, merge),
            set_key=merged_set_key(entry.set_key, merge, is_same_authority=is_same_authority),
            # No number of a patient: the history outlives the order, and what a patient may ask us to forget.
            detail={"source": merge.source, "control_id": merge.reference},
        )

    def _is_done(self, entry: Entry, merge: PatientMerge) -> bool:
        shown = PatientNumber(
            str(entry.summary.get("patient_id", "")), str(entry.summary.get("patient_id_authority", ""))
        )
        return bool(entry.summary.get("merged")) and self._is_same(merge.kept, shown)

    def _is_same(self, one: PatientNumber, other: PatientNumber) -> bool:
        return one.value == other.value and self._authority(one) == self._authority(other)

    def _authority(self, number: PatientNumber) -> str:
        return self._spell(number.namespace, number.universal)
