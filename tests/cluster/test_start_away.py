"""A node that starts while its database is away: it relays at once, and takes up its orders when the database comes."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from interceptor.action.lifecycle import OrderState
from interceptor.node import Node
from interceptor.telemetry.health import DegradedReason
from tests.support.cluster import on_database, until
from tests.support.node import Events, Filler, filler, node_config, node_of, placer_of
from tests.support.orders import CHEST_FILM, order
from tests.support.postgres_server import PostgresServer, need_postgres, new_server, signal_all

pytestmark = [pytest.mark.timeout(300), pytest.mark.hazard("H3", "H9", "H10"), pytest.mark.fault(41)]


class Place:
    """A server that can be stopped, a filler, and nodes one after the other."""

    def __init__(self, folder: Path, server: PostgresServer, ris: Filler) -> None:
        self._folder = folder
        self.server, self.filler = server, ris
        self._database = server.database()
        self.events = Events()

    @asynccontextmanager
    async def node(self, **changes: Any) -> AsyncIterator[Node]:
        """One node on the database, for the length of the block."""
        config = on_database(
            node_config(self._folder, filler_port=self.filler.port, **changes), self._database, self._folder, name="one"
        )
        self.events = Events()
        async with node_of(config, self.events) as node:
            yield node


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    need_postgres()
    with new_server() as server:
        async with filler() as ris:
            yield Place(tmp_path, server, ris)


def film(number: str, **values: Any) -> bytes:
    return order(number, procedure=CHEST_FILM, diagnoses=(), **values)


async def recovered(place: Place, node: Node) -> None:
    """Wait until the node has read its journal and says that it is ready."""
    await until(lambda: node.custody.is_loaded and node.health.readiness().ok)
    assert "custody_recovered" in place.events.names()


async def test_relay_flows_unchanged_from_the_first_moment_and_the_node_goes_on_by_itself(place: Place) -> None:
    """A database that has never been there: empty, so that the tables are made when it comes."""
    place.server.stop()
    async with place.node() as node, placer_of(node) as placer:
        assert not node.health.readiness().ok
        assert DegradedReason.JOURNAL_UNAVAILABLE in node.health.degraded
        would_be_held = order("P1", control_id="M1")
        for content in (film("F1", control_id="M0"), would_be_held):
            assert b"MSA|AA" in await placer.exchange(content)
        assert place.filler.received[1] == would_be_held
        place.server.start()
        await recovered(place, node)
        assert DegradedReason.JOURNAL_UNAVAILABLE not in node.health.degraded
        assert b"MSA|AA" in await placer.exchange(order("P2", control_id="M2"))
        assert len(place.filler.received) == 2
        assert [one.placer_order_number for one in await node.custody.journal.open_entries()] == ["P2"]
        assert not node.failed.is_set(), [one for one in place.events.seen if one[0] == "node_failed"]


@pytest.mark.hazard("H4")
async def test_a_cancel_that_passed_a_held_order_meanwhile_ends_it_when_the_database_is_back(place: Place) -> None:
    """The filler refused it, for it does not know the order; without a second look the order would leave at its deadline."""
    async with place.node() as node, placer_of(node) as placer:
        for number in ("P1", "P2"):
            assert b"MSA|AA" in await placer.exchange(order(number, control_id=f"M{number}"))
    place.server.stop()
    async with place.node() as node:
        async with placer_of(node) as placer:
            cancel = order("P1", control_id="MC", control="CA")
            assert b"MSA|AA" in await placer.exchange(cancel)
            assert place.filler.received == [cancel]
            place.server.start()
            await recovered(place, node)
            journal = node.custody.journal

            async def state(number: str) -> OrderState | None:
                entry = await journal.latest_entry_for(f"{number}^EPIC")
                return entry.state if entry is not None else None

            async with asyncio.timeout(30):
                while await state("P1") is not OrderState.WITHDRAWN:  # noqa: ASYNC110 - the journal tells nobody
                    await asyncio.sleep(0.01)
            assert await state("P2") is OrderState.HELD
        assert ("unseen_looked_at", 1) in [
            (name, fields.get("ours")) for name, fields in place.events.seen if name == "unseen_looked_at"
        ]
        assert place.filler.received == [cancel]


async def test_a_kill_switch_that_was_thrown_before_is_not_forgotten_by_a_start_without_the_database(
    place: Place,
) -> None:
    async with place.node() as node:
        await node.custody.journal.set_route_mode(
            route="orders", mode="annotate", actor="ann", at=datetime.now(UTC), reason="test"
        )
    place.server.stop()
    async with place.node() as node, placer_of(node) as placer:
        content = order("P1", control_id="M1")
        await placer.exchange(content)
        assert place.filler.received == [content]
        place.server.start()
        await recovered(place, node)
        await placer.exchange(order("P2", control_id="M2"))
        assert b"\rNTE|" in place.filler.received[1]


async def test_a_route_that_stores_refuses_until_the_database_is_there(place: Place) -> None:
    """It cannot promise what it cannot keep: AE, so that the placer keeps the message and sends it again."""
    place.server.stop()
    async with place.node(custody="store") as node, placer_of(node) as placer:
        assert b"MSA|AE" in await placer.exchange(film("F1", control_id="M1"))
        place.server.start()
        await recovered(place, node)
        assert b"MSA|AA" in await placer.exchange(film("F1", control_id="M1"))
        await place.filler.wait_for(1)


async def test_a_frozen_database_does_not_keep_a_start_waiting(place: Place) -> None:
    signal_all(place.server, signal.SIGSTOP)
    try:
        async with place.node() as node, placer_of(node) as placer:
            assert b"MSA|AA" in await placer.exchange(film("F1", control_id="M1"))
            signal_all(place.server, signal.SIGCONT)
            await recovered(place, node)
    finally:
        signal_all(place.server, signal.SIGCONT)
