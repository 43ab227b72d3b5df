"""One route's parts plugged together: with `node.py`, the only place that knows which part meets which.

A route is a listener for placers, a policy and mode to decide by, and a destination. This file gives the pipeline
(`pipeline.py`) and the custody's turns (`journal/turn.py`) the functions that they need, as plain closures.
"""

import time
from collections.abc import Awaitable, Callable, Container, Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import count
from typing import Any

from interceptor.action.annotate import can_annotate
from interceptor.action.deadline import HoldLimits, hold_deadline
from interceptor.action.lifecycle import UNSEEN_ENDS, WAITING_STATES, LifecycleEvent, Notice, OrderState
from interceptor.action.notice import NoticeStyle, build_notice
from interceptor.action.order_response import HoldReply, build_answers
from interceptor.action.plan import RouteMode
from interceptor.config.schema import Config, RouteTable
from interceptor.context.order_set import SetMember
from interceptor.context.order_summary import order_summary
from interceptor.context.patient import NO_EVIDENCE, PatientEvidence
from interceptor.context.recent_member import RecentMembers
from interceptor.context.vocabulary import ProcedureClass
from interceptor.decision.clinical_content import ClinicalContent
from interceptor.decision.decision import Disposition
from interceptor.decision.message_decision import MessageDecision, OrderDecision, decide_message
from interceptor.decision.report import order_json
from interceptor.decision.second_look import SeenMessage, SeenMessages
from interceptor.decision.study_verdict import StudyOrder, StudyVerdicts
from interceptor.delivery.destination import Destination
from interceptor.evidence.patient_question import PatientQuestion, read_question
from interceptor.journal.custody import Custody
from interceptor.journal.decision_record import NOT_KEPT, decision_record, is_kept
from interceptor.journal.patient_merge import PatientMerges
from interceptor.journal.port import Entry, EntryChange, JournalReason, JournalUnavailable, OutgoingMessage
from interceptor.journal.recorder import Recorder
from interceptor.journal.release import NoticeBuilder, ReleaseParts, end_of_window, release_change
from interceptor.journal.route_mode import HoldGate, RouteModes
from interceptor.journal.turn import take_turn
from interceptor.journal.turn_parts import DATABASE_SECONDS_MAX, Inbound, Taken, TurnParts, TurnResult
from interceptor.message.group import is_order_message
from interceptor.message.header import Header
from interceptor.message.view import MessageView
from interceptor.pipeline import CustodyKind, RouteOptions, RouteParts
from interceptor.shadow import ShadowDecisions, ShadowParts, tell_deciding_failed
from interceptor.telemetry.events import BREAKER_OPENED, NOTICE_FAILED, ORDER_ESCALATED, ROUTE_MODE_CHANGED, EventLog
from interceptor.telemetry.label import NoticeResult
from interceptor.telemetry.metrics import Metrics
from interceptor.telemetry.redaction import describe_error


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteWiring:
    """What a route is built from.

    Attributes:
        recent: Siblings that have just left; they outlive a reload.
        seen: Takes what was decided, for a reload's second look.
        ask: Ask the evidence sources about a patient within so many seconds; None where none is configured.
        undecided: Keep a message that goes on only because a lookup failed.
        note_study: Take note of what an order message that goes its way tells of a completed study; never waits.
    """

    name: str
    table: RouteTable
    config: Config
    content: ClinicalContent
    custody: Custody
    destination: Destination
    modes: RouteModes
    gate: HoldGate
    recent: RecentMembers
    seen: SeenMessages
    merges: PatientMerges
    recorder: Recorder
    metrics: Metrics
    log: EventLog
    spawn: Callable[[Coroutine[Any, Any, None]], None]
    give_up: Callable[[BaseException], None]
    change_mode: Callable[[str, RouteMode, str], None]
    now: Callable[[], datetime]
    ask: Callable[[PatientQuestion, float], Awaitable[PatientEvidence]] | None = None
    undecided: Callable[[str, MessageView], None] = lambda _route, _view: None
    note_study: Callable[[MessageView], None] = lambda _view: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route, ready to take connections.

    Attributes:
        parts: What each placer connection is handled with.
        turn: What a message in custody is handled with.
        gate: Whether it may hold now.
        decide_entry: Decide a waiting order again, within the message that it came in.
    """

    parts: RouteParts
    turn: TurnParts
    gate: HoldGate
    decide_entry: Callable[[Entry], OrderDecision | None]


class _KeptFromFiller:
    """Keys of orders that the filler never saw, for the decision: a change of one of them is a new order."""

    def __init__(self, custody: Custody) -> None:
        self._custody = custody

    def __contains__(self, order_key: object) -> bool:
        unseen = WAITING_STATES | UNSEEN_ENDS
        return any(order.state in unseen for order in self._custody.index.of_key(str(order_key)))


class _Decider:
    """Decides messages of one route: clinical content, siblings that wait or have just left, metrics."""

    def __init__(self, wiring: RouteWiring) -> None:
        self._wiring = wiring
        self._content = wiring.content
        self._window_seconds = wiring.config.hold.set_window_seconds
        self._recent = wiring.recent
        self._ours = _KeptFromFiller(wiring.custody)
        self._seconds = wiring.metrics.decision_seconds

    def decide(
        self,
        view: MessageView,
        evidence: PatientEvidence | None,
        as_of: datetime,
        waiting: Sequence[SetMember] = (),
        withdrawn: Container[str] = (),
    ) -> MessageDecision:
        """Decide now; raises EvidenceNeeded when a source has to be asked first."""
        began = time.perf_counter()
        decision = decide_message(
            view,
            content=self._content,
            evidence=evidence,
            as_of=as_of,
            waiting=waiting,
            gone=partial(self._recent.find, at=as_of),
            ours=self._ours,
            withdrawn=withdrawn,
            window_seconds=self._window_seconds,
        )
        self._seconds.observe(time.perf_counter() - began)
        self._note_undecided(view, decision)
        return decision

    def _note_undecided(self, view: MessageView, decision: MessageDecision) -> None:
        """Keep what goes on only because a lookup failed. Not in shadow mode: nothing of ours is on those orders."""
        wiring = self._wiring
        if not any(order.decision.decide_again for order in decision.orders):
            return
        is_annotated = wiring.modes.mode(wiring.name) is not RouteMode.SHADOW and can_annotate(view)
        index = wiring.custody.index
        if is_annotated and not any(index.of_key(order.order_key) for order in decision.orders):
            wiring.undecided(wiring.name, view)

    def remember(self, decision: MessageDecision) -> None:
        """The orders of this message go on now: later siblings count with them."""
        self._recent.add(order.member for order in decision.orders if order.member is not None)


def build_route(wiring: RouteWiring) -> Route:
    """Plug one route together."""
    name = wiring.name
    decider = _Decider(wiring)
    control_ids = _control_ids(wiring.now)
    turn = _turn_parts(wiring, decider, control_ids)

    evidence_at_first = NO_EVIDENCE if wiring.ask is None else None
    record, record_study = _record(wiring, decider), _record_study(wiring)
    studies, metrics = StudyVerdicts(wiring.content), wiring.metrics.routes[name]
    shadow = ShadowParts(
        decide=decider.decide,
        lookup=turn.lookup,
        evidence_at_first=evidence_at_first,
        record=record,
        find_study=studies.find,
        record_study=record_study,
        spawn=wiring.spawn,
        now=wiring.now,
        failed=partial(tell_deciding_failed, name, metrics, wiring.log),
    )
    parts = RouteParts(
        options=_options(wiring),
        filler=wiring.destination,
        custody=wiring.custody,
        decide=decider.decide,
        lookup=turn.lookup,
        evidence_at_first=evidence_at_first,
        mode=turn.mode,
        no_hold=wiring.gate.no_hold,
        take_turn=_take(wiring, turn),
        count=lambda decision: _count(wiring, decision),
        record=record,
        studies=studies,
        record_study=record_study,
        shadow=ShadowDecisions(shadow),
        quarantine=lambda reason, raw: wiring.recorder.quarantine(name, reason, raw),
        spawn=wiring.spawn,
        give_up=wiring.give_up,
        now=wiring.now,
        new_control_id=lambda: next(control_ids),
        count_annotation_refused=wiring.destination.metrics.annotations_refused.inc,
        note_patient=partial(wiring.merges.note_message, source=name),
        metrics=metrics,
        log=wiring.log,
    )

    def decide_entry(entry: Entry) -> OrderDecision | None:
        orders = decider.decide(MessageView(entry.source), NO_EVIDENCE, wiring.now()).orders
        return next((order for order in orders if order.order_key == entry.order_key), None)

    return Route(parts=parts, turn=turn, gate=wiring.gate, decide_entry=decide_entry)


def _take(wiring: RouteWiring, turn: TurnParts) -> Callable[[Inbound], Awaitable[TurnResult]]:
    """Take a message into custody, or say that it may go its way; what it tells of patients and studies is noted."""

    async def take(inbound: Inbound) -> TurnResult:
        # Nobody waits a second time for a database that hangs: the gauges' probe says when it is back.
        if turn.reading_seconds_max is not None and wiring.gate.is_journal_missed:
            raise JournalUnavailable(JournalReason.AWAY)
        try:
            result = await take_turn(inbound, turn)
        except JournalUnavailable as error:
            wiring.gate.journal_refused(error.reason)
            raise
        merged = wiring.merges.note_message(inbound.header, inbound.raw, source=wiring.name)
        if merged is not None:
            await merged()
        if not isinstance(result, Taken):
            return result
        if result.decision is not None:
            _note_seen(wiring, inbound.raw, result.decision)
            _count_charset(wiring, MessageView(inbound.raw))
        is_held = result.decision is not None and result.decision.disposition is Disposition.HOLD
        if is_order_message(inbound.header) and not is_held:
            wiring.note_study(MessageView(inbound.raw))
        return result

    return take


def _turn_parts(wiring: RouteWiring, decider: _Decider, control_ids: Iterator[str]) -> TurnParts:
    table, name = wiring.table, wiring.name
    release = ReleaseParts(
        journal=wiring.custody.journal,
        destination=table.destination,
        note_length=wiring.content.tables.site.note_length_max,
        notice=_notice(wiring, control_ids),
    )
    return TurnParts(
        route=name,
        listener=name,
        is_store=table.custody == "store",
        custody=wiring.custody,
        decide=decider.decide,
        lookup=_lookup(wiring),
        mode=lambda: wiring.modes.mode(name),
        no_hold=wiring.gate.no_hold,
        now=wiring.now,
        set_window_seconds=wiring.config.hold.set_window_seconds,
        deadline=_deadline(wiring),
        acknowledge=_acknowledge(HoldReply(table.hold_reply), control_ids),
        summarize=_summarize,
        release=release,
        placer_release=table.placer_release,
        reading_seconds_max=DATABASE_SECONDS_MAX if wiring.config.database.hosts else None,
    )


def _record(wiring: RouteWiring, decider: _Decider) -> Callable[[MessageView, MessageDecision], None]:
    """Count the decisions on a message that goes its way, remember its orders for siblings, keep what is to be kept."""

    def record(view: MessageView, decision: MessageDecision) -> None:
        wiring.note_study(view)
        _count(wiring, decision)
        _count_charset(wiring, view)
        decider.remember(decision)
        for order in decision.orders:
            wiring.custody.passed.note(order.order_key, order.order_control)
        at, mode = wiring.now(), wiring.modes.mode(wiring.name)
        kept = tuple(
            decision_record(view, order, route=wiring.name, mode=mode, at=at)
            for order in decision.orders
            if is_kept(order)
        )
        if kept:
            wiring.recorder.record(kept)
            _note_seen(wiring, view.raw, decision)

    return record


def _record_study(wiring: RouteWiring) -> Callable[[StudyOrder], None]:
    """What `_record` does with an order that is plainly of another part of the body: nothing of it is kept."""
    count, passes = wiring.metrics.routes[wiring.name].orders.count, Disposition.PASS.word
    note = wiring.custody.passed.note

    def record(study: StudyOrder) -> None:
        count(passes, study.decision.findings[0].reason)
        note(study.order_key, study.order_control)

    return record


def _note_seen(wiring: RouteWiring, raw: bytes, decision: MessageDecision) -> None:
    """Remember a message for a reload's second look. Where it is counted, not where it is decided: our own are not counted."""
    if any(is_kept(order) for order in decision.orders):
        wiring.seen.note(SeenMessage(route=wiring.name, raw=raw, evidence=decision.evidence, as_of=wiring.now()))


