"""Custody with everything around it but the wire: a real journal, turns, a desk, a hold timer, and a clock that the test moves.

The filler is played by `deliver`, `refuse` and the list of what arrived there; decisions are scripted by the word that
stands as OBR-4 (tests/support/decided.py).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from interceptor.action.lifecycle import LifecycleEvent, Notice, OrderState
from interceptor.action.plan import NoHoldReason, RouteMode
from interceptor.context.patient import NO_EVIDENCE, PatientEvidence
from interceptor.decision.message_decision import OrderDecision
from interceptor.delivery.hold_timer import HoldTimer
from interceptor.journal.custody import Custody
from interceptor.journal.order_index import order_keys_of
from interceptor.journal.port import Entry, EntryChange, EntryId, OutgoingMessage
from interceptor.journal.release import ReleaseParts, end_of_window, release_change
from interceptor.journal.sql_journal import SqlJournal
from interceptor.journal.sqlite import SqliteSettings
from interceptor.journal.turn import take_turn
from interceptor.journal.turn_parts import Inbound, PassOn, Taken, TurnParts, TurnResult
from interceptor.message.group import order_groups
from interceptor.message.header import Header, peek_header
from interceptor.message.view import MessageView
from interceptor.review.claim_desk import ClaimLimits
from interceptor.review.desk import DeskParts
from interceptor.review.order_desks import build_order_desks
from interceptor.review.release_desk import ReleasePlans, ReleaseRules
from tests.support.any_database import open_journal
from tests.support.decided import Decide, decide_by_procedure
from tests.support.delivery import SeenEvents
from tests.support.hostile_filler import ack
from tests.support.mllp_peer import WAIT_SECONDS_MAX
from tests.support.orders import order

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HOLD_HOURS = 4


@dataclass
class Clock:
    """Wall and monotonic time, which the test moves."""

    at: datetime = START
    seconds: float = 1000.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.seconds

    def move(self, **duration: float) -> None:
        """Both clocks go on."""
        step = timedelta(**duration)
        self.at += step
        self.seconds += step.total_seconds()


@dataclass
class Settings:
    """What a test may change while the ward runs."""

    mode: RouteMode = RouteMode.ENFORCE
    no_hold: NoHoldReason | None = None
    decide: Decide = field(default_factory=decide_by_procedure)
    lookup: Callable[[MessageView], Awaitable[PatientEvidence]] | None = None


@dataclass(eq=False)
class Ward:
    """Custody at work."""

    journal: SqlJournal
    custody: Custody
    turn: TurnParts
    desk: Mapping[str, Callable[[dict[str, Any]], Awaitable[Mapping[str, Any]]]]
    timer: HoldTimer
    clock: Clock
    settings: Settings
    events: SeenEvents
    plans: ReleasePlans
    arrived: list[bytes] = field(default_factory=list)

    # The placer.

    async def receive(self, raw: bytes) -> TurnResult:
        """A message has its turn; what passes arrives at the filler at once."""
        header = peek_header(raw)
        assert header is not None
        inbound = Inbound(raw=raw, header=header, evidence=None, received_at=self.clock.now())
        result = await take_turn(inbound, self.turn)
        if isinstance(result, PassOn):
            assert result.plan.forward is not None
            self.arrived.append(result.plan.forward)
            for order in result.decision.orders if result.decision is not None else ():
                self.custody.passed.note(order.order_key, order.order_control)
        return result

    def concerns(self, view: MessageView) -> bool:
        """Whether a message is about what is ours."""
        return self.custody.concerns(view.raw, lambda: order_keys_of(view))

    async def take(self, raw: bytes) -> Taken:
        """A message that must be taken into custody."""
        result = await self.receive(raw)
        assert isinstance(result, Taken), result
        return result

    async def entry(self, number: str) -> Entry:
        """The newest order of ours with this number."""
        entry = await self.journal.latest_entry_for(f"{number}^EPIC")
        assert entry is not None
        return entry

    async def state(self, number: str) -> OrderState:
        return (await self.entry(number)).state

    # The filler.

    async def leaving(self) -> list[bytes]:
        """What waits in the outbox for the filler, in order."""
        return [row.content for row in await self.journal.undelivered_rows() if row.kind != "notice"]

    async def deliver(self) -> list[bytes]:
        """The filler takes everything that waits; returns it."""
        taken = []
        while (row := await self.journal.claim_next("ris", at=self.clock.now(), inflight=True)) is not None:
            taken.append(row.content)
            await self.journal.record_acked(row.outbox_id, at=self.clock.now(), acknowledgment=b"AA")
            await self.custody.row_ended(row)
        self.arrived.extend(taken)
        return taken

    async def refuse(self) -> None:
        """The filler refuses the first message for good."""
        row = await self.journal.claim_next("ris", at=self.clock.now(), inflight=True)
        assert row is not None
        await self.journal.record_dead(row.outbox_id, at=self.clock.now(), error="refused", acknowledgment=b"AR")
        await self.custody.row_ended(row)

    async def notices(self) -> list[str]:
        """What the placer was told: order number, order control and status."""
        return [row.content.decode() for row in await self.journal.undelivered_rows() if row.kind == "notice"]

    # People and time.

    async def act(self, command: str, number: str, *, actor: str = "ann", **arguments: Any) -> Mapping[str, Any]:
        """A person's command about an order."""
        entry = await self.entry(number)
        return await self.desk[command]({"entry": entry.entry_id, "actor": actor, "reason": "seen", **arguments})


