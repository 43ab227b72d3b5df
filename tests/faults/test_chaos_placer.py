"""A running node whose placers are slow, many, gone too early, or send the same thing twice."""

import asyncio
import socket
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from interceptor.node import Node
from interceptor.wire.frame import encode_frame
from tests.support.chaos_proxy import drop_packets
from tests.support.hostile_filler import HostileFiller, Session, hostile_filler
from tests.support.metric_page import sample
from tests.support.mllp_peer import RawPeer, until
from tests.support.node import Events, node_config, node_of, placer_of
from tests.support.orders import CHEST_FILM, order

ACCEPTED = b"\rMSA|AA|"


def film(number: object, *, reason: str = "cough") -> bytes:
    """An order that passes."""
    return order(f"P{number}", procedure=CHEST_FILM, reason=reason, patient=f"P{number}")


@pytest.mark.fault(32)
async def test_a_message_that_comes_byte_by_byte_is_one_message(tmp_path: Path) -> None:
    frame = encode_frame(film(1))
    async with hostile_filler() as ris:
        async with (
            node_of(node_config(tmp_path, filler_port=ris.port)) as node,
            RawPeer.connect(node.ports["orders"]) as placer,
        ):
            for offset in range(len(frame)):
                placer.send(frame[offset : offset + 1])
                await placer.writer.drain()
                await asyncio.sleep(0)
            assert ACCEPTED + b"CP1" in await placer.read_content()
        assert ris.contents == [film(1)]


@pytest.mark.fault(32)
@pytest.mark.hazard("H10")
async def test_placers_that_never_finish_are_dropped_while_others_are_served(tmp_path: Path) -> None:
    """Forty slowloris connections, a byte now and then: each is over at the read timeout, nothing of it is forwarded."""
    async with hostile_filler() as ris, AsyncExitStack() as stack:
        config = node_config(tmp_path, filler_port=ris.port, read_timeout_seconds=0.6)
        node = await stack.enter_async_context(node_of(config))
        slow = [await stack.enter_async_context(RawPeer.connect(node.ports["orders"])) for _ in range(40)]
        placer = await stack.enter_async_context(placer_of(node))
        began = time.monotonic()

        async def drip(peer: RawPeer) -> float:
            """Send a byte every 50 ms, as long as the connection lives; returns how long that was."""
            for byte in encode_frame(film(0)):
                if peer.reader.at_eof() or peer.writer.is_closing():
                    break
                peer.send(bytes([byte]))
                await asyncio.sleep(0.05)
            return time.monotonic() - began

        async with asyncio.TaskGroup() as group:
            dripping = [group.create_task(drip(peer)) for peer in slow]
            for number in range(1, 20):
                assert ACCEPTED + b"CP%d" % number in await placer.exchange(film(number))
        assert all(0.5 < one.result() < 5 for one in dripping)
        # They do not close their side; ours lingers for two seconds, then it is over.
        await until(lambda: connection_count(node) == 1)
        page = node.metrics.render()
        assert sample(page, "interceptor_framing_errors_total", route="orders", reason="incomplete") == 40
        assert ris.contents == [film(number) for number in range(1, 20)]


@pytest.mark.fault(31)
@pytest.mark.hazard("H10")
async def test_connections_above_the_limit_are_refused_and_those_below_are_served(tmp_path: Path) -> None:
    """260 placers at one time for 200 places; when one leaves another may come."""
    events = Events()
    async with hostile_filler() as ris, AsyncExitStack() as stack:
        config = node_config(tmp_path, filler_port=ris.port, connections_max=200, connections_per_address_max=60)
        node = await stack.enter_async_context(node_of(config, events))
        port = node.ports["orders"]
        peers = [
            await stack.enter_async_context(RawPeer.connect(port, source=f"127.0.0.{1 + number // 50}"))
            for number in range(260)
        ]
        await until(lambda: refused_count(node) == 60)
        assert "connection_refused" in events.names()
        assert all(await asyncio.gather(*(peer.is_dropped() for peer in peers[200:])))
        for number, peer in enumerate(peers[:200]):
            peer.send(encode_frame(film(number)))
        answers = await asyncio.gather(*(peer.read_content() for peer in peers[:200]))
        assert all(ACCEPTED + b"CP%d\r" % number in answer for number, answer in enumerate(answers))
        peers[0].writer.close()
        await until(lambda: connection_count(node) == 199)
        async with RawPeer.connect(port, source="127.0.0.9") as newcomer:
            newcomer.send(encode_frame(film("NEW")))
            assert ACCEPTED + b"CPNEW" in await newcomer.read_content()
        assert refused_count(node) == 60


def connection_count(node: Node) -> float:
    return sample(node.metrics.render(), "interceptor_inbound_connections", route="orders")


def refused_count(node: Node) -> float:
    return sample(
        node.metrics.render(), "interceptor_inbound_connections_total", route="orders", result="refused_limit"
    )


@pytest.mark.fault(31)
async def test_one_address_cannot_take_every_place(tmp_path: Path) -> None:
    async with hostile_filler() as ris, AsyncExitStack() as stack:
        config = node_config(tmp_path, filler_port=ris.port, connections_max=20, connections_per_address_max=5)
        node = await stack.enter_async_context(node_of(config))
        port = node.ports["orders"]
        greedy = [await stack.enter_async_context(RawPeer.connect(port)) for _ in range(30)]
        assert all(await asyncio.gather(*(peer.is_dropped() for peer in greedy[5:])))
        async with RawPeer.connect(port, source="127.0.0.2") as other:
            other.send(encode_frame(film(1)))
            assert ACCEPTED + b"CP1" in await other.read_content()


