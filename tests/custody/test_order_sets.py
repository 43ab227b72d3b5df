"""Order sets across messages: siblings that wait for each other, leave together, and learn of a cancel."""

from collections.abc import Container, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from interceptor.action.lifecycle import OrderState
from interceptor.context.extract import EvidenceNeeded
from interceptor.context.order_set import SetMember
from interceptor.context.patient import NO_EVIDENCE, PatientEvidence
from interceptor.decision.message_decision import MessageDecision
from interceptor.journal.custody import set_keys_of
from interceptor.journal.turn_parts import PassOn
from interceptor.message.view import MessageView
from tests.support.decided import Decide
from tests.support.orders import order_group
from tests.support.ward import Ward, all_words, both, new_order, said, ward, words_of

pytestmark = pytest.mark.usefixtures("database")


def part(number: str, which: int, of: int = 3, **values: Any) -> bytes:
    """One part of a set that is complete with *of* parts."""
    return new_order(number, f"PART-{which}-{of}", **values)


async def states(place: Ward, *numbers: str) -> list[str]:
    return [(await place.state(number)).value for number in numbers]


async def test_the_last_sibling_releases_all_in_the_order_they_came_unchanged(tmp_path: Path) -> None:
    first, second, third = part("A1", 1), part("A2", 2), part("A3", 3)
    async with ward(tmp_path) as place:
        await place.take(first)
        await place.take(second)
        assert await states(place, "A1", "A2") == ["parked", "parked"]
        await place.take(third)
        assert await place.deliver() == [first, second, third]
        assert await states(place, "A1", "A2") == ["delivered", "delivered"]
        assert await place.notices() == ["A1 OE IP", "A2 OE IP"]


