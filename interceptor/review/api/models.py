"""What the API takes and gives, as JSON objects. Names are those of the glossary; times are UTC, RFC 3339."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from interceptor.journal.port import AuditRow
from interceptor.journal.review_record import OrderRow, SentRecord

Text = Annotated[str, Field(max_length=400)]
Code = Annotated[str, Field(max_length=64)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Order(_Model):
    """One order in custody, or once in custody. Patient data stands in `summary`."""

    entry: int
    """Our own number of the order."""
    route: str
    state: Literal["parked", "held", "queued", "delivered", "withdrawn", "returned", "replaced", "dead"]
    version: int
    """Grows with every change; `If-Match` compares it."""
    placer_order_number: str
    control_id: str
    priority: str
    taken_at: datetime
    changed_at: datetime
    changed_by: str
    deadline_at: datetime | None
    """When it is released unreviewed."""
    closed_at: datetime | None
    reason: str
    reasons: tuple[str, ...]
    """Reason codes of the decision, the deciding one first."""
    summary: dict[str, Any]


class OrderWithDecision(Order):
    """One order with the whole decision on it (the object of `interceptor explain --json`)."""

    decision: dict[str, Any]


class OrderPage(_Model):
    """A page of orders, by our number."""

    orders: tuple[Order, ...]
    next_after: int | None
    """Give it as `after` for the next page; null on the last."""


class Link(_Model):
    """One link of the audit chain."""

    number: int
    at: datetime
    actor: str
    action: str
    entry: int | None
    detail: dict[str, Any]
    sha256: str


class LinkPage(_Model):
    """A page of the audit chain, the newest first."""

    links: tuple[Link, ...]
    next_before: int | None
    """Give it as `before` for the next page; null on the last."""


class Message(_Model):
    """The bytes of an order, one character a byte (ISO 8859-1), segments as received."""

    received: str
    content: str


class Decision(_Model):
    """What a program decides on an order, in the name of a person."""

    action: Literal["release", "return", "comment"]
    reason_code: Code = ""
    """A code of the site's list; needed for release and return."""
    comment: Text = ""
    """Words; needed with the code "other", and for a comment."""
    decided_by: Annotated[str, Field(min_length=1, max_length=80)]
    """The person who decided: stands in the note to the filler and in the audit trail, with the token's name."""


class Step(_Model):
    """Where an order stands after a command."""

    entry: int
    state: str
    version: int
    repeated: bool = False
    """The same request was carried out before; nothing was done again."""


class Claim(_Model):
    """A claim on an order: a lease that ends by itself."""

    claimed_by: Annotated[str, Field(min_length=1, max_length=80)]
    give_up: bool = False


class DeadLetter(_Model):
    """A message that the filler refused for good."""

    outbox: int
    destination: str
    kind: str
    entry: int | None
    placer_order_number: str
    attempts: int
    possible_duplicate: bool
    queued_at: datetime
    error: str


class DeadLetterPage(_Model):
    """All dead letters, the oldest first."""

    dead_letters: tuple[DeadLetter, ...]


class DeadLetterStep(_Model):
    """What becomes of a dead letter."""

    action: Literal["retry", "discard"]
    reason: Text = ""
    decided_by: Annotated[str, Field(min_length=1, max_length=80)]


class DeadLetterState(_Model):
    """Where a dead letter stands after a command."""

    outbox: int
    state: str


class RouteState(_Model):
    """One route."""

    name: str
    mode: Literal["shadow", "annotate", "enforce"]


class RoutePage(_Model):
    """All routes."""

    routes: tuple[RouteState, ...]
    status: dict[str, Any]
    """What the node says of itself; empty when it does not answer."""


class ModeChange(_Model):
    """A new mode for a route, in force at once."""

    mode: Literal["shadow", "annotate", "enforce"]
    reason: Annotated[str, Field(min_length=1, max_length=400)]
    decided_by: Annotated[str, Field(min_length=1, max_length=80)]


class Evaluation(_Model):
    """A message to decide offline. Nothing is stored and nothing is sent."""

    message: Annotated[str, Field(min_length=8, max_length=1_000_000)]
    """One HL7 message; segments may end with CR, LF or CRLF."""
    at: datetime | None = None
    """Decide as of this time; default: now."""


class EvaluatedMessage(_Model):
    """The decision on a message: the object of `interceptor explain --json`. Only the message itself was asked."""

    control_id: str
    message_type: str
    disposition: Literal["pass", "annotate", "hold"]
    orders: tuple[dict[str, Any], ...]
    policy: dict[str, str]


def order_model(row: OrderRow) -> Order:
    """A row of the journal as JSON."""
    return Order(**_order_values(row))


def order_with_decision(row: OrderRow) -> OrderWithDecision:
    """The same with its decision."""
    return OrderWithDecision(**_order_values(row), decision=dict(row.decision))


def _order_values(row: OrderRow) -> dict[str, Any]:
    reasons = row.decision.get("reasons")
    return {
        "entry": row.entry_id,
        "route": row.route,
        "state": row.state.value,
        "version": row.version,
        "placer_order_number": row.placer_order_number,
        "control_id": row.control_id,
        "priority": row.priority,
        "taken_at": row.taken_at,
        "changed_at": row.changed_at,
        "changed_by": row.changed_by,
        "deadline_at": row.deadline_at,
        "closed_at": row.closed_at,
        "reason": row.reason,
        "reasons": tuple(str(one) for one in reasons) if isinstance(reasons, list) else (),
        "summary": dict(row.summary),
    }


def link_model(row: AuditRow) -> Link:
    """A link of the audit chain as JSON."""
    return Link(
        number=row.number,
        at=row.at,
        actor=row.actor,
        action=row.action,
        entry=row.entry_id,
        detail=dict(row.detail),
        sha256=row.sha256,
    )


def dead_letter_model(record: SentRecord) -> DeadLetter:
    """A dead letter as JSON, without its bytes."""
    return DeadLetter(
        outbox=record.outbox_id,
        destination=record.destination,
        kind=record.kind,
        entry=record.entry_id,
        placer_order_number=record.order_number,
        attempts=record.attempt_count,
        possible_duplicate=record.possible_duplicate,
        queued_at=record.queued_at,
        error=record.last_error,
    )
