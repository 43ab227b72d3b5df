"""Reading pages takes its share of a processor and no more; deciding waits for nobody."""

import asyncio
from pathlib import Path

import pytest
from starlette.types import Message, Receive, Scope, Send

from interceptor.review.pacing import BURST_SECONDS, Pacing, ProcessorBudget
from tests.support.review import review_config, review_of


class Clock:
    """What the budget looks at."""

    def __init__(self) -> None:
        self.now = 100.0
        self.used = 7.0

    def budget(self, share: float) -> ProcessorBudget:
        return ProcessorBudget(share, monotonic=lambda: self.now, processor=lambda: self.used)


def test_a_burst_is_free_and_what_is_beyond_it_is_waited_for() -> None:
    clock = Clock()
    budget = clock.budget(0.25)
    clock.used += BURST_SECONDS
    assert budget.wait_seconds() == 0
    clock.used += 0.1
    assert budget.wait_seconds() == pytest.approx(0.4)
    clock.now += 0.4
    assert budget.wait_seconds() == pytest.approx(0)


def test_what_is_not_used_is_not_saved_beyond_a_burst() -> None:
    clock = Clock()
    budget = clock.budget(0.25)
    clock.now += 3600
    assert budget.wait_seconds() == 0
    clock.used += BURST_SECONDS + 0.25
    assert budget.wait_seconds() == pytest.approx(1.0)


@pytest.mark.parametrize("share", [0.05, 0.25, 2.0])
def test_for_long_no_more_than_the_share_is_taken(share: float) -> None:
    clock = Clock()
    budget = clock.budget(share)
    began, used = clock.now, clock.used
    for _ in range(10_000):
        clock.now += budget.wait_seconds()
        clock.used += 0.009
        clock.now += 0.009
    assert clock.used - used <= share * (clock.now - began) + BURST_SECONDS + 0.009 + 1e-6


async def test_while_nothing_is_left_reading_waits_in_turn_and_deciding_and_health_do_not() -> None:
    clock = Clock()
    served: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del receive, send
        served.append(f"{scope['method']} {scope['path']}")

    async def nothing() -> Message:
        return {"type": "http.disconnect"}

    async def sink(message: Message) -> None:
        del message

    paced = Pacing(app, budget=clock.budget(1.0))
    clock.used += BURST_SECONDS + 0.005

    def ask(method: str, path: str) -> asyncio.Task[None]:
        return group.create_task(paced({"type": "http", "method": method, "path": path}, nothing, sink))

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        readers = [ask("GET", f"/{number}") for number in range(3)]
        await ask("POST", "/order/1/release")
        await ask("GET", "/healthz")
        assert served == ["POST /order/1/release", "GET /healthz"]
        assert not any(reader.done() for reader in readers)
        clock.now += 1.0
    assert served[2:] == ["GET /0", "GET /1", "GET /2"]


async def test_the_share_of_the_configuration_is_the_pages_budget(tmp_path: Path) -> None:
    config = review_config(tmp_path, review={"processor_share": 0.5})
    async with review_of(config) as review:
        assert review.parts.settings.processor_share == 0.5
        assert Pacing.__name__ in [getattr(one.cls, "__name__", "") for one in review.app.user_middleware]
