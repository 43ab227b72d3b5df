"""Orders that went on only because a lookup failed are decided again when the sources answer.

    note(route, raw)  ->  kept in the journal  ->  sources asked again  ->  would have been held: listed for reviewers
                                                                       ->  would not: forgotten
                                                                       ->  no answer for days: forgotten, counted

A patient whose late answer lands is looked at at once, everything when a source comes back, else with pauses that
grow. One message at a time, and a few failures end the round: deciding again is never the storm that keeps a source
down. The order itself went to the filler long ago; nothing here touches it.

Failures: a journal that is unavailable keeps what is in memory for the next round; memory is limited, the oldest go,
counted. A message that cannot be decided is forgotten, counted and told. A broken journal ends the node.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from hashlib import sha256
from typing import Any, Protocol, TypeVar

from interceptor.context.patient import PatientEvidence
from interceptor.context.vocabulary import LookupStatus
from interceptor.evidence import retrospective_rows as rows
from interceptor.evidence.patient_question import PatientQuestion, read_question
from interceptor.evidence.registry_rows import Connection
from interceptor.evidence.retrospective_rows import MissedHold, Undecided, WaitingMessage
from interceptor.message.view import MessageView

MESSAGE_SIZE_MAX = 1024 * 1024
"""A larger order has a document in it; it is not kept."""
_NOTED_COUNT_MAX = 1000
_BATCH_COUNT_MAX = 50
_FAILURES_OF_A_ROUND = 3
_RETURNED_COUNT_MAX = 1000
_MISSED_KEPT = timedelta(days=30)

_T = TypeVar("_T")


class Outcome(StrEnum):
    """What came of deciding again: words of the metric's label."""

    MISSED_HOLD = "missed_hold"
    CLEAR = "clear"
    EXPIRED = "expired"
    FAILED = "failed"
    """It could not be kept or decided."""


