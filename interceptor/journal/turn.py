"""One message's turn: taking it into custody, or fitting it in behind an order that is ours already.

A turn belongs to the keys of the message's orders and of their sets; no two messages about one of them are
worked on at once, so that siblings that arrive together on two connections see each other.
Within its turn the message is decided with its siblings that we still have, every order of it becomes one
of four things, and all of it is one transaction:

    a new entry           it must stay: PARKED while siblings may come, else HELD
    a step of an entry    it is about an order that is ours (the lifecycle table says what happens)
    part of a forward     nothing keeps it: it leaves now, behind what is queued
    consumed              a step that the filler never sees

When in relay custody nothing of the message is ours after all, it goes its way (`PassOn`) and nothing is stored.

Failures: a sibling that moved meanwhile (`Conflict`) starts the turn again. Journal errors go to the caller;
nothing was written then, unless the journal is broken. A database that hangs is waited for `reading_seconds_max`, and
without an end once the commit has begun: the placer sends again, and that message goes its way.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from interceptor.action.lifecycle import (
    TRANSITIONS,
    UNSEEN_ENDS,
    WAITING_STATES,
    FillerSees,
    LifecycleEvent,
    Notice,
    OrderState,
    decide_transition,
)
from interceptor.action.order_control import REPLACED_ORDER, REPLACEMENT_ORDER, as_new_order, control_event
from interceptor.action.plan import HeldPart, MessagePlan, passing
from interceptor.context.order_set import SET_CLASSES
from interceptor.decision.decision import Disposition
from interceptor.decision.message_decision import MessageDecision, OrderDecision
from interceptor.decision.report import order_json
from interceptor.journal.decision_record import decision_record
from interceptor.journal.digest import digest_of
from interceptor.journal.order_index import order_keys_of
from interceptor.journal.patient_merge import keep_merge
from interceptor.journal.port import (
    AlreadyTaken,
    Conflict,
    Entry,
    Follower,
    Intake,
    IntakeDone,
    JournalReason,
    JournalUnavailable,
    MessageIdentity,
    NewEntry,
    OutgoingMessage,
)
from interceptor.journal.release import release_change
from interceptor.journal.turn_deciding import Deciding, Sibling, turn_sets
from interceptor.journal.turn_draft import Draft
from interceptor.journal.turn_parts import DUPLICATE_WINDOW, Inbound, PassOn, Taken, TurnParts, TurnResult
from interceptor.message.group import order_groups
from interceptor.message.header import NotHl7
from interceptor.message.view import MessageView

ATTEMPTS_MAX = 5
"""Turns begun again because a sibling moved; each needs somebody else's progress, so this is never reached in earnest."""


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
    limit = asyncio.timeout(parts.reading_seconds_max)
    try:
        async with limit:
            return await _take_orders(inbound, view, identity, parts, limit)
    except TimeoutError as error:
        raise JournalUnavailable(JournalReason.AWAY, "the database took too long") from error


async def _take_orders(
    inbound: Inbound, view: MessageView, identity: MessageIdentity, parts: TurnParts, limit: asyncio.Timeout
) -> TurnResult:
    """The turn of a message with orders; *limit* ends what comes before the commit."""
    async with parts.custody.turn((*order_keys_of(view), *turn_sets(view, parts.custody))):
        for _ in range(ATTEMPTS_MAX):
            if parts.reading_seconds_max is not None:
                limit.reschedule(asyncio.get_running_loop().time() + parts.reading_seconds_max)
            if parts.custody.catch_up is not None:
                await parts.custody.catch_up()
            if parts.custody.index.has_taken(identity.digest):
                since = inbound.received_at - DUPLICATE_WINDOW
                answer = await parts.custody.journal.find_answer(identity, since=since)
                if answer is not None:
                    return AlreadyTaken(answer=answer)
            result = await _Turn(inbound, view, identity, parts, limit).run()
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
        digest=digest_of(inbound.raw),
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
    acknowledgment = parts.acknowledge(inbound.header, {}, parts.now())
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
    return Taken(done=done, acknowledgment=acknowledgment)


