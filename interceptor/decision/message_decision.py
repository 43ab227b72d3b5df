"""The decisions on all orders of one message, each judged with its siblings.

Orders of one set are united before the policy sees them: those of the message, and those that the caller
says still wait or have just left. Facts stay lazy: an order alone in its message, with nobody waiting, is
decided without asking for its set.
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from interceptor.context.extract import OrderFacts
from interceptor.context.order_control import kind_of_word
from interceptor.context.order_set import (
    SET_CLASSES,
    SetMember,
    SetPart,
    SetVerdict,
    counting_members,
    judge_set,
    patient_key,
    set_key,
)
from interceptor.context.patient import PatientEvidence
from interceptor.context.vocabulary import ControlKind, ProcedureClass
from interceptor.decision.clinical_content import ClinicalContent
from interceptor.decision.decision import Decision, Disposition
from interceptor.decision.evaluate import evaluate
from interceptor.decision.fact import OrderCase
from interceptor.message.group import OrderGroup, order_groups
from interceptor.message.view import MessageView, Segment

SET_WINDOW_SECONDS = 15.0
"""How long an order waits for its siblings, where the site says nothing else (DESIGN 7)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderDecision:
    """One order of a message and the decision on it.

    Attributes:
        group: The order's segments.
        order_control: ORC-1 as received.
        placer_order_number: ORC-2, falling back to OBR-2; first component.
        order_key: Placer order number with its namespace; where there is none, with MSH-3 and MSH-4.
        set_key: Key of its order set; "" when the order can have no siblings. Patient data: never log it.
        decision: The verdict.
        member: The order as later siblings will see it, in custody when it is to be held; None when it can have none.
        set_part: The part it plays in its set.
        completes_set: True when it and earlier siblings that the caller named now make a compliant set.
        facts: The order's lazy facts, for explanations.
    """

    group: OrderGroup
    order_control: str
    placer_order_number: str
    order_key: str
    set_key: str
    decision: Decision
    member: SetMember | None
    set_part: SetPart
    completes_set: bool
    facts: OrderFacts

    def with_group(self, group: OrderGroup) -> "OrderDecision":
        """The same decision about the same order in another message, e.g. one that was split off."""
        return replace(self, group=group)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDecision:
    """The decisions on the orders of one message, in its order; none for a message without orders."""

    orders: tuple[OrderDecision, ...]
    evidence: PatientEvidence | None = None
    """What the sources had said when it was made; None when they were not asked."""

    @property
    def disposition(self) -> Disposition:
        """The strongest of its orders'; PASS without orders."""
        return max((order.decision.disposition for order in self.orders), default=Disposition.PASS)


_NO_ORDERS = MessageDecision(orders=())


@dataclass(slots=True, kw_only=True)
class _Known:
    """What the caller knows of orders that arrived before; see `decide_message`."""

    waiting: Sequence[SetMember]
    gone: Callable[[str], Sequence[SetMember]]
    ours: Container[str]
    reviewed: Container[str]
    withdrawn: Container[str]
    arrived_at: datetime
    window_seconds: float


def order_key(view: MessageView, group: OrderGroup) -> str:
    """Key of an order for sequencing: its placer order number and namespace.

    Without a namespace the sending application and facility (MSH-3, MSH-4) take its place. "" when the order
    has no number: such an order can be neither followed nor cancelled.
    """
    return _key(view, *_placer_number(group))


def _placer_number(group: OrderGroup) -> tuple[Segment, str]:
    """ORC-2, falling back to OBR-2: the segment that states it and its entity identifier."""
    number = group.orc.text(2)
    if number or group.obr is None:
        return group.orc, number
    return group.obr, group.obr.text(2)


def _key(view: MessageView, segment: Segment, number: str) -> str:
    if not number:
        return ""
    namespace = segment.text(2, 2) or segment.text(2, 3)
    return f"{number}^{namespace or '/'.join((view.text('MSH-3'), view.text('MSH-4')))}"


