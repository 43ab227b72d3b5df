"""Siblings that left a moment ago count for their set until the window is over, and no longer."""

from datetime import UTC, datetime, timedelta

import pytest

from interceptor.context.order_facts import Procedure
from interceptor.context.order_set import SetMember
from interceptor.context.recent_member import COUNT_MAX, SET_COUNT_MAX, RecentMembers
from interceptor.context.vocabulary import ProcedureClass

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
REGIONAL = Procedure(procedure_class=ProcedureClass.REGIONAL_MR)


def member(number: int, *, seconds: float = 0.0, set_key: str = "set") -> SetMember:
    return SetMember(
        order_key=f"A{number}",
        set_key=set_key,
        procedure=REGIONAL,
        arrived_at=AT + timedelta(seconds=seconds),
        in_custody=True,
    )


@pytest.mark.parametrize(("after", "count"), [(0.0, 1), (15.0, 1), (15.1, 0), (-3600.0, 1)])
def test_a_member_counts_for_the_window(after: float, count: int) -> None:
    recent = RecentMembers(window_seconds=15.0)
    recent.add([member(1)])
    assert len(recent.find("set", at=AT + timedelta(seconds=after))) == count


def test_what_has_left_is_not_in_custody_and_comes_in_the_order_it_went() -> None:
    recent = RecentMembers(window_seconds=15.0)
    recent.add([member(1), member(2, seconds=1)])
    recent.add([member(3, seconds=2)])
    found = recent.find("set", at=AT + timedelta(seconds=2))
    assert [(one.order_key, one.in_custody) for one in found] == [("A1", False), ("A2", False), ("A3", False)]


def test_what_is_forgotten_stays_forgotten() -> None:
    recent = RecentMembers(window_seconds=15.0)
    recent.add([member(1)])
    assert recent.find("set", at=AT + timedelta(minutes=1)) == ()
    assert recent.find("set", at=AT) == ()


def test_a_set_is_asked_for_its_own_members_only() -> None:
    recent = RecentMembers(window_seconds=15.0)
    recent.add([member(1, set_key="one"), member(2, set_key="other")])
    assert [one.order_key for one in recent.find("one", at=AT)] == ["A1"]
    assert recent.find("third", at=AT) == ()


def test_of_a_set_that_grows_without_end_the_latest_count() -> None:
    recent = RecentMembers(window_seconds=15.0)
    recent.add(member(number, seconds=number / 10) for number in range(SET_COUNT_MAX + 3))
    found = recent.find("set", at=AT + timedelta(seconds=10))
    assert (len(found), found[0].order_key) == (SET_COUNT_MAX, "A3")
    assert recent.find("set", at=AT + timedelta(minutes=1)) == ()


def test_however_many_orders_leave_only_so_many_are_remembered() -> None:
    recent = RecentMembers(window_seconds=15.0)
    recent.add(member(number, set_key=f"set {number}") for number in range(COUNT_MAX + 5))
    assert recent.find("set 4", at=AT) == ()
    assert [one.order_key for one in recent.find("set 5", at=AT)] == ["A5"]
