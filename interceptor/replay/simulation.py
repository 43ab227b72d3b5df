"""What custody would have made of a sequence of messages: the fate of every order, offline.

Each message arrives at its MSH-7 and is decided with all earlier ones. An order that would be held stays in
our custody and meets what comes later: a sibling that completes its set releases it, a change takes its
place, a cancellation or a replacement ends it, the same bytes again change nothing. Nobody reviews, and no
deadline passes unless the caller says until when to look.

This is the lifecycle of held orders without a journal, a filler or a clock; `pipeline.py` does the real one.

Source: docs/explanation/lifecycle.md; docs/clinical/policy.md, row 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Protocol

from interceptor.action.deadline import HoldLimits, hold_deadline
from interceptor.action.lifecycle import LifecycleEvent
from interceptor.action.order_control import REPLACEMENT_ORDER, control_event
from interceptor.context.order_set import SetMember
from interceptor.context.patient import PatientEvidence
from interceptor.context.site_profile import SiteProfile
from interceptor.decision.clinical_content import ClinicalContent
from interceptor.decision.decision import Disposition
from interceptor.decision.message_decision import SET_WINDOW_SECONDS, OrderDecision, decide_message, member_key
from interceptor.message.group import order_groups
from interceptor.message.timestamp import parse_timestamp
from interceptor.message.view import MessageView

CANCELLED = "S-CANCELLED"
RELEASED = "S-RELEASED"
REPLACED = "S-REPLACED"
DUPLICATE = "S-DUPLICATE"
DEADLINE_RELEASE = "S-TTL-RELEASE"
NOTED = "S-NOTED"
FOLLOWS = "S-FOLLOWS"

CONSUMED_CODES = frozenset({CANCELLED, REPLACED, DUPLICATE, NOTED, FOLLOWS})
"""As the first reason: the message was about an order in our custody and met it there; nothing new was decided."""

_ENDS = {LifecycleEvent.CANCELLED: CANCELLED, LifecycleEvent.REPLACED_BY: REPLACED}
_OTHERS = {
    LifecycleEvent.HOLD_REQUESTED: NOTED,
    LifecycleEvent.RELEASE_REQUESTED: NOTED,
    LifecycleEvent.FOLLOWED: FOLLOWS,
}


class EvidenceFor(Protocol):
    """What the sources know of the patient of a message."""

    def __call__(self, view: MessageView, /) -> PatientEvidence:
        """The evidence for this message's patient."""
        ...


@dataclass(slots=True, kw_only=True)
class OrderOutcome:
    """One order of one message, and what became of it.

    Attributes:
        order: The order with the decision that stands.
        disposition: What became of it, which lifecycle events may have made another than was decided.
        reasons: Reason codes, the deciding one first, lifecycle codes among them.
        deadline_at: When it leaves at the latest; None for an order that is not held.
        ended_by: Position (counted from 1) of the message that cancelled, changed or replaced it; None for none.
    """

    order: OrderDecision
    disposition: Disposition
    reasons: tuple[str, ...]
    deadline_at: datetime | None = None
    ended_by: int | None = None


