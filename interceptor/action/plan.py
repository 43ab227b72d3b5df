"""From the decisions on a message's orders to the bytes that leave and the orders that stay.

    shadow     the bytes always pass; the decisions are only recorded
    annotate   a hold becomes an annotation
    enforce    a hold is a hold, unless holding is not allowed now or the message cannot be split cleanly

A plan is a value. It never says that an order is dropped: every order group of the message is in `forward`
or in exactly one of `held`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from interceptor.action.annotate import Annotation, Rating, annotate, can_annotate
from interceptor.decision.decision import Decision, Disposition
from interceptor.decision.message_decision import OrderDecision
from interceptor.message.group import OrderGroup, order_groups, second_patient_offset
from interceptor.message.split import CONTROL_ID_SIZE_MAX, derive_control_id, split
from interceptor.message.view import MessageView


class RouteMode(StrEnum):
    """How far a route may go (DESIGN 10)."""

    SHADOW = "shadow"
    ANNOTATE = "annotate"
    ENFORCE = "enforce"


class NoHoldReason(StrEnum):
    """Why a would-be hold goes on annotated instead."""

    MODE = "mode"
    REVIEW_AWAY = "review_away"
    BREAKER_OPEN = "breaker_open"
    JOURNAL_UNAVAILABLE = "journal_unavailable"
    CANNOT_SPLIT = "cannot_split"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldPart:
    """One order that stays with us, as a message of its own.

    Attributes:
        order: The order and its decision.
        content: The bytes that leave when it is released as ordered, unannotated.
        control_id: MSH-10 of `content`.
    """

    order: OrderDecision
    content: bytes
    control_id: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePlan:
    """What becomes of one message.

    Attributes:
        forward: Bytes for the filler now; None when nothing goes.
        original: The same without annotations when `forward` was annotated, for a filler that refuses them.
        forward_control_id: MSH-10 of `forward`.
        held: Orders that stay.
        disposition: The strongest of what is done (not of what was decided).
        not_held: Why would-be holds go on, None when there were none.
    """

    forward: bytes | None
    original: bytes | None
    forward_control_id: bytes
    held: tuple[HeldPart, ...]
    disposition: Disposition
    not_held: NoHoldReason | None = None


def plan_message(
    view: MessageView,
    orders: Sequence[OrderDecision],
    *,
    mode: RouteMode,
    no_hold: NoHoldReason | None,
    note_length: int,
    first_part: int = 0,
) -> MessagePlan:
    """Plan what leaves and what stays.

    Args:
        view: The received message.
        orders: The decisions on its orders, in the message's order. Orders of the message that are not among
            them are somebody else's business (they are ours already) and appear nowhere in the plan.
        mode: The route's mode.
        no_hold: Why nothing may be held now; None when holding is allowed.
        note_length: Longest NTE-3 line in characters.
        first_part: Parts of the message that were split off before; later parts get other control ids.

    Raises:
        SpliceError, SplitError: A part could not be proven to be made of the received bytes; send the original.
    """
    group_count = len(order_groups(view))
    if not group_count:
        return passing(view)
    would_hold = tuple(order for order in orders if order.decision.disposition is Disposition.HOLD)
    is_enforcing = mode is RouteMode.ENFORCE
    refusal = (no_hold or _split_refusal(view, orders, would_hold)) if is_enforcing else NoHoldReason.MODE
    is_holding = bool(would_hold) and refusal is None
    going = [order for order in orders if not (is_holding and order in would_hold)]
    view_going = view
    if going and (len(going) < group_count or first_part):
        view_going, going = _split_off(view, going, part_number=first_part)
    forward = _forward(view_going, going, mode=mode, note_length=note_length) if going else _NOTHING
    first_held = first_part + (1 if going else 0)
    held = [order for order in orders if is_holding and order in would_hold]
    return MessagePlan(
        forward=forward.content,
        original=forward.original,
        forward_control_id=forward.control_id,
        held=tuple(_held_part(view, order, part_number=number) for number, order in enumerate(held, start=first_held)),
        disposition=Disposition.HOLD if held else forward.disposition,
        not_held=refusal if would_hold else None,
    )


def passing(view: MessageView) -> MessagePlan:
    """The plan that changes nothing."""
    return MessagePlan(
        forward=view.raw, original=None, forward_control_id=view.control_id, held=(), disposition=Disposition.PASS
    )


def _split_refusal(
    view: MessageView, orders: Sequence[OrderDecision], would_hold: Sequence[OrderDecision]
) -> NoHoldReason | None:
    """A message that cannot be taken apart or answered unambiguously is never held (fault row 36)."""
    if not would_hold:
        return None
    counts = Counter(order.order_key for order in orders)
    unclean = (
        view.is_batch
        or view.second_header_offset is not None
        or second_patient_offset(view) is not None
        or not view.control_id
        or not can_annotate(view)
        or any(order.group.obr is None or order.group.orc.is_absent or not order.order_key for order in would_hold)
        # Two orders under one number: a later cancel would reach only one of them.
        or any(counts[order.order_key] > 1 for order in would_hold)
    )
    return NoHoldReason.CANNOT_SPLIT if unclean else None


@dataclass(frozen=True, slots=True)
class _Forward:
    """The part that goes now."""

    content: bytes | None
    original: bytes | None
    control_id: bytes
    disposition: Disposition = Disposition.PASS


_NOTHING = _Forward(None, None, b"")


def _forward(view: MessageView, orders: Sequence[OrderDecision], *, mode: RouteMode, note_length: int) -> _Forward:
    """Send *orders*, which are all that *view* has, on with notes where they are due."""
    noted = () if mode is RouteMode.SHADOW or not can_annotate(view) else tuple(filter(_has_note, orders))
    annotations = [order_annotation(order.group, order.decision) for order in noted if order.group.obr is not None]
    if not annotations:
        return _Forward(view.raw, None, view.control_id)
    groups = [order.group for order in orders]
    content = annotate(view, groups, annotations, note_length=note_length)
    return _Forward(content, view.raw, view.control_id, Disposition.ANNOTATE)


def _split_off(
    view: MessageView, orders: Sequence[OrderDecision], *, part_number: int
) -> tuple[MessageView, list[OrderDecision]]:
    """The message with exactly *orders*, and they with their groups in it."""
    content, _ = split_part(view, [order.group.number for order in orders], part_number=part_number)
    part = MessageView(content)
    groups = order_groups(part)
    assert len(groups) == len(orders), "a split lost or gained an order"
    return part, [order.with_group(group) for order, group in zip(orders, groups, strict=True)]


def split_part(view: MessageView, numbers: Sequence[int], *, part_number: int) -> tuple[bytes, bytes]:
    """One part of a message and its control id: part 0 keeps the received one, others get one derived from it."""
    if part_number == 0:
        return split(view, numbers), view.control_id
    maximum = max(CONTROL_ID_SIZE_MAX, len(view.control_id))
    control_id = derive_control_id(view.control_id, part_number, maximum)
    return split(view, numbers, control_id=control_id), control_id


def _held_part(view: MessageView, order: OrderDecision, *, part_number: int) -> HeldPart:
    content, control_id = split_part(view, [order.group.number], part_number=part_number)
    return HeldPart(order=order, content=content, control_id=control_id)


def _has_note(order: OrderDecision) -> bool:
    return order.decision.disposition is not Disposition.PASS


def order_annotation(group: OrderGroup, decision: Decision) -> Annotation:
    """What an order that goes on with a note is given: one line per finding, then the policy that says so."""
    policy = decision.policy
    lines = (*(f"{finding.reason}: {finding.sentence}" for finding in decision.findings), policy_line(decision))
    first = decision.findings[0].reason if decision.findings else policy.policy_id
    return Annotation(
        group_number=group.number,
        lines=lines,
        rating=rating_of(decision),
        summary=f"{first} (policy {policy.policy_id} {policy.version})",
    )


def policy_line(decision: Decision) -> str:
    """The line that names the policy behind a note."""
    return f"Automated check of this order. Policy {decision.policy.policy_id} {decision.policy.version}."


def rating_of(decision: Decision) -> Rating:
    """NOT_IN_KEEPING where a finding names what differs (H- codes and the A- codes of the study), else UNDETERMINED."""
    differs = {"A-REGIONAL", "A-WOONLY", "A-WONLY", "A-MODALITY", "A-TL-ONLY", "A-RADIOGRAPH-FIRST", "A-DOWNGRADE"}
    named = any(reason.startswith("H-") or reason in differs for reason in decision.reasons)
    return Rating.NOT_IN_KEEPING if named else Rating.UNDETERMINED
