"""MLLP Release 2 on a route: what the commit block before the acknowledgment says, over real sockets."""

import asyncio
from pathlib import Path

import pytest

from interceptor.journal.port import JournalReason, JournalUnavailable
from interceptor.wire.commit_block import MllpCommitAck
from tests.support.mllp_peer import until
from tests.support.node import Events, accept, filler, free_port, node_config, node_of, placer_of, reply
from tests.support.orders import CHEST_FILM, order

ACK, NAK = MllpCommitAck.ACK.value, MllpCommitAck.NAK.value
FILM = order("P1", procedure=CHEST_FILM)


def wanting_no_acknowledgment(content: bytes) -> bytes:
    """The message in enhanced mode, with MSH-15 and MSH-16 NE."""
    return content.replace(b"|T|2.3.1\r", b"|T|2.3.1|||NE|NE\r")


@pytest.mark.parametrize("code", [b"AA", b"AE"])
async def test_a_relayed_message_is_committed_when_the_filler_has_answered_it(tmp_path: Path, code: bytes) -> None:
    async with filler() as ris:
        ris.answer = lambda content: reply(content, code)
        config = node_config(tmp_path, filler_port=ris.port, mllp_commit_ack=True)
        async with node_of(config) as node, placer_of(node) as placer:
            assert await placer.exchange(FILM) == ACK
            assert await placer.answer() == reply(FILM, code)[1:-2]


async def test_a_message_that_the_filler_leaves_unanswered_gets_no_block(tmp_path: Path) -> None:
    answered = order("P2", procedure=CHEST_FILM)
    async with filler() as ris:
        ris.answer = lambda content: None if content == FILM else accept(content)
        config = node_config(tmp_path, filler_port=ris.port, mllp_commit_ack=True, destination_ack_timeout_seconds=1.0)
        async with node_of(config) as node, placer_of(node) as placer:
            await placer.send(FILM)
            assert await placer.exchange(answered) == ACK
            assert b"MSA|AA|CP2" in await placer.answer()


async def test_a_late_refusal_brings_no_block_that_the_next_message_could_take_for_its_own(tmp_path: Path) -> None:
    """The filler refuses a message that asked for no answer; by then it has come to its end for the placer."""
    unasked = wanting_no_acknowledgment(FILM)
    async with filler() as ris:
        ris.answer = lambda content: reply(content, b"AE") if content == unasked else accept(content)
        config = node_config(tmp_path, filler_port=ris.port, mllp_commit_ack=True)
        async with node_of(config) as node, placer_of(node) as placer:
            assert b"MSA|AE|CP1" in await placer.exchange(unasked)
            assert await placer.exchange(order("P2", procedure=CHEST_FILM)) == ACK


async def test_a_stored_message_is_committed_though_it_asks_for_no_acknowledgment(tmp_path: Path) -> None:
    async with filler() as ris:
        config = node_config(tmp_path, filler_port=ris.port, mllp_commit_ack=True, custody="store")
        async with node_of(config) as node, placer_of(node) as placer:
            assert await placer.exchange(wanting_no_acknowledgment(FILM)) == ACK
            assert await placer.exchange(order("P2", procedure=CHEST_FILM)) == ACK
            assert b"MSA|AA|CP2" in await placer.answer()
            await ris.wait_for(2)


async def test_a_held_order_and_its_resend_are_committed_each_before_its_answer(tmp_path: Path) -> None:
    async with filler() as ris:
        config = node_config(tmp_path, filler_port=ris.port, mllp_commit_ack=True)
        async with node_of(config) as node, placer_of(node) as placer:
            for _ in range(2):
                assert await placer.exchange(order("P1")) == ACK
                assert b"MSA|AA|CP1" in await placer.answer()
            assert len(node.custody.index.orders()) == 1
        assert ris.received == []