@dataclass(slots=True, kw_only=True)
class MessageOutcome:
    """One message: when it arrived and what became of its orders; `position` counts from 1 in input order."""

    position: int
    view: MessageView
    arrived_at: datetime
    as_of: datetime
    orders: list[OrderOutcome] = field(default_factory=list)

    @property
    def disposition(self) -> Disposition:
        """The strongest of its orders'; PASS without orders."""
        return max((order.disposition for order in self.orders), default=Disposition.PASS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationOptions:
    """How to simulate.

    Attributes:
        zone: Time zone of the site, for times without an offset.
        now: The arrival of a message without MSH-7 when no other message tells, aware.
        decide_at: Decide every message as of this time; None for each message's arrival.
        until: Let the deadlines of holds pass up to this time; None for no deadlines.
        deadline: The deadline of an order held at a time.
        window_seconds: How long an order that has left still counts for its set.
    """

    zone: tzinfo
    now: datetime
    decide_at: datetime | None = None
    until: datetime | None = None
    deadline: Callable[[OrderDecision, datetime], datetime]
    window_seconds: float = SET_WINDOW_SECONDS


def site_options(
    site: SiteProfile, *, now: datetime, decide_at: datetime | None = None, until: datetime | None = None
) -> SimulationOptions:
    """Options with the site's calendar and the hold limits of a node that says nothing else.

    Args:
        site: The site profile.
        now: The present, aware; for messages that do not say when they were sent.
        decide_at: See `SimulationOptions`.
        until: See `SimulationOptions`.
    """

    def deadline(order: OrderDecision, taken_at: datetime) -> datetime:
        found = hold_deadline(
            taken_at,
            limits=HoldLimits(),
            add_business_hours=site.calendar.add_business_hours,
            planned_start=order.facts.planned_start,
            row_deadline_seconds=order.decision.hold_deadline_seconds,
        )
        return found.astimezone(site.calendar.zone)

    return SimulationOptions(zone=site.calendar.zone, now=now, decide_at=decide_at, until=until, deadline=deadline)


def patient_identifiers(view: MessageView) -> tuple[str, ...]:
    """Every PID-3.1 of a message. Patient data: never log them."""
    patient = view.first("PID")
    if patient is None:
        return ()
    count = patient.repetition_count(3)
    found = (patient.text(3, repetition=repetition) for repetition in range(1, count + 1))
    return tuple(value for value in found if value)


def simulate_custody(
    messages: Sequence[MessageView],
    *,
    content: ClinicalContent,
    evidence: EvidenceFor,
    options: SimulationOptions,
) -> tuple[MessageOutcome, ...]:
    """Return the fate of every order of every message, in input order."""
    outcomes = _arrivals(messages, options)
    simulation = _Simulation(content, evidence, options)
    for outcome in sorted(outcomes, key=lambda one: one.arrived_at):
        simulation.receive(outcome)
    simulation.pass_deadlines(options.until)
    return tuple(outcomes)


def _arrivals(messages: Sequence[MessageView], options: SimulationOptions) -> list[MessageOutcome]:
    """Each message at its MSH-7; one without arrives with the message before it."""
    outcomes: list[MessageOutcome] = []
    last = options.decide_at or options.now
    for position, view in enumerate(messages, start=1):
        stated = parse_timestamp(view.text("MSH-7"))
        last = stated.at(options.zone) if stated is not None else last
        outcomes.append(MessageOutcome(position=position, view=view, arrived_at=last, as_of=options.decide_at or last))
    return outcomes


@dataclass(slots=True, kw_only=True)
class _Held:
    """An order in our custody, with the message it came in."""

    message: MessageOutcome
    outcome: OrderOutcome
    index: int


class _Simulation:
    """Orders in custody and members of sets, as they stand after the messages received so far."""

    def __init__(self, content: ClinicalContent, evidence: EvidenceFor, options: SimulationOptions) -> None:
        self._content = content
        self._evidence = evidence
        self._options = options
        self._held: dict[str, _Held] = {}
        self._members: dict[str, SetMember] = {}
        self._latest: dict[str, int] = {}

    def receive(self, message: MessageOutcome) -> None:
        """Let one message arrive."""
        if self._options.until is not None:
            self.pass_deadlines(min(message.arrived_at, self._options.until))
        if self._is_duplicate(message):
            for order in self._decide(message, withdrawn=frozenset()):
                message.orders.append(OrderOutcome(order=order, disposition=Disposition.PASS, reasons=(DUPLICATE,)))
            return
        ours = frozenset(self._held)
        touched = self._end_orders(message)
        orders = self._decide(message, withdrawn=frozenset(), ours=ours)
        replaced = any(
            control_event(order.order_control) is LifecycleEvent.REPLACED_BY and order.order_key in ours
            for order in orders
        )
        for index, order in enumerate(orders):
            outcome = self._outcome(order, ours=ours, replaced=replaced)
            message.orders.append(outcome)
            if outcome.reasons[0] not in CONSUMED_CODES:
                touched |= self._take(message, outcome, index)
        self._judge_again(touched, arrived=message)

    def pass_deadlines(self, until: datetime | None) -> None:
        """Release, unreviewed, every held order whose deadline is not after *until*."""
        for key, held in list(self._held.items()):
            deadline = held.outcome.deadline_at
            if until is not None and deadline is not None and deadline <= until:
                del self._held[key]
                self._leave(key)
                held.outcome.disposition = Disposition.ANNOTATE
                held.outcome.reasons = (DEADLINE_RELEASE, *held.outcome.reasons)

    def _is_duplicate(self, message: MessageOutcome) -> bool:
        raw = message.view.raw.rstrip(b"\r\n")
        return any(held.message.view.raw.rstrip(b"\r\n") == raw for held in self._held.values())

    def _decide(
        self,
        message: MessageOutcome,
        *,
        withdrawn: frozenset[str],
        ours: frozenset[str] = frozenset(),
    ) -> tuple[OrderDecision, ...]:
        return decide_message(
            message.view,
            content=self._content,
            evidence=self._evidence(message.view),
            as_of=message.as_of,
            arrived_at=message.arrived_at,
            waiting=tuple(self._members.values()),
            ours=ours,
            withdrawn=withdrawn,
            window_seconds=self._options.window_seconds,
        ).orders

    def _end_orders(self, message: MessageOutcome) -> set[str]:
        """Close the held orders that this message cancels, replaces or changes; returns the sets they were in."""
        touched: set[str] = set()
        for group in order_groups(message.view):
            key = member_key(message.view, group)
            event = control_event(group.orc.text(1))
            if key in self._held and (event in _ENDS or event is LifecycleEvent.CHANGED):
                held = self._held.pop(key)
                held.outcome.ended_by = message.position
                touched.add(held.outcome.order.set_key)
            if event in _ENDS:
                self._members.pop(key, None)
        return touched

    def _outcome(self, order: OrderDecision, *, ours: frozenset[str], replaced: bool) -> OrderOutcome:
        """The fate of an order at its arrival."""
        decided = order.decision
        if order.order_key in ours:
            event = control_event(order.order_control)
            code = _ENDS.get(event) or _OTHERS.get(event)
            if code is not None and not _is_replacement(order):
                return OrderOutcome(order=order, disposition=Disposition.PASS, reasons=(code,))
            reasons = decided.reasons
            if decided.disposition is not Disposition.HOLD:
                reasons = (*reasons, RELEASED)
            return OrderOutcome(order=order, disposition=decided.disposition, reasons=reasons)
        reasons = decided.reasons
        if replaced and _is_replacement(order):
            reasons = (*reasons, REPLACED)
        return OrderOutcome(order=order, disposition=decided.disposition, reasons=reasons)

    def _take(self, message: MessageOutcome, outcome: OrderOutcome, index: int) -> set[str]:
        """Remember an order for its set, and keep it when it is held; returns its set."""
        member = outcome.order.member
        if member is None:
            return set()
        key = member.order_key
        self._latest[key] = message.position
        if outcome.disposition is Disposition.HOLD:
            outcome.deadline_at = self._options.deadline(outcome.order, message.arrived_at)
            self._held[key] = _Held(message=message, outcome=outcome, index=index)
        self._members[key] = member
        if key not in self._held:
            self._leave(key)
        return {member.set_key}

    def _leave(self, key: str) -> None:
        """An order goes on to the filler: it counts for its set only as long as the window lasts."""
        member = self._members[key]
        self._members[key] = SetMember(
            order_key=key, set_key=member.set_key, procedure=member.procedure, arrived_at=member.arrived_at
        )

    def _judge_again(self, set_keys: set[str], *, arrived: MessageOutcome) -> None:
        """Decide held orders of these sets again, now that the sets have changed."""
        for key, held in list(self._held.items()):
            if held.message is arrived or held.outcome.order.set_key not in set_keys:
                continue
            gone = frozenset(
                other
                for group in order_groups(held.message.view)
                if (other := member_key(held.message.view, group)) != key
                and (other not in self._members or self._latest.get(other) != held.message.position)
            )
            order = self._decide_later(held, arrived, gone)[held.index]
            if order.decision.disposition is Disposition.HOLD:
                held.outcome.order, held.outcome.reasons = order, order.decision.reasons
                continue
            del self._held[key]
            self._leave(key)
            waited = arrived.arrived_at - held.message.arrived_at
            late = waited > timedelta(seconds=self._options.window_seconds)
            held.outcome.order = order
            held.outcome.disposition = order.decision.disposition
            held.outcome.reasons = (*order.decision.reasons, *((RELEASED,) if late else ()))
            held.outcome.deadline_at = None

    def _decide_later(self, held: _Held, arrived: MessageOutcome, gone: frozenset[str]) -> tuple[OrderDecision, ...]:
        """Decide a held order's message again with the siblings that count when another message arrives."""
        later = MessageOutcome(
            position=held.message.position,
            view=held.message.view,
            arrived_at=arrived.arrived_at,
            as_of=held.message.as_of,
        )
        return self._decide(later, withdrawn=gone, ours=frozenset({*self._held}))


def _is_replacement(order: OrderDecision) -> bool:
    return order.order_control.strip().upper() == REPLACEMENT_ORDER
