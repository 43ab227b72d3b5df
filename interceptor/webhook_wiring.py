"""The webhooks of a node, put together from its configuration; secrets are read here.

Failures: a secret that cannot be used stops the start with the key that names it.
"""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import httpx2

from interceptor.config.secret import SecretError, read_secret
from interceptor.config.webhook_table import WebhookTable
from interceptor.control.protocol import ControlError
from interceptor.evidence.fhir_http import silence_http_loggers
from interceptor.journal import webhook_rows
from interceptor.journal.port import JournalUnavailable
from interceptor.node_parts import NodeParts, utc_now
from interceptor.review.desk import Handler
from interceptor.review.webhook_event import EventType, read_signing_key
from interceptor.review.webhook_sender import SenderParts, Webhook, WebhookSender, delivery_json
from interceptor.telemetry.webhook_events import WEBHOOK_GIVEN_UP

LOG_COUNT_MAX = 1000


def read_webhook(name: str, table: WebhookTable, environment: Mapping[str, str]) -> Webhook:
    """One [webhook.NAME] as values, its secret read.

    Raises:
        SecretError: The secret cannot be used.
    """
    key = f"webhook.{name}.secret"
    secret = read_secret(key, file=table.secret_file, variable=table.secret_env, environment=environment)
    try:
        signing_key = read_signing_key(secret or "")
    except ValueError as error:
        message = f"{key}: {error}"
        raise SecretError(message) from None
    return Webhook(
        name=name,
        url=table.url,
        key=signing_key,
        events=frozenset(EventType(one) for one in table.events),
        timeout_seconds=table.timeout_seconds,
        attempts_max=table.attempts_max,
        near=timedelta(minutes=table.deadline_near_minutes),
    )


@asynccontextmanager
async def running_webhooks(parts: NodeParts) -> AsyncIterator[None]:
    """Send what the configuration asks for, for the length of the block.

    Raises:
        SecretError: A secret cannot be used.
    """
    webhooks = [read_webhook(name, table, os.environ) for name, table in parts.config.webhook.items()]
    if not webhooks:
        yield
        return
    silence_http_loggers()
    async with httpx2.AsyncClient(trust_env=False, follow_redirects=False) as client:
        sender = WebhookSender(
            SenderParts(
                webhooks=webhooks,
                source=f"/interceptor/{parts.config.node.name}",
                tables=parts.journal.side_tables,
                chain=parts.journal,
                client=client,
                now=utc_now,
                count=lambda _name, result: parts.metrics.notifications.count("webhook", result),
                given_up=partial(_tell_given_up, parts),
            )
        )
        parts.run(sender.run(), name="webhooks")
        yield


def _tell_given_up(parts: NodeParts, webhook: str, event_type: str, result: str) -> None:
    parts.log.event(WEBHOOK_GIVEN_UP, webhook=webhook, event_type=event_type, result=result)


def webhook_commands(parts: NodeParts) -> dict[str, Handler]:
    """The delivery log, for people."""

    async def show_log(arguments: dict[str, Any]) -> Mapping[str, object]:
        limit = arguments.get("limit", 100)
        if not isinstance(limit, int) or not 1 <= limit <= LOG_COUNT_MAX:
            raise ControlError("bad_argument", f"limit is 1 to {LOG_COUNT_MAX}")
        try:
            found = await parts.journal.side_tables.read(partial(webhook_rows.log, limit=limit))
        except JournalUnavailable as error:
            raise ControlError("journal_unavailable", f"the journal is {error.reason}") from error
        return {"deliveries": [delivery_json(one) for one in found]}

    return {"webhook_log": show_log}