def _options(wiring: RouteWiring) -> RouteOptions:
    table = wiring.table
    return RouteOptions(
        name=wiring.name,
        destination=table.destination,
        custody=CustodyKind(table.custody),
        on_filler_down=table.on_filler_down,
        strict_inbound=table.strict_inbound,
        mllp_commit_ack=table.mllp_commit_ack,
        pipelined_max=table.pipelined_max,
        decision_budget_seconds=table.decision_budget_seconds,
        note_length=wiring.content.tables.site.note_length_max,
    )


def _lookup(wiring: RouteWiring) -> Callable[[MessageView], Awaitable[PatientEvidence]]:
    """Ask the sources about a message's patient; where none is configured only the message speaks."""

    async def lookup(view: MessageView) -> PatientEvidence:
        if wiring.ask is None:
            return NO_EVIDENCE
        question = read_question(view, wiring.config.registry.assigning_authority)
        return await wiring.ask(question, wiring.table.lookup_budget_seconds)

    return lookup


def would_be_held(
    content: ClinicalContent, view: MessageView, evidence: PatientEvidence, at: datetime
) -> tuple[Mapping[str, object], ...]:
    """The orders of a message that would have been held at that time, had this been known; for reviewers."""
    decision = decide_message(view, content=content, evidence=evidence, as_of=at)
    return tuple(
        {
            "placer_order_number": order.placer_order_number,
            "reason": order.decision.reasons[0] if order.decision.reasons else "",
            "summary": _summarize(view, order),
            "decision": order_json(order),
        }
        for order in decision.orders
        if order.decision.disposition is Disposition.HOLD
    )