async def test_enhanced_mode_gets_one_block_before_its_two_answers(tmp_path: Path) -> None:
    content = order("P1").replace(b"|T|2.3.1\r", b"|T|2.3.1|||AL|AL\r")
    async with filler() as ris:
        config = node_config(tmp_path, filler_port=ris.port, mllp_commit_ack=True)
        async with node_of(config) as node, placer_of(node) as placer:
            assert await placer.exchange(content) == ACK
            assert b"MSA|CA|CP1" in await placer.answer()
            assert b"MSA|AA|CP1" in await placer.answer()


async def test_what_a_journal_cannot_keep_is_not_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_arguments: object) -> None:
        raise JournalUnavailable(JournalReason.FULL)

    async with filler() as ris:
        config = node_config(tmp_path, filler_port=ris.port, mllp_commit_ack=True, custody="store")
        async with node_of(config) as node, placer_of(node) as placer:
            monkeypatch.setattr("interceptor.route.take_turn", full)
            assert await placer.exchange(FILM) == NAK
            assert b"MSA|AE|CP1" in await placer.answer()
        assert ris.received == []


async def test_while_the_filler_is_away_a_message_that_wants_no_acknowledgment_is_refused_by_its_block(
    tmp_path: Path,
) -> None:
    config = node_config(tmp_path, filler_port=free_port(), mllp_commit_ack=True, on_filler_down="nak")
    events = Events()
    async with node_of(config, events) as node, placer_of(node) as placer:
        await until(lambda: "destination_lost" in events.names())
        assert await placer.exchange(wanting_no_acknowledgment(FILM)) == NAK


async def test_what_is_not_hl7_is_refused_by_its_block_and_a_broken_message_by_one_block_only(tmp_path: Path) -> None:
    """A start block inside a field gives two frames: one message to its sender, who waits for one block."""
    broken = FILM.replace(b"TESTPATIENT", b"TEST\x0bPATIENT")
    async with filler() as ris:
        config = node_config(tmp_path, filler_port=ris.port, mllp_commit_ack=True, strict_inbound=True)
        async with node_of(config) as node, placer_of(node) as placer:
            assert await placer.exchange(b"this is no message\r") == NAK
            placer.writer.write(b"\x0b" + broken + b"\x1c\r")
            assert b"MSA|AR|CP1" in await placer.answer()
            assert await placer.answer() == NAK
            assert await placer.exchange(FILM) == ACK
            assert await placer.answer() == accept(FILM)[1:-2]


async def test_a_message_that_is_too_large_is_refused_by_its_block_and_its_acknowledgment(tmp_path: Path) -> None:
    async with filler() as ris:
        config = node_config(tmp_path, filler_port=ris.port, mllp_commit_ack=True, frame_size_max=2048)
        async with node_of(config) as node, placer_of(node) as placer:
            assert await placer.exchange(FILM + b"OBX|1|TX|||" + b"x" * 5000 + b"\r") == NAK
            assert b"MSA|AR|CP1" in await placer.answer()


async def test_a_block_of_the_placer_is_no_message_and_its_connection_still_ends_at_once(tmp_path: Path) -> None:
    async with filler() as ris:
        config = node_config(tmp_path, filler_port=ris.port, mllp_commit_ack=True)
        async with node_of(config) as node, placer_of(node) as placer:
            assert await placer.exchange(FILM) == ACK
            await placer.answer()
            await placer.send(ACK)
            placer.writer.write_eof()
            with pytest.raises(asyncio.IncompleteReadError):
                await placer.answer(seconds=5)
        assert ris.received == [FILM]


async def test_a_route_without_the_option_sends_no_block(tmp_path: Path) -> None:
    async with filler() as ris:
        config = node_config(tmp_path, filler_port=ris.port)
        async with node_of(config) as node, placer_of(node) as placer:
            assert await placer.exchange(FILM) == accept(FILM)[1:-2]
            assert b"MSA|AA|CP2" in await placer.exchange(order("P2"))
