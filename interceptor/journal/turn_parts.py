"""What a turn is given, what it needs of its route, and what can come of it: values only."""

from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from interceptor.action.lifecycle import Notice
from interceptor.action.plan import MessagePlan, NoHoldReason, RouteMode
from interceptor.context.order_set import SetMember
from interceptor.context.patient import PatientEvidence
from interceptor.decision.message_decision import MessageDecision, OrderDecision
from interceptor.journal.custody import Custody
from interceptor.journal.port import AlreadyTaken, IntakeDone
from interceptor.journal.release import ReleaseParts
from interceptor.message.header import Header
from interceptor.message.view import MessageView

DUPLICATE_WINDOW = timedelta(days=7)
DATABASE_SECONDS_MAX = 4.0
"""How long what can go on without a database waits for one that hangs instead of refusing; it answers in milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """One received message. `evidence` is None when the sources were not asked yet."""

    raw: bytes
    header: Header
    evidence: PatientEvidence | None
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PassOn:
    """Nothing of the message is ours: carry out *plan* in relay."""

    view: MessageView
    decision: MessageDecision | None
    plan: MessagePlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The message is durable in our custody; send *acknowledgment*, one answer or two, None when the placer wants none."""

    done: IntakeDone
    acknowledgment: bytes | None
    decision: MessageDecision | None = None


TurnResult = PassOn | Taken | AlreadyTaken


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnParts:
    """What a turn needs of its route; `node.py` plugs it together.

    Attributes:
        is_store: The route stores and acknowledges every message itself.
        decide: Decide a message with the siblings that wait, and without its own orders (by key) that count no more;
            raises EvidenceNeeded.
        lookup: Ask the evidence sources about a message's patient, within their budget.
        deadline: When an order taken now must leave at the latest.
        set_window_seconds: How long an order waits for its siblings; 0 does not park.
        acknowledge: Build our positive answers to a message, None when it wants none. The mapping tells by order
            number what became of the message's orders, where that is more than "accepted".
        summarize: The worklist's summary of an order.
        release: What a release needs of the route; its destination is the route's own.
        placer_release: Whether RL of the placer releases our hold.
        reading_seconds_max: How long a turn may wait for other turns and for what it reads, until it writes; then the
            message goes on without custody. For a database that hangs instead of refusing. None: as long as it takes.
    """

    route: str
    listener: str
    is_store: bool
    custody: Custody
    decide: Callable[
        [MessageView, PatientEvidence | None, datetime, Sequence[SetMember], Container[str]], MessageDecision
    ]
    lookup: Callable[[MessageView], Awaitable[PatientEvidence]]
    mode: Callable[[], RouteMode]
    no_hold: Callable[[], NoHoldReason | None]
    now: Callable[[], datetime]
    set_window_seconds: float
    deadline: Callable[[OrderDecision, datetime], datetime]
    acknowledge: Callable[[MessageView | Header, Mapping[int, Notice], datetime], bytes | None]
    summarize: Callable[[MessageView, OrderDecision], Mapping[str, object]]
    release: ReleaseParts
    placer_release: bool = False
    reading_seconds_max: float | None = None