class _Turn:
    """One attempt: decides with what is ours now, drafts what becomes of each order, commits it all."""

    def __init__(
        self, inbound: Inbound, view: MessageView, identity: MessageIdentity, parts: TurnParts, limit: asyncio.Timeout
    ) -> None:
        self._inbound = inbound
        self._view = view
        self._identity = identity
        self._parts = parts
        self._limit = limit
        self._journal = parts.custody.journal
        self._now = parts.now()
        self._seen = parts.custody.position.audit_number
        self._deciding = Deciding(view, parts, evidence=inbound.evidence, at=self._now)
        self._draft = Draft(view, parts.release)
        self._present: list[OrderDecision] = []
        self._delivered_keys: set[str] = set()
        self._gone: list[OrderDecision] = []
        self._is_set_smaller = False
        self._replaced_count = 0

    async def run(self) -> TurnResult | Conflict:
        """Carry the attempt out; `Conflict` when an order moved meanwhile and nothing was written."""
        siblings = await self._deciding.siblings()
        members = tuple(sibling.member for sibling in siblings if sibling.member is not None)
        decision = await self._deciding.decide(self._view, members)
        must_queue = self._parts.custody.index.queued.any_of(order.order_key for order in decision.orders)
        # A replacement is understood only after what it replaces.
        by_meaning = sorted(decision.orders, key=lambda order: _control(order) == REPLACEMENT_ORDER)
        unhandled = [order for order in by_meaning if not await self._handle(order, decision)]
        fresh = [_never_held(order) if await self._is_at_filler(order) else order for order in unhandled]
        fresh.sort(key=lambda order: order.group.number)
        plan = self._deciding.plan(self._view, fresh, first_part=self._draft.next_part) if fresh else None
        if plan is not None:
            self._add_plan(plan, fresh)
        await self._settle_siblings(siblings)
        is_ours = self._draft.entries or self._draft.changes or must_queue or self._parts.is_store
        if not is_ours:
            return PassOn(view=self._view, decision=decision, plan=plan or passing(self._view))
        return await self._commit(decision)

    # Orders that are ours already.

    async def _entry_of(self, order: OrderDecision) -> Entry | None:
        """The newest entry of this order when it is open, or ended without the filler's having taken it."""
        if not order.order_key:
            return None
        entry = await self._journal.latest_entry_for(order.order_key)
        if entry is None:
            return None
        if entry.state is OrderState.DELIVERED:
            self._delivered_keys.add(order.order_key)
            return None
        return self._draft.current(entry)

    async def _is_at_filler(self, order: OrderDecision) -> bool:
        """Whether the filler has this order already; asked of the journal only where it makes a difference."""
        key, passed = order.order_key, self._parts.custody.passed
        if key in self._delivered_keys or passed.knows(key):
            return True
        would_stay = order.decision.disposition is Disposition.HOLD
        return would_stay and key != "" and not passed.remembers(key) and await self._journal.has_gone(key)

    async def _handle(self, order: OrderDecision, decision: MessageDecision) -> bool:
        """Step the order's own entry; False when the order is to be handled as a fresh one."""
        entry = await self._entry_of(order)
        if entry is not None:
            return await self._step(order, entry)
        replaced_count = sum(_control(one) == REPLACED_ORDER for one in decision.orders)
        is_new_to_filler = replaced_count > 0 and self._replaced_count == replaced_count
        if is_new_to_filler and _control(order) == REPLACEMENT_ORDER:
            # It replaces orders that the filler never saw: to the filler it is new.
            self._order_again(order, is_replacement=True)
            return True
        return False

    async def _step(self, order: OrderDecision, entry: Entry) -> bool:
        """Move *entry* by what the placer says of it; False when the order is to be handled as a fresh one."""
        event = _event_of(order, entry, placer_release=self._parts.placer_release)
        if (entry.state, event) not in TRANSITIONS:
            return False
        is_waiting = entry.state in WAITING_STATES
        if _control(order) == REPLACED_ORDER and (is_waiting or entry.state in UNSEEN_ENDS):
            self._replaced_count += 1
        self._is_set_smaller |= is_waiting and event in (LifecycleEvent.CANCELLED, LifecycleEvent.REPLACED_BY)
        if event is LifecycleEvent.CHANGED and is_waiting:
            await self._change(order, entry)
            return True
        match decide_transition(entry.state, event).filler_sees:
            case FillerSees.MESSAGE_AS_NEW_ORDER:
                self._draft.add_step(entry, event)
                self._order_again(order)
            case FillerSees.ORDER_WITH_NOTE:
                release = self._parts.release
                change = await release_change(entry, event, release, actor="placer", comment="", at=self._now)
                self._draft.add_change(entry, change)
            case FillerSees.MESSAGE_AFTER_ORDER if is_waiting:
                self._draft.add_step(entry, event, follower=Follower(*self._draft.part(order)))
            case FillerSees.MESSAGE | FillerSees.MESSAGE_AFTER_ORDER:
                return self._follow(order, entry, event)
            case _:
                self._draft.add_step(entry, event)
        return True

    def _follow(self, order: OrderDecision, entry: Entry, event: LifecycleEvent) -> bool:
        """The message goes to the filler behind an order that waits no more; False: together with its fresh orders.

        Orders that leave together stay one message, as the placer sent them.
        """
        if order.decision.disposition is not Disposition.HOLD:
            self._draft.add_step(entry, event)
            return False
        message = self._draft.message(*self._draft.part(order), entry=entry)
        self._draft.add_step(entry, event, outgoing=(message,))
        return True

    async def _change(self, order: OrderDecision, entry: Entry) -> None:
        """The message becomes the order's content and is decided again, as the new order that the filler would see."""
        content, control_id = self._draft.part(order)
        view, again = _as_new(content, order)
        self._present.extend(again)
        plan = self._deciding.plan(view, again, first_part=0)
        event = LifecycleEvent.CHANGED if plan.held else LifecycleEvent.CHANGED_AND_RELEASED
        outgoing: tuple[OutgoingMessage, ...] = ()
        if plan.forward is not None:
            outgoing = await self._released(entry, plan.forward, control_id, plan.original)
        urgency = again[0].decision.urgency
        summary, set_key = keep_merge(entry, self._parts.summarize(view, again[0]), again[0].set_key)
        self._draft.add_step(
            entry,
            event,
            outgoing=outgoing,
            order=again[0],
            content=view.raw,
            control_id=control_id,
            summary=summary,
            set_key=set_key,
            priority=urgency.urgency_class.value if urgency else None,
            deadline_at=_earlier_deadline(entry, again[0], self._parts),
            detail={"edit": "" if view.raw == content else "ORC-1 NW", "reasons": list(again[0].decision.reasons)},
        )

    def _order_again(self, order: OrderDecision, *, is_replacement: bool = False) -> None:
        """What is said of an order that the filler never saw, and never will, is a new order now: ours to the end."""
        content, _ = self._draft.part(order)
        view, again = _as_new(content, order)
        self._present.extend(again)
        plan = self._deciding.plan(view, again, first_part=0)
        if is_replacement:
            self._draft.tell_of_replacement(view, is_waiting=bool(plan.held))
        for part in plan.held:
            self._keep(part)
        if plan.forward is not None:
            part = HeldPart(order=again[0], content=plan.original or plan.forward, control_id=plan.forward_control_id)
            self._draft.add_queued(self._new_entry(part, OrderState.QUEUED, deadline=None), plan.forward)

    async def _released(
        self, entry: Entry, content: bytes, control_id: bytes, original: bytes | None
    ) -> tuple[OutgoingMessage, ...]:
        """A waiting order on its way, with what was said about it meanwhile behind it."""
        followers = await self._journal.followers(entry.entry_id)
        order = self._draft.message(content, control_id, original=original, entry=entry, kind="order")
        return (order, *(self._draft.message(one.content, one.control_id, entry=entry) for one in followers))

    # Orders that are not ours yet.

    def _add_plan(self, plan: MessagePlan, orders: Sequence[OrderDecision]) -> None:
        self._present.extend(orders)
        held_keys = {part.order.order_key for part in plan.held}
        self._gone = [order for order in orders if order.order_key not in held_keys]
        self._draft.skip_parts(len(plan.held) + (plan.forward is not None))
        if plan.forward is not None:
            self._draft.send(plan.forward, plan.forward_control_id, original=plan.original)
        for part in plan.held:
            self._keep(part)

    def _keep(self, part: HeldPart) -> None:
        """An order stays: parked while siblings may come, else held."""
        procedure, parts = part.order.decision.procedure, self._parts
        may_have_siblings = procedure is not None and procedure.procedure_class in SET_CLASSES
        if may_have_siblings and parts.set_window_seconds > 0:
            window = timedelta(seconds=parts.set_window_seconds)
            new = self._new_entry(part, OrderState.PARKED, deadline=self._now + window)
        else:
            new = self._new_entry(part, OrderState.HELD, deadline=parts.deadline(part.order, self._now))
        self._draft.add_waiting(new, part.order)

    def _new_entry(self, part: HeldPart, state: OrderState, *, deadline: datetime | None) -> NewEntry:
        order = part.order
        return NewEntry(
            order_key=order.order_key,
            set_key=order.set_key,
            placer_order_number=order.placer_order_number,
            state=state,
            content=part.content,
            control_id=part.control_id,
            deadline_at=deadline,
            priority=order.decision.urgency.urgency_class.value if order.decision.urgency else "routine",
            summary=self._parts.summarize(MessageView(part.content), order),
            decision=order_json(order),
        )

    # Siblings.

    async def _settle_siblings(self, siblings: Sequence["Sibling"]) -> None:
        """Judge the waiting siblings again with this message's orders: some may go, some only learn of a cancel."""
        present = [order.member for order in self._present if order.member is not None]
        for sibling in siblings:
            others = [one.member for one in siblings if one is not sibling and one.member is not None]
            again = await self._deciding.decide_entry(sibling.entry, [*others, *present])
            entry = sibling.entry
            if again.decision.disposition is not Disposition.HOLD:
                outgoing = await self._released(entry, entry.content, entry.control_id, None)
                self._draft.add_step(entry, LifecycleEvent.SET_COMPLETED, outgoing=outgoing, order=again)
            elif self._is_set_smaller:
                self._draft.add_step(entry, LifecycleEvent.SET_REOPENED, order=again)

    # The transaction.

    async def _commit(self, decision: MessageDecision) -> TurnResult | Conflict:
        parts, inbound, draft = self._parts, self._inbound, self._draft
        acknowledgment = parts.acknowledge(self._view, _told(decision, draft), self._now)
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
            entries=draft.entries,
            outgoing=draft.outgoing,
            changes=draft.changes,
            decisions=records,
            duplicates_since=inbound.received_at - DUPLICATE_WINDOW,
            seen=self._seen,
        )
        # A commit is not cut short: its outcome would be unknown, while the writer knows it in the end.
        self._limit.reschedule(None)
        done = await parts.custody.take(intake, is_tracked=not parts.is_store)
        if not isinstance(done, IntakeDone):
            return done
        for order in self._gone:
            parts.custody.passed.note(order.order_key, order.order_control)
        return Taken(done=done, acknowledgment=acknowledgment, decision=decision)