class Tables(Protocol):
    """What is needed of the journal: work in its writer, work in its readers."""

    async def write(self, work: Callable[[Connection], _T]) -> _T:
        """Run *work* in the writer; durable when this returns."""
        ...

    async def read(self, work: Callable[[Connection], _T]) -> _T:
        """Run *work* on a connection that cannot write."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrospectiveParts:
    """What it is plugged to.

    Attributes:
        ask: Ask all sources about a patient, with more patience than an order has.
        decide: Decide a message again, as of the time that it was noted: the orders that would have been held,
            described for reviewers, "reason" among the words.
        found: A hold was missed: route, our number, deciding reason of the first such order.
        ended: Count what came of one message.
        raised: Tell of a message that could not be decided: our number, and why.
        show_waiting: Show how many wait.
        unavailable: The journal's error for "nothing was written".
        default_authority: As the route's own questions have it, see `read_question`.
    """

    tables: Tables
    ask: Callable[[PatientQuestion], Awaitable[PatientEvidence]]
    decide: Callable[[MessageView, PatientEvidence, datetime], Sequence[Mapping[str, Any]]]
    found: Callable[[str, int, str], None]
    ended: Callable[[Outcome, int], None]
    raised: Callable[[int, Exception], None]
    show_waiting: Callable[[int], None]
    now: Callable[[], datetime]
    unavailable: type[Exception]
    kept_for: timedelta = timedelta(hours=72)
    default_authority: str = ""
    look_seconds: float = 15.0
    first_pause: timedelta = timedelta(seconds=30)
    pause_max: timedelta = timedelta(minutes=15)


class Retrospective:
    """Notes undecided messages on the data path, decides them again behind it."""

    def __init__(self, parts: RetrospectiveParts) -> None:
        """Run `run` for as long as messages are noted."""
        self._parts = parts
        self._noted: deque[Undecided] = deque()
        self._returned: dict[bytes, None] = {}
        self._has_source_returned = False
        self._wake = asyncio.Event()

    def note(self, route: str, view: MessageView) -> None:
        """Keep a message that went on annotated because a lookup failed; never waits."""
        if len(view.raw) > MESSAGE_SIZE_MAX or self._parts.kept_for <= timedelta(0):
            return
        patient = patient_digest(read_question(view, self._parts.default_authority))
        self._noted.append(Undecided(route=route, raw=view.raw, patient=patient, noted_at=self._parts.now()))
        if len(self._noted) > _NOTED_COUNT_MAX:
            self._noted.popleft()
            self._parts.ended(Outcome.FAILED, 1)
        self._wake.set()

    def answer_landed(self, question: PatientQuestion) -> None:
        """A source answered about this patient, in time or late; never waits."""
        if len(self._returned) < _RETURNED_COUNT_MAX:
            self._returned[patient_digest(question)] = None
            self._wake.set()

    def source_returned(self) -> None:
        """A source that was left alone answers again; never waits."""
        self._has_source_returned = True
        self._wake.set()

    async def missed(self, *, limit: int) -> tuple[MissedHold, ...]:
        """Messages whose hold was missed, the newest first."""
        return await self._parts.tables.read(partial(rows.missed, limit=limit))

    async def run(self) -> None:
        """Keep and decide until cancelled; on leaving, what was noted is kept, once."""
        try:
            while True:
                try:
                    async with asyncio.timeout(self._parts.look_seconds):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                self._wake.clear()
                try:
                    await self._round()
                except self._parts.unavailable:
                    # Nothing was written. What is in memory stays there for the next round.
                    await asyncio.sleep(min(1.0, self._parts.look_seconds))
        finally:
            # The one write that a stop must not lose: the order has left, only this knows of it.
            await asyncio.shield(self._keep_last())

    async def _keep_last(self) -> None:
        try:
            await self._keep_noted()
        except self._parts.unavailable:
            self._parts.ended(Outcome.FAILED, len(self._noted))

    async def _round(self) -> None:
        await self._keep_noted()
        now, tables = self._parts.now(), self._parts.tables
        if self._has_source_returned:
            self._has_source_returned = False
            await tables.write(partial(rows.make_all_due, at=now))
        returned, self._returned = tuple(self._returned), {}
        waiting: dict[int, WaitingMessage] = {}
        for patient in returned:
            found = await tables.read(partial(rows.of_patient, patient=patient, limit=_BATCH_COUNT_MAX))
            waiting.update((one.number, one) for one in found)
        for one in await tables.read(partial(rows.due, at=now, limit=_BATCH_COUNT_MAX)):
            waiting.setdefault(one.number, one)
        await self._decide_all(tuple(waiting.values()))
        await tables.write(partial(rows.prune_missed, before=now - _MISSED_KEPT)) if waiting else None
        self._parts.show_waiting(await tables.read(rows.waiting_count))

    async def _keep_noted(self) -> None:
        noted = tuple(self._noted)
        if not noted:
            return
        next_attempt_at = self._parts.now() + self._parts.first_pause
        lost = await self._parts.tables.write(partial(rows.keep, messages=noted, next_attempt_at=next_attempt_at))
        for _ in noted:
            self._noted.popleft()
        if lost:
            self._parts.ended(Outcome.FAILED, lost)

    async def _decide_all(self, waiting: Sequence[WaitingMessage]) -> None:
        failures = 0
        for message in waiting:
            if failures >= _FAILURES_OF_A_ROUND:
                return
            failures = 0 if await self._decide_one(message) else failures + 1

    async def _decide_one(self, message: WaitingMessage) -> bool:
        """Decide one message again; False when the sources still do not answer."""
        parts = self._parts
        if parts.now() - message.noted_at > parts.kept_for:
            await self._forget(message, Outcome.EXPIRED)
            return True
        try:
            view = MessageView(message.raw)
            evidence = await parts.ask(read_question(view, parts.default_authority))
            held = parts.decide(view, evidence, message.noted_at)
        except Exception as error:  # noqa: BLE001 - around deciding: one message must not stop the others
            parts.raised(message.number, error)
            await self._forget(message, Outcome.FAILED)
            return True
        if held:
            # Found on whatever did answer: what the others would add cannot make it less of a hold.
            work = partial(rows.record_missed, number=message.number, found_at=parts.now(), orders=held)
            await parts.tables.write(work)
            parts.ended(Outcome.MISSED_HOLD, 1)
            parts.found(message.route, message.number, str(held[0].get("reason", "")))
            return True
        if evidence.lookup is LookupStatus.OK:
            await self._forget(message, Outcome.CLEAR)
            return True
        pause = min(parts.first_pause * 2 ** min(message.attempt_count, 16), parts.pause_max)
        work = partial(rows.postpone, number=message.number, next_attempt_at=parts.now() + pause)
        await parts.tables.write(work)
        return False

    async def _forget(self, message: WaitingMessage, outcome: Outcome) -> None:
        await self._parts.tables.write(partial(rows.remove, number=message.number))
        self._parts.ended(outcome, 1)


def patient_digest(question: PatientQuestion) -> bytes:
    """What an answer and a waiting message are matched by; says nothing of the patient by itself."""
    text = "\x1e".join("\x1f".join((one.value, *one.authorities)) for one in question.identifiers)
    return sha256(text.encode("utf-8", "replace")).digest()
