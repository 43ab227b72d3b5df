"""What the placer really gets: notices and answers of a running node, over real sockets and a real journal."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from interceptor.action.notice import SENTENCES
from interceptor.config.address import Address
from interceptor.config.schema import Config, NoticesTable
from interceptor.control.client import request_async
from interceptor.message.view import MessageView
from interceptor.node import Node
from tests.support.node import Events, Filler, Placer, filler, free_port, node_config, node_of, placer_of
from tests.support.orders import CHEST_FILM, order, order_group

CANCER = ("C50.911^Malignant neoplasm^I10",)
SHORT_HOURS = 0.0001
"""About a third of a second."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """A running node with everything around it: `ris` is the filler, `ehr` takes the placer's notices."""

    node: Node
    placer: Placer
    ris: Filler
    ehr: Filler
    events: Events
    socket: Path

    async def notices(self, count: int) -> list[tuple[str, str, str]]:
        """Order control, order number and order status of the first notices, as soon as there are so many."""
        views = [MessageView(content) for content in await self.ehr.wait_for(count)]
        return [(view.text("ORC-1"), view.text("ORC-2"), view.text("ORC-5")) for view in views]

    async def told(self, number: int) -> MessageView:
        """One notice, counted from 1."""
        return MessageView((await self.ehr.wait_for(number))[number - 1])

    async def act(self, command: str, reason: str) -> None:
        """Do something to the only order that waits."""
        listed: Any = await request_async(self.socket, "held_list")
        (waiting,) = listed["orders"]
        await request_async(self.socket, command, entry=waiting["entry"], actor="rad", reason=reason)


def with_notices(config: Config, port: int, style: str) -> Config:
    destination = config.destination["ris"].model_copy(update={"address": Address("127.0.0.1", port)})
    return config.model_copy(
        update={
            "destination": {**config.destination, "ehr": destination},
            "notices": NoticesTable.model_validate({"destination": "ehr", "style": style}),
        }
    )


@asynccontextmanager
async def site(folder: Path, *, style: str = "native", ehr_port: int = 0, **changes: Any) -> AsyncIterator[Site]:
    events = Events()
    async with filler() as ris, filler() as ehr:
        config = with_notices(node_config(folder, filler_port=ris.port, **changes), ehr_port or ehr.port, style)
        async with node_of(config, events) as node, placer_of(node) as placer:
            yield Site(node=node, placer=placer, ris=ris, ehr=ehr, events=events, socket=config.control_socket)


