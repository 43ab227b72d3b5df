"""Feeds of a running node over real sockets: acknowledged after the commit, or relayed and read."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from interceptor.config.schema import Config, FeedTable
from interceptor.evidence import feed_message as feed_message_module
from interceptor.journal.port import JournalReason, JournalUnavailable
from interceptor.journal.side_tables import SideTables
from interceptor.node import Node
from tests.support.feed_message import diagnosis, feed_message, visit
from tests.support.node import Events, Filler, Placer, filler, node_config, node_of, placer_of, reply
from tests.support.orders import order

CANCER = feed_message("ADT^A08", visit("V1"), diagnosis(), control_id="F1")
ORDER = order("77", diagnoses=())


def feed_config(folder: Path, *, filler_port: int, **feed: Any) -> Config:
    """A node that enforces, with one feed "adt"."""
    table = FeedTable.model_validate({"listen": "127.0.0.1:0", **feed})
    return node_config(folder, filler_port=filler_port).model_copy(update={"feed": {"adt": table}})


async def is_held(node: Node) -> bool:
    """Whether an order that states no diagnosis is held."""
    async with placer_of(node) as placer:
        await placer.exchange(ORDER)
    return bool(node.custody.index.orders())


def metric(node: Node, name: str, **labels: str) -> float:
    """One number of the metrics page."""
    wanted = ",".join(f'{key}="{value}"' for key, value in labels.items())
    for line in node.metrics.render().decode().splitlines():
        if line.startswith(f"{name}{{{wanted}}}"):
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError(f"{name} {wanted}")


async def test_an_order_is_held_for_a_cancer_that_only_the_feed_told_of(tmp_path: Path) -> None:
    async with filler() as ris, node_of(feed_config(tmp_path, filler_port=ris.port)) as node:
        async with placer_of(node, "adt") as sender:
            answer = await sender.exchange(CANCER)
        assert b"\rMSA|AA|F1" in answer
        assert await is_held(node)
        assert ris.received == []
        assert metric(node, "interceptor_registry_feed_messages_total", feed="adt", result="recorded") == 1
        assert metric(node, "interceptor_registry_feed_last_timestamp_seconds", feed="adt") > 1.7e9


async def test_what_the_feed_said_is_known_after_a_restart(tmp_path: Path) -> None:
    async with filler() as ris:
        async with node_of(feed_config(tmp_path, filler_port=ris.port)) as node, placer_of(node, "adt") as sender:
            await sender.exchange(CANCER)
        async with node_of(feed_config(tmp_path, filler_port=ris.port)) as node:
            assert await is_held(node)


async def test_enhanced_mode_is_answered_with_a_commit_accept(tmp_path: Path) -> None:
    message = CANCER.replace(b"|T|2.5.1\r", b"|T|2.5.1|||AL|NE\r")
    async with (
        filler() as ris,
        node_of(feed_config(tmp_path, filler_port=ris.port)) as node,
        placer_of(node, "adt") as sender,
    ):
        assert b"\rMSA|CA|F1" in await sender.exchange(message)


@pytest.mark.parametrize(
    ("message", "result"),
    [
        (feed_message("ADT^A02", control_id="F2"), "ignored"),
        (feed_message("ADT^A08", patient="5", control_id="F2"), "no_patient"),
    ],
)
async def test_a_message_that_says_nothing_is_acknowledged_and_counted(
    tmp_path: Path, message: bytes, result: str
) -> None:
    async with filler() as ris, node_of(feed_config(tmp_path, filler_port=ris.port)) as node:
        async with placer_of(node, "adt") as sender:
            assert b"\rMSA|AA|F2" in await sender.exchange(message)
        assert metric(node, "interceptor_registry_feed_messages_total", feed="adt", result=result) == 1


async def test_a_batch_is_refused_and_nothing_of_it_is_believed(tmp_path: Path) -> None:
    async with filler() as ris, node_of(feed_config(tmp_path, filler_port=ris.port)) as node:
        async with placer_of(node, "adt") as sender:
            assert b"\rMSA|AR|F1" in await sender.exchange(b"BHS|^~\\&|A\r" + CANCER)
        assert not await is_held(node)


@pytest.mark.fault(4)
async def test_a_journal_that_cannot_write_leaves_the_message_with_its_sender(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(self: SideTables, work: Any) -> Any:
        raise JournalUnavailable(JournalReason.FULL)

    async with filler() as ris, node_of(feed_config(tmp_path, filler_port=ris.port)) as node:
        async with placer_of(node, "adt") as sender:
            with monkeypatch.context() as patch:
                patch.setattr(SideTables, "write", unavailable)
                assert b"\rMSA|AE|F1" in await sender.exchange(CANCER)
            assert b"\rMSA|AA|F1" in await sender.exchange(CANCER)
        assert await is_held(node)


async def test_a_fault_of_our_own_does_not_stop_the_feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("TESTPATIENT")

    events = Events()
    async with filler() as ris, node_of(feed_config(tmp_path, filler_port=ris.port), events) as node:
        async with placer_of(node, "adt") as sender:
            with monkeypatch.context() as patch:
                patch.setattr(feed_message_module, "read_said_at", broken)
                assert b"\rMSA|AA|F1" in await sender.exchange(CANCER)
            assert b"\rMSA|AA|F1" in await sender.exchange(CANCER)
        assert metric(node, "interceptor_registry_feed_messages_total", feed="adt", result="failed") == 1
        assert await is_held(node)
    (told,) = [fields for name, fields in events.seen if name == "feed_reading_failed"]
    assert "TESTPATIENT" not in str(told)


async def relayed(ris: Filler, node: Node, sender: Placer, message: bytes) -> bytes:
    answer = await sender.exchange(message)
    assert ris.received[-1] == message
    async with asyncio.timeout(5):
        while metric(node, "interceptor_registry_feed_messages_total", feed="adt", result="recorded") < 1:  # noqa: ASYNC110 - a metric has no event
            await asyncio.sleep(0.01)
    return answer


async def test_a_relayed_feed_passes_unchanged_and_is_read_all_the_same(tmp_path: Path) -> None:
    async with filler() as ris, node_of(feed_config(tmp_path, filler_port=ris.port, destination="ris")) as node:
        async with placer_of(node, "adt") as sender:
            answer = await relayed(ris, node, sender, CANCER)
        assert answer.startswith(b"MSH|^~\\&|RIS|RAD")
        assert await is_held(node)


async def test_what_the_receiver_refused_is_not_believed(tmp_path: Path) -> None:
    async with filler() as ris, node_of(feed_config(tmp_path, filler_port=ris.port, destination="ris")) as node:
        ris.answer = lambda content: reply(content, b"AE")
        async with placer_of(node, "adt") as sender:
            assert b"MSA|AE|F1" in await sender.exchange(CANCER)
        await asyncio.sleep(0.1)
        assert metric(node, "interceptor_registry_feed_messages_total", feed="adt", result="recorded") == 0


async def test_a_relayed_message_that_is_not_hl7_is_the_receivers_to_judge(tmp_path: Path) -> None:
    async with filler() as ris, node_of(feed_config(tmp_path, filler_port=ris.port, destination="ris")) as node:
        async with placer_of(node, "adt") as sender:
            await sender.exchange(b"hello")
        assert ris.received == [b"hello"]


@pytest.mark.hazard("H14")
async def test_nothing_of_a_patient_is_in_logs_or_metrics(tmp_path: Path) -> None:
    marks = (b"CANARYNAME", b"CANARYID", b"CANARYTEXT", b"19111213")
    name, number, text, birth = (mark.decode() for mark in marks)
    patient = f"{number}^^^HOSP^MR||{name}^X"
    messages = [
        feed_message(
            "ADT^A08",
            visit(number),
            diagnosis(f"C50.911^{text}^I10"),
            f"AL1|1||^{text}",
            patient=patient,
            birth_date=birth,
        ),
        feed_message("ADT^A40", f"MRG|{number}9^^^HOSP^MR", patient=patient, birth_date=birth),
        feed_message("PPR^PC1", f"PRB|AD||^{text}|{number}", patient=patient, birth_date=birth),
        b"MSH|^~\\&\r" + text.encode(),
        text.encode(),
        b"BHS|^~\\&|" + text.encode(),
    ]
    events = Events()
    async with filler() as ris, node_of(feed_config(tmp_path, filler_port=ris.port), events) as node:
        for message in messages:
            async with placer_of(node, "adt") as sender:
                await sender.send(message)
                await asyncio.sleep(0.05)
        await is_held(node)
        page = node.metrics.render()
    told = str(events.seen).encode() + page
    assert not [mark for mark in marks if mark in told]
    assert b'feed="adt",result="recorded"} 3' in page
