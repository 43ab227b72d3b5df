"""Orders that went to the filler are remembered until they are cancelled, and only so many; the journal knows the rest."""

from pathlib import Path

import pytest

from interceptor.action.plan import RouteMode
from interceptor.decision.decision import Disposition
from interceptor.journal.decision_record import decision_record
from interceptor.journal.passed_order import PassedOrders
from interceptor.journal.turn_parts import PassOn, Taken
from interceptor.message.view import MessageView
from tests.support.decided import decisions
from tests.support.orders import order_group
from tests.support.ward import START, Ward, new_order, said, ward


def test_an_order_that_went_is_known_until_its_cancel_went_too() -> None:
    passed = PassedOrders()
    passed.note("A1^X", "NW")
    passed.note("A1^X", "XO")
    assert (passed.knows("A1^X"), passed.knows("A2^X")) == (True, False)
    passed.note("A1^X", " ca ")
    assert (passed.knows("A1^X"), passed.remembers("A1^X"), passed.remembers("A2^X")) == (False, True, False)


def test_an_order_without_a_number_is_nobody() -> None:
    passed = PassedOrders()
    passed.note("", "NW")
    assert not passed.knows("")


def test_beyond_the_limit_the_longest_unheard_of_is_forgotten() -> None:
    passed = PassedOrders(count_max=2)
    for key in ("A1", "A2", "A1", "A3"):
        passed.note(key, "NW")
    assert [passed.knows(key) for key in ("A1", "A2", "A3")] == [True, False, True]


async def relayed(
    place: Ward, raw: bytes, disposition: Disposition = Disposition.PASS, mode: RouteMode = RouteMode.ENFORCE
) -> None:
    """A message went its way, and the recorder has kept its decisions."""
    view = MessageView(raw)
    records = [decision_record(view, one, route="main", mode=mode, at=START) for one in decisions(view, disposition)]
    await place.journal.record_decisions(records)


@pytest.mark.hazard("H4")
@pytest.mark.fault(22)
@pytest.mark.parametrize("disposition", [Disposition.PASS, Disposition.HOLD])
async def test_after_a_restart_an_order_that_went_is_not_held_when_it_is_placed_again(
    tmp_path: Path, disposition: Disposition
) -> None:
    async with ward(tmp_path) as place:
        await relayed(place, new_order("A1", "PASS"), disposition)
    async with ward(tmp_path) as place:
        assert isinstance(await place.receive(said("A1", "NW", "again", word="HOLD")), PassOn)
        assert b"H-REGIONAL" in place.arrived[0]
        assert isinstance(await place.receive(new_order("A2", "HOLD")), Taken)


async def test_after_a_restart_one_whose_cancel_went_too_may_be_held_again(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await relayed(place, new_order("A1", "PASS"))
        await relayed(place, said("A1", "CA"))
    async with ward(tmp_path) as place:
        assert isinstance(await place.receive(said("A1", "NW", "again", word="HOLD")), Taken)


async def test_what_was_taken_counts_as_gone_only_where_it_left_with_the_message(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await place.take(new_order("A1", "HOLD", extra_orders=(order_group("A2", procedure="PASS"),)))
        assert [await place.journal.has_gone(f"{number}^EPIC") for number in ("A1", "A2", "A3")] == [False, True, False]