def words_of(raw: bytes) -> list[str]:
    """A message in short: order control and number of each order, with its OBR-4, e.g. "NW A1 HOLD"."""
    view = MessageView(raw)
    return [
        f"{group.orc.text(1)} {group.orc.text(2)} {group.obr.text(4) if group.obr else ''}".strip()
        for group in order_groups(view)
    ]


def all_words(messages: list[bytes]) -> list[str]:
    """`words_of` for several messages."""
    return [word for raw in messages for word in words_of(raw)]


def _notice(view: MessageView, notice: Notice, _reasons: tuple[str, ...]) -> OutgoingMessage:
    number = order_groups(view)[0].orc.text(2)
    content = f"{number} {notice.order_control} {notice.order_status}".encode()
    return OutgoingMessage(destination="placer", content=content, control_id=b"N", kind="notice")


def _acknowledge(message: MessageView | Header, _told: Mapping[int, Notice], _at: datetime) -> bytes | None:
    header = message.header if isinstance(message, MessageView) else message
    return None if header.accept_ack == b"NE" else ack(header.control_id)


def _end_of_wait(release: ReleaseParts) -> Callable[[Entry, datetime], Awaitable[EntryChange]]:
    async def build(entry: Entry, at: datetime) -> EntryChange:
        if entry.state is OrderState.PARKED:
            deadline = entry.taken_at + timedelta(hours=HOLD_HOURS)
            return end_of_window(entry, release.notice, deadline=deadline)
        return await release_change(entry, LifecycleEvent.DEADLINE_PASSED, release, actor="timer", comment="", at=at)

    return build


def _turn_parts(custody: Custody, settings: Settings, clock: Clock, window: float, **values: Any) -> TurnParts:
    async def lookup(view: MessageView) -> PatientEvidence:
        return NO_EVIDENCE if settings.lookup is None else await settings.lookup(view)

    def summarize(_view: MessageView, order: OrderDecision) -> Mapping[str, object]:
        return {"why": [finding.sentence for finding in order.decision.findings], "policy": "spine-oncology 1"}

    release = ReleaseParts(journal=custody.journal, destination="ris", note_length=100, notice=_notice)
    known: dict[str, Any] = {
        "route": "main",
        "listener": "main",
        "is_store": False,
        "custody": custody,
        "decide": lambda *values: settings.decide(*values),
        "lookup": lookup,
        "mode": lambda: settings.mode,
        "no_hold": lambda: settings.no_hold,
        "now": clock.now,
        "set_window_seconds": window,
        "deadline": lambda _order, taken_at: taken_at + timedelta(hours=HOLD_HOURS),
        "acknowledge": _acknowledge,
        "summarize": summarize,
        "release": release,
    }
    return TurnParts(**(known | values))


