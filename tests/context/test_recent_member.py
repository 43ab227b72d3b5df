"""Siblings that left a moment ago count for their set until the window is over, and no longer."""

from datetime import UTC, datetime, timedelta

import pytest

from interceptor.context.order_facts import Procedure
from interceptor.context.order_set import SetMember
from interceptor.context.recent_member import COUNT_MAX, RecentMembers
from interceptor.context.vocabulary import ProcedureClass

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
REGIONAL = Procedure(procedure_class=ProcedureClass.REGIONAL_MR)


def member(number: int, *, seconds: float = 0.0) -> SetMember:
    return SetMember(
        order_key=f"A{number}",
        set_key="set",
        procedure=REGIONAL,
        arrived_at=AT + timedelta(seconds=seconds),
        in_custody=True,
    )


@pytest.mark.parametrize(("after", "count"), [(0.0, 1), (15.0, 1), (15.1, 0), (-3600.0, 1)])
def test_a_member_counts_for_the_window(after: float, count: int) -> None:
    recent = RecentMembers(window_seconds=15.0)
    recent.add([member(1)])
    assert len(recent.find(at=AT + timedelta(seconds=after))) == count


def test_what_has_left_is_not_in_custody_and_comes_in_the_order_it_went() -> None:
    recent = RecentMembers(window_seconds=15.0)
    recent.add([member(1), member(2, seconds=1)])
    recent.add([member(3, seconds=2)])
    found = recent.find(at=AT + timedelta(seconds=2))
    assert [(one.order_key, one.in_custody) for one in found] == [("A1", False), ("A2", False), ("A3", False)]


def test_what_is_forgotten_stays_forgotten() -> None:
    recent = RecentMembers(window_seconds=15.0)
    recent.add([member(1)])
    assert recent.find(at=AT + timedelta(minutes=1)) == ()
    assert recent.find(at=AT) == ()


def test_however_many_orders_leave_only_so_many_are_remembered() -> None:
    recent = RecentMembers(window_seconds=15.0)
    recent.add(member(number) for number in range(COUNT_MAX + 5))
    found = recent.find(at=AT)
    assert (len(found), found[0].order_key) == (COUNT_MAX, "A5")
