"""The breaker: too many holds in ten minutes, or far more than usual, and nothing else."""

import pytest

from interceptor.action.breaker import (
    BASELINE_ORDERS_MIN,
    BASELINE_SECONDS,
    HOLDS_MIN,
    WINDOW_SECONDS,
    HoldBreaker,
    Opening,
)

pytestmark = [pytest.mark.hazard("H23"), pytest.mark.hazard("H24")]


def hold(breaker: HoldBreaker, seconds: float) -> Opening | None:
    return breaker.count(is_hold=True, seconds=seconds)


def usual_day(breaker: HoldBreaker, *, orders: int, holds: int, start: float = 0.0) -> float:
    """Orders at an even pace over a day, every so many of them a hold; returns the time after it."""
    every = orders // holds if holds else orders + 1
    for number in range(orders):
        assert breaker.count(is_hold=number % every == every - 1, seconds=start + number * 86_000 / orders) is None
    return start + 86_000 + WINDOW_SECONDS


def test_the_next_hold_after_the_most_allowed_opens_it() -> None:
    breaker = HoldBreaker(holds_max=20)
    assert [hold(breaker, 10.0 + number) for number in range(20)] == [None] * 20
    assert hold(breaker, 40.0) == Opening(reason="count", holds=21)


def test_orders_that_are_not_held_never_open_it() -> None:
    breaker = HoldBreaker(holds_max=1)
    assert all(breaker.count(is_hold=False, seconds=number) is None for number in range(1000))


def test_an_order_that_passes_after_too_many_holds_tells_nothing_again() -> None:
    """Only a hold is a reason to switch the route: what passes was told by the hold before it."""
    breaker = HoldBreaker(holds_max=1)
    hold(breaker, 0.0)
    assert hold(breaker, 1.0) == Opening(reason="count", holds=2)
    assert breaker.count(is_hold=False, seconds=2.0) is None


def test_holds_older_than_the_window_do_not_count() -> None:
    breaker = HoldBreaker(holds_max=2)
    hold(breaker, 0.0)
    hold(breaker, 1.0)
    assert hold(breaker, WINDOW_SECONDS) is None, "the first is exactly a window old"
    assert hold(breaker, WINDOW_SECONDS + 0.5) == Opening(reason="count", holds=3)


def test_a_rate_three_times_the_usual_opens_it_below_the_count() -> None:
    breaker = HoldBreaker(holds_max=100)
    now = usual_day(breaker, orders=1000, holds=50)
    openings = [hold(breaker, now + number) for number in range(HOLDS_MIN)]
    assert openings == [None] * (HOLDS_MIN - 1) + [Opening(reason="rate", holds=HOLDS_MIN)]


def test_a_rate_up_to_three_times_the_usual_does_not() -> None:
    breaker = HoldBreaker(holds_max=100)
    now = usual_day(breaker, orders=1000, holds=100)
    for number in range(40):
        assert breaker.count(is_hold=number % 4 == 3, seconds=now + number) is None


def test_a_day_without_a_hold_does_not_make_the_first_few_a_flood() -> None:
    breaker = HoldBreaker(holds_max=100)
    now = usual_day(breaker, orders=300, holds=0)
    assert [hold(breaker, now + number) for number in range(HOLDS_MIN - 1)] == [None] * (HOLDS_MIN - 1)


def test_without_a_baseline_the_rate_says_nothing() -> None:
    breaker = HoldBreaker(holds_max=100)
    now = usual_day(breaker, orders=BASELINE_ORDERS_MIN // 2, holds=0)
    assert all(hold(breaker, now + number) is None for number in range(HOLDS_MIN * 4))


def test_a_baseline_of_long_ago_is_forgotten() -> None:
    breaker = HoldBreaker(holds_max=100)
    now = usual_day(breaker, orders=1000, holds=0) + 3 * BASELINE_SECONDS
    breaker.count(is_hold=False, seconds=now)
    later = now + WINDOW_SECONDS
    assert all(hold(breaker, later + number) is None for number in range(HOLDS_MIN * 4))


def test_after_a_reset_it_counts_anew_and_keeps_the_baseline() -> None:
    breaker = HoldBreaker(holds_max=5)
    openings = [hold(breaker, float(number)) for number in range(6)]
    assert openings[-1] is not None
    breaker.reset()
    assert [hold(breaker, 10.0 + number) for number in range(5)] == [None] * 5
    assert hold(breaker, 20.0) == Opening(reason="count", holds=6)