def _told(decision: MessageDecision, draft: Draft) -> dict[int, Notice]:
    """What became of the orders that the placer is told of, by group number."""
    said = draft.said
    return {order.group.number: said[order.order_key] for order in decision.orders if order.order_key in said}


def _event_of(order: OrderDecision, entry: Entry, *, placer_release: bool) -> LifecycleEvent:
    """What the placer's word does to *entry*."""
    event = control_event(order.order_control)
    is_waiting = entry.state in WAITING_STATES
    if event is LifecycleEvent.RELEASE_REQUESTED and placer_release and is_waiting:
        return event if entry.damaged else LifecycleEvent.RELEASE_GRANTED
    if entry.state is OrderState.DEAD and event not in (LifecycleEvent.CANCELLED, LifecycleEvent.CHANGED):
        return LifecycleEvent.FOLLOWED
    if entry.state in UNSEEN_ENDS and event is LifecycleEvent.REPLACED_BY:
        # There is nothing to replace, and nothing that the filler would know: the old order stays ended.
        return LifecycleEvent.CANCELLED
    return event


def _never_held(order: OrderDecision) -> OrderDecision:
    """What the filler has already cannot be held: the placer's next cancel would end here, and the filler keep the order."""
    if order.decision.disposition is not Disposition.HOLD:
        return order
    return replace(order, decision=replace(order.decision, disposition=Disposition.ANNOTATE))


def _earlier_deadline(entry: Entry, again: OrderDecision, parts: TurnParts) -> datetime | None:
    """A change may bring the planned start nearer; it never lets an order wait longer. None: as it was."""
    if entry.state is not OrderState.HELD or entry.deadline_at is None:
        return None
    return min(entry.deadline_at, parts.deadline(again, entry.taken_at))


def _control(order: OrderDecision) -> str:
    return order.order_control.strip().upper()


def _as_new(content: bytes, order: OrderDecision) -> tuple[MessageView, tuple[OrderDecision]]:
    """A message of one order as the new order that the filler would see, and its decision.

    The decision is the one that was made within the whole message, where a change of an order that the filler
    never saw counts as a new order already; what another order of the message says of the patient counts too.
    """
    view = MessageView(content)
    new = MessageView(as_new_order(view, order_groups(view)[0]))
    return new, (order.with_group(order_groups(new)[0]),)
