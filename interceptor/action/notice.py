"""Notices: what the placer is told about an order that we have, as a message that we author.

    lifecycle row + order + reasons  ->  ORM^O01, OMG^O19 or OMI^O23, whichever the order came as

A notice is filler-to-placer traffic: order control (ORC-1) says what happened, order status (ORC-5) where the
order stands, ORC-16 and the notes say why. It never says what the patient has or has not beyond the policy's own
sentence. Where a placer takes no OH and OE (IHE RAD knows no "hold"), `NoticeStyle.STATUS` says the same as SC,
status changed.

Notices are an addition: they are queued beside the order and never decide whether it moves.

Source: HL7 v2.5.1 chapter 4.5.1.1 (table 0119), 4.5.1.5 (table 0038), 4.5.1.16; IHE RAD-3 for the direction.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from interceptor.action.annotate import NOTE_LENGTH_DEFAULT, wrap_lines
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
from interceptor.action.lifecycle import HELD_BY_FILLER, RELEASED_BY_FILLER, Notice
from interceptor.message.build import ascii_text, build_segment
from interceptor.message.group import order_groups
from interceptor.message.view import MessageView

CODING_SYSTEM = "99INT"
"""Coding system of ORC-16: our own codes, local by HL7's rule for names that begin with 99."""
REASON_LENGTH_MAX = 160
"""Characters of ORC-16.2; a CE text may have 199 once it is escaped. The notes have the whole of it."""
STATUS_CHANGED = "SC"

REPLACEMENT = "S-REPLACEMENT"
"""Reason of `REPLACEMENT_TAKEN` and `REPLACEMENT_HELD`; no lifecycle row has it, for the order is new."""
REPLACEMENT_TAKEN = Notice("RO", "IP")
REPLACEMENT_HELD = Notice("RO", "HD")

SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        "S-HELD": "Held for review before it goes to radiology.",
        "S-CHANGED": "The change was taken; the order still waits for review.",
        "S-CHANGED-RELEASED": "The order as changed needs no review and goes to radiology.",
        "S-CANCELLED": "Cancelled as requested; radiology never received the order.",
        "S-REPLACED": "Replaced as requested; radiology never received the replaced order.",
        REPLACEMENT: "Taken as the replacement order.",
        "S-HOLD-NOTED": "The request to hold was noted; the order waits.",
        "S-RELEASE-NOTED": "The request to release was noted; the order still waits for review.",
        "S-RELEASE-GRANTED": "Released as requested.",
        "S-SET-COMPLETE": "Released: with its sibling orders it needs no review.",
        "S-RELEASED": "Released as ordered after review.",
        "S-PROCEDURE-CHANGED": "Released after review with another procedure.",
        "S-RETURNED": "Returned to the orderer after review; radiology will not receive the order.",
        "S-OVERRIDE": "Released: the orderer answered the order question.",
        "S-DEADLINE": "Released unreviewed: nobody decided before the deadline. A supervisor should look at it.",
        "S-HOLD-UNAVAILABLE": "Released unreviewed: no review was available.",
    }
)
"""What each reason code of the lifecycle says to the people at the placer's side."""

# S: lifecycle; P, A, H: policy. A reviewer's "X-ray is enough" is no code.
_CODED = re.compile(r"([SPAH]-[A-Z0-9-]+)(?:: (.+))?", re.DOTALL)
_BY_STATUS = frozenset({HELD_BY_FILLER.order_control, RELEASED_BY_FILLER.order_control})


class NoticeStyle(StrEnum):
    """How a hold and its release are said."""

    NATIVE = "native"
    """OH and OE, as the base standard has them."""
    STATUS = "status"
    """SC with the same ORC-5, for placers that take nothing else of their own accord."""


@dataclass(frozen=True, slots=True)
class NoticeReason:
    """One reason: a code of the lifecycle or the policy with its sentence, or a person's words with the code ""."""

    code: str
    text: str


def read_reasons(reasons: Sequence[str]) -> tuple[NoticeReason, ...]:
    """Read reasons as the journal has them: "CODE", "CODE: sentence", or a person's words. Empty ones are dropped."""
    return tuple(_read_reason(reason.strip()) for reason in reasons if reason.strip())


def _read_reason(text: str) -> NoticeReason:
    match = _CODED.fullmatch(text)
    if match is None:
        return NoticeReason("", text)
    code = match[1]
    return NoticeReason(code, match[2] or SENTENCES.get(code, ""))


def deciding_reason(reasons: Sequence[NoticeReason]) -> NoticeReason:
    """The one reason that ORC-16 has room for: why it was held, else what happened, with a person's words behind it."""
    coded = [reason for reason in reasons if reason.code]
    first = coded[0] if coded else NoticeReason("", "")
    held_because = next((reason for reason in coded if not reason.code.startswith("S-")), first)
    words = next((reason.text for reason in reasons if not reason.code), "")
    text = ": ".join(filter(None, (held_because.text.rstrip(".") if words else held_because.text, words)))
    return NoticeReason(held_because.code, text)


def build_notice(
    view: MessageView,
    notice: Notice,
    *,
    reasons: Sequence[str],
    control_id: str,
    at: datetime,
    style: NoticeStyle = NoticeStyle.NATIVE,
    note_length: int = NOTE_LENGTH_DEFAULT,
) -> bytes:
    """Build the notice about the first order of a message, for the message's sender.

    Args:
        view: The order as its placer sent it.
        notice: Order control and status, from the lifecycle table.
        reasons: Why, the step's own code first; each as `read_reasons` takes it.
        control_id: MSH-10 of the notice.
        at: When it happened, aware.
        style: How OH and OE are said.
        note_length: Longest note line in characters.

    Raises:
        AuthoringError: The message has no order, or its delimiters cannot carry what we write.
    """
    groups = order_groups(view)
    if not groups:
        raise AuthoringError(AuthoringReason.NO_ORDER)
    group = groups[0]
    control = notice.order_control
    if style is NoticeStyle.STATUS and control in _BY_STATUS:
        control = STATUS_CHANGED
    read = read_reasons(reasons)
    deciding = deciding_reason(read)
    text = ascii_text(deciding.text, size_max=REASON_LENGTH_MAX)
    detail = detail_segment(view, group)
    segments = [
        header_segment(view, message_type=view.header.raw_field(9), control_id=control_id, at=at),
        *patient_segments(view, ("PID", "PV1")),
        order_control_segment(
            view,
            group,
            order_control=control,
            order_status=notice.order_status,
            at=at,
            reason=(deciding.code, text, CODING_SYSTEM if deciding.code else "") if read else None,
        ),
        *detail,
        *(_notes(view, read, note_length) if detail else ()),
        *imaging_segments(group),
    ]
    return join_segments(view, segments)


def _notes(view: MessageView, reasons: Sequence[NoticeReason], length: int) -> list[bytes]:
    """Every reason as note lines. They follow the OBR, where all three structures take them."""
    said = [": ".join(filter(None, (reason.code or "Reason given", reason.text))) for reason in reasons]
    lines = wrap_lines(said, length=length)
    return [build_segment(view.encoding, "NTE", (str(number), "O", line)) for number, line in enumerate(lines, start=1)]
