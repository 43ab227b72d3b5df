"""Deciding again: what is kept, how often sources are asked, and what comes of it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from interceptor.context.patient import PatientEvidence
from interceptor.context.vocabulary import LookupStatus
from interceptor.evidence import retrospective_rows as rows
from interceptor.evidence.patient_question import PatientQuestion, read_question
from interceptor.evidence.retrospective import MESSAGE_SIZE_MAX, Outcome, Retrospective, RetrospectiveParts, Tables
from interceptor.journal.port import JournalReason, JournalUnavailable
from interceptor.journal.sql_journal import SqlJournal
from interceptor.journal.sqlite import open_sqlite_journal
from interceptor.message.view import MessageView
from tests.support.mllp_peer import until
from tests.support.orders import order

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
FAILED = PatientEvidence(lookup=LookupStatus.FAILED)
ANSWERED = PatientEvidence(lookup=LookupStatus.OK)


@dataclass
class World:
    """The sources, the clock and the listeners around one retrospective check."""

    journal: SqlJournal
    evidence: PatientEvidence = FAILED
    held: Sequence[Mapping[str, Any]] = ()
    error: Exception | None = None
    now: datetime = START
    asked: list[PatientQuestion] = field(default_factory=list)
    decided_as_of: list[datetime] = field(default_factory=list)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    found: list[tuple[str, int, str]] = field(default_factory=list)
    raised: list[int] = field(default_factory=list)
    waiting: int = -1
    rounds: int = 0

    async def ask(self, question: PatientQuestion) -> PatientEvidence:
        self.asked.append(question)
        return self.evidence

    def decide(self, view: MessageView, evidence: PatientEvidence, at: datetime) -> Sequence[Mapping[str, Any]]:
        assert evidence == self.evidence
        self.decided_as_of.append(at)
        if self.error is not None:
            raise self.error
        return self.held

    def show_waiting(self, count: int) -> None:
        self.waiting = count
        self.rounds += 1

    def end(self, outcome: Outcome, count: int) -> None:
        self.outcomes[outcome] += count

    def parts(self, **changes: Any) -> RetrospectiveParts:
        made = RetrospectiveParts(
            tables=self.journal.side_tables,
            ask=self.ask,
            decide=self.decide,
            found=lambda *told: self.found.append(told),
            ended=self.end,
            raised=lambda number, _error: self.raised.append(number),
            show_waiting=self.show_waiting,
            now=lambda: self.now,
            unavailable=JournalUnavailable,
            look_seconds=0.005,
        )
        return replace(made, **changes)

    async def next_rounds(self) -> None:
        """Until two whole rounds have passed, so that the second began after now."""
        target = self.rounds + 2
        await until(lambda: self.rounds >= target)


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    async with open_sqlite_journal(folder / "journal.db") as journal:
        yield World(journal)


@asynccontextmanager
async def running(parts: RetrospectiveParts) -> AsyncIterator[Retrospective]:
    retrospective = Retrospective(parts)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(retrospective.run())
        try:
            yield retrospective
        finally:
            task.cancel()


def view(number: str = "P1", patient: str = "1001") -> MessageView:
    return MessageView(order(number, patient=patient, diagnoses=()))


HELD = ({"placer_order_number": "P1", "reason": "H-REGIONAL", "summary": {}, "decision": {}},)


async def test_a_message_is_decided_again_as_of_its_time_when_its_patients_answer_lands(tmp_path: Path) -> None:
    async with world(tmp_path) as around, running(around.parts()) as check:
        check.note("orders", view())
        await around.next_rounds()
        assert (around.asked, around.waiting) == ([], 1)
        around.evidence, around.held, around.now = ANSWERED, HELD, START + timedelta(seconds=2)
        check.answer_landed(read_question(view(patient="2002")))
        await around.next_rounds()
        assert around.asked == []
        check.answer_landed(read_question(view()))
        await until(lambda: around.found)
        assert around.found == [("orders", 1, "H-REGIONAL")]
        assert around.decided_as_of == [START]
        (missed,) = await check.missed(limit=10)
        assert (missed.orders, missed.noted_at, missed.found_at) == (HELD, START, START + timedelta(seconds=2))
        await around.next_rounds()
        assert (around.waiting, around.outcomes) == (0, {Outcome.MISSED_HOLD: 1})


async def bytes_in_table(around: World) -> list[tuple[object, ...]]:
    return await around.journal.side_tables.read(
        lambda connection: list(connection.execute("SELECT state, raw IS NULL FROM retrospective"))
    )


@pytest.mark.hazard("H14")
async def test_the_bytes_go_with_the_answer(tmp_path: Path) -> None:
    async with world(tmp_path) as around, running(around.parts()) as check:
        check.note("orders", view("P1"))
        check.note("orders", view("P2", patient="2002"))
        await around.next_rounds()
        assert await bytes_in_table(around) == [("waiting", 0), ("waiting", 0)]
        around.evidence, around.held = ANSWERED, HELD
        check.answer_landed(read_question(view()))
        await until(lambda: around.outcomes[Outcome.MISSED_HOLD])
        around.held = ()
        check.source_returned()
        await until(lambda: around.outcomes[Outcome.CLEAR])
        assert await bytes_in_table(around) == [("missed_hold", 1)]


async def test_a_resent_message_waits_once(tmp_path: Path) -> None:
    async with world(tmp_path) as around, running(around.parts()) as check:
        for _ in range(3):
            check.note("orders", view())
            await around.next_rounds()
        assert around.waiting == 1


@pytest.mark.fault(24)
async def test_sources_that_stay_away_are_asked_ever_more_rarely_and_few_times_a_round(tmp_path: Path) -> None:
    """Forty messages, a day without answers: every round ends after three failures, every pause grows."""
    async with world(tmp_path) as around, running(around.parts()) as check:
        for number in range(40):
            check.note("orders", view(f"P{number}", patient=f"{number}"))
        await around.next_rounds()
        around.now += timedelta(seconds=29)
        await around.next_rounds()
        assert around.asked == []
        around.now += timedelta(seconds=2)
        before, rounds = len(around.asked), around.rounds
        await around.next_rounds()
        assert len(around.asked) - before <= 3 * (around.rounds - rounds + 1)
        await until(lambda: len(around.asked) >= 40)
        await around.next_rounds()
        assert len(around.asked) == 40
        for _ in range(4):
            around.now += timedelta(hours=1)
            asked = len(around.asked)
            await until(lambda asked=asked: len(around.asked) >= asked + 40)  # type: ignore[misc]  # bound now
            await around.next_rounds()
            assert len(around.asked) == asked + 40


async def test_a_source_that_returns_makes_everything_due(tmp_path: Path) -> None:
    async with world(tmp_path) as around, running(around.parts()) as check:
        for number in range(5):
            check.note("orders", view(f"P{number}", patient=f"{number}"))
        await around.next_rounds()
        around.evidence = ANSWERED
        check.source_returned()
        await until(lambda: around.outcomes[Outcome.CLEAR] == 5)
    assert around.outcomes == {Outcome.CLEAR: 5}


async def test_a_hold_that_part_of_the_answer_shows_is_found(tmp_path: Path) -> None:
    async with world(tmp_path) as around, running(around.parts()) as check:
        around.held = HELD
        check.note("orders", view())
        await around.next_rounds()
        check.source_returned()
        await until(lambda: around.found)


async def test_nobody_waits_for_ever(tmp_path: Path) -> None:
    async with world(tmp_path) as around, running(around.parts(kept_for=timedelta(hours=1))) as check:
        check.note("orders", view())
        await around.next_rounds()
        around.now += timedelta(hours=1, seconds=1)
        await until(lambda: around.outcomes[Outcome.EXPIRED])
        assert await bytes_in_table(around) == []
        assert around.asked == []


async def test_a_message_that_cannot_be_decided_is_told_and_the_next_one_is(tmp_path: Path) -> None:
    async with world(tmp_path) as around, running(around.parts()) as check:
        around.evidence, around.error = ANSWERED, ZeroDivisionError()
        check.note("orders", view("P1"))
        await around.next_rounds()
        check.source_returned()
        await until(lambda: around.raised)
        around.error, around.held = None, HELD
        check.note("orders", view("P2"))
        await around.next_rounds()
        check.source_returned()
        await until(lambda: around.found)
    assert (around.raised, around.outcomes[Outcome.FAILED]) == ([1], 1)


@pytest.mark.parametrize("hours", [0, 72])
async def test_nothing_is_kept_where_the_site_wants_nothing_kept_or_the_message_is_huge(
    tmp_path: Path, hours: int
) -> None:
    async with world(tmp_path) as around, running(around.parts(kept_for=timedelta(hours=hours))) as check:
        check.note("orders", view() if not hours else MessageView(view().raw + b"NTE|1||" + b"x" * MESSAGE_SIZE_MAX))
        await around.next_rounds()
        assert around.waiting == 0


async def test_what_was_noted_last_is_kept_when_the_node_stops(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        async with running(around.parts(look_seconds=60.0)) as check:
            await asyncio.sleep(0)
            check.note("orders", view())
        assert await bytes_in_table(around) == [("waiting", 0)]


class Unavailable:
    """A journal that cannot write while `is_full`."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.is_full = True
        self.refused_count = 0

    async def write(self, work: Any) -> Any:
        if self.is_full:
            self.refused_count += 1
            raise JournalUnavailable(JournalReason.FULL)
        return await self.tables.write(work)

    async def read(self, work: Any) -> Any:
        return await self.tables.read(work)


@pytest.mark.fault(3)
async def test_a_full_disk_keeps_what_was_noted_in_memory_until_there_is_room(tmp_path: Path) -> None:
    async with world(tmp_path) as around:
        tables = Unavailable(around.journal.side_tables)
        async with running(around.parts(tables=tables)) as check:
            check.note("orders", view())
            await until(lambda: tables.refused_count >= 2)
            tables.is_full = False
            await until(lambda: around.waiting == 1)
    assert around.outcomes == {}


async def test_too_many_waiting_messages_push_out_the_oldest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "WAITING_COUNT_MAX", 3)
    async with world(tmp_path) as around, running(around.parts()) as check:
        for number in range(5):
            check.note("orders", view(f"P{number}"))
        await around.next_rounds()
        kept = await around.journal.side_tables.read(
            lambda connection: rows.due(connection, at=START + timedelta(days=1), limit=9)
        )
    assert [one.raw for one in kept] == [view(f"P{number}").raw for number in (2, 3, 4)]
    assert around.outcomes == {Outcome.FAILED: 2}
