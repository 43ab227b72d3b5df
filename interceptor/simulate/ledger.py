"""What became of each message, seen from outside: what the placer sent and was told, what the filler got.

The verdict is not asked of the node, it is what the two peers can see:

    the filler got the same bytes                       passed
    the filler got more                                 annotated (the reason codes stand in what was added)
    the placer was told "accepted", the filler got nothing
        a new order                                     held
        a message about an order that is held           applied to it
        the same bytes as before                        repeated (the same answer again, nothing new)
    ... and later the filler got it after all           released
    ... or its orderer cancelled or changed it          ended
    the placer was told "no"                            refused
    nobody told the placer anything                     unanswered

Values in, rows out; no clock, no socket.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from interceptor.simulate.story import Sent

_CONTROL_ID = re.compile(rb"MSH\|(?:[^|\r]*\|){8}([^|\r]*)")
_ACK_CODE = re.compile(rb"[\r\n]MSA\|([A-Z]{2})")
_REASON = re.compile(rb"\b[AHPS]-[A-Z]+(?:-[A-Z]+)*")


class Verdict(StrEnum):
    """What became of one message."""

    WAITING = "waiting"
    PASSED = "passed"
    ANNOTATED = "annotated"
    HELD = "held"
    APPLIED = "applied"
    REPEATED = "repeated"
    RELEASED = "released"
    ENDED = "ended"
    REFUSED = "refused"
    UNANSWERED = "unanswered"


@dataclass(slots=True, kw_only=True)
class Row:
    """One message of the table. `number` counts from 1; `reasons` are the codes that the filler was shown.

    `cancer_source` is where the node knew a held order's cancer from: "message", "registry" or "fhir".
    """

    number: int
    sent: Sent
    verdict: Verdict = Verdict.WAITING
    reasons: tuple[str, ...] = ()
    cancer_source: str = ""
    ack_code: str = ""
    delivered_count: int = 0


class Ledger:
    """The rows of one run, in the order they were sent.

    Attributes:
        received_count: Messages that the filler got, those sent again included.
        unexpected_count: Those among them that the placer did not send under this control id.
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.received_count = 0
        self.unexpected_count = 0

    def record_sent(self, sent: Sent) -> Row:
        """The placer is about to send a message."""
        row = Row(number=len(self.rows) + 1, sent=sent)
        self.rows.append(row)
        return row

    def record_received(self, raw: bytes) -> Row | None:
        """The filler got a message; None when the placer sent none with this control id."""
        self.received_count += 1
        row = self._find(raw)
        if row is None:
            self.unexpected_count += 1
            return None
        row.delivered_count += 1
        if row.verdict in (Verdict.HELD, Verdict.APPLIED) and raw != row.sent.raw:
            row.verdict = Verdict.RELEASED
        elif raw == row.sent.raw:
            row.verdict = Verdict.PASSED
        else:
            row.verdict = Verdict.ANNOTATED
        added = set(_REASON.findall(raw)) - set(_REASON.findall(row.sent.raw))
        row.reasons = tuple(sorted(reason.decode("ascii") for reason in added))
        return row

    def record_answer(self, row: Row, answer: bytes | None) -> None:
        """The placer was answered, or gave up waiting (None)."""
        code = _ACK_CODE.search(answer) if answer is not None else None
        row.ack_code = code.group(1).decode("ascii") if code else ""
        if row.verdict is Verdict.WAITING:
            row.verdict = self._judge(row, answer)
        if row.verdict is Verdict.APPLIED:
            self._end_orders(row)

    def _judge(self, row: Row, answer: bytes | None) -> Verdict:
        """The verdict on a message that the filler did not get."""
        if answer is None:
            return Verdict.UNANSWERED
        if row.ack_code not in ("AA", "CA"):
            return Verdict.REFUSED
        if any(earlier.sent.raw == row.sent.raw for earlier in self.rows[: row.number - 1]):
            return Verdict.REPEATED
        return Verdict.HELD if row.sent.is_new_order else Verdict.APPLIED

    def _end_orders(self, row: Row) -> None:
        """The held orders that this message was about are no longer what waits."""
        for earlier in self.rows[: row.number - 1]:
            if earlier.verdict is Verdict.HELD and set(earlier.sent.order_numbers) & set(row.sent.order_numbers):
                earlier.verdict = Verdict.ENDED

    def count(self, verdict: Verdict) -> int:
        """How many messages have this verdict now."""
        return sum(row.verdict is verdict for row in self.rows)

    def count_source(self, source: str) -> int:
        """How many orders were held because the node knew of a cancer from *source*."""
        return sum(row.cancer_source == source for row in self.rows)

    def delivered_count(self) -> int:
        """How many of the placer's messages reached the filler."""
        return sum(row.delivered_count > 0 for row in self.rows)

    def _find(self, raw: bytes) -> Row | None:
        """The oldest row of this control id that has not been delivered; else the newest of it at all."""
        match = _CONTROL_ID.match(raw)
        control_id = match.group(1).decode("latin-1") if match else ""
        rows = list(self._rows_of(control_id, raw))
        return next((row for row in rows if not row.delivered_count), rows[-1] if rows else None)

    def _rows_of(self, control_id: str, raw: bytes) -> Iterator[Row]:
        for row in self.rows:
            if row.sent.control_id == control_id and (control_id or row.sent.raw == raw):
                yield row