async def test_what_was_said_about_a_sibling_stays_behind_it(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await place.take(part("A1", 1, 2))
        status = said("A1", "SC")
        await place.take(status)
        last = part("A2", 2, 2)
        await place.take(last)
        assert await place.deliver() == [part("A1", 1, 2), status, last]


async def test_siblings_in_one_message_are_seen_at_once(tmp_path: Path) -> None:
    raw = part("A1", 1, 2)
    whole = raw + order_group("A2", procedure="PART-2-2")
    async with ward(tmp_path) as place:
        assert isinstance(await place.receive(whole), PassOn)
        assert place.arrived == [whole]


async def test_after_the_window_the_order_is_held_and_a_late_sibling_still_releases_it(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await place.take(part("A1", 1, 2))
        place.clock.move(seconds=14.9)
        await place.timer.look()
        assert await states(place, "A1") == ["parked"]
        place.clock.move(seconds=0.2)
        await place.timer.look()
        assert await states(place, "A1") == ["held"]
        assert await place.notices() == ["A1 OH HD"]
        await place.take(part("A2", 2, 2))
        assert [words_of(raw)[0] for raw in await place.deliver()] == ["NW A1 PART-1-2", "NW A2 PART-2-2"]


@pytest.mark.parametrize("is_same_day", [True, False])
async def test_a_cancelled_sibling_reopens_the_question_for_the_rest(tmp_path: Path, is_same_day: bool) -> None:
    """Also when the cancel is of another day, whose set would be another one."""
    cancel = said("A1", "CA", word="PART-1-3")
    if not is_same_day:
        cancel = cancel.replace(b"|20260115101500|||123", b"|20260116101500|||123")
    async with ward(tmp_path) as place:
        await place.take(part("A1", 1))
        await place.take(part("A2", 2))
        await place.take(cancel)
        entry = await place.entry("A2")
        history = await place.journal.audit_rows(entry_id=entry.entry_id)
        assert (entry.state, [row.action for row in history]) == (OrderState.PARKED, ["taken", "set_reopened"])
        await place.take(part("A3", 3))
        assert await states(place, "A1", "A2", "A3") == ["withdrawn", "parked", "parked"]
        assert await place.leaving() == []


async def test_a_sibling_that_was_cancelled_out_of_its_own_message_counts_no_more(tmp_path: Path) -> None:
    """A1 and A2 came in one message; A1 is cancelled; A3 would complete the set only with A1."""
    async with ward(tmp_path) as place:
        await place.take(part("A1", 1) + order_group("A2", procedure="PART-2-3"))
        await place.take(said("A1", "CA", word="PART-1-3"))
        await place.take(part("A3", 3))
        assert await states(place, "A1", "A2", "A3") == ["withdrawn", "parked", "parked"]
        assert await place.leaving() == []


async def test_a_change_that_completes_the_set_releases_the_siblings_too(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await place.take(part("A1", 1, 2))
        await place.take(part("A2", 1, 2))
        await place.take(said("A2", "XO", word="PART-2-2"))
        assert [words_of(raw)[0] for raw in await place.deliver()] == ["NW A1 PART-1-2", "NW A2 PART-2-2"]


async def test_a_replacement_that_completes_the_set_releases_the_siblings_too(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await place.take(part("A1", 1, 2))
        await place.take(part("A2", 1, 2))
        await place.take(said("A2", "RP", extra_orders=(order_group("A3", control="RO", procedure="PART-2-2"),)))
        assert await states(place, "A1", "A2", "A3") == ["queued", "replaced", "queued"]
        assert all_words(await place.deliver()) == ["NW A1 PART-1-2", "NW A3 PART-2-2"]


async def test_another_patients_order_completes_nothing(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await place.take(part("A1", 1, 2))
        await place.take(part("A2", 2, 2, patient="2002"))
        assert await states(place, "A1", "A2") == ["parked", "parked"]


async def test_a_sibling_that_a_reviewer_released_counts_no_more_here(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await place.take(part("A1", 1, 2))
        await place.act("held_release", "A1")
        await place.take(part("A2", 2, 2))
        assert await states(place, "A1", "A2") == ["queued", "parked"]


@pytest.mark.fault(23)
@pytest.mark.parametrize("count", [2, 3, 8])
async def test_siblings_that_come_at_the_same_moment_see_each_other(tmp_path: Path, count: int) -> None:
    """On connections of their own: whoever is decided last completes the set, and nobody is left behind."""
    async with ward(tmp_path) as place:
        parts = [part(f"A{number}", number, count) for number in range(1, count + 1)]
        await both(*(place.receive(raw) for raw in parts))
        arrived = await place.deliver()
        assert sorted(arrived) == sorted(parts)
        assert place.custody.index.orders() == ()


def asking(decide: Decide) -> Decide:
    """A decision that always has to ask the evidence sources first."""

    def ask(
        view: MessageView,
        evidence: PatientEvidence | None,
        as_of: datetime,
        members: Sequence[SetMember],
        withdrawn: Container[str],
    ) -> MessageDecision:
        if evidence is None:
            raise EvidenceNeeded
        return decide(view, evidence, as_of, members, withdrawn)

    return ask


@pytest.mark.fault(23)
async def test_while_one_sibling_has_its_turn_its_set_is_known(tmp_path: Path) -> None:
    """Known from the first moment, so that a sibling that need not wait does not pass it by."""
    async with ward(tmp_path) as place:
        known: list[bool] = []

        async def look(view: MessageView) -> PatientEvidence:
            known.append(place.custody.knows_set(set_keys_of(view)))
            return NO_EVIDENCE

        place.settings.decide, place.settings.lookup = asking(place.settings.decide), look
        await place.receive(part("A1", 1, 2))
        await place.receive(part("B1", 1, 1, patient="2002"))
        assert known == [True, True]
        assert place.custody.knows_set(set_keys_of(MessageView(part("A2", 2, 2))))
        assert not place.custody.knows_set(set_keys_of(MessageView(part("B2", 2, 2, patient="2002"))))


@pytest.mark.fault(44)
async def test_a_sibling_that_moves_while_the_message_is_decided_is_looked_at_again(tmp_path: Path) -> None:
    """A reviewer returns A1 while A2 is being decided with it: the turn begins anew, without A1."""
    async with ward(tmp_path) as place:
        await place.take(part("A1", 1, 2))
        asked: list[str] = []

        async def return_meanwhile(view: MessageView) -> PatientEvidence:
            if not asked:
                await place.act("held_return", "A1")
            asked.append(view.text("ORC-2"))
            return NO_EVIDENCE

        place.settings.decide, place.settings.lookup = asking(place.settings.decide), return_meanwhile
        await place.take(part("A2", 2, 2))
        assert len(asked) == 2, "the turn began anew"
        assert await states(place, "A1", "A2") == ["returned", "parked"]
        assert await place.leaving() == []
