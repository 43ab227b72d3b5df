"""The last messages that were decided, decided again by other clinical content: which dispositions would change.

Values in, values out. Both contents decide with the same evidence, as of the same time, and without siblings, so that
what differs comes from the content alone.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from interceptor.context.patient import NO_EVIDENCE, PatientEvidence
from interceptor.decision.clinical_content import ClinicalContent
from interceptor.decision.decision import Disposition
from interceptor.decision.message_decision import OrderDecision, decide_message
from interceptor.message.view import MessageView


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenMessage:
    """An order message, and what it was decided with."""

    route: str
    raw: bytes
    evidence: PatientEvidence | None
    as_of: datetime


SEEN_SIZE_MAX = 64 * 1024
"""Larger messages are not remembered: a few hundred of them would be all the memory that there is."""


class SeenMessages:
    """The latest of them, in memory only: they name patients."""

    def __init__(self, *, count_max: int) -> None:
        """*count_max*: the most that are remembered."""
        self._messages: deque[SeenMessage] = deque(maxlen=count_max)

    def note(self, seen: SeenMessage) -> None:
        """Remember a message; one that is decided twice in a row counts once, a very large one not at all."""
        if len(seen.raw) > SEEN_SIZE_MAX:
            return
        if self._messages and self._messages[-1].raw == seen.raw:
            self._messages.pop()
        self._messages.append(seen)

    def all(self) -> tuple[SeenMessage, ...]:
        """What is remembered, the oldest first."""
        return tuple(self._messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedDecision:
    """One order whose disposition would be another. `reasons_now` are the codes of the new decision."""

    route: str
    placer_order_number: str
    was: Disposition
    now: Disposition
    reasons_was: tuple[str, ...]
    reasons_now: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondLook:
    """What came of it. `holds_was` and `holds_now` count the orders that each content would hold."""

    order_count: int
    holds_was: int
    holds_now: int
    changes: tuple[ChangedDecision, ...]

    def summary(self) -> dict[str, int]:
        """Changes by their kind, e.g. {"pass -> hold": 3}."""
        return dict(Counter(f"{one.was.word} -> {one.now.word}" for one in self.changes))


def look_again(messages: Iterable[SeenMessage], was: ClinicalContent, now: ClinicalContent) -> SecondLook:
    """Decide every message by both contents.

    Never raises for a message that one of them cannot decide: it passes then, as it would on the wire.
    """
    pairs = [
        (message.route, before, after)
        for message in messages
        for before, after in zip(_decide(message, was), _decide(message, now), strict=False)
    ]
    return SecondLook(
        order_count=len(pairs),
        holds_was=_count_holds(before for _, before, _ in pairs),
        holds_now=_count_holds(after for _, _, after in pairs),
        changes=tuple(_changes(pairs)),
    )


def _decide(message: SeenMessage, content: ClinicalContent) -> tuple[OrderDecision, ...]:
    evidence = message.evidence or NO_EVIDENCE
    try:
        return decide_message(MessageView(message.raw), content=content, evidence=evidence, as_of=message.as_of).orders
    except Exception:  # noqa: BLE001 - the same fault on the wire lets the message pass and is told there
        return ()


def _count_holds(orders: Iterable[OrderDecision]) -> int:
    return sum(order.decision.disposition is Disposition.HOLD for order in orders)


def _changes(pairs: Iterable[tuple[str, OrderDecision, OrderDecision]]) -> Iterator[ChangedDecision]:
    for route, before, after in pairs:
        if before.decision.disposition is not after.decision.disposition:
            yield ChangedDecision(
                route=route,
                placer_order_number=after.placer_order_number,
                was=before.decision.disposition,
                now=after.decision.disposition,
                reasons_was=before.decision.reasons,
                reasons_now=after.decision.reasons,
            )
