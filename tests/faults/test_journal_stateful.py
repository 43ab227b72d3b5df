"""Random lives of orders on a real journal: a placer, two reviewers, a timer, a filler, and a process that is killed.

Killing is copying SQLite's files as they are and going on with the copy, or ending every connection to PostgreSQL at once:
what a killed process leaves behind.
The machine plays the pipeline's part with the lifecycle table and nothing else.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from interceptor.action import lifecycle
from interceptor.action.lifecycle import (
    UNSEEN_ENDS,
    WAITING_STATES,
    FillerSees,
    LifecycleEvent,
    OrderState,
    decide_transition,
)
from interceptor.journal import entry_rows, intake_rows, outbox_rows
from interceptor.journal.port import (
    AlreadyTaken,
    ChangeDone,
    Conflict,
    Entry,
    EntryId,
    Follower,
    Intake,
    IntakeDone,
    JournalRuleBroken,
    OutgoingMessage,
)
from interceptor.journal.sql_journal import SqlJournal
from interceptor.journal.sqlite import SqliteSettings
from interceptor.journal.sqlite_writer import WriterSettings
from tests.support.any_database import leave_as_killed, open_journal, remove_journal
from tests.support.counts import tell
from tests.support.journal_values import (
    DEADLINE,
    NOW,
    WEEK_AGO,
    held_intake,
    intake,
    message_bytes,
    outgoing,
    step,
)

SETTINGS = SqliteSettings(reader_count=1, writer=WriterSettings(free_bytes_min=0, reserve_size=4096))
REVIEWERS = st.sampled_from(["ann", "bob"])
DECISIONS = st.sampled_from([LifecycleEvent.RELEASED, LifecycleEvent.RETURNED_TO_ORDERER])
KINDS = st.sampled_from([OrderState.HELD, OrderState.PARKED, OrderState.QUEUED])


@dataclass
class Order:
    """What the placer and the machine know of one order."""

    name: str
    entry_id: EntryId
    cancel_answered_by_us: bool = False
    decisions: int = 0


class World(RuleBasedStateMachine):
    """A journal that can be killed, and what everybody knows of it."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
        self.life = 0
        self.number = 0
        self.orders: dict[str, Order] = {}
        self.taken: list[Intake] = []
        self.filler: list[tuple[str, str]] = []
        self.pages: dict[str, Entry] = {}
        self.crash_count = 0
        self.stack: AsyncExitStack
        self.journal: SqlJournal
        self.open()

    # The world.

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    @property
    def path(self) -> Path:
        return self.folder / f"life{self.life}" / "journal.db"

    def open(self) -> None:
        async def enter() -> None:
            self.stack = AsyncExitStack()
            self.journal = await self.stack.enter_async_context(open_journal(self.path, settings=SETTINGS))
            await self.journal.recover_outbox(at=NOW)

        self.run(enter())

    def take(self, value: Intake) -> IntakeDone:
        done = self.run(self.journal.record_intake(value))
        assert isinstance(done, IntakeDone), done
        self.taken.append(value)
        return done

    def entry(self, order: Order) -> Entry:
        found = self.run(self.journal.entry(order.entry_id))
        assert found is not None
        assert isinstance(found, Entry)
        return found

    def next_control_id(self) -> str:
        self.number += 1
        return str(self.number)

    def released(self, entry: Entry) -> tuple[OutgoingMessage, ...]:
        followers = self.run(self.journal.followers(entry.entry_id))
        return (
            outgoing(entry.content, entry.control_id.decode()),
            *(outgoing(one.content, one.control_id.decode(), kind="message") for one in followers),
        )

    def deliver(self, row: Any) -> None:
        segments = dict(line.split("|", 1) for line in row.content.decode().strip("\r").split("\r"))
        control, order = segments["ORC"].split("|")
        self.filler.append((order, f"{control} {row.control_id.decode()}"))

    def order_of(self, entry_id: EntryId) -> Order:
        found = [order for order in self.orders.values() if order.entry_id == entry_id]
        assert found, "an order that nobody placed"
        return found[0]

    def deliver_one(self) -> bool:
        """The filler takes the next message; False when none is due."""
        row = self.run(self.journal.claim_next("ris", at=DEADLINE, inflight=True))
        if row is None:
            return False
        self.deliver(row)
        self.run(self.journal.record_acked(row.outbox_id, at=NOW, acknowledgment=b"AA"))
        return True

    def was_refused(self, order: str) -> bool:
        entry_id = self.orders[order].entry_id
        return any(row.action == "refused" for row in self.run(self.journal.audit_rows(entry_id=entry_id)))


