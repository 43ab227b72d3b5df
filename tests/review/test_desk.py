"""The desk: what people do with held orders and dead letters, who wins, and what the other one is told."""

import asyncio
from pathlib import Path
from typing import Any

import apsw
import pytest

from interceptor.action.lifecycle import OrderState
from interceptor.control.protocol import ControlError
from interceptor.journal.sql_journal import SqlJournal
from tests.support.orders import order, order_group
from tests.support.ward import Ward, all_words, in_state, new_order, said, ward, words_of


async def refusal(action: Any) -> tuple[str, str]:
    """Code and words of what the desk refuses."""
    with pytest.raises(ControlError) as refused:
        await action
    return refused.value.code, refused.value.message


async def test_a_release_sends_the_order_as_placed_with_a_note(tmp_path: Path) -> None:
    raw = new_order("A1", "HOLD")
    async with ward(tmp_path) as place:
        entry_id = await in_state(place, "A1", OrderState.HELD)
        answer = await place.act("held_release", "A1", actor="ann", reason="agreed")
        assert answer == {"entry": entry_id, "state": "queued", "version": 2}
        (row,) = [row for row in await place.journal.undelivered_rows() if row.kind == "order"]
        assert row.original == raw
        lines = row.content.split(b"\r")
        assert [line for line in lines if not line.startswith((b"NTE|", b"OBX|"))] == raw.split(b"\r")
        assert b"NTE|1|O|Released as ordered after review by ann at 2026-03-02 09:00 UTC." in lines
        assert b"NTE|2|O|Reason given: agreed" in lines
        assert (await place.notices())[-1] == "A1 OE IP"
        assert place.events.of("order_released") == [
            {"entry": entry_id, "step": "released", "actor": "user", "waiting_seconds": 0.0}
        ]


