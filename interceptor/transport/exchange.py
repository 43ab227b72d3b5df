"""One message for a peer and what comes back for it, as values.

Who asks (the pipeline, a courier) and who carries (delivery) meet in these words.

Source: HL7 v2.5.1 chapter 2.9; original mode has one answer, enhanced mode up to two.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

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
        block: `raw` with the MLLP block around it, where it came whole in one read (`Frame.block`).
    """

    status: AnswerStatus
    raw: bytes | None = None
    acknowledgment: Acknowledgment | None = None
    sent: bool = True
    final: bool = True
    block: bytes | None = None


class Outgoing(Protocol):
    """One message for the filler, as whoever carries it sees it; `Request` says what each part means.

    The carrier writes `is_done` and `queued_at`, nobody else does.
    """

    is_done: bool
    queued_at: float

    @property
    def content(self) -> bytes:
        """See `Request`."""
        ...

    @property
    def block(self) -> bytes | None:
        """See `Request`."""
        ...

    @property
    def control_id(self) -> bytes | None:
        """See `Request`."""
        ...

    @property
    def answer_count(self) -> int:
        """See `Request`."""
        ...

    @property
    def waits_for_peer(self) -> bool:
        """See `Request`."""
        ...

    def on_answer(self, answer: Answer, /) -> None:
        """See `Request`."""
        ...


@dataclass(slots=True, eq=False, kw_only=True)
class Request:
    """One message for the filler.

    Attributes:
        content: The bytes to send, without the frame.
        block: The same with the MLLP block around it, where it is at hand (`Frame.block`).
        control_id: MSH-10 of them, which MSA-2 of the answer must equal; None where nobody can know (not HL7, a
            batch): then the next acknowledgment on the connection is the answer.
        on_answer: Called once for each answer, the last time with `final`.
        answer_count: Answers to wait for: 0, 1, or 2 (accept, then application acknowledgment).
        waits_for_peer: Whether it waits while the peer cannot be reached; if not, it ends as UNREACHABLE, not sent, as
            soon as that is known.
        is_done: Whether its last answer was given, or it was taken back.
        queued_at: When it began to wait for a connection, on the monotonic clock.
    """

    content: bytes
    control_id: bytes | None
    on_answer: Callable[[Answer], None]
    answer_count: int = 1
    waits_for_peer: bool = True
    block: bytes | None = None
    is_done: bool = field(default=False, init=False)
    queued_at: float = field(default=0.0, init=False)
