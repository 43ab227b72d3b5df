"""The latest time at which a held order leaves: the earliest of the limits, and never before it came."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.action.deadline import HoldLimits, hold_deadline

FRIDAY = datetime(2026, 3, 6, 16, 0, tzinfo=UTC)
LIMITS = HoldLimits()


def by_the_clock(start: datetime, hours: float) -> datetime:
    """A site that never closes."""
    return start + timedelta(hours=hours)


def closed_until_monday(start: datetime, hours: float) -> datetime:
    """A site whose desk closes now and opens on Monday at eight."""
    del start
    return datetime(2026, 3, 9, 8, 0, tzinfo=UTC) + timedelta(hours=hours)


@pytest.mark.hazard("H2")
@pytest.mark.parametrize(
    ("calendar", "planned_in", "row_seconds", "expected"),
    [
        (by_the_clock, None, None, timedelta(hours=4)),
        (closed_until_monday, None, None, timedelta(hours=24)),
        (by_the_clock, 6, None, timedelta(hours=2)),
        (by_the_clock, 8, None, timedelta(hours=4)),
        (by_the_clock, 4, None, timedelta(0)),
        (by_the_clock, 1, None, timedelta(0)),
        (by_the_clock, -3, None, timedelta(0)),
        (by_the_clock, 100, None, timedelta(hours=4)),
        (closed_until_monday, None, 900.0, timedelta(minutes=15)),
        (by_the_clock, 4.1, 900.0, timedelta(minutes=6)),
        (by_the_clock, None, 90_000.0, timedelta(hours=4)),
    ],
)
def test_the_earliest_limit_counts(
    calendar: object, planned_in: float | None, row_seconds: float | None, expected: timedelta
) -> None:
    assert callable(calendar)
    found = hold_deadline(
        FRIDAY,
        limits=LIMITS,
        add_business_hours=calendar,
        planned_start=None if planned_in is None else FRIDAY + timedelta(hours=planned_in),
        row_deadline_seconds=row_seconds,
    )
    assert found - FRIDAY == expected


@given(
    st.floats(min_value=0, max_value=1000),
    st.none() | st.floats(min_value=-1000, max_value=1000),
    st.none() | st.floats(min_value=0, max_value=1e6),
)
def test_no_order_waits_longer_than_the_cap_or_less_than_nothing(
    business_hours: float, planned_in: float | None, row_seconds: float | None
) -> None:
    """Whatever calendar, plan and row say: between the moment it came and `hours_max` later."""
    found = hold_deadline(
        FRIDAY,
        limits=LIMITS,
        add_business_hours=lambda start, _hours: start + timedelta(hours=business_hours),
        planned_start=None if planned_in is None else FRIDAY + timedelta(hours=planned_in),
        row_deadline_seconds=row_seconds,
    )
    assert FRIDAY <= found <= FRIDAY + timedelta(hours=LIMITS.hours_max)


def test_the_sites_own_numbers_count() -> None:
    limits = HoldLimits(business_hours=1.0, hours_max=2.0, planned_start_margin_hours=0.5)
    planned = FRIDAY + timedelta(minutes=75)
    deadlines = [
        hold_deadline(
            FRIDAY, limits=limits, add_business_hours=calendar, planned_start=start, row_deadline_seconds=None
        )
        for calendar, start in ((by_the_clock, None), (closed_until_monday, None), (by_the_clock, planned))
    ]
    assert [found - FRIDAY for found in deadlines] == [
        timedelta(hours=1),
        timedelta(hours=2),
        timedelta(minutes=45),
    ]