def member_key(view: MessageView, group: OrderGroup) -> str:
    """Key of an order among its siblings: `order_key`, or its place in its message when it has no number."""
    return order_key(view, group) or _place_key(view, group)


def _place_key(view: MessageView, group: OrderGroup) -> str:
    return f"{view.control_id.decode('latin-1')}#{group.number}"


def decide_message(
    view: MessageView,
    *,
    content: ClinicalContent,
    evidence: PatientEvidence | None,
    as_of: datetime,
    arrived_at: datetime | None = None,
    waiting: Sequence[SetMember] = (),
    gone: Callable[[str], Sequence[SetMember]] = lambda _set_key: (),
    ours: Container[str] = (),
    reviewed: Container[str] = (),
    withdrawn: Container[str] = (),
    window_seconds: float = SET_WINDOW_SECONDS,
) -> MessageDecision:
    """Decide every order of a message.

    Args:
        view: The message; one without orders gives no decisions.
        content: Tables, site profile and policy.
        evidence: What the evidence sources answered; None when they were not asked yet.
        as_of: The time of the decision, to which ages, dates and starts are compared.
        arrived_at: When the message arrived; None when that is `as_of`.
        waiting: Earlier orders that wait or are held; of any set.
        gone: The orders of a set that left a moment ago; asked only about the sets of this message's orders.
        ours: Keys of orders that the filler never saw: a change to one of them is decided as a new order.
        reviewed: Keys of orders that a reviewer has released.
        withdrawn: Keys of orders of this message that count no more for their set (cancelled or changed since).
        window_seconds: How long an order that has left still counts for its set.

    Raises:
        EvidenceNeeded: The sources have to be asked; call again with their answer.
    """
    groups = order_groups(view)
    if not groups:
        return _NO_ORDERS
    known = _Known(
        waiting=waiting,
        gone=gone,
        ours=ours,
        reviewed=reviewed,
        withdrawn=withdrawn,
        arrived_at=arrived_at or as_of,
        window_seconds=window_seconds,
    )
    facts = _read_groups(view, groups, content=content, evidence=evidence, as_of=as_of)
    orders = [_read_order(view, group, one) for group, one in zip(groups, facts, strict=True)]
    replaced = [order.key for order in orders if order.control_word == "RP"]
    for order in orders:
        order.control = _control(order, replaced, known)
        order.member = _find_member(view, order, known)
    completing = _judge(orders, known)
    return MessageDecision(
        orders=tuple(
            [
                _decide(view, order, content=content, known=known, completes_set=order.group.number in completing)
                for order in orders
            ]
        ),
        evidence=evidence,
    )


@dataclass(slots=True, kw_only=True)
class _Order:
    """One order on its way to its decision."""

    group: OrderGroup
    facts: OrderFacts
    order_control: str
    number: str
    key: str
    control: ControlKind = ControlKind.NEW
    member: SetMember | None = None
    verdict: SetVerdict | None = None

    @property
    def control_word(self) -> str:
        """ORC-1 as table 0119 spells it."""
        return self.order_control.strip().upper()


def _read_order(view: MessageView, group: OrderGroup, facts: OrderFacts) -> _Order:
    segment, number = _placer_number(group)
    return _Order(
        group=group,
        facts=facts,
        order_control=group.orc.text(1),
        number=number,
        key=_key(view, segment, number),
    )


def _decide(
    view: MessageView, order: _Order, *, content: ClinicalContent, known: _Known, completes_set: bool
) -> OrderDecision:
    verdict, member = order.verdict, order.member
    case = OrderCase(
        order.facts,
        control=order.control,
        procedure_class=verdict.procedure_class if verdict else None,
        set_part=verdict.part if verdict else SetPart.ALONE,
        reviewed=order.key in known.reviewed,
    )
    decision = evaluate(content.policy, case)
    if member is not None and decision.disposition is not Disposition.HOLD:
        member = replace(member, in_custody=False)
    elif member is None and decision.disposition is Disposition.HOLD:
        member = _member(view, order, known)
    return OrderDecision(
        group=order.group,
        order_control=order.order_control,
        placer_order_number=order.number,
        order_key=order.key,
        set_key=member.set_key if member else "",
        decision=decision,
        member=member,
        set_part=case.set_part,
        completes_set=completes_set,
        facts=order.facts,
    )