@asynccontextmanager
async def ward(
    folder: Path,
    *,
    window: float = 15.0,
    clock: Clock | None = None,
    change_procedure: bool = False,
    sqlite: SqliteSettings | None = None,
    **values: Any,
) -> AsyncIterator[Ward]:
    """Open the journal in *folder*, load custody, and run nothing by itself. *values* go into the TurnParts."""
    clock, settings, events = clock or Clock(), Settings(), SeenEvents()
    async with open_journal(folder / "journal" / "journal.db", settings=sqlite) as journal:
        custody = Custody(journal)
        await journal.recover_outbox(at=clock.now())
        await custody.load(digests_since=START - timedelta(days=7))
        turn = _turn_parts(custody, settings, clock, window, **values)
        desks = build_order_desks(
            DeskParts(
                custody=custody,
                release_parts=lambda _route: turn.release,
                now=clock.now,
                wake=lambda: None,
                log=events.log,
                release_reasons={"as_intended": "The regional study is what is needed", "other": "Other"},
                return_reasons={"duplicate": "The study exists already", "other": "Other"},
            ),
            journal.side_tables,
            rules=ReleaseRules(
                undo_seconds=10.0, change_procedure=change_procedure, complete_spine_code="SPINE^MRI COMPLETE SPINE^L"
            ),
            limits=ClaimLimits(claim_seconds=600.0, snooze_seconds_max=14_400.0),
        )
        timer = HoldTimer(
            custody,
            build_change=_end_of_wait(turn.release),
            now=clock.now,
            monotonic=clock.monotonic,
            log=events.log,
        )
        yield Ward(journal, custody, turn, desks.handlers, timer, clock, settings, events, desks.plans)


async def in_state(place: Ward, number: str, state: OrderState) -> EntryId:
    """Bring an order with this number into custody, and to this state, as it gets there in life."""
    await place.take(new_order(number, "PART-1-2" if state is OrderState.PARKED else "HOLD"))
    if state in (OrderState.QUEUED, OrderState.DELIVERED, OrderState.DEAD):
        await place.act("held_release", number)
    match state:
        case OrderState.WITHDRAWN:
            await place.take(said(number, "CA", "w"))
        case OrderState.REPLACED:
            await place.take(said(number, "RP", "w"))
        case OrderState.RETURNED:
            await place.act("held_return", number)
        case OrderState.DELIVERED:
            await place.deliver()
        case OrderState.DEAD:
            await place.refuse()
    entry = await place.entry(number)
    assert entry.state is state
    return entry.entry_id


def new_order(number: str, word: str, *, control: str = "NW", mark: str = "", **values: Any) -> bytes:
    """An order whose decision is *word*; *mark* makes its control id another one."""
    return order(number, control=control, control_id=f"{number}{mark or control}", procedure=word, **values)


def said(number: str, control: str, mark: str = "", word: str = "HOLD", **values: Any) -> bytes:
    """Something that the placer says about an order."""
    return new_order(number, word, control=control, mark=f"{control}{mark}", **values)


async def both(*turns: Awaitable[TurnResult]) -> list[TurnResult]:
    """Messages that arrive at the same moment on connections of their own."""
    return list(await asyncio.gather(*turns))


async def comes_true(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until what the journal is asked is so.

    Raises:
        TimeoutError: It never was.
    """
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not await condition():  # noqa: ASYNC110 - another task's commit sets no event that a test could wait for
            await asyncio.sleep(0)
