"""Deadlines share one timer and touch it rarely."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from interceptor.transport.deadline import Deadline, Deadlines


class Timer:
    def __init__(self, at: float, callback: Callable[[], None]) -> None:
        self.at = at
        self.callback = callback
        self.is_cancelled = False

    def when(self) -> float:
        return self.at

    def cancel(self) -> None:
        self.is_cancelled = True


class Clock:
    """As much of an event loop as a timer needs, with the time in the test's hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, at: float, callback: Callable[[], None], *args: Any) -> Timer:
        self.timers.append(Timer(at, callback))
        return self.timers[-1]

    def go_to(self, time: float) -> None:
        while True:
            due = [timer for timer in self.timers if not timer.is_cancelled and timer.at <= time]
            if not due:
                break
            first = min(due, key=lambda timer: timer.at)
            self.timers.remove(first)
            self.now = max(first.at, self.now)
            first.callback()
        self.now = time

    @property
    def standing_count(self) -> int:
        return sum(not timer.is_cancelled for timer in self.timers)


def make() -> tuple[Clock, list[tuple[Deadline, float]], Deadlines]:
    clock = Clock()
    passed: list[tuple[Deadline, float]] = []
    deadlines = Deadlines(
        cast("asyncio.AbstractEventLoop", clock), lambda deadline: passed.append((deadline, clock.now))
    )
    return clock, passed, deadlines


def test_a_deadline_passes_at_its_time() -> None:
    clock, passed, deadlines = make()
    deadlines.set(Deadline.READ, 30)
    clock.go_to(129.9)
    assert passed == []
    assert deadlines.stands(Deadline.READ)
    clock.go_to(130)
    assert passed == [(Deadline.READ, 130.0)]
    assert not deadlines.stands(Deadline.READ)


def test_a_moved_deadline_passes_at_its_last_time_only() -> None:
    clock, passed, deadlines = make()
    deadlines.set(Deadline.IDLE, 10)
    clock.go_to(105)
    deadlines.set(Deadline.IDLE, 10)
    clock.go_to(114)
    assert passed == []
    clock.go_to(115)
    assert passed == [(Deadline.IDLE, 115.0)]


def test_an_earlier_deadline_takes_the_timer() -> None:
    clock, passed, deadlines = make()
    deadlines.set(Deadline.READ, 30)
    deadlines.set(Deadline.SILENCE, 0.5)
    clock.go_to(200)
    assert passed == [(Deadline.SILENCE, 100.5), (Deadline.READ, 130.0)]


def test_a_cleared_deadline_never_passes() -> None:
    clock, passed, deadlines = make()
    deadlines.set(Deadline.READ, 30)
    deadlines.clear(Deadline.READ)
    deadlines.clear(Deadline.WRITE)
    clock.go_to(200)
    assert passed == []


def test_moving_a_deadline_a_thousand_times_uses_one_timer() -> None:
    clock, _, deadlines = make()
    for step in range(1000):
        clock.go_to(100 + step / 1000)
        deadlines.set(Deadline.IDLE, 30)
    assert len(clock.timers) == 1


def test_a_deadline_may_be_set_again_while_it_passes() -> None:
    clock = Clock()
    times: list[float] = []

    def passed(deadline: Deadline) -> None:
        times.append(clock.now)
        deadlines.set(deadline, 5)

    deadlines = Deadlines(cast("asyncio.AbstractEventLoop", clock), passed)
    deadlines.set(Deadline.WRITE, 5)
    clock.go_to(116)
    assert times == [105.0, 110.0, 115.0]
    assert clock.standing_count == 1


def test_cancel_leaves_no_timer() -> None:
    clock, passed, deadlines = make()
    deadlines.set(Deadline.READ, 30)
    deadlines.cancel()
    deadlines.cancel()
    assert clock.standing_count == 0
    clock.go_to(200)
    assert passed == []
