"""What the filler said to an order that left: the line that a reviewer looks for after a release. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from interceptor.journal.review_record import SentRecord
from interceptor.message.acknowledgment import read_acknowledgment
from interceptor.review.shown_text import short


@dataclass(frozen=True, slots=True, kw_only=True)
class FillerAnswer:
    """One answer of a filler.

    Attributes:
        code: MSA-1, e.g. "AA"; "?" where the answer cannot be read.
        text: MSA-3 or the message of the first ERR; "" for none.
    """

    destination: str
    code: str
    is_accept: bool
    text: str
    at: datetime


def filler_answers(sent: Iterable[SentRecord]) -> tuple[FillerAnswer, ...]:
    """The last answer to each message that left because of an order; notices to the placer are not among them."""
    return tuple(answer for one in sent if one.kind != "notice" and (answer := last_answer(one)) is not None)


def last_answer(sent: SentRecord) -> FillerAnswer | None:
    """What the receiver of one message said last; None when it has said nothing."""
    if not sent.acknowledgment:
        return None
    found = read_acknowledgment(sent.acknowledgment)
    return FillerAnswer(
        destination=sent.destination,
        code=found.code.value if found is not None else "?",
        is_accept=found is not None and found.code.is_accept,
        text=short(found.text, 120) if found is not None else "",
        at=sent.changed_at,
    )
