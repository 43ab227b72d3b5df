"""What other systems are told about orders in our custody: CloudEvents, signed. Nothing of a patient is in them.

    link of the audit chain  ->  order.held | order.decided | order.released_unreviewed | dead_letter | route_state
    a deadline that is near  ->  order.deadline_near

An event's id comes from what it tells of, so that telling it twice is seen as twice the same.

Source: CloudEvents 1.0.2, JSON format; Standard Webhooks 1.0.0 (webhook-id, webhook-timestamp, webhook-signature).
"""

import hmac
import json
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from interceptor.action.lifecycle import WAITING_STATES, LifecycleEvent, OrderState
from interceptor.journal.port import AuditRow, Entry

SECRET_PREFIX = "whsec_"  # noqa: S105 - how a secret begins, not a secret
SECRET_SIZE_MIN = 24
"""Bytes; Standard Webhooks asks for 24 to 64."""
_UNREVIEWED = frozenset({LifecycleEvent.DEADLINE_PASSED, LifecycleEvent.HOLD_UNAVAILABLE})
_TYPE_PREFIX = "org.order-interceptor."


class EventType(StrEnum):
    """What may be told."""

    ORDER_HELD = "order.held"
    ORDER_DECIDED = "order.decided"
    ORDER_DEADLINE_NEAR = "order.deadline_near"
    ORDER_RELEASED_UNREVIEWED = "order.released_unreviewed"
    DEAD_LETTER = "dead_letter"
    ROUTE_STATE = "route_state"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEvent:
    """One event.

    Attributes:
        event_id: The same for the same fact, whoever tells it and however often.
        at: When it happened (aware).
        subject: What it is about, e.g. "orders/17"; our own numbers and names only.
        data: More, as JSON values; nothing of a patient.
    """

    event_type: EventType
    event_id: str
    at: datetime
    subject: str
    data: Mapping[str, object] = field(default_factory=dict)


def events_of(row: AuditRow, entry: Entry | None) -> Iterator[WebhookEvent]:
    """What one link of the audit chain tells.

    Args:
        row: The link.
        entry: The order that it is about as it stands now; None where there is none, or no longer.
    """
    if row.action == "mode_set":
        route, mode = str(row.detail.get("route", "")), str(row.detail.get("mode", ""))
        yield WebhookEvent(
            event_type=EventType.ROUTE_STATE,
            event_id=f"audit-{row.number}",
            at=row.at,
            subject=f"routes/{route}",
            data={"route": route, "mode": mode, "by": _kind_of(row.actor)},
        )
    elif row.entry_id is not None:
        for event_type in _order_types(row):
            yield WebhookEvent(
                event_type=event_type,
                event_id=f"audit-{row.number}-{event_type}",
                at=row.at,
                subject=f"orders/{row.entry_id}",
                data={
                    "entry": row.entry_id,
                    "state": str(row.detail.get("to", "")),
                    "step": row.action,
                    "by": _kind_of(row.actor),
                }
                | _described(entry),
            )


def deadline_near(entry: Entry) -> WebhookEvent:
    """A held order will be released unreviewed soon. A new deadline is a new event."""
    assert entry.deadline_at is not None
    return WebhookEvent(
        event_type=EventType.ORDER_DEADLINE_NEAR,
        event_id=f"near-{entry.entry_id}-{entry.deadline_at.timestamp():.0f}",
        at=entry.deadline_at,
        subject=f"orders/{entry.entry_id}",
        data={"entry": entry.entry_id, "state": entry.state.value} | _described(entry),
    )


def _order_types(row: AuditRow) -> Iterator[EventType]:
    before, after = row.detail.get("from"), row.detail.get("to")
    if after == before:
        return
    if after == OrderState.HELD:
        yield EventType.ORDER_HELD
    if before in WAITING_STATES and after not in WAITING_STATES:
        yield EventType.ORDER_DECIDED
        if row.action in _UNREVIEWED:
            yield EventType.ORDER_RELEASED_UNREVIEWED
    if after == OrderState.DEAD:
        yield EventType.DEAD_LETTER


def _described(entry: Entry | None) -> dict[str, object]:
    """What may be told of an order without telling whose it is."""
    if entry is None:
        return {}
    return {
        "route": entry.route,
        "priority": entry.priority,
        "reasons": entry.decision.get("reasons", []),
        "deadline_at": entry.deadline_at.isoformat() if entry.deadline_at else None,
    }


def _kind_of(actor: str) -> str:
    """Person, placer, timer, filler or node: who exactly stands in the audit trail, where access is controlled."""
    return "person" if actor.startswith("user:") else actor.split(":", 1)[0]


def build_body(event: WebhookEvent, *, source: str) -> str:
    """The event as JSON, in one spelling. *source* names the node, e.g. "/interceptor/east"."""
    return json.dumps(
        {
            "specversion": "1.0",
            "id": event.event_id,
            "source": source,
            "type": _TYPE_PREFIX + event.event_type,
            "subject": event.subject,
            "time": event.at.isoformat(),
            "datacontenttype": "application/json",
            "data": dict(event.data),
        },
        sort_keys=True,
        separators=(",", ":"),
    )


def read_signing_key(text: str) -> bytes:
    """The key of a secret such as "whsec_...".

    Raises:
        ValueError: It is no such secret, or too short; the text is not quoted.
    """
    try:
        key = b64decode(text.strip().removeprefix(SECRET_PREFIX), validate=True)
    except (Base64Error, ValueError):
        message = "is no secret in Base64, with or without whsec_ before it"
        raise ValueError(message) from None
    if len(key) < SECRET_SIZE_MIN:
        message = f"has {len(key)} bytes; {SECRET_SIZE_MIN} at least are needed"
        raise ValueError(message)
    return key


def sign(key: bytes, *, event_id: str, timestamp: int, body: str) -> Mapping[str, str]:
    """The headers of one attempt; *timestamp* is in seconds since 1970 UTC."""
    signed = hmac.new(key, f"{event_id}.{timestamp}.{body}".encode(), sha256).digest()
    return {
        "content-type": "application/cloudevents+json; charset=utf-8",
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{b64encode(signed).decode('ascii')}",
    }