async def test_a_hold_and_its_release_are_told_with_their_reasons(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        assert b"MSA|AA|CP1" in await here.placer.exchange(order("P1"))
        assert await here.notices(1) == [("OH", "P1", "HD")]
        held = await here.told(1)
        assert held.text("ORC-16").startswith("H-")
        assert held.text("ORC-16.2")
        await here.act("held_release", "discussed by phone")
        assert await here.notices(2) == [("OH", "P1", "HD"), ("OE", "P1", "IP")]
        assert (await here.told(2)).text("ORC-16.2").endswith("discussed by phone")
        assert held.control_id != (await here.told(2)).control_id
        assert len(await here.ris.wait_for(1)) == 1


async def test_by_status_the_same_is_said_as_sc(tmp_path: Path) -> None:
    async with site(tmp_path, style="status") as here:
        await here.placer.exchange(order("P1"))
        await here.act("held_release", "seen")
        assert await here.notices(2) == [("SC", "P1", "HD"), ("SC", "P1", "IP")]


async def test_a_cancel_of_a_held_order_is_confirmed_and_the_filler_sees_nothing(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        await here.placer.exchange(order("P1"))
        await here.placer.exchange(order("P1", control="CA", control_id="C2"))
        assert (await here.notices(2))[1] == ("CR", "P1", "CA")
        assert here.ris.received == []


async def test_a_changed_order_that_still_waits_is_told_of_as_changed(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        await here.placer.exchange(order("P1"))
        changed = order("P1", control="XO", control_id="C2", procedure="72141^MRI C SPINE WO^C4")
        await here.placer.exchange(changed)
        assert (await here.notices(2))[1] == ("OH", "P1", "HD")
        again = await here.told(2)
        assert again.raw_value("OBR-4") == b"72141^MRI C SPINE WO^C4"
        notes = [segment.text(3) for segment in again.segments_named("NTE")]
        assert notes[0] == "S-CHANGED: " + SENTENCES["S-CHANGED"]
        assert any(note.startswith("H-") for note in notes[1:])


async def test_hold_and_release_requests_of_the_placer_are_answered(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        await here.placer.exchange(order("P1"))
        await here.placer.exchange(order("P1", control="HD", control_id="C2"))
        await here.placer.exchange(order("P1", control="RL", control_id="C3"))
        assert (await here.notices(3))[1:] == [("HR", "P1", "HD"), ("UR", "P1", "HD")]


async def test_a_replacement_confirms_every_replaced_order_and_names_the_new_one(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        await here.placer.exchange(order("P1"))
        await here.placer.exchange(order("P2"))
        await here.notices(2)
        new = order_group("P3", control="RO", diagnoses=CANCER)
        replacing = order("P1", control="RP", control_id="C3", extra_orders=(order_group("P2", control="RP"), new))
        await here.placer.exchange(replacing)
        assert (await here.notices(6))[2:] == [
            ("RQ", "P1", "RP"),
            ("RQ", "P2", "RP"),
            ("RO", "P3", "HD"),
            ("OH", "P3", "HD"),
        ]
        assert here.ris.received == []


async def test_a_replacement_that_need_not_wait_is_under_way(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        await here.placer.exchange(order("P1"))
        new = order_group("P2", control="RO", procedure=CHEST_FILM)
        await here.placer.exchange(order("P1", control="RP", control_id="C2", extra_orders=(new,)))
        assert (await here.notices(3))[1:] == [("RQ", "P1", "RP"), ("RO", "P2", "IP")]
        (sent,) = await here.ris.wait_for(1)
        assert MessageView(sent).text("ORC-1") == "NW"


async def test_an_order_that_goes_back_is_told_of_with_the_reviewers_words(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        await here.placer.exchange(order("P1"))
        await here.act("held_return", "please order the whole spine")
        assert (await here.notices(2))[1] == ("OC", "P1", "CA")
        assert (await here.told(2)).text("ORC-16.2").endswith(": please order the whole spine")
        assert here.ris.received == []


async def test_a_release_by_the_deadline_says_that_nobody_looked(tmp_path: Path) -> None:
    async with site(tmp_path, hold_deadline_business_hours=SHORT_HOURS, hold_deadline_hours_max=SHORT_HOURS) as here:
        await here.placer.exchange(order("P1"))
        assert (await here.notices(2))[1] == ("OE", "P1", "IP")
        assert (await here.told(2)).text("ORC-16") == "S-DEADLINE"
        assert len(await here.ris.wait_for(1)) == 1


async def test_the_end_of_the_set_window_is_told_as_the_hold_that_it_is(tmp_path: Path) -> None:
    async with site(tmp_path, hold_set_window_seconds=0.2) as here:
        await here.placer.exchange(order("P1"))
        assert await here.notices(1) == [("OH", "P1", "HD")]
        assert (await here.told(1)).text("ORC-16").startswith("H-")


@pytest.mark.hazard("H9")
async def test_an_order_is_held_and_released_although_nobody_can_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object, **_more: object) -> bytes:
        raise ZeroDivisionError("PATIENTNAME")

    monkeypatch.setattr("interceptor.route.build_notice", broken)
    async with site(tmp_path) as here:
        assert b"MSA|AA|CP1" in await here.placer.exchange(order("P1"))
        await here.act("held_release", "seen")
        assert len(await here.ris.wait_for(1)) == 1
        assert here.ehr.received == []
        assert here.events.names().count("notice_failed") == 2
        assert "PATIENTNAME" not in str(here.events.seen)
        page = here.node.metrics.render().decode()
        assert 'interceptor_notices_total{result="failed",route="orders"} 2.0' in page


async def test_orders_go_on_while_the_placers_listener_is_away(tmp_path: Path) -> None:
    async with site(tmp_path, ehr_port=free_port()) as here:
        await here.placer.exchange(order("P1"))
        await here.act("held_release", "seen")
        assert len(await here.ris.wait_for(1)) == 1
        waiting = await here.node.custody.journal.undelivered_rows()
        assert [(row.kind, row.destination) for row in waiting if row.kind == "notice"] == [("notice", "ehr")] * 2
        assert all(row.entry_id is not None for row in waiting)


async def test_without_a_destination_there_are_no_notices(tmp_path: Path) -> None:
    config = node_config(tmp_path, filler_port=free_port())
    async with node_of(config) as node, placer_of(node) as placer:
        await placer.exchange(order("P1"))
        assert await node.custody.journal.undelivered_rows() == ()


# Answers.


async def test_a_held_order_is_answered_by_an_order_response(tmp_path: Path) -> None:
    async with site(tmp_path, hold_reply="orr") as here:
        content = order("P1", procedure=CHEST_FILM, extra_orders=(order_group("P2", diagnoses=CANCER),))
        answer = MessageView(await here.placer.exchange(content))
        assert (answer.message_type.code, answer.text("MSA-1"), answer.text("MSA-2")) == ("ORR", "AA", "CP1")
        assert [(orc.text(1), orc.text(2), orc.text(5)) for orc in answer.segments_named("ORC")] == [
            ("OK", "P1", ""),
            ("OK", "P2", "HD"),
        ]
        cancelled = MessageView(await here.placer.exchange(order("P2", control="CA", control_id="C2")))
        assert (cancelled.text("ORC-1"), cancelled.text("ORC-5")) == ("CR", "CA")


async def test_a_parked_order_is_on_hold_in_the_response(tmp_path: Path) -> None:
    async with site(tmp_path, hold_reply="orr", hold_set_window_seconds=60.0) as here:
        answer = MessageView(await here.placer.exchange(order("P1")))
        assert (answer.text("ORC-1"), answer.text("ORC-5")) == ("OK", "HD")


async def test_both_acknowledgments_are_given_and_given_again_to_a_resend(tmp_path: Path) -> None:
    """Enhanced mode that asks for both: CA, then the application acknowledgment; a resend gets the same bytes."""
    content = order("P1", control_id="CBOTH").replace(b"|T|2.3.1", b"|T|2.3.1|||AL|AL")
    async with site(tmp_path, hold_reply="orr") as here:
        await here.placer.send(content)
        first = [await here.placer.answer(), await here.placer.answer()]
        assert [MessageView(one).text("MSA-1") for one in first] == ["CA", "AA"]
        assert [MessageView(one).message_type.code for one in first] == ["ACK", "ORR"]
        assert [MessageView(one).text("MSA-2") for one in first] == ["CBOTH", "CBOTH"]
        await here.placer.send(content)
        assert [await here.placer.answer(), await here.placer.answer()] == first
        # What comes next on the line is the next message's own answer.
        await here.placer.send(content.replace(b"CBOTH", b"CNEXT"))
        assert b"CNEXT" in await here.placer.answer()


async def test_store_custody_gives_the_application_acknowledgment_of_any_message_that_asks_for_it(
    tmp_path: Path,
) -> None:
    content = b"MSH|^~\\&|EPIC|HOSP|RIS|RAD|20260115||ADT^A08|CA1|T|2.4|||AL|AL\rPID|1||1001^^^HOSP^MR\r"
    async with site(tmp_path, hold_reply="orr", custody="store") as here:
        await here.placer.send(content)
        answers = [MessageView(await here.placer.answer()) for _ in range(2)]
        assert [(one.message_type.code, one.text("MSA-1")) for one in answers] == [("ACK", "CA"), ("ACK", "AA")]
        assert await here.ris.wait_for(1) == [content]