async def test_a_return_keeps_the_order_from_the_filler_and_tells_the_placer(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        await place.act("held_return", "A1", reason="please order the complete spine")
        entry = await place.entry("A1")
        assert (entry.state, entry.reason) == (OrderState.RETURNED, "please order the complete spine")
        assert (await place.notices())[-1] == "A1 OC CA"
        assert await place.leaving() == []


async def test_an_order_is_not_returned_without_a_reason(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        assert (await refusal(place.act("held_return", "A1", reason="  ")))[0] == "reason_missing"
        assert await place.state("A1") is OrderState.HELD


@pytest.mark.hazard("H15")
@pytest.mark.fault(44)
@pytest.mark.parametrize("second", ["held_release", "held_return"])
async def test_of_two_reviewers_at_once_one_wins_and_the_other_is_told_who_and_when(
    tmp_path: Path, second: str
) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        results = await asyncio.gather(
            place.act("held_release", "A1", actor="ann"),
            place.act(second, "A1", actor="bob"),
            return_exceptions=True,
        )
        (winner,) = [number for number, result in enumerate(results) if not isinstance(result, BaseException)]
        (error,) = [result for result in results if isinstance(result, ControlError)]
        past = "returned" if winner == 1 and second == "held_return" else "released"
        assert error.code == "conflict"
        assert error.message == f"already {past} by {('ann', 'bob')[winner]} at 2026-03-02T09:00:00+00:00"
        assert len(await place.deliver()) == (1 if past == "released" else 0)


@pytest.mark.fault(43)
@pytest.mark.parametrize("delivered", ["waiting", "delivered", "refused"])
async def test_a_second_release_names_the_first_whatever_became_of_the_order_since(
    tmp_path: Path, delivered: str
) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        await place.act("held_release", "A1", actor="ann")
        place.clock.move(minutes=5)
        if delivered == "delivered":
            await place.deliver()
        if delivered == "refused":
            await place.refuse()
        code, words = await refusal(place.act("held_release", "A1", actor="bob"))
        assert (code, words) == ("conflict", "already released by ann at 2026-03-02T09:00:00+00:00")


@pytest.mark.fault(46)
async def test_a_return_after_the_deadline_is_told_that_the_timer_was_faster(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        place.clock.move(hours=4)
        await asyncio.gather(place.timer.look(), asyncio.sleep(0))
        code, words = await refusal(place.act("held_return", "A1", actor="bob"))
        assert (code, words) == ("conflict", "already released by timer at 2026-03-02T13:00:00+00:00")


@pytest.mark.fault(46)
@pytest.mark.parametrize("faster", ["timer", "person"])
async def test_the_timer_and_a_person_at_once_release_one_order_once(tmp_path: Path, faster: str) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        place.clock.move(hours=4)
        acts = [place.timer.look(), place.act("held_return", "A1", actor="bob")]
        await asyncio.gather(*(acts if faster == "timer" else reversed(acts)), return_exceptions=True)
        arrived = await place.deliver()
        assert (await place.state("A1"), len(arrived)) in [(OrderState.DELIVERED, 1), (OrderState.RETURNED, 0)]


@pytest.mark.hazard("H16")
async def test_who_saw_an_older_order_must_look_again(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        seen = (await place.entry("A1")).version
        await place.take(said("A1", "XO", reason="something else"))
        code, words = await refusal(place.act("held_release", "A1", version=seen))
        assert (code, words) == ("conflict", "already changed by placer at 2026-03-02T09:00:00+00:00")
        await place.act("held_release", "A1", version=seen + 1)


@pytest.mark.hazard("H16")
@pytest.mark.fault(45)
async def test_a_cancel_and_a_release_at_once_are_one_after_the_other(tmp_path: Path) -> None:
    """Either the filler sees the order and then its cancel, or neither."""
    seen = []
    for head_start in range(12):
        async with ward(tmp_path / str(head_start)) as place:
            await in_state(place, "A1", OrderState.HELD)

            async def cancel(place: Ward, turns_of_the_loop: int) -> None:
                for _ in range(turns_of_the_loop):
                    await asyncio.to_thread(int)
                await place.receive(said("A1", "CA"))

            await asyncio.gather(cancel(place, head_start), place.act("held_release", "A1"), return_exceptions=True)
            await place.deliver()
            seen.append([word[:5] for word in all_words(place.arrived)])
    assert seen[0] == []
    assert all(arrived in ([], ["NW A1", "CA A1"]) for arrived in seen), seen


async def test_a_comment_is_in_the_history_and_changes_nothing_else(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        await place.act("held_comment", "A1", reason="called the ward")
        shown = await place.act("held_show", "A1")
        assert shown["history"][-1]["detail"]["comment"] == "called the ward"
        assert (shown["order"]["state"], shown["order"]["version"]) == ("held", 2)
        assert (await refusal(place.act("held_comment", "A1", reason="")))[0] == "comment_missing"


async def test_the_list_has_the_most_urgent_first_and_only_what_was_asked_for(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        await in_state(place, "A2", OrderState.PARKED)
        await in_state(place, "A3", OrderState.WITHDRAWN)
        await in_state(place, "A4", OrderState.QUEUED)

        async def listed(**arguments: Any) -> list[str]:
            answer = await place.desk["held_list"](arguments)
            orders: Any = answer["orders"]
            return [one["placer_order_number"] for one in orders]

        assert await listed() == ["A2", "A1"]
        assert await listed(limit=1) == ["A2"]
        assert await listed(states=["withdrawn"]) == ["A3"]
        assert sorted(await listed(states="open")) == ["A1", "A2", "A4"]


@pytest.mark.hazard("H2")
async def test_page_by_page_the_list_shows_every_order_once_also_when_one_leaves_in_between(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        for number in range(1, 6):
            await in_state(place, f"A{number}", OrderState.HELD)
        first: Any = await place.desk["held_list"]({"limit": 2})
        await place.act("held_release", "A2")
        second: Any = await place.desk["held_list"]({"limit": 2, "after": first["next"]})
        third: Any = await place.desk["held_list"]({"limit": 2, "after": second["next"]})
        pages = [[one["placer_order_number"] for one in page["orders"]] for page in (first, second, third)]
        assert pages == [["A1", "A2"], ["A3", "A4"], ["A5"]]
        assert third["next"] is None


async def test_an_order_is_shown_with_its_bytes_and_its_history(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        shown = await place.act("held_show", "A1")
        assert shown["content"] == new_order("A1", "HOLD").decode()
        assert shown["decision"]["reasons"] == ["H-REGIONAL"]
        assert [row["action"] for row in shown["history"]] == ["taken"]


@pytest.mark.parametrize(
    ("command", "arguments", "code"),
    [
        ("held_show", {}, "bad_argument"),
        ("held_show", {"entry": 0}, "bad_argument"),
        ("held_show", {"entry": True}, "bad_argument"),
        ("held_show", {"entry": "1"}, "bad_argument"),
        ("held_show", {"entry": 99}, "not_found"),
        ("held_release", {"entry": 1}, "bad_argument"),
        ("held_release", {"entry": 1, "actor": " "}, "bad_argument"),
        ("held_release", {"entry": 1, "actor": "user:"}, "bad_argument"),
        ("held_release", {"entry": 1, "actor": "ann", "version": "x"}, "bad_argument"),
        ("held_list", {"states": ["lost"]}, "bad_argument"),
        ("held_list", {"states": "all"}, "bad_argument"),
        ("held_list", {"limit": -1}, "bad_argument"),
        ("held_list", {"limit": "many"}, "bad_argument"),
        ("held_list", {"after": "A1"}, "bad_argument"),
        ("dead_retry", {"outbox_id": 1, "actor": "ann"}, "not_found"),
        ("dead_discard", {"outbox_id": 1, "actor": "ann"}, "reason_missing"),
        ("dead_discard", {"outbox_id": 1, "actor": "ann", "reason": "x"}, "not_found"),
    ],
)
async def test_what_makes_no_sense_is_refused_with_its_reason(
    tmp_path: Path, command: str, arguments: dict[str, Any], code: str
) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        assert (await refusal(place.desk[command](arguments)))[0] == code
        assert await place.state("A1") is OrderState.HELD


async def test_a_dead_letter_is_listed_sent_again_or_given_up(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.DEAD)
        listed: Any = (await place.desk["dead_list"]({}))["dead"]
        (letter,) = listed
        assert (letter["entry"], letter["error"], letter["kind"]) == (
            (await place.entry("A1")).entry_id,
            "refused",
            "order",
        )
        assert "content" not in letter
        which = {"outbox_id": letter["outbox_id"], "actor": "ann"}
        await place.desk["dead_retry"](which)
        assert await place.state("A1") is OrderState.QUEUED
        assert place.custody.index.queued.any_of(["A1^EPIC"])
        await place.refuse()
        await place.desk["dead_discard"]({**which, "reason": "ordered by phone"})
        assert (await place.desk["dead_list"]({}))["dead"] == []
        assert (await refusal(place.desk["dead_retry"](which)))[0] == "not_found"
        assert await place.leaving() == []


async def test_a_damaged_order_is_not_released_and_can_be_returned(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await place.take(order("A0", control_id="0", procedure="HOLD", extra_orders=(new_part("A1"),)))
    damage(tmp_path, b"A1")
    async with ward(tmp_path) as place:
        assert (await place.entry("A1")).damaged
        assert (await refusal(place.act("held_release", "A1")))[0] == "damaged"
        place.clock.move(hours=30)
        await place.timer.look()
        await place.timer.look()
        assert await place.state("A1") is OrderState.HELD
        assert place.events.names.count("order_damaged") == 1
        await place.act("held_return", "A1", reason="order it again")
        assert await place.state("A1") is OrderState.RETURNED
        assert [words_of(raw)[0] for raw in await place.leaving()] == ["NW A0 HOLD"], "the sound one left in time"


async def test_without_a_journal_a_person_is_told_that_nothing_happened(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        entry_id = await in_state(place, "A1", OrderState.HELD)
        await close_under(place.journal)
        code, words = await refusal(place.desk["held_release"]({"entry": entry_id, "actor": "ann"}))
        assert code == "journal_unavailable"
        assert words.startswith("nothing was changed: the journal is ")
        assert place.custody.index.orders()[0].state is OrderState.HELD


def new_part(number: str) -> bytes:
    return order_group(number, procedure="HOLD")


def damage(folder: Path, number: bytes) -> None:
    """Change one stored byte of the order, as a failing disk would."""
    connection = apsw.Connection(str(folder / "journal" / "journal.db"))
    connection.execute("DROP TRIGGER entry_content_changes_only_while_waiting")
    query = "SELECT entry_id, content FROM entry WHERE placer_order_number = ?"
    ((entry_id, content),) = connection.execute(query, (number.decode(),)).fetchall()
    assert isinstance(content, bytes)
    spoiled = content.replace(b"OBR|1|", b"OBR|7|")
    connection.execute("UPDATE entry SET content = ? WHERE entry_id = ?", (spoiled, entry_id))
    connection.close()


async def close_under(journal: SqlJournal) -> None:
    """The journal's writer takes no more."""
    await journal._writer.stop()


@pytest.mark.fault(43)
async def test_the_same_request_again_is_told_what_came_of_it_and_changes_nothing(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        first = await place.act("held_release", "A1", request="click-1")
        again = await place.act("held_release", "A1", request="click-1")
        assert (first["state"], again) == ("queued", {**first, "repeated": True})
        assert len(await place.leaving()) == 1
        await place.deliver()
        assert (await place.act("held_release", "A1", request="click-1"))["repeated"] is True


@pytest.mark.fault(43)
async def test_of_one_request_that_comes_twice_at_once_one_is_carried_out(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        async with asyncio.TaskGroup() as group:
            clicks = [
                group.create_task(place.act("held_release", "A1", request="click-1", version=1)) for _ in range(2)
            ]
        assert sorted(bool(click.result().get("repeated")) for click in clicks) == [False, True]
        assert len(await place.leaving()) == 1


async def test_the_same_word_of_another_person_or_about_another_order_is_another_request(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        await in_state(place, "A2", OrderState.HELD)
        await place.act("held_return", "A1", request="1")
        assert (await refusal(place.act("held_return", "A1", request="1", actor="bob")))[0] == "conflict"
        assert "repeated" not in await place.act("held_return", "A2", request="1")