@pytest.mark.fault(18)
@pytest.mark.fault(19)
@pytest.mark.hazard("H3", "H5")
@pytest.mark.parametrize("custody", ["relay", "store"])
async def test_a_placer_that_left_before_its_answer_gets_the_stored_one(tmp_path: Path, custody: str) -> None:
    """The order is held once, whether the placer was there to hear it or not."""
    async with hostile_filler() as ris:
        async with node_of(node_config(tmp_path, filler_port=ris.port, custody=custody)) as node:
            async with RawPeer.connect(node.ports["orders"]) as hasty:
                hasty.send(encode_frame(order("P1")))
            await until(lambda: len(node.custody.index.orders()) == 1)
            async with placer_of(node) as placer:
                first = await placer.exchange(order("P1"))
                assert ACCEPTED + b"CP1" in first
                assert await placer.exchange(order("P1")) == first
            assert len(node.custody.index.orders()) == 1
            assert len(await node.custody.journal.audit_rows()) == 1
        assert ris.contents == []


@pytest.mark.fault(18)
@pytest.mark.hazard("H22")
async def test_in_relay_the_answer_to_a_placer_that_left_is_nobodys(tmp_path: Path) -> None:
    """What the placer sends again goes again, with the same bytes: the filler knows a resend by its control id."""
    held_back: list[tuple[Session, bytes]] = []
    async with hostile_filler() as ris:
        ris.will(lambda session, control: held_back.append((session, control)))
        async with node_of(node_config(tmp_path, filler_port=ris.port)) as node:
            async with RawPeer.connect(node.ports["orders"]) as hasty:
                hasty.send(encode_frame(film(1)))
                await until(lambda: held_back)
            async with placer_of(node) as placer:
                await placer.send(film(2))
                answer_now(held_back, ris)
                assert ACCEPTED + b"CP2" in await placer.answer()
                assert ACCEPTED + b"CP1" in await placer.exchange(film(1))
    assert ris.contents == [film(1), film(2), film(1)]


def answer_now(held_back: list[tuple[Session, bytes]], ris: HostileFiller) -> None:
    """The filler gives the answer that it has kept back."""
    session, control = held_back.pop()
    ris.default(session, control)


@pytest.mark.fault(19)
@pytest.mark.hazard("H5")
async def test_in_store_a_resend_is_answered_the_same_and_forwarded_once(tmp_path: Path) -> None:
    """On the same connection, on another one, and on several at once."""
    async with (
        hostile_filler() as ris,
        node_of(node_config(tmp_path, filler_port=ris.port, custody="store")) as node,
        placer_of(node) as placer,
        placer_of(node) as other,
    ):
        first = await placer.exchange(film(1))
        assert await placer.exchange(film(1)) == first
        assert await other.exchange(film(1)) == first

        async def send_anew() -> bytes:
            async with placer_of(node) as one:
                return await one.exchange(film(2))

        answers = await asyncio.gather(*(send_anew() for _ in range(10)))
        assert len(set(answers)) == 1
        await placer.exchange(film(3))
        await until(lambda: len(ris.received) >= 3)
    assert ris.contents == [film(1), film(2), film(3)]


@pytest.mark.fault(20)
@pytest.mark.fault(21)
async def test_a_control_id_used_again_for_other_bytes_is_a_new_message_and_an_alarm(tmp_path: Path) -> None:
    events = Events()
    again = film(1, reason="fever").replace(b"P1^EPIC", b"P2^EPIC")
    async with hostile_filler() as ris:
        config = node_config(tmp_path, filler_port=ris.port, custody="store")
        async with node_of(config, events) as node, placer_of(node) as placer:
            assert ACCEPTED + b"CP1" in await placer.exchange(film(1))
            assert "control_id_reused" not in events.names()
            assert ACCEPTED + b"CP1" in await placer.exchange(again)
            await until(lambda: len(ris.received) >= 2)
            assert sample(node.metrics.render(), "interceptor_control_id_reuses_total", route="orders") == 1
    assert ris.contents == [film(1), again]
    assert events.names().count("control_id_reused") == 1


@pytest.mark.fault(20)
async def test_a_held_order_whose_control_id_comes_with_another_order_leaves_both_held(tmp_path: Path) -> None:
    events = Events()
    async with hostile_filler() as ris:
        async with node_of(node_config(tmp_path, filler_port=ris.port), events) as node, placer_of(node) as placer:
            await placer.exchange(order("P1", control_id="SAME"))
            await placer.exchange(order("P2", control_id="SAME", patient="2"))
            assert {one.order_key for one in node.custody.index.orders()} == {"P1^EPIC", "P2^EPIC"}
        assert ris.contents == []
    assert events.names().count("control_id_reused") == 1


@pytest.mark.deep
@pytest.mark.fault(16)
async def test_a_placer_that_vanished_without_a_word_gives_its_place_back(tmp_path: Path) -> None:
    """Its answer is never confirmed: TCP_USER_TIMEOUT (10 s) ends the connection."""
    async with (
        hostile_filler() as ris,
        node_of(node_config(tmp_path, filler_port=ris.port)) as node,
        RawPeer.connect(node.ports["orders"]) as placer,
    ):
        raw: socket.socket = placer.writer.get_extra_info("socket")
        held_back: list[tuple[Session, bytes]] = []
        ris.will(lambda session, control: held_back.append((session, control)))
        placer.send(encode_frame(film(1)))
        await until(lambda: held_back)
        drop_packets(raw)
        answer_now(held_back, ris)
        async with asyncio.timeout(30):
            while connection_count(node):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
