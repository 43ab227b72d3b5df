"""The last messages of one route, for the traffic page: time, type, control id, outcome, added time, answer.

Kept in memory and nowhere else; no patient, no order number, no content. The ring is written to once for each message
and must cost next to nothing: rows are plain tuples, words are made when somebody looks.
"""

from collections import deque
from dataclasses import dataclass
from time import time

from interceptor.message.header import Header
from interceptor.telemetry.label import MessageOutcome, MessageTypeLabel

KEPT_COUNT = 300
"""Messages of each route: some seconds of a busy line, an hour of a quiet one."""
CONTROL_ID_SIZE_MAX = 199


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One message that went through.

    Attributes:
        ended_at: Seconds since 1970.
        added_seconds: From its last byte to what became of it: for relayed messages until they were handed to the
            filler's line, for others until our answer. None where neither happened.
        code: Acknowledgment code that the placer got; "" for none.
    """

    ended_at: float
    message_type: MessageTypeLabel
    control_id: str
    outcome: MessageOutcome
    added_seconds: float | None
    code: str


class TrafficRing:
    """The last messages of one route."""

    __slots__ = ("_rows",)

    def __init__(self) -> None:
        self._rows: deque[tuple[float, MessageTypeLabel, Header | bytes | None, MessageOutcome, float, str]] = deque(
            maxlen=KEPT_COUNT
        )

    def note(
        self,
        message_type: MessageTypeLabel,
        header: Header | bytes | None,
        outcome: MessageOutcome,
        added_seconds: float,
        code: str,
    ) -> None:
        """A message has come to its end now. *header*: it, or MSH-10; *added_seconds*: below 0 for none."""
        self._rows.append((time(), message_type, header, outcome, added_seconds, code))

    def flows(self) -> tuple[Flow, ...]:
        """What is kept, the newest first."""
        return tuple(
            Flow(
                ended_at=ended_at,
                message_type=message_type,
                control_id=_control_id(header),
                outcome=outcome,
                added_seconds=added_seconds if added_seconds >= 0 else None,
                code=code,
            )
            for ended_at, message_type, header, outcome, added_seconds, code in reversed(self._rows)
        )


def _control_id(header: Header | bytes | None) -> str:
    raw = header.control_id if isinstance(header, Header) else header or b""
    return raw[:CONTROL_ID_SIZE_MAX].decode("latin-1")