class Custody(World):
    """What can happen, and what must be so at every moment."""

    # The placer.

    @rule(state=KINDS)
    def placer_orders(self, state: OrderState) -> None:
        control_id = self.next_control_id()
        name = f"P{control_id}"
        value = held_intake(control_id, order=name, state=state, duplicates_since=WEEK_AGO)
        self.orders[name] = Order(name, self.take(value).entry_ids[0])

    def say(self, order: Order, event: LifecycleEvent, control: str) -> None:
        """A later message of the placer about an order, as the pipeline would treat it."""
        entry = self.entry(order)
        control_id = self.next_control_id()
        raw = message_bytes(control_id, order=order.name, control=control)
        transition = decide_transition(entry.state, event)
        values: dict[str, Any] = {}
        if transition.filler_sees is FillerSees.MESSAGE_AFTER_ORDER and entry.state in WAITING_STATES:
            values["follower"] = Follower(raw, control_id.encode())
        elif transition.filler_sees in (FillerSees.MESSAGE_AFTER_ORDER, FillerSees.MESSAGE):
            values["outgoing"] = (outgoing(raw, control_id, kind="message"),)
        change = step(entry.entry_id, event, state=entry.state, version=entry.version, actor="placer", **values)
        self.take(intake(raw, control_id, changes=(change,), duplicates_since=WEEK_AGO))
        if event is LifecycleEvent.CANCELLED and transition.filler_sees is FillerSees.NOTHING:
            order.cancel_answered_by_us = True

    @precondition(lambda self: self.orders)
    @rule(data=st.data())
    def placer_cancels(self, data: st.DataObject) -> None:
        order = data.draw(st.sampled_from(list(self.orders.values())))
        if self.entry(order).state is not OrderState.DELIVERED:
            self.say(order, LifecycleEvent.CANCELLED, "CA")

    @precondition(lambda self: self.orders)
    @rule(data=st.data())
    def placer_sends_a_status(self, data: st.DataObject) -> None:
        order = data.draw(st.sampled_from(list(self.orders.values())))
        if self.entry(order).state in (*WAITING_STATES, OrderState.QUEUED):
            self.say(order, LifecycleEvent.FOLLOWED, "SC")

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def placer_sends_again(self, data: st.DataObject) -> None:
        value = data.draw(st.sampled_from(self.taken))
        assert isinstance(self.run(self.journal.record_intake(value)), AlreadyTaken)

    # People.

    @precondition(lambda self: self.orders)
    @rule(data=st.data(), who=REVIEWERS)
    def reviewer_opens(self, data: st.DataObject, who: str) -> None:
        self.pages[who] = self.entry(data.draw(st.sampled_from(list(self.orders.values()))))

    @rule(who=REVIEWERS, event=DECISIONS)
    def reviewer_decides(self, who: str, event: LifecycleEvent) -> None:
        seen = self.pages.get(who)
        if seen is not None and seen.state in WAITING_STATES:
            self.decide_at_once(seen, (event,))

    @precondition(lambda self: self.orders)
    @rule(data=st.data(), events=st.tuples(DECISIONS, DECISIONS))
    def two_reviewers_decide_at_once(self, data: st.DataObject, events: tuple[LifecycleEvent, ...]) -> None:
        seen = self.entry(data.draw(st.sampled_from(list(self.orders.values()))))
        if seen.state in WAITING_STATES:
            self.decide_at_once(seen, events)

    def decide_at_once(self, seen: Entry, events: tuple[LifecycleEvent, ...]) -> None:
        """Decisions on an order as it was seen, all on their way before the first is written."""
        leaves = self.released(seen)
        changes = [
            step(
                seen.entry_id,
                event,
                state=seen.state,
                version=seen.version,
                outgoing=leaves if event is LifecycleEvent.RELEASED else (),
            )
            for event in events
        ]

        async def decide() -> list[ChangeDone | Conflict]:
            return await asyncio.gather(*(self.journal.apply_change(change, at=NOW) for change in changes))

        done = self.run(decide())
        self.order_of(seen.entry_id).decisions += sum(isinstance(one, ChangeDone) for one in done)

    @rule(who=REVIEWERS)
    def reviewer_comments(self, who: str) -> None:
        if who in self.pages:
            entry = self.entry(self.order_of(self.pages[who].entry_id))
            self.run(
                self.journal.apply_change(step(entry.entry_id, LifecycleEvent.COMMENTED, state=entry.state), at=NOW)
            )

    @precondition(lambda self: self.orders)
    @rule(data=st.data())
    def person_retries_a_dead_letter(self, data: st.DataObject) -> None:
        dead = self.run(self.journal.dead_letters())
        if dead:
            row = data.draw(st.sampled_from(list(dead)))
            is_sent = self.run(self.journal.requeue_dead(row.outbox_id, at=NOW, actor="user:ann"))
            assert is_sent or row.kind == "order"
            self.crash_count += is_sent  # The filler may have had it: one more copy is allowed.

    # Time.

    @rule()
    def deadlines_pass(self) -> None:
        for entry in self.run(self.journal.open_entries()):
            if entry.state in WAITING_STATES:
                change = step(
                    entry.entry_id,
                    LifecycleEvent.DEADLINE_PASSED,
                    state=entry.state,
                    version=entry.version,
                    actor="timer",
                    outgoing=self.released(entry),
                )
                assert isinstance(self.run(self.journal.apply_change(change, at=DEADLINE)), ChangeDone)
                self.order_of(entry.entry_id).decisions += 1

    # The filler, and the end of the process.

    @rule()
    def filler_takes_one(self) -> None:
        self.deliver_one()

    @rule()
    def filler_refuses_one(self) -> None:
        row = self.run(self.journal.claim_next("ris", at=DEADLINE, inflight=True))
        if row is not None:
            self.run(self.journal.record_dead(row.outbox_id, at=NOW, error="AR", acknowledgment=b"AR"))

    @rule(is_sending=st.booleans())
    def process_is_killed(self, is_sending: bool) -> None:
        if is_sending and (row := self.run(self.journal.claim_next("ris", at=DEADLINE, inflight=True))) is not None:
            self.deliver(row)
            self.crash_count += 1
        dead_path = self.path
        self.life += 1
        leave_as_killed(dead_path, self.path)
        self.run(self.stack.aclose())
        remove_journal(dead_path)
        self.open()

    # What must be so at every moment.

    @invariant()
    def no_order_is_decided_twice(self) -> None:
        assert all(order.decisions <= 1 for order in self.orders.values())

    @invariant()
    def duplicates_are_no_more_than_crashes(self) -> None:
        assert len(self.filler) - len(set(self.filler)) <= self.crash_count

    @invariant()
    def what_is_said_about_an_order_never_overtakes_it(self) -> None:
        seen = set()
        for order, what in self.filler:
            if what.startswith("NW"):
                seen.add(order)
            elif self.entry(self.orders[order]).state is not OrderState.WITHDRAWN:
                assert order in seen or self.was_refused(order), (order, self.filler)

    @invariant()
    def an_order_never_arrives_after_its_cancel(self) -> None:
        cancelled = set()
        for order, what in self.filler:
            assert not (what.startswith("NW") and order in cancelled), (order, self.filler)
            if what.startswith("CA"):
                cancelled.add(order)

    @invariant()
    def what_waits_or_ended_unseen_was_never_sent(self) -> None:
        sent = {order for order, what in self.filler if what.startswith("NW")}
        for order in self.orders.values():
            state = self.entry(order).state
            if state in WAITING_STATES or (state in UNSEEN_ENDS and not self.was_refused(order.name)):
                assert order.name not in sent, (order.name, state)

    @invariant()
    def a_cancel_that_we_answered_keeps_the_order_from_the_filler(self) -> None:
        for order in self.orders.values():
            if order.cancel_answered_by_us:
                assert self.entry(order).state in UNSEEN_ENDS

    def teardown(self) -> None:
        try:
            self.check_the_end()
        finally:
            self.run(self.stack.aclose())
            self.runner.close()
            remove_journal(self.path)
            shutil.rmtree(self.folder)

    def check_the_end(self) -> None:
        """Time moves on, the filler takes everything: nobody waits, and who should have it has it."""
        self.deadlines_pass()
        while self.deliver_one():
            pass
        arrived = {order for order, what in self.filler if what.startswith("NW")}
        for order in self.orders.values():
            state = self.entry(order).state
            assert state not in (*WAITING_STATES, OrderState.QUEUED)
            assert state is not OrderState.DELIVERED or order.name in arrived
        assert self.run(self.journal.verify()).problems == ()


