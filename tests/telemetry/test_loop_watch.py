"""The watch over the event loop."""

import asyncio
import time
from collections.abc import Mapping

import pytest

from interceptor.telemetry.events import EventLog
from interceptor.telemetry.health import Health
from interceptor.telemetry.loop_watch import watch_loop


class Observations(list[float]):
    """A histogram that remembers everything, and tells when there is something."""

    def __init__(self) -> None:
        super().__init__()
        self.observed = asyncio.Event()

    def observe(self, amount: float) -> None:
        self.append(amount)
        self.observed.set()


async def run_watch(blocking_seconds: float) -> tuple[Observations, list[str], Health]:
    lags = Observations()
    names: list[str] = []

    def write(_level: str, name: str, _fields: Mapping[str, object], /) -> None:
        names.append(name)

    health = Health()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(
            watch_loop(health=health, lag=lags, log=EventLog(write, strict=True), interval_seconds=0.01)
        )
        await asyncio.sleep(0)
        time.sleep(blocking_seconds)  # noqa: ASYNC251 - blocking the loop is what is tested
        await lags.observed.wait()
        task.cancel()
    return lags, names, health


@pytest.mark.fault(53)
async def test_a_blocked_loop_is_measured_and_told() -> None:
    lags, names, _ = await run_watch(1.05)
    assert max(lags) >= 1.0
    assert names == ["loop_stalled"]


async def test_a_turning_loop_ticks_and_tells_nothing() -> None:
    _, names, health = await run_watch(0)
    assert names == []
    assert health.liveness().ok
