"""Tells other systems of orders in our custody: reads the audit chain, queues events durably, sends them until taken.

    audit chain, deadlines  ->  webhook_delivery (once each)  ->  POST  ->  delivered | waiting | failed

Every event is queued in the journal before it is sent, and sent at least once; its id tells the receiver of a second
time. Webhooks do not wait for each other, nothing waits for a webhook. Of several nodes one sends each attempt.

Failures: no connection, a slow receiver, 429 and 5xx are tried again with growing pauses; 410 and what is refused for
good after `attempts_max` is given up, counted and logged. A journal that is unavailable postpones the round.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from http import HTTPStatus
from typing import Protocol, TypeVar

import httpx2

from interceptor.action.lifecycle import OrderState
from interceptor.journal import webhook_rows as rows
from interceptor.journal.port import AuditRow, Entry, EntryId, JournalUnavailable
from interceptor.journal.sql import SqlConnection
from interceptor.journal.webhook_rows import Delivery, NewDelivery
from interceptor.review.webhook_event import EventType, WebhookEvent, build_body, deadline_near, events_of, sign

LOOK_SECONDS = 1.0
BATCH_COUNT_MAX = 200
_SENT_COUNT_MAX = 20
"""Events of one webhook in one round; the next round follows a second later."""
_PAUSES = tuple(timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 1800, 7200, 21_600))
_KEPT = timedelta(days=30)
_PRUNE_EVERY = timedelta(hours=1)

_T = TypeVar("_T")


class DeliveryResult(StrEnum):
    """How an attempt ended: words of the metric's label."""

    DELIVERED = "delivered"
    RETRIED = "retried"
    FAILED = "failed"


class Tables(Protocol):
    """What is needed of the journal: work in its writer, work in its readers."""

    async def write(self, work: Callable[[SqlConnection], _T]) -> _T:
        """Run *work* in the writer; durable when this returns."""
        ...

    async def read(self, work: Callable[[SqlConnection], _T]) -> _T:
        """Run *work* on a connection that cannot write."""
        ...


class Chain(Protocol):
    """What is needed of the journal's orders and audit chain."""

    async def audit_rows(self, *, after: int = 0, limit: int = 1000) -> tuple[AuditRow, ...]:
        """Links with a higher number than *after*, oldest first."""
        ...

    async def entry(self, entry_id: EntryId) -> Entry | None:
        """One order by our number."""
        ...

    async def entries(self, *, states: Sequence[OrderState], limit: int = 1000) -> tuple[Entry, ...]:
        """Orders in these states, the earliest deadline first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One receiver.

    Attributes:
        name: From the configuration.
        url: Where events are posted; may carry a secret, never log it.
        key: Signs every attempt.
        events: What it is told.
        timeout_seconds: How long one attempt may take.
        attempts_max: Attempts before an event is given up.
        near: How long before its deadline an order's deadline is near.
    """

    name: str
    url: str
    key: bytes
    events: frozenset[EventType]
    timeout_seconds: float
    attempts_max: int
    near: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderParts:
    """What the sender is plugged to.

    Attributes:
        source: Names the node in events, e.g. "/interceptor/east".
        client: Follows no redirects.
        count: Count how one attempt ended: webhook, result.
        given_up: Tell that an event is given up: webhook, event type, how its last attempt ended.
    """

    webhooks: Sequence[Webhook]
    source: str
    tables: Tables
    chain: Chain
    client: httpx2.AsyncClient
    now: Callable[[], datetime]
    count: Callable[[str, DeliveryResult], None]
    given_up: Callable[[str, str, str], None]
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep


class WebhookSender:
    """Runs as long as the node. Cancelling it leaves what was not taken for the next start."""

    def __init__(self, parts: SenderParts) -> None:
        """Nothing happens before `run`."""
        self._parts = parts
        self._cursor: int | None = None
        self._prune_at: datetime | None = None
        self._near: frozenset[tuple[str, str]] = frozenset()

    async def run(self) -> None:
        """Look, queue and send, for ever."""
        while True:
            with suppress(JournalUnavailable):
                await self.round()
            await self._parts.pause(LOOK_SECONDS)

    async def round(self) -> None:
        """One look at the audit chain and at deadlines, and one round of sending.

        Raises:
            JournalUnavailable: Nothing more was queued; what was queued is tried in the next round.
        """
        await self._queue_new()
        async with asyncio.TaskGroup() as group:
            for webhook in self._parts.webhooks:
                group.create_task(self._send_due(webhook), name=f"webhook-{webhook.name}")
        await self._prune()

    async def _queue_new(self) -> None:
        parts = self._parts
        if self._cursor is None:
            self._cursor = await parts.tables.write(rows.begin)
        links = await parts.chain.audit_rows(after=self._cursor, limit=BATCH_COUNT_MAX)
        events = [event for link in links for event in events_of(link, await self._entry_of(link))]
        wanted = [
            self._delivery(webhook, event)
            for event in events
            for webhook in parts.webhooks
            if event.event_type in webhook.events
        ]
        wanted.extend(await self._near_deadlines())
        if links or wanted:
            last = links[-1].number if links else self._cursor
            await parts.tables.write(partial(rows.queue, deliveries=wanted, audit_number=last, at=parts.now()))
            self._cursor = last

    async def _entry_of(self, link: AuditRow) -> Entry | None:
        return None if link.entry_id is None else await self._parts.chain.entry(link.entry_id)

    async def _near_deadlines(self) -> list[NewDelivery]:
        """Told once each: what was told before is known by its id, here and in the journal."""
        asked = [one for one in self._parts.webhooks if EventType.ORDER_DEADLINE_NEAR in one.events]
        if not asked:
            return []
        at = self._parts.now()
        held = await self._parts.chain.entries(states=[OrderState.HELD], limit=BATCH_COUNT_MAX)
        near = [
            self._delivery(webhook, deadline_near(entry))
            for entry in held
            for webhook in asked
            if entry.deadline_at is not None and entry.deadline_at <= at + webhook.near
        ]
        new = [one for one in near if (one.webhook, one.event_id) not in self._near]
        self._near = frozenset((one.webhook, one.event_id) for one in near)
        return new

    def _delivery(self, webhook: Webhook, event: WebhookEvent) -> NewDelivery:
        body = build_body(event, source=self._parts.source)
        return NewDelivery(webhook=webhook.name, event_id=event.event_id, event_type=event.event_type, body=body)

    async def _send_due(self, webhook: Webhook) -> None:
        parts = self._parts
        waiting = await parts.tables.read(
            partial(rows.due, webhook=webhook.name, at=parts.now(), limit=_SENT_COUNT_MAX)
        )
        for delivery in waiting:
            at = parts.now()
            until = at + timedelta(seconds=webhook.timeout_seconds * 2)
            if await parts.tables.write(partial(rows.claim, number=delivery.number, at=at, until=until)):
                await self._attempt(webhook, delivery)

    async def _attempt(self, webhook: Webhook, delivery: Delivery) -> None:
        parts = self._parts
        outcome, is_final = await self._post(webhook, delivery)
        at, begun = parts.now(), delivery.attempt_count + 1
        if outcome.isdecimal() and HTTPStatus.OK <= int(outcome) < HTTPStatus.MULTIPLE_CHOICES:
            await parts.tables.write(
                partial(rows.end, number=delivery.number, state="delivered", result=outcome, at=at)
            )
            parts.count(webhook.name, DeliveryResult.DELIVERED)
        elif is_final or begun >= webhook.attempts_max:
            await parts.tables.write(partial(rows.end, number=delivery.number, state="failed", result=outcome, at=at))
            parts.count(webhook.name, DeliveryResult.FAILED)
            parts.given_up(webhook.name, delivery.event_type, outcome)
        else:
            later = at + _PAUSES[min(begun, len(_PAUSES)) - 1]
            await parts.tables.write(
                partial(rows.postpone, number=delivery.number, result=outcome, next_attempt_at=later)
            )
            parts.count(webhook.name, DeliveryResult.RETRIED)

    async def _post(self, webhook: Webhook, delivery: Delivery) -> tuple[str, bool]:
        """The status, or a word for what went wrong, and whether another attempt is of no use."""
        headers = sign(
            webhook.key,
            event_id=delivery.event_id,
            timestamp=int(self._parts.now().timestamp()),
            body=delivery.body,
        )
        try:
            async with asyncio.timeout(webhook.timeout_seconds):
                async with self._parts.client.stream(
                    "POST", webhook.url, content=delivery.body.encode("ascii"), headers=headers
                ) as answer:
                    # The answer's body is of no interest: it is not read, whatever its size.
                    return str(answer.status_code), answer.status_code == HTTPStatus.GONE
        except TimeoutError:
            return "timed_out", False
        except httpx2.HTTPError as error:
            # Only the kind: its words carry the address, which may carry a secret.
            return type(error).__name__, False

    async def _prune(self) -> None:
        at = self._parts.now()
        if self._prune_at is None or at >= self._prune_at:
            await self._parts.tables.write(partial(rows.prune, before=at - _KEPT))
            self._prune_at = at + _PRUNE_EVERY


def delivery_json(one: rows.LoggedDelivery) -> Mapping[str, object]:
    """One line of the delivery log."""
    return {
        "number": one.number,
        "webhook": one.webhook,
        "event_id": one.event_id,
        "event_type": one.event_type,
        "created_at": one.created_at.isoformat(),
        "state": one.state,
        "attempts": one.attempt_count,
        "result": one.result,
    }