LIMITS = settings(stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.hazard("H4")
@pytest.mark.hazard("H5")
@pytest.mark.hazard("H15")
@pytest.mark.fault(45)
def test_random_lives_of_orders_break_no_promise(database: str) -> None:
    # A database for each life takes a moment.
    count = 60 if database == "sqlite" else 20
    run_state_machine_as_test(Custody, settings=settings(LIMITS, max_examples=count, derandomize=True))


def forget_duplicates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_rows, "find_answer", lambda *_, **__: None)


def let_a_cancel_leave_the_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = dict(lifecycle.TRANSITIONS)
    row = rows[OrderState.HELD, LifecycleEvent.CANCELLED]
    rows[OrderState.HELD, LifecycleEvent.CANCELLED] = replace(row, state=OrderState.HELD)
    monkeypatch.setattr(lifecycle, "TRANSITIONS", rows)


def compare_neither_state_nor_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_rows, "find_conflict", lambda *_: None)


def send_the_newest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        outbox_rows, "_HEAD", outbox_rows._HEAD.replace("ORDER BY outbox_id", "ORDER BY outbox_id DESC")
    )


def forget_what_was_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_rows, "recover", lambda *_, **__: 0)


@pytest.mark.parametrize(
    "bug",
    [
        forget_duplicates,
        let_a_cancel_leave_the_hold,
        compare_neither_state_nor_version,
        send_the_newest_first,
        forget_what_was_in_flight,
    ],
)
def test_the_machine_finds_seeded_bugs(
    bug: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    bug(monkeypatch)
    quick = settings(LIMITS, max_examples=300, derandomize=True, phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises((AssertionError, JournalRuleBroken)):
        run_state_machine_as_test(Custody, settings=quick)


@pytest.mark.deep
@pytest.mark.timeout(1800)
@pytest.mark.hazard("H4")
@pytest.mark.fault(1)
@pytest.mark.fault(46)
def test_thousands_of_random_lives_of_orders_break_no_promise(
    database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    count = 10_000 if database == "sqlite" else 1_000
    run_state_machine_as_test(Custody, settings=settings(LIMITS, max_examples=count))
    tell(capsys, f"{database}: {count} random lives of orders, no promise broken")
