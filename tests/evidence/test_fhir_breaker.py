"""The breaker as a machine: what it admits after what it was told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.evidence.fhir_breaker import BreakerOptions, FhirBreaker

OPTIONS = BreakerOptions(failures_max=3, pause_seconds=10.0, pause_seconds_max=35.0)


def opened(now: float = 0.0) -> FhirBreaker:
    breaker = FhirBreaker(OPTIONS)
    assert [breaker.failed(now) for _ in range(3)] == [False, False, True]
    return breaker


def test_failures_in_a_row_open_it_and_a_success_between_them_does_not() -> None:
    breaker = FhirBreaker(OPTIONS)
    for _ in range(5):
        assert not breaker.failed(0.0)
        assert not breaker.failed(0.0)
        assert not breaker.succeeded()
    assert breaker.admit(0.0)


def test_after_the_pause_exactly_one_question_is_admitted() -> None:
    breaker = opened()
    assert not breaker.admit(9.999)
    assert [breaker.admit(10.0) for _ in range(3)] == [True, False, False]
    assert breaker.succeeded()
    assert [breaker.admit(10.0) for _ in range(3)] == [True, True, True]


def test_each_failed_probe_doubles_the_pause_up_to_the_longest() -> None:
    breaker, now, pauses = opened(), 0.0, []
    for _ in range(4):
        pause = breaker.seconds_closed_for(now)
        pauses.append(pause)
        now += pause
        assert breaker.admit(now)
        assert not breaker.failed(now)
    assert pauses == [10.0, 20.0, 35.0, 35.0]
    breaker.admit(now + 35)
    breaker.succeeded()
    assert not breaker.failed(0.0)
    assert breaker.seconds_closed_for(0.0) == 0.0


@pytest.mark.parametrize(("asked", "kept"), [(20.0, 20.0), (3.0, 10.0), (1000.0, 35.0)])
def test_a_pause_that_the_server_asks_for_opens_at_once(asked: float, kept: float) -> None:
    breaker = FhirBreaker(OPTIONS)
    assert breaker.failed(0.0, pause_seconds=asked)
    assert breaker.seconds_closed_for(0.0) == kept


def test_a_failure_of_a_question_from_before_does_not_prolong_the_pause() -> None:
    breaker = opened()
    assert not breaker.failed(9.0)
    assert breaker.admit(10.0)


def test_a_probe_that_was_given_up_lets_the_next_one_try() -> None:
    breaker = opened()
    assert breaker.admit(10.0)
    breaker.abandoned()
    assert breaker.admit(10.0)


@given(st.lists(st.tuples(st.sampled_from(["ask", "good", "bad", "lost"]), st.floats(0, 50)), max_size=60))
def test_it_never_stays_shut_for_longer_than_its_longest_pause(steps: list[tuple[str, float]]) -> None:
    """Whatever happened: once nothing is on its way, a question is admitted after the longest pause."""
    breaker, now = FhirBreaker(OPTIONS), 0.0
    for step, seconds in steps:
        now += seconds
        match step:
            case "ask":
                breaker.admit(now)
            case "good":
                breaker.succeeded()
            case "bad":
                breaker.failed(now)
            case _:
                breaker.abandoned()
    breaker.abandoned()
    assert breaker.admit(now + OPTIONS.pause_seconds_max)
