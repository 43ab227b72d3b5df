"""The shortest way through a node: the same bytes, the same answers, the same counts as the general way."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from interceptor.context.extract import EvidenceNeeded
from interceptor.context.patient import NO_EVIDENCE, PatientEvidence
from interceptor.decision.message_decision import MessageDecision
from interceptor.message.view import MessageView
from interceptor.node import Node
from interceptor.shadow import WAITING_COUNT_MAX, WAITING_SIZE_MAX, ShadowDecisions, ShadowParts
from interceptor.wire.frame import encode_frame
from tests.support.hostile_filler import ack
from tests.support.mllp_peer import until
from tests.support.node import accept, filler, node_config, node_of, placer_of, reply
from tests.support.orders import CHEST_FILM, order

ADMISSION = b"MSH|^~\\&|EPIC|HOSP|RIS|RAD|20260115101500||ADT^A08|%b|T|2.3.1\rEVN|A08\rPID|1||1001^^^HOSP^MR\r"
AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def counted(node: Node, name: str) -> dict[str, float]:
    """Values of a metric's children on the page, by their labels as they are printed."""
    lines = (line for line in node.metrics.render().decode().splitlines() if line.startswith(name + "{"))
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.endswith(" 0.0")}


def decided_count_is(node: Node, count: int) -> bool:
    return sum(counted(node, "interceptor_orders_total").values()) == count


@pytest.mark.parametrize("mode", ["shadow", "annotate", "enforce"])
async def test_what_came_in_one_read_and_what_came_in_pieces_are_treated_alike(tmp_path: Path, mode: str) -> None:
    """The pieces go the general way of the decoder and the pipeline; everything that can be counted is the same."""
    seen: list[tuple[list[bytes], list[bytes], dict[str, float], dict[str, float]]] = []
    contents = [ADMISSION % b"M1", order("P1", procedure=CHEST_FILM), order("P1", control="CA", procedure=CHEST_FILM)]
    for pieces in (False, True):
        folder = tmp_path / str(pieces)
        folder.mkdir()
        async with filler() as ris, node_of(node_config(folder, filler_port=ris.port, mode=mode)) as node:
            answers: list[bytes] = []
            async with placer_of(node) as placer:
                for content in contents:
                    block = encode_frame(content)
                    for part in (block[:40], block[40:]) if pieces else (block,):
                        placer.writer.write(part)
                        await placer.writer.drain()
                        await asyncio.sleep(0.02 if pieces else 0)
                    answers.append(await placer.answer())
            await until(partial(decided_count_is, node, 2))
            orders, sent = counted(node, "interceptor_orders_total"), counted(node, "interceptor_acks_sent_total")
            seen.append((answers, list(ris.received), orders, sent))
    assert seen[0] == seen[1]
    assert seen[0][0] == [accept(content)[1:-2] for content in contents]
    assert seen[0][1] == contents


@pytest.mark.hazard("H4")
async def test_a_cancel_of_a_held_order_is_not_passed_by_its_study(tmp_path: Path) -> None:
    """A cancel is often sent without the study; the order that it is about is ours all the same."""
    async with (
        filler() as ris,
        node_of(node_config(tmp_path, filler_port=ris.port)) as node,
        placer_of(node) as placer,
    ):
        await placer.exchange(order("P1"))
        await placer.exchange(order("P1", control="CA", procedure=CHEST_FILM))
        await placer.exchange(order("P2", procedure=CHEST_FILM))
    assert ris.received == [order("P2", procedure=CHEST_FILM)]


@pytest.mark.hazard("H22")
@pytest.mark.parametrize("code", ["AA", "AE"])
async def test_an_answer_to_another_message_is_never_given_back(tmp_path: Path, code: str) -> None:
    async with filler() as ris, node_of(node_config(tmp_path, filler_port=ris.port, mode="shadow")) as node:
        ris.answer = lambda _content: encode_frame(ack(b"M12", code))
        async with placer_of(node) as placer:
            await placer.send(ADMISSION % b"M1")
            await until(lambda: counted(node, "interceptor_destination_ack_mismatches_total"))
            with pytest.raises(TimeoutError):
                await placer.answer(seconds=0.2)


async def test_a_filler_that_goes_away_is_told_of_where_that_is_asked_for(tmp_path: Path) -> None:
    async with filler() as ris:
        config = node_config(
            tmp_path, filler_port=ris.port, mode="shadow", on_filler_down="nak", destination_ack_timeout_seconds=0.5
        )
        async with node_of(config) as node, placer_of(node) as placer:
            assert b"MSA|AA|M1" in await placer.exchange(ADMISSION % b"M1")
            ris.answer = lambda content: reply(content, b"AR")
            assert b"MSA|AR|M2" in await placer.exchange(ADMISSION % b"M2")


class Decided:
    """What was decided behind the traffic, with functions in the place of the route's parts."""

    def __init__(self) -> None:
        self.recorded: list[bytes] = []
        self.failed: list[Exception] = []
        self.needs_evidence = False
        self.asked: list[Coroutine[None, None, None]] = []
        self.shadow = ShadowDecisions(
            ShadowParts(
                decide=self._decide,
                lookup=self._lookup,
                evidence_at_first=None,
                record=lambda view, _decision: self.recorded.append(view.control_id),
                find_study=lambda _raw, _fields: None,
                record_study=lambda _study: None,
                spawn=self.asked.append,
                now=lambda: AT,
                failed=self.failed.append,
            )
        )

    def _decide(self, view: MessageView, evidence: PatientEvidence | None, _at: datetime) -> MessageDecision:
        if view.control_id == b"BAD":
            raise ValueError(view.control_id)
        if self.needs_evidence and evidence is None:
            raise EvidenceNeeded
        return MessageDecision(orders=())

    async def _lookup(self, _view: MessageView) -> PatientEvidence:
        return NO_EVIDENCE


async def test_what_has_left_is_decided_later_in_the_order_it_left() -> None:
    decided = Decided()
    for number in range(20):
        decided.shadow.note(order(f"{number}"))
    assert decided.recorded == []
    await until(lambda: len(decided.recorded) == 20)
    assert decided.recorded == [f"C{number}".encode() for number in range(20)]


async def test_however_many_leave_at_once_none_is_left_out_and_few_wait() -> None:
    decided = Decided()
    for number in range(WAITING_COUNT_MAX + 50):
        decided.shadow.note(order(f"{number}"))
    assert len(decided.recorded) == 50
    decided.shadow.finish()
    assert len(decided.recorded) == WAITING_COUNT_MAX + 50


async def test_large_orders_do_not_fill_the_memory_while_they_wait() -> None:
    decided = Decided()
    for number in range(5):
        decided.shadow.note(order(f"{number}") + b"NTE|1||" + b"x" * (WAITING_SIZE_MAX // 3) + b"\r")
    assert len(decided.recorded) == 3
    decided.shadow.finish()
    assert len(decided.recorded) == 5


async def test_a_decision_that_fails_is_told_and_the_next_is_made() -> None:
    decided = Decided()
    for control_id in ("BAD", "GOOD"):
        decided.shadow.note(order("1", control_id=control_id))
    await until(lambda: decided.recorded == [b"GOOD"])
    assert [type(error) for error in decided.failed] == [ValueError]


async def test_a_decision_that_needs_evidence_asks_for_it() -> None:
    decided = Decided()
    decided.needs_evidence = True
    decided.shadow.note(order("1"))
    decided.shadow.note(b"no message")
    await until(lambda: len(decided.failed) == 1)
    assert (decided.recorded, len(decided.asked)) == ([], 1)
    await decided.asked[0]
    assert decided.recorded == [b"C1"]