def _control_ids(now: Callable[[], datetime]) -> Iterator[str]:
    """Control ids of our own, never twice: the start in microseconds and a count, 20 characters at most."""
    start = int(now().timestamp() * 1_000_000)
    return (f"I{start + number:X}" for number in count())


def _count_charset(wiring: RouteWiring, view: MessageView) -> None:
    """Its text was read as if it were ISO 8859-1: words of the policy may have gone unseen."""
    if not view.charset.is_known:
        wiring.metrics.routes[wiring.name].unknown_charsets.inc()


def _count(wiring: RouteWiring, decision: MessageDecision) -> None:
    """Count what was decided; tell of orders that a person must look at; let the breaker see it."""
    metrics = wiring.metrics.routes[wiring.name]
    for order in decision.orders:
        verdict = order.decision
        reason = verdict.reasons[0] if verdict.reasons else ""
        metrics.orders.count(verdict.disposition.word, reason)
        procedure = verdict.procedure
        if procedure is None or procedure.procedure_class in NOT_KEPT:
            continue
        if procedure.procedure_class is ProcedureClass.UNMAPPED:
            metrics.unmapped_procedures.inc()
        if verdict.escalate:
            metrics.orders_escalated.inc()
            wiring.log.event(ORDER_ESCALATED, route=wiring.name, reason=reason)
        opening = wiring.gate.count(is_hold=verdict.disposition is Disposition.HOLD)
        if opening is not None:
            metrics.breaker_open.set(1)
            wiring.log.event(BREAKER_OPENED, route=wiring.name, holds=opening.holds, window_seconds=600)
            wiring.change_mode(wiring.name, RouteMode.ANNOTATE, f"breaker: {opening.reason}")


