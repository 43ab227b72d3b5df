"""Our own answers to a message that is durable in our custody.

    original mode            one answer: AA
    enhanced, MSH-15 asks    CA, always a plain ACK
    enhanced, MSH-16 asks    AA, behind the CA when both are asked for

With `HoldReply.ORDER_RESPONSE` the AA of an order message is the order response that some placers wait for:
ORR^O02 to ORM, ORG^O20 to OMG, ORI^O24 to OMI. It answers each order: ORC-1 is OK, or the word for a request
that was carried out (CR, HR, OR, RQ); ORC-5 is HD for what we hold. It never says "unable to" (UA, UC ...): a
held order was accepted.

Two answers to one message are stored as one value, one behind the other: `separate_answers` takes them apart
again, so that a resend gets the very same bytes.

Source: HL7 v2.5.1 chapter 2.9.2, 2.9.3 (modes), 4.4.2 ORR, 4.4.5 ORG, 4.4.7 ORI; tables 0119 and 0038.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum

from interceptor.action.acknowledge import accept_codes
from interceptor.action.authored_segment import (
    AuthoringError,
    AuthoringReason,
    detail_segment,
    header_segment,
    imaging_segments,
    join_segments,
    order_control_segment,
    patient_segments,
)
from interceptor.action.lifecycle import (
    CANCELLED_AS_REQUESTED,
    HELD_AS_REQUESTED,
    RELEASED_AS_REQUESTED,
    REPLACED_AS_REQUESTED,
    Notice,
)
from interceptor.message.acknowledgment import AckCode, build_acknowledgment
from interceptor.message.group import OrderGroup, order_groups
from interceptor.message.header import Header
from interceptor.message.view import MessageView

ACCEPTED = Notice("OK", "")
_CARRIED_OUT = frozenset({CANCELLED_AS_REQUESTED, HELD_AS_REQUESTED, RELEASED_AS_REQUESTED, REPLACED_AS_REQUESTED})
_RESPONSES = {"ORM": (b"ORR", b"O02"), "OMG": (b"ORG", b"O20"), "OMI": (b"ORI", b"O24")}
_STRUCTURE_SINCE = "2.4"
_NEXT_ANSWER = b"\rMSH"


class HoldReply(StrEnum):
    """How an order message in our custody is answered."""

    ACKNOWLEDGMENT = "ack"
    ORDER_RESPONSE = "orr"


def build_answers(
    message: MessageView | Header,
    *,
    reply: HoldReply,
    told: Mapping[int, Notice],
    new_control_id: Callable[[], str],
    at: datetime,
) -> bytes | None:
    """Build all our answers to a message that is durable now, as one value; None when it asks for none.

    Args:
        message: What is answered; a header is enough for what is no order message.
        reply: The form of the application acknowledgment.
        told: By order number in the message (from 1), what became of the order where that is more than "accepted".
        new_control_id: Gives MSH-10 of each answer.
        at: Time of the answers, aware.
    """
    header = message.header if isinstance(message, MessageView) else message
    answers = []
    for code in accept_codes(header):
        if not code.is_commit and reply is HoldReply.ORDER_RESPONSE and isinstance(message, MessageView):
            answers.append(_order_response_or_plain(message, code, told, new_control_id(), at))
        else:
            answers.append(build_acknowledgment(header, code, control_id=new_control_id(), at=at))
    return b"".join(answers) or None


def separate_answers(stored: bytes) -> tuple[bytes, ...]:
    """Take apart what `build_answers` gave. Each answer begins with its MSH, and none has a second one."""
    answers = []
    start = 0
    while (end := stored.find(_NEXT_ANSWER, start)) >= 0:
        answers.append(stored[start : end + 1])
        start = end + 1
    return (*answers, stored[start:])


def build_order_response(
    view: MessageView, code: AckCode, *, told: Mapping[int, Notice], control_id: str, at: datetime
) -> bytes:
    """Build the order response to a message with orders; MSA-2 is its MSH-10 byte for byte.

    Args:
        view: The order message.
        code: MSA-1.
        told: As in `build_answers`.
        control_id: MSH-10 of the response.
        at: Time of the response, aware.

    Raises:
        AuthoringError: The message has no order, or its delimiters cannot carry what we write.
    """
    groups = order_groups(view)
    if not groups:
        raise AuthoringError(AuthoringReason.NO_ORDER)
    separator = bytes((view.encoding.field,))
    segments = [
        header_segment(view, message_type=_response_type(view), control_id=control_id, at=at),
        separator.join([b"MSA", code.value.encode("ascii"), view.control_id]),
        *patient_segments(view, ("PID",)),
    ]
    for group in groups:
        segments.extend(_order_segments(view, group, told.get(group.number, ACCEPTED), at))
    return join_segments(view, segments)


def _order_segments(view: MessageView, group: OrderGroup, said: Notice, at: datetime) -> list[bytes]:
    control = said.order_control if said in _CARRIED_OUT else ACCEPTED.order_control
    order = order_control_segment(view, group, order_control=control, order_status=said.order_status, at=at)
    return [order, *detail_segment(view, group, set_id=group.number), *imaging_segments(group)]


def _order_response_or_plain(
    view: MessageView, code: AckCode, told: Mapping[int, Notice], control_id: str, at: datetime
) -> bytes:
    """The order response; a plain ACK where none can be made: the placer must hear that the message is ours."""
    try:
        return build_order_response(view, code, told=told, control_id=control_id, at=at)
    except AuthoringError:
        return build_acknowledgment(view, code, control_id=control_id, at=at)


def _response_type(view: MessageView) -> bytes:
    """MSH-9 of the response: with the trigger when the message has one, with the structure from 2.4 on."""
    asked = view.message_type
    code, trigger = _RESPONSES[asked.code]
    if not asked.trigger:
        return code
    # Versions compare as text: each of their numbers has one digit.
    has_structure = bool(asked.structure) or view.version >= _STRUCTURE_SINCE
    structure = [code + b"_" + trigger] if has_structure else []
    return bytes((view.encoding.component,)).join([code, trigger, *structure])
