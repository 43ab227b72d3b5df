"""The one place that answers a placer.

    relay     the filler's own acknowledgment, unchanged
    give      what is stored with a message that is durable in our custody
    refuse    in our own name: the message was not taken

Before the first of these, where the route speaks MLLP Release 2, goes a commit block that says the same of the bytes.

No positive acknowledgment leaves unless the filler's own acknowledgment of these bytes, or a durable commit of
them, came before: `_send` asserts it, and nothing else sends an acknowledgment.

Source: HL7 v2.5.1 chapter 2.9.2 and 2.9.3; HL7 v2 Transport Specification: MLLP, Release 2.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from time import monotonic
from typing import Protocol

from interceptor.access import Mismatch
from interceptor.action.acknowledge import refusal_code
from interceptor.action.order_response import separate_answers
from interceptor.evidence.registry import Recorded
from interceptor.journal.port import IntakeDone, StoredAnswer
from interceptor.message.acknowledgment import AckCode, ErrorDetail, build_acknowledgment, read_acknowledgment
from interceptor.message.header import Header
from interceptor.message.path import FieldPath
from interceptor.telemetry.label import AckOrigin
from interceptor.telemetry.metrics import RouteMetrics
from interceptor.transport.exchange import Answer
from interceptor.wire.commit_block import MllpCommitAck
from interceptor.wire.frame import BLOCK_SIZE

Proof = Answer | IntakeDone | StoredAnswer | Recorded
"""What lets a positive acknowledgment leave: the filler's own answer, or a durable commit of the bytes or their meaning."""


ERRORS: Mapping[str, tuple[str, str, FieldPath | None]] = {
    Mismatch.APPLICATION: ("103", "Table value not found", FieldPath("MSH", 1, 3)),
    Mismatch.FACILITY: ("103", "Table value not found", FieldPath("MSH", 1, 4)),
    Mismatch.MESSAGE_TYPE: ("200", "Unsupported message type", FieldPath("MSH", 1, 9)),
}
"""Code and words of table 0357, and the field, for reasons that have better ones than "internal error"."""


class PlacerSide(Protocol):
    """What one message needs of the connection that it came on."""

    @property
    def is_lost(self) -> bool:
        """Whether the placer is gone: nothing can be answered any more."""
        ...

    def send(self, content: bytes) -> None:
        """Send an acknowledgment."""
        ...

    def send_block(self, block: bytes) -> None:
        """Send an acknowledgment that is framed already."""
        ...

    def send_commit(self, commit: MllpCommitAck) -> None:
        """Send a commit block."""
        ...

    def ended(self) -> None:
        """The message has come to its end; the next one may begin."""
        ...


class MessagePassage(Protocol):
    """The way of one message, whatever the listener is for."""

    def begin(self) -> None:
        """Set the message on its way."""
        ...

    def withdraw(self) -> None:
        """The sender is gone."""
        ...

    def refuse_head(self, reason: str) -> None:
        """The frame is refused, only its head is here."""
        ...


class PlacerAnswers:
    """The answers to one message."""

    __slots__ = ("_line", "_metrics", "_new_control_id", "_now", "_owes_commit", "_received_at", "code")

    def __init__(
        self,
        line: PlacerSide,
        *,
        metrics: RouteMetrics,
        new_control_id: Callable[[], str],
        now: Callable[[], datetime],
        received_at: float,
        owes_commit: bool = False,
    ) -> None:
        """*received_at*: when the message's last byte came, in seconds of the monotonic clock. *owes_commit*: a commit block goes first."""
        self._line = line
        self._owes_commit = owes_commit
        self._metrics = metrics
        self._new_control_id = new_control_id
        self._now = now
        self._received_at = received_at
        self.code = ""
        """The last acknowledgment code that was sent, for the traffic page; "" for none."""

    def relay(self, answer: Answer) -> None:
        """Give the filler's own acknowledgment back."""
        assert answer.raw is not None
        assert answer.acknowledgment is not None
        # Whatever the filler says of the message, it has the bytes.
        self._commit(MllpCommitAck.ACK)
        self._send(answer.raw, answer.acknowledgment.code, proof=answer)

    def give(self, stored: bytes | None, *, proof: IntakeDone | StoredAnswer | Recorded) -> None:
        """Send the answers that are stored with a message in custody: none, one, or CA and then the application's."""
        self._commit(MllpCommitAck.ACK)
        for content in separate_answers(stored) if stored else ():
            answer = read_acknowledgment(content)
            self._send(content, answer.code if answer is not None else None, proof=proof)

    def refuse(self, header: Header | None, code: AckCode, reason: str) -> bool:
        """Answer that the message was not taken; False when it cannot be named or asks for no such answer.

        Args:
            header: MSH of the message; None when it has none.
            code: AE or AR; sent as CE or CR in enhanced mode.
            reason: A stable word, sent as text.
        """
        self._commit(MllpCommitAck.NAK)
        answer = refusal_code(header, code) if header is not None and header.control_id else None
        if header is None or answer is None:
            return False
        words = reason.replace("_", " ")
        error_code, table_words, path = ERRORS.get(reason, ("207", "Application internal error", None))
        content = build_acknowledgment(
            header,
            answer,
            control_id=self._new_control_id(),
            at=self._now(),
            text=words,
            error=ErrorDetail(code=error_code, text=table_words, path=path, user_message=words),
        )
        self._send(content, answer, proof=None)
        return True

    def end(self) -> None:
        """The message has come to its end: a commit block that left now would be taken for the next message's."""
        self._owes_commit = False

    def _commit(self, commit: MllpCommitAck) -> None:
        if self._owes_commit and not self._line.is_lost:
            self._line.send_commit(commit)
        self._owes_commit = False

    def _send(self, content: bytes, code: AckCode | None, *, proof: Proof | None) -> None:
        if not self._line.is_lost:
            self.code = code or AckCode.APPLICATION_ACCEPT
        _send(self._line, self._metrics, content, code, proof=proof, received_at=self._received_at)


def relay_answer(line: PlacerSide, answer: Answer, metrics: RouteMetrics, *, received_at: float) -> None:
    """Give the filler's own acknowledgment back, as `PlacerAnswers.relay`, where nothing else can be owed."""
    assert answer.raw is not None
    assert answer.acknowledgment is not None
    _send(line, metrics, answer.raw, answer.acknowledgment.code, proof=answer, received_at=received_at)


def _send(
    line: PlacerSide,
    metrics: RouteMetrics,
    content: bytes,
    code: AckCode | None,
    *,
    proof: Proof | None,
    received_at: float,
) -> None:
    """Write one acknowledgment: the only function that does."""
    assert proof is not None or (code is not None and not code.is_accept), "a positive acknowledgment without proof"
    block = None
    if isinstance(proof, Answer):
        block = proof.block
        assert proof.raw is content, "an answer that is not the filler's own"
        assert block is None or len(block) == len(content) + BLOCK_SIZE, "a block that is not the answer's"
    if line.is_lost:
        return
    if code is AckCode.APPLICATION_ACCEPT and isinstance(proof, Answer):
        metrics.acceptances_relayed.value += 1
    else:
        metrics.acks_sent.count(code or AckCode.APPLICATION_ACCEPT, _ORIGINS.get(type(proof), AckOrigin.OWN))
    metrics.ack_latency.observe(monotonic() - received_at)
    if block is None:
        line.send(content)
    else:
        line.send_block(block)


_ORIGINS: dict[type, AckOrigin] = {Answer: AckOrigin.FILLER, StoredAnswer: AckOrigin.STORED}