def mode_changer(
    modes: RouteModes, *, spawn: Callable[[Coroutine[Any, Any, None]], None], now: Callable[[], datetime], log: EventLog
) -> Callable[[str, RouteMode, str], None]:
    """Change a route's mode from the data path, which cannot wait for the journal."""

    async def change(route: str, mode: RouteMode, reason: str) -> None:
        with suppress(JournalUnavailable):
            before = await modes.set(route, mode, actor="node", at=now(), reason=reason)
            log.event(ROUTE_MODE_CHANGED, route=route, mode=mode.value, was=before.value, actor="node")

    return lambda route, mode, reason: spawn(change(route, mode, reason))


def _deadline(wiring: RouteWiring) -> Callable[[OrderDecision, datetime], datetime]:
    hold, calendar = wiring.config.hold, wiring.content.tables.site.calendar
    limits = HoldLimits(
        business_hours=hold.deadline_business_hours,
        hours_max=hold.deadline_hours_max,
        planned_start_margin_hours=hold.planned_start_margin_hours,
    )

    def deadline(order: OrderDecision, taken_at: datetime) -> datetime:
        return hold_deadline(
            taken_at,
            limits=limits,
            add_business_hours=calendar.add_business_hours,
            planned_start=order.facts.planned_start,
            row_deadline_seconds=order.decision.hold_deadline_seconds,
        )

    return deadline


