"""One message's turn: taking it into custody, or fitting it in behind an order that is ours already.

A turn belongs to the keys of the message's orders; no two messages about one order are worked on at once.
Within its turn the message is decided with its siblings that we still have, every order of it becomes one
of four things, and all of it is one transaction:

    a new entry           it must stay: PARKED while siblings may come, else HELD
    a step of an entry    it is about an order that is ours (the lifecycle table says what happens)
    part of a forward     nothing keeps it: it leaves now, behind what is queued
    consumed              a step that the filler never sees

When in relay custody nothing of the message is ours after all, it goes its way (`PassOn`) and nothing is stored.

Failures: a sibling that moved meanwhile (`Conflict`) starts the turn again. Journal errors go to the caller;
nothing was written then, unless the journal is broken.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from interceptor.action.acknowledge import accept_code
from interceptor.action.lifecycle import (
    TAKEN_AS,
    TRANSITIONS,
    WAITING_STATES,
    FillerSees,
    LifecycleEvent,
    Notice,
    OrderState,
    Transition,
    decide_transition,
)
from interceptor.action.order_control import REPLACEMENT_ORDER, as_new_order, control_event
from interceptor.action.plan import HeldPart, MessagePlan, NoHoldReason, RouteMode, passing, plan_message, split_part
from interceptor.context.extract import EvidenceNeeded
from interceptor.context.order_set import SET_CLASSES, SetMember
from interceptor.context.patient import PatientEvidence
from interceptor.decision.decision import Disposition
from interceptor.decision.message_decision import MessageDecision, OrderDecision
from interceptor.decision.report import order_json
from interceptor.journal.custody import Custody, order_keys_of, set_keys_of
from interceptor.journal.decision_record import decision_record
from interceptor.journal.port import (
    AlreadyTaken,
    Conflict,
    Entry,
    EntryChange,
    EntryId,
    Follower,
    Intake,
    IntakeDone,
    MessageIdentity,
    NewEntry,
    OutgoingKind,
    OutgoingMessage,
)
from interceptor.journal.release import ReleaseParts, release_change
from interceptor.message.acknowledgment import AckCode
from interceptor.message.group import order_groups
from interceptor.message.header import Header, NotHl7
from interceptor.message.view import MessageView

DUPLICATE_WINDOW = timedelta(days=7)
ATTEMPTS_MAX = 5
"""Turns begun again because a sibling moved; each needs somebody else's progress, so this is never reached in earnest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """One received message. `evidence` is None when the sources were not asked yet."""

    raw: bytes
    header: Header
    evidence: PatientEvidence | None
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PassOn:
    """Nothing of the message is ours: carry out *plan* in relay."""

    view: MessageView
    decision: MessageDecision | None
    plan: MessagePlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The message is durable in our custody; send *acknowledgment*, None when the placer wants none."""

    done: IntakeDone
    acknowledgment: bytes | None
    code: AckCode | None
    decision: MessageDecision | None = None


TurnResult = PassOn | Taken | AlreadyTaken


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnParts:
    """What a turn needs of its route; `node.py` plugs it together.

    Attributes:
        is_store: The route stores and acknowledges every message itself.
        decide: Decide a message with the siblings that wait; raises EvidenceNeeded.
        lookup: Ask the evidence sources about a message's patient, within their budget.
        deadline: When an order taken now must leave at the latest.
        set_window_seconds: How long an order waits for its siblings; 0 does not park.
        acknowledge: Build our positive acknowledgment of a message.
        summarize: The worklist's summary of an order.
        release: What a release needs of the route; its destination is the route's own.
        placer_release: Whether RL of the placer releases our hold.
    """

    route: str
    listener: str
    is_store: bool
    custody: Custody
    decide: Callable[[MessageView, PatientEvidence | None, datetime, Sequence[SetMember]], MessageDecision]
    lookup: Callable[[MessageView], Awaitable[PatientEvidence]]
    mode: Callable[[], RouteMode]
    no_hold: Callable[[], NoHoldReason | None]
    now: Callable[[], datetime]
    set_window_seconds: float
    deadline: Callable[[OrderDecision, datetime], datetime]
    acknowledge: Callable[[Header, AckCode, datetime, bool], bytes]
    summarize: Callable[[MessageView, OrderDecision], Mapping[str, object]]
    release: ReleaseParts
    placer_release: bool = False


async def take_turn(inbound: Inbound, parts: TurnParts) -> TurnResult:
    """Carry out one message's turn.

    Raises:
        JournalUnavailable: Nothing was written.
        JournalBroken: The outcome is unknown; answer nothing.
    """
    identity = identity_of(inbound, parts.listener)
    view = _read_order_message(inbound.raw)
    if view is None:
        return await _store(inbound, identity, parts)
    async with parts.custody.turn(order_keys_of(view)):
        for _ in range(ATTEMPTS_MAX):
            if parts.custody.has_taken(identity.digest):
                since = inbound.received_at - DUPLICATE_WINDOW
                answer = await parts.custody.journal.find_answer(identity, since=since)
                if answer is not None:
                    return AlreadyTaken(answer=answer)
            result = await _Turn(inbound, view, identity, parts).run()
            if not isinstance(result, Conflict):
                return result
    message = "an order kept moving while a message about it waited"
    raise AssertionError(message)


def identity_of(inbound: Inbound, listener: str) -> MessageIdentity:
    """What makes this message the same as an earlier one."""
    return MessageIdentity(
        listener=listener,
        sending_application=inbound.header.sending_application,
        sending_facility=inbound.header.sending_facility,
        control_id=inbound.header.control_id,
        digest=sha256(inbound.raw).digest(),
    )


def _read_order_message(raw: bytes) -> MessageView | None:
    """The view of a message with orders; None for every other one."""
    try:
        view = MessageView(raw)
    except NotHl7:
        return None
    return view if order_groups(view) else None


async def _store(inbound: Inbound, identity: MessageIdentity, parts: TurnParts) -> TurnResult:
    """Store custody of a message without orders: journal it, queue it as it came."""
    forward = OutgoingMessage(
        destination=parts.release.destination, content=inbound.raw, control_id=inbound.header.control_id, kind="message"
    )
    code = accept_code(inbound.header)
    acknowledgment = None if code is None else parts.acknowledge(inbound.header, code, parts.now(), False)  # noqa: FBT003
    intake = Intake(
        route=parts.route,
        identity=identity,
        received_at=inbound.received_at,
        raw=inbound.raw,
        acknowledgment=acknowledgment,
        outgoing=(forward,),
        duplicates_since=inbound.received_at - DUPLICATE_WINDOW,
    )
    done = await parts.custody.take(intake, is_tracked=False)
    assert not isinstance(done, Conflict), "an intake without changes cannot conflict"
    if isinstance(done, AlreadyTaken):
        return done
    return Taken(done=done, acknowledgment=acknowledgment, code=code)


class _Turn:
    """One attempt: decides with what is ours now, drafts what becomes of each order, commits it all."""

    def __init__(self, inbound: Inbound, view: MessageView, identity: MessageIdentity, parts: TurnParts) -> None:
        self._inbound = inbound
        self._view = view
        self._identity = identity
        self._parts = parts
        self._now = parts.now()
        self._evidence = inbound.evidence
        self._entries: list[NewEntry] = []
        self._changes: list[EntryChange] = []
        self._outgoing: list[OutgoingMessage] = []
        self._fresh: list[OrderDecision] = []
        self._part_count = 0
        self._cancelled: set[EntryId] = set()
        self._replaced: set[EntryId] = set()
        self._must_queue = False

    async def run(self) -> TurnResult | Conflict:
        """Carry the attempt out; `Conflict` when an order moved meanwhile and nothing was written."""
        siblings = await self._siblings()
        members = tuple(sibling.member for sibling in siblings if sibling.member is not None)
        decision = await self._decide(self._view, members)
        self._must_queue = self._parts.custody.is_queued(order.order_key for order in decision.orders)
        fresh = [order for order in decision.orders if not await self._handle(order, members)]
        plan = self._plan(self._view, fresh) if fresh else None
        if plan is not None:
            self._add_plan(self._view, plan, fresh)
        await self._settle_siblings(siblings)
        if not (self._entries or self._changes or self._must_queue or self._parts.is_store):
            return PassOn(view=self._view, decision=decision, plan=plan or passing(self._view))
        return await self._commit(decision)

    # What is ours.

    async def _entry_of(self, order: OrderDecision) -> Entry | None:
        """The newest entry of this order when it is open, or ended without the filler's having taken it."""
        entry = await self._parts.custody.journal.latest_entry_for(order.order_key)
        if entry is None or entry.state is OrderState.DELIVERED:
            return None
        return entry

    async def _siblings(self) -> tuple["_Sibling", ...]:
        """Waiting orders of the sets that this message's orders belong to, each with its own decision's member."""
        own_keys = set(order_keys_of(self._view))
        found = []
        for key in set_keys_of(self._view):
            for order in self._parts.custody.of_set(key):
                if order.state in WAITING_STATES and order.order_key not in own_keys:
                    entry = await self._parts.custody.journal.entry(order.entry_id)
                    if entry is not None and entry.state in WAITING_STATES and not entry.damaged:
                        found.append(await self._sibling(entry))
        return tuple(found)

    async def _sibling(self, entry: Entry) -> "_Sibling":
        alone = (await self._decide(MessageView(entry.content), ())).orders[0]
        member = alone.member and replace(alone.member, in_custody=True, arrived_at=entry.taken_at)
        return _Sibling(entry=entry, member=member)

    async def _decide(self, view: MessageView, members: Sequence[SetMember]) -> MessageDecision:
        try:
            return self._parts.decide(view, self._evidence, self._now, members)
        except EvidenceNeeded:
            self._evidence = await self._parts.lookup(view)
            return self._parts.decide(view, self._evidence, self._now, members)

    def _plan(
        self, view: MessageView, orders: Sequence[OrderDecision], *, first_part: int | None = None
    ) -> MessagePlan:
        """*first_part* 0: *view* is a part already, and keeps the control id that it was split off with."""
        return plan_message(
            view,
            orders,
            mode=self._parts.mode(),
            no_hold=self._parts.no_hold(),
            note_length=self._parts.release.note_length,
            first_part=self._part_count if first_part is None else first_part,
        )

    # Orders that are ours already.

    async def _handle(self, order: OrderDecision, members: Sequence[SetMember]) -> bool:
        """Step the order's own entry; False when the order is to be handled as a fresh one."""
        entry = await self._entry_of(order)
        if entry is not None:
            return await self._step(order, entry, members)
        if self._replaced and order.order_control.strip().upper() == REPLACEMENT_ORDER:
            # It replaces orders that the filler never saw: to the filler it is new.
            await self._order_again(order, members)
            return True
        return False

    async def _step(self, order: OrderDecision, entry: Entry, members: Sequence[SetMember]) -> bool:
        """Move *entry* by what the placer says of it; False when the order is to be handled as a fresh one."""
        event = control_event(order.order_control)
        if event is LifecycleEvent.RELEASE_REQUESTED and self._parts.placer_release and entry.state in WAITING_STATES:
            event = LifecycleEvent.RELEASE_GRANTED
        if entry.state is OrderState.DEAD and event not in (LifecycleEvent.CANCELLED, LifecycleEvent.CHANGED):
            event = LifecycleEvent.FOLLOWED
        if (entry.state, event) not in TRANSITIONS:
            return False
        if event is LifecycleEvent.CHANGED and entry.state in WAITING_STATES:
            await self._change(order, entry, members)
            return True
        transition = decide_transition(entry.state, event)
        if transition.filler_sees is FillerSees.MESSAGE_AS_NEW_ORDER:
            self._record(entry, event, transition)
            await self._order_again(order, members)
            return True
        if event is LifecycleEvent.CANCELLED:
            self._cancelled.add(entry.entry_id)
        if event is LifecycleEvent.REPLACED_BY and entry.state in WAITING_STATES:
            self._replaced.add(entry.entry_id)
        follower = None
        outgoing: tuple[OutgoingMessage, ...] = ()
        match transition.filler_sees:
            case FillerSees.MESSAGE | FillerSees.MESSAGE_AFTER_ORDER if entry.state not in WAITING_STATES:
                outgoing = (self._message(*self._part(order), entry=entry),)
            case FillerSees.MESSAGE_AFTER_ORDER:
                follower = Follower(*self._part(order))
            case FillerSees.ORDER_WITH_NOTE:
                change = await release_change(
                    entry, event, self._parts.release, actor="placer", comment="", at=self._now
                )
                self._changes.append(change)
                return True
        self._record(entry, event, transition, outgoing=outgoing, follower=follower)
        return True

    async def _change(self, order: OrderDecision, entry: Entry, members: Sequence[SetMember]) -> None:
        """The message becomes the order's content and is decided again, as the new order that the filler would see."""
        content, control_id = self._part(order)
        view = MessageView(as_new_order(MessageView(content), order_groups(MessageView(content))[0]))
        again = (await self._decide(view, members)).orders
        plan = self._plan(view, again, first_part=0)
        event = LifecycleEvent.CHANGED if plan.held else LifecycleEvent.CHANGED_AND_RELEASED
        outgoing: tuple[OutgoingMessage, ...] = ()
        if plan.forward is not None:
            outgoing = await self._release(entry, plan.forward, control_id, plan.original)
        self._record(
            entry,
            event,
            decide_transition(entry.state, event),
            outgoing=outgoing,
            content=view.raw,
            control_id=control_id,
            decision=order_json(again[0]),
            summary=self._parts.summarize(view, again[0]),
            set_key=again[0].set_key,
            detail={"edit": "ORC-1 NW", "reasons": list(again[0].decision.reasons)},
        )

    async def _order_again(self, order: OrderDecision, members: Sequence[SetMember]) -> None:
        """A change of an order that the filler never saw, and never will: it is a new order now."""
        content, _ = self._part(order)
        part = MessageView(content)
        view = MessageView(as_new_order(part, order_groups(part)[0]))
        again = (await self._decide(view, members)).orders
        self._add_plan(view, self._plan(view, again, first_part=0), again)

    async def _release(
        self, entry: Entry, content: bytes, control_id: bytes, original: bytes | None
    ) -> tuple[OutgoingMessage, ...]:
        """A waiting order on its way, with what was said about it meanwhile behind it."""
        followers = await self._parts.custody.journal.followers(entry.entry_id)
        order = self._message(content, control_id, original=original, entry=entry, kind="order")
        return (order, *(self._message(one.content, one.control_id, entry=entry) for one in followers))

    # Orders that are not ours yet.

    def _add_plan(self, view: MessageView, plan: MessagePlan, orders: Sequence[OrderDecision]) -> None:
        self._fresh.extend(orders)
        self._part_count += len(plan.held) + (plan.forward is not None)
        if plan.forward is not None:
            self._outgoing.append(self._message(plan.forward, plan.forward_control_id, original=plan.original))
        for part in plan.held:
            self._entries.append(self._new_entry(part))
            held_view = MessageView(part.content)
            self._tell(held_view, TAKEN_AS[self._entries[-1].state].notice, part.order.decision.reasons)

    def _new_entry(self, part: HeldPart) -> NewEntry:
        order, parts = part.order, self._parts
        procedure = order.decision.procedure
        may_have_siblings = procedure is not None and procedure.procedure_class in SET_CLASSES
        is_parked = may_have_siblings and parts.set_window_seconds > 0
        window = timedelta(seconds=parts.set_window_seconds)
        return NewEntry(
            order_key=order.order_key,
            set_key=order.set_key,
            placer_order_number=order.placer_order_number,
            state=OrderState.PARKED if is_parked else OrderState.HELD,
            content=part.content,
            control_id=part.control_id,
            deadline_at=self._now + window if is_parked else parts.deadline(order, self._now),
            priority=order.decision.urgency.urgency_class.value if order.decision.urgency else "routine",
            summary=parts.summarize(MessageView(part.content), order),
            decision=order_json(order),
        )

    # Siblings.

    async def _settle_siblings(self, siblings: Sequence["_Sibling"]) -> None:
        """Judge the waiting siblings again with this message's orders: some may go, some only learn of a cancel."""
        if not siblings:
            return
        present = [order.member for order in self._fresh if order.member is not None]
        gone = bool(self._cancelled)
        for sibling in siblings:
            others = [one.member for one in siblings if one is not sibling and one.member is not None]
            again = (await self._decide(MessageView(sibling.entry.content), [*others, *present])).orders[0]
            entry = sibling.entry
            if again.decision.disposition is not Disposition.HOLD:
                event = LifecycleEvent.SET_COMPLETED
                outgoing = await self._release(entry, entry.content, entry.control_id, None)
                self._record(entry, event, decide_transition(entry.state, event), outgoing=outgoing, order=again)
            elif gone:
                event = LifecycleEvent.SET_REOPENED
                self._record(entry, event, decide_transition(entry.state, event), order=again)

    # The transaction.

    def _record(
        self,
        entry: Entry,
        event: LifecycleEvent,
        transition: Transition,
        *,
        outgoing: tuple[OutgoingMessage, ...] = (),
        order: OrderDecision | None = None,
        **values: Any,
    ) -> None:
        if order is not None:
            values["decision"] = order_json(order)
        self._changes.append(
            EntryChange(
                entry_id=entry.entry_id,
                expected_version=entry.version,
                expected_state=entry.state,
                event=event,
                state=transition.state,
                actor="placer",
                reason=transition.reason,
                outgoing=outgoing,
                **values,
            )
        )
        self._tell(MessageView(entry.content), transition.notice, (transition.reason,))

    def _tell(self, view: MessageView, notice: Notice | None, reasons: Sequence[str]) -> None:
        message = self._parts.release.notice(view, notice, tuple(reasons)) if notice is not None else None
        if message is not None:
            self._outgoing.append(message)

    def _part(self, order: OrderDecision) -> tuple[bytes, bytes]:
        """The message with this order alone, and its control id: the received one for the first part."""
        part_number, self._part_count = self._part_count, self._part_count + 1
        return split_part(self._view, [order.group.number], part_number=part_number)

    def _message(
        self,
        content: bytes,
        control_id: bytes,
        *,
        original: bytes | None = None,
        entry: Entry | None = None,
        kind: OutgoingKind = "message",
    ) -> OutgoingMessage:
        return OutgoingMessage(
            destination=self._parts.release.destination,
            content=content,
            original=original,
            control_id=control_id,
            kind=kind,
            entry_id=entry.entry_id if entry is not None else None,
        )

    async def _commit(self, decision: MessageDecision) -> TurnResult | Conflict:
        parts, inbound = self._parts, self._inbound
        code = accept_code(inbound.header)
        acknowledgment = (
            None if code is None else parts.acknowledge(inbound.header, code, self._now, bool(self._entries))
        )
        records = tuple(
            decision_record(self._view, order, route=parts.route, mode=parts.mode(), at=self._now)
            for order in decision.orders
        )
        intake = Intake(
            route=parts.route,
            identity=self._identity,
            received_at=inbound.received_at,
            raw=inbound.raw,
            acknowledgment=acknowledgment,
            entries=tuple(self._entries),
            outgoing=tuple(self._outgoing),
            changes=tuple(self._changes),
            decisions=records,
            duplicates_since=inbound.received_at - DUPLICATE_WINDOW,
        )
        done = await parts.custody.take(intake, is_tracked=not parts.is_store)
        if not isinstance(done, IntakeDone):
            return done
        return Taken(done=done, acknowledgment=acknowledgment, code=code, decision=decision)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sibling:
    """A waiting order of the same set."""

    entry: Entry
    member: SetMember | None
