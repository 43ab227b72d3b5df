"""An order that nobody decides says so before its deadline, once for each step, and stays what it is."""

from datetime import timedelta
from pathlib import Path

import pytest

from interceptor.action.lifecycle import OrderState
from interceptor.review.escalation import Escalation, EscalationParts, step_of
from interceptor.review.order_view import history_lines
from tests.support.ward import START, Ward, in_state, ward

pytestmark = pytest.mark.usefixtures("database")


def escalation_of(place: Ward) -> Escalation:
    return Escalation(
        EscalationParts(
            orders=place.custody.index.orders,
            tables=place.journal.side_tables,
            now=place.clock.now,
            log=place.events.log,
        )
    )


async def told(place: Ward) -> list[int]:
    entry = await place.entry("A1")
    rows = await place.journal.audit_rows(entry_id=entry.entry_id)
    return [int(str(row.detail["percent"])) for row in rows if row.action == "order_escalated"]


@pytest.mark.hazard("H2")
async def test_at_half_and_three_quarters_of_its_time_the_history_says_that_nobody_has_decided(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        version, watch = (await place.entry("A1")).version, escalation_of(place)
        await watch.look()
        assert await told(place) == []
        place.clock.move(hours=2)
        await watch.look()
        await watch.look()
        assert await told(place) == [50]
        await escalation_of(place).look()  # A node that was started again knows it from the history.
        assert await told(place) == [50]
        place.clock.move(hours=1)
        await watch.look()
        assert await told(place) == [50, 75]
        assert (await place.entry("A1")).version == version, "no form of a reviewer becomes stale by it"
        assert place.events.names.count("order_waits_long") == 2
        rows = await place.journal.audit_rows(entry_id=(await place.entry("A1")).entry_id)
        newest = history_lines(rows)[0]
        assert (newest.what, newest.detail) == ("Nobody has decided yet", "75 % of its time have passed")


async def test_an_order_that_was_decided_is_told_of_no_more(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        await place.act("held_return", "A1", reason_code="duplicate")
        place.clock.move(hours=3)
        await escalation_of(place).look()
        assert await told(place) == []


@pytest.mark.parametrize(("minutes", "step"), [(0, 0), (29, 0), (30, 50), (44, 50), (45, 75), (90, 75)])
def test_a_step_is_reached_at_its_share_of_the_time(minutes: int, step: int) -> None:
    assert step_of(START, START + timedelta(hours=1), START + timedelta(minutes=minutes)) == step


def test_an_order_without_time_is_at_the_last_step() -> None:
    assert step_of(START, START, START) == 75
