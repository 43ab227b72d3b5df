"""One message for a peer and what comes back for it, as values.

Who asks (the pipeline, a courier) and who carries (delivery) meet in these words.

Source: HL7 v2.5.1 chapter 2.9; original mode has one answer, enhanced mode up to two.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from interceptor.message.acknowledgment import Acknowledgment


class AnswerStatus(StrEnum):
    """How the exchange of one message ended."""

    ANSWERED = "answered"
    NOT_EXPECTED = "not_expected"
    TIMED_OUT = "timed_out"
    MISMATCHED = "mismatched"
    UNREADABLE = "unreadable"
    LOST = "lost"
    UNREACHABLE = "unreachable"


class Answer(NamedTuple):
    """What came back for one message.

    Attributes:
        status: How it ended.
        raw: The filler's acknowledgment exactly as received; None unless ANSWERED.
        acknowledgment: The same, read.
        sent: Whether bytes of the message may have reached the filler.
        final: False for an accept acknowledgment that an application acknowledgment will follow.
    """

    status: AnswerStatus
    raw: bytes | None = None
    acknowledgment: Acknowledgment | None = None
    sent: bool = True
    final: bool = True


@dataclass(slots=True, eq=False, kw_only=True)
class Request:
    """One message for the filler.

    Attributes:
        content: The bytes to send, without the frame.
        control_id: MSH-10 of them, which MSA-2 of the answer must equal; None where nobody can know (not HL7, a
            batch): then the next acknowledgment on the connection is the answer.
        on_answer: Called once for each answer, the last time with `final`.
        answer_count: Answers to wait for: 0, 1, or 2 (accept, then application acknowledgment).
        waits_for_peer: Whether it waits while the peer cannot be reached; if not, it ends as UNREACHABLE, not sent, as
            soon as that is known.
    """

    content: bytes
    control_id: bytes | None
    on_answer: Callable[[Answer], None]
    answer_count: int = 1
    waits_for_peer: bool = True
    is_done: bool = field(default=False, init=False)
    queue_timer: asyncio.TimerHandle | None = field(default=None, init=False)