def _notice(wiring: RouteWiring, control_ids: Iterator[str]) -> NoticeBuilder:
    """Builds notices to the placer, where a destination for them is configured. An order never waits for one."""
    table = wiring.config.notices
    destination, style = table.destination, NoticeStyle(table.style)
    note_length = wiring.content.tables.site.note_length_max
    count = wiring.metrics.routes[wiring.name].notices.count

    def notice(view: MessageView, told: Notice, reasons: tuple[str, ...]) -> OutgoingMessage | None:
        if destination is None:
            return None
        control_id, at = next(control_ids), wiring.now()
        try:
            content = build_notice(
                view, told, reasons=reasons, control_id=control_id, at=at, style=style, note_length=note_length
            )
        except Exception as error:  # noqa: BLE001 - promise 3: the order goes on, whatever is wrong with its notice
            count(NoticeResult.FAILED)
            wiring.log.event(NOTICE_FAILED, route=wiring.name, **describe_error(error))
            return None
        count(NoticeResult.BUILT)
        return OutgoingMessage(
            destination=destination, content=content, control_id=control_id.encode("ascii"), kind="notice"
        )

    return notice


def _acknowledge(
    reply: HoldReply, control_ids: Iterator[str]
) -> Callable[[MessageView | Header, Mapping[int, Notice], datetime], bytes | None]:
    def acknowledge(message: MessageView | Header, told: Mapping[int, Notice], at: datetime) -> bytes | None:
        return build_answers(message, reply=reply, told=told, new_control_id=lambda: next(control_ids), at=at)

    return acknowledge


def _summarize(view: MessageView, order: OrderDecision) -> Mapping[str, object]:
    policy = order.decision.policy
    return order_summary(view, order.group) | {
        "why": [f"{finding.reason}: {finding.sentence}" for finding in order.decision.findings],
        "policy": f"{policy.policy_id} {policy.version}",
    }


def end_of_wait(routes: Mapping[str, Route]) -> Callable[[Entry, datetime], Awaitable[EntryChange]]:
    """What the end of its wait does to an order of any route: parked becomes held, held leaves unreviewed."""

    async def build(entry: Entry, at: datetime) -> EntryChange:
        route = routes[entry.route]
        if entry.state is OrderState.PARKED and route.parts.mode() is RouteMode.ENFORCE and not route.gate.no_hold():
            return end_of_window(entry, route.turn.release.notice, deadline=_held_until(route, entry))
        is_parked = entry.state is OrderState.PARKED
        event = LifecycleEvent.HOLD_UNAVAILABLE if is_parked else LifecycleEvent.DEADLINE_PASSED
        return await release_change(entry, event, route.turn.release, actor="timer", comment="", at=at)

    return build


def _held_until(route: Route, entry: Entry) -> datetime:
    order = route.decide_entry(entry)
    if order is None:
        return entry.taken_at
    return route.turn.deadline(order, entry.taken_at)