def _read_groups(
    view: MessageView,
    groups: Sequence[OrderGroup],
    *,
    content: ClinicalContent,
    evidence: PatientEvidence | None,
    as_of: datetime,
) -> list[OrderFacts]:
    """Lazy facts of each order; orders of one set share their reason for exam, orders of one patient their diagnoses."""

    def read(group: OrderGroup, siblings: Sequence[OrderGroup], of_patient: Sequence[OrderGroup]) -> OrderFacts:
        return OrderFacts(
            view,
            group,
            tables=content.tables,
            evidence=evidence,
            as_of=as_of,
            siblings=siblings,
            message_groups=of_patient,
        )

    alone = [read(group, (), groups) for group in groups]
    if len(groups) == 1:
        return alone
    keys = [
        set_key(view, group)
        if one.control is not ControlKind.OTHER and one.procedure.procedure_class in _SHARING_CLASSES
        else ""
        for group, one in zip(groups, alone, strict=True)
    ]
    patients = [patient_key(view, group) for group in groups]
    found = []
    for index, group in enumerate(groups):
        siblings = [other for at, other in enumerate(groups) if at != index and keys[index] and keys[at] == keys[index]]
        of_patient = [other for at, other in enumerate(groups) if patients[at] == patients[index]]
        found.append(read(group, siblings, of_patient))
    return found


_SHARING_CLASSES = SET_CLASSES | {ProcedureClass.UNMAPPED}
"""Orders that share their reason with siblings: any study of the spine or in its place."""


def _control(order: _Order, replaced: Sequence[str], known: _Known) -> ControlKind:
    """What the order asks for, seen from the filler: what it never saw is new to it.

    A replacement (RO) of an order that the filler has is a change: holding it, while its RP goes on, would leave
    the patient without an order.
    """
    if order.control_word == "RO":
        known_to_filler = any(other not in known.ours for other in replaced)
        return ControlKind.CHANGE if known_to_filler else ControlKind.NEW
    control = ControlKind.NEW if order.group.orc.is_absent else kind_of_word(order.control_word)
    if control is ControlKind.CHANGE and order.key in known.ours:
        return ControlKind.NEW
    return control


def _find_member(view: MessageView, order: _Order, known: _Known) -> SetMember | None:
    """The order as a member of its set; None when it can have no siblings."""
    if order.control is ControlKind.OTHER or order.facts.procedure.procedure_class not in SET_CLASSES:
        return None
    member = _member(view, order, known)
    return None if member.order_key in known.withdrawn else member


def _member(view: MessageView, order: _Order, known: _Known) -> SetMember:
    return SetMember(
        order_key=order.key or _place_key(view, order.group),
        set_key=set_key(view, order.group),
        procedure=order.facts.procedure,
        arrived_at=known.arrived_at,
        in_custody=True,
    )


def _judge(orders: Sequence[_Order], known: _Known) -> frozenset[int]:
    """Give each member of a set its verdict; returns the numbers of those that complete one with earlier siblings."""
    completing = set()
    for key in dict.fromkeys(order.member.set_key for order in orders if order.member is not None):
        own = [(order, order.member) for order in orders if order.member is not None and order.member.set_key == key]
        own_keys = {member.order_key for _, member in own}
        of_set = [*known.gone(key), *(one for one in known.waiting if one.set_key == key)]
        if not of_set and len(orders) == 1:
            continue
        counting = counting_members(of_set, at=known.arrived_at, window_seconds=known.window_seconds)
        earlier = [one for one in counting if one.order_key not in own_keys]
        judged = judge_set((*earlier, *(member for _, member in own)))
        for (order, _), verdict in zip(own, judged[len(earlier) :], strict=True):
            order.verdict = verdict
            if earlier and verdict.procedure_class is ProcedureClass.COMPLETE_WO_W:
                completing.add(order.group.number)
    return frozenset(completing)
