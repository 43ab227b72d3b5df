"""Webhooks: what others are told of held orders, signed, once each, and never a word of a patient."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from interceptor.action.lifecycle import OrderState
from interceptor.journal import webhook_rows as rows
from interceptor.journal.sql_journal import SqlJournal
from interceptor.review.webhook_event import EventType, read_signing_key
from interceptor.review.webhook_sender import DeliveryResult, SenderParts, Webhook, WebhookSender
from tests.support.ward import Ward, in_state, new_order, said, ward
from tests.support.webhook_peer import WebhookPeer, webhook_peer

KEY = bytes(range(32))
EVERYTHING = frozenset(EventType)


class Told:
    """A sender with a peer, and what it counted."""

    def __init__(self, place: Ward, peer: WebhookPeer, client: httpx2.AsyncClient, **webhook: Any) -> None:
        self.counted: list[tuple[str, DeliveryResult]] = []
        self.given_up: list[tuple[str, str, str]] = []
        self.place, self.peer = place, peer
        values: dict[str, Any] = {
            "events": EVERYTHING,
            "timeout_seconds": 5.0,
            "attempts_max": 3,
            "near": timedelta(minutes=30),
        } | webhook
        self.parts = SenderParts(
            webhooks=[Webhook(name="board", url=peer.url, key=KEY, **values)],
            source="/interceptor/east",
            tables=place.journal.side_tables,
            chain=place.journal,
            client=client,
            now=place.clock.now,
            count=lambda *counted: self.counted.append(counted),
            given_up=lambda *told: self.given_up.append(told),
        )
        self.sender = WebhookSender(self.parts)

    async def round(self) -> list[str]:
        """One round; the types of what arrived in it."""
        before = len(self.peer.received)
        await self.sender.round()
        return [json.loads(one.body)["type"].partition("interceptor.")[2] for one in self.peer.received[before:]]


@asynccontextmanager
async def told(tmp_path: Path, *statuses: int | str, **webhook: Any) -> AsyncIterator[Told]:
    """A ward with a sender that has looked once."""
    async with (
        ward(tmp_path) as place,
        webhook_peer(*statuses) as peer,
        httpx2.AsyncClient(trust_env=False, follow_redirects=False) as client,
    ):
        found = Told(place, peer, client, **webhook)
        assert await found.round() == []
        yield found


async def log_of(journal: SqlJournal) -> list[tuple[str, str, int, str]]:
    found = await journal.side_tables.read(partial(rows.log, limit=100))
    return [(one.event_type, one.state, one.attempt_count, one.result) for one in reversed(found)]


async def test_a_held_order_and_its_end_are_told_once_each(tmp_path: Path) -> None:
    async with told(tmp_path) as hook:
        await in_state(hook.place, "A1", OrderState.HELD)
        assert await hook.round() == ["order.held"]
        await hook.place.act("held_release", "A1")
        assert await hook.round() == ["order.decided"]
        await hook.place.deliver()
        assert await hook.round() == []
        assert hook.counted == [("board", DeliveryResult.DELIVERED)] * 2


async def test_an_event_says_what_happened_to_which_order_of_ours_and_why(tmp_path: Path) -> None:
    async with told(tmp_path) as hook:
        entry_id = await in_state(hook.place, "A1", OrderState.HELD)
        await hook.place.act("held_return", "A1", actor="ann")
        await hook.round()
        document = json.loads(hook.peer.received[-1].body)
        assert document["subject"] == f"orders/{entry_id}"
        assert document["source"] == "/interceptor/east"
        assert document["time"] == hook.place.clock.now().isoformat()
        assert document["data"] | {"reasons": [], "deadline_at": ""} == {
            "entry": entry_id, "state": "returned", "step": "returned_to_orderer", "by": "person", "route": "main",
            "priority": "routine", "reasons": [], "deadline_at": "",
        }  # fmt: skip


async def test_the_deadline_is_told_when_it_is_near_and_again_when_it_has_passed(tmp_path: Path) -> None:
    async with told(tmp_path) as hook:
        await in_state(hook.place, "A1", OrderState.HELD)
        assert await hook.round() == ["order.held"]
        hook.place.clock.move(hours=3, minutes=31)
        assert await hook.round() == ["order.deadline_near"]
        assert await hook.round() == []
        hook.place.clock.move(minutes=30)
        await hook.place.timer.look()
        assert await hook.round() == ["order.decided", "order.released_unreviewed"]


async def test_a_dead_letter_and_a_changed_mode_are_told(tmp_path: Path) -> None:
    async with told(tmp_path) as hook:
        await in_state(hook.place, "A1", OrderState.QUEUED)
        await hook.round()
        await hook.place.refuse()
        assert await hook.round() == ["dead_letter"]
        await hook.place.journal.set_route_mode(
            route="main", mode="shadow", actor="user:ann", at=hook.place.clock.now(), reason="too many holds"
        )
        assert await hook.round() == ["route_state"]
        document = json.loads(hook.peer.received[-1].body)
        assert document["data"] == {"route": "main", "mode": "shadow", "by": "person"}


async def test_what_happened_before_there_was_a_webhook_is_not_told(tmp_path: Path) -> None:
    async with ward(tmp_path) as place, webhook_peer() as peer, httpx2.AsyncClient(trust_env=False) as client:
        await in_state(place, "A1", OrderState.HELD)
        assert await Told(place, peer, client).round() == []


async def test_only_what_a_webhook_asked_for_is_told(tmp_path: Path) -> None:
    async with told(tmp_path, events=frozenset({EventType.DEAD_LETTER})) as hook:
        await in_state(hook.place, "A1", OrderState.HELD)
        assert await hook.round() == []
        assert await log_of(hook.place.journal) == []


async def test_the_signature_is_that_of_standard_webhooks(tmp_path: Path) -> None:
    async with told(tmp_path) as hook:
        await in_state(hook.place, "A1", OrderState.HELD)
        await hook.round()
        (one,) = hook.peer.received
        signed = b".".join((one.headers["webhook-id"].encode(), one.headers["webhook-timestamp"].encode(), one.body))
        expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
        assert one.headers["webhook-signature"] == f"v1,{expected}"
        assert one.headers["webhook-id"] == json.loads(one.body)["id"]


async def test_what_is_not_taken_is_sent_again_with_growing_pauses_and_the_same_id(tmp_path: Path) -> None:
    async with told(tmp_path, 500, "close", 200) as hook:
        await in_state(hook.place, "A1", OrderState.HELD)
        assert len(await hook.round()) == 1
        assert await hook.round() == []
        hook.place.clock.move(seconds=5)
        assert len(await hook.round()) == 1
        hook.place.clock.move(seconds=5)
        assert await hook.round() == []
        hook.place.clock.move(seconds=25)
        assert len(await hook.round()) == 1
        assert await log_of(hook.place.journal) == [("order.held", "delivered", 3, "200")]
        assert len({(one.headers["webhook-id"], one.body) for one in hook.peer.received}) == 1
        assert [result for _, result in hook.counted] == [
            DeliveryResult.RETRIED, DeliveryResult.RETRIED, DeliveryResult.DELIVERED,
        ]  # fmt: skip


async def test_an_event_is_given_up_after_so_many_attempts_and_that_is_told(tmp_path: Path) -> None:
    async with told(tmp_path, 503, attempts_max=2) as hook:
        await in_state(hook.place, "A1", OrderState.HELD)
        for _ in range(3):
            await hook.round()
            hook.place.clock.move(hours=1)
        assert await log_of(hook.place.journal) == [("order.held", "failed", 2, "503")]
        assert hook.given_up == [("board", "order.held", "503")]


async def test_a_receiver_that_is_gone_is_not_asked_again(tmp_path: Path) -> None:
    async with told(tmp_path, 410) as hook:
        await in_state(hook.place, "A1", OrderState.HELD)
        await hook.round()
        assert await log_of(hook.place.journal) == [("order.held", "failed", 1, "410")]


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    async with told(tmp_path, 302) as hook:
        await in_state(hook.place, "A1", OrderState.HELD)
        await hook.round()
        assert await log_of(hook.place.journal) == [("order.held", "waiting", 1, "302")]


async def test_a_receiver_that_never_answers_costs_one_attempt(tmp_path: Path) -> None:
    async with told(tmp_path, "hang", timeout_seconds=0.2) as hook:
        await in_state(hook.place, "A1", OrderState.HELD)
        await hook.round()
        assert await log_of(hook.place.journal) == [("order.held", "waiting", 1, "timed_out")]


async def test_two_nodes_tell_an_event_once(tmp_path: Path) -> None:
    async with told(tmp_path) as hook:
        other = WebhookSender(hook.parts)
        await other.round()
        await in_state(hook.place, "A1", OrderState.HELD)
        await hook.sender.round()
        await other.round()
        assert len(hook.peer.received) == 1


async def test_what_was_queued_is_told_after_a_restart(tmp_path: Path) -> None:
    async with ward(tmp_path) as place, webhook_peer(503, 204) as peer, httpx2.AsyncClient(trust_env=False) as client:
        first = Told(place, peer, client)
        await first.round()
        await in_state(place, "A1", OrderState.HELD)
        await first.round()
        await in_state(place, "A2", OrderState.HELD)
        place.clock.move(minutes=1)
        assert await Told(place, peer, client).round() == ["order.held", "order.held"]


@pytest.mark.hazard("H14")
async def test_nothing_of_a_patient_leaves(tmp_path: Path) -> None:
    async with told(tmp_path) as hook:
        await in_state(hook.place, "A1", OrderState.HELD)
        await hook.place.take(said("A1", "CA", "w"))
        await in_state(hook.place, "A2", OrderState.HELD)
        await hook.place.act("held_return", "A2", reason="Mrs Example called, MRN 4711")
        await hook.round()
        sent = b"".join(one.body for one in hook.peer.received).decode()
        fields = new_order("A1", "HOLD").decode("latin-1").replace("\r", "|").replace("^", "|").split("|")
        of_the_patient = {text for text in fields[fields.index("PID") : fields.index("ORC")] if len(text) > 3}
        assert of_the_patient
        assert [text for text in of_the_patient | {"Example", "4711", "A1^", "EPIC"} if text in sent] == []


@pytest.mark.parametrize("text", ["whsec_AAAA", "not base64!", ""])
def test_a_secret_that_is_none_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(ValueError, match=r"bytes|Base64") as refused:
        read_signing_key(text)
    assert not text or text not in str(refused.value)


def test_a_secret_is_read_with_and_without_its_prefix() -> None:
    written = base64.b64encode(KEY).decode()
    assert read_signing_key(written) == read_signing_key(f"whsec_{written}\n") == KEY
