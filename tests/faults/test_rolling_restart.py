"""Rolling restarts under load: each time a fresh node takes over, and nobody is refused, loses, doubles or overtakes anything.

Placers keep to a rate, as placers do, and not to how fast they are answered; they send again only what was not answered.
"""

import asyncio
import random
import signal
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.conservation import balance, problem_kinds, read_journal
from tests.support.counts import tell
from tests.support.mixed_load import Load, PlacerLine
from tests.support.supervised_node import SupervisedNode

PLACER_COUNT = 8
RATE_PER_SECOND = 200.0
BETWEEN_SECONDS = 1.0
RESTART_SECONDS_MAX = 90.0
OUR_FAULTS = {"node_failed", "deciding_failed", "handover_failed", "process_ended", "process_stalled", "order_damaged"}


@dataclass
class PacedLine:
    """A placer connection that sends so many messages a second, each when the one before it was answered."""

    line: PlacerLine
    interval_seconds: float
    waits: list[float] = field(default_factory=list)
    meant: Counter[bytes] = field(default_factory=Counter)
    """How often the placer wanted to send each message; what a lost connection made it send again is not counted."""
    _due: float = field(default_factory=time.monotonic)

    async def say(self, raw: bytes) -> None:
        self._due = max(self._due + self.interval_seconds, time.monotonic() - 1.0)
        await asyncio.sleep(max(0.0, self._due - time.monotonic()))
        self.meant[raw] += 1
        began = time.monotonic()
        await self.line.say(raw)
        self.waits.append(time.monotonic() - began)


async def place(load: Load, paced: PacedLine) -> None:
    """Story after story, until the load ends."""
    stories = (load.passing, load.passing, load.passing, load.other, load.mixed, load.held_order, load.set_of_three)
    while not load.is_ending:
        await load.rng.choice(stories)(paced.say)
    paced.line.hang_up()


async def restart(node: SupervisedNode, times: int) -> list[float]:
    """Let a fresh node take over so many times; the seconds from the wish to its service."""
    seconds = []
    for number in range(times):
        await asyncio.sleep(BETWEEN_SECONDS)
        began = time.monotonic()
        node.ask_supervisor(signal.SIGUSR2)
        async with asyncio.timeout(RESTART_SECONDS_MAX):
            while node.count_events("node_started") < number + 2:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        seconds.append(time.monotonic() - began)
    return seconds


async def settle(node: SupervisedNode, load: Load) -> None:
    """Everything that waits for the filler is delivered: a long run in store custody leaves a long queue."""
    seen, changed_at = -1, time.monotonic()
    while (await node.ask("held_list", states=["queued", "parked"]))["orders"]:
        if len(load.ledger.received) != seen:
            seen, changed_at = len(load.ledger.received), time.monotonic()
        assert time.monotonic() < changed_at + RESTART_SECONDS_MAX, "nothing is delivered any more"
        await asyncio.sleep(0.05)


def doubled(load: Load, meant: Counter[bytes]) -> list[str]:
    """Messages that the filler has got more often than their placer wanted to send them."""
    arrived = Counter(unit for message in load.ledger.received for unit in message.units)
    return [
        one.message.control_id
        for raw, one in load.ledger.sent.items()
        if any(arrived[unit] > meant[raw] for unit in one.message.units)
    ]


async def run_restarts(folder: Path, capsys: pytest.CaptureFixture[str], *, custody: str, times: int) -> None:
    rng = random.Random(times)
    load = Load(rng, answer_seconds_max=60.0, filler_seconds_max=0.001)
    server = await asyncio.start_server(load.fill, "127.0.0.1", 0)
    filler_port = server.sockets[0].getsockname()[1]
    node = SupervisedNode(folder, filler_port=filler_port, route=f'custody = "{custody}"')
    interval = PLACER_COUNT / RATE_PER_SECOND
    lines = [PacedLine(PlacerLine(load, one, lambda: node.placer_port), interval) for one in range(PLACER_COUNT)]
    async with server, node.running():
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for paced in lines:
                group.create_task(place(load, paced))
            restarts = await restart(node, times)
            load.is_ending = True
        seconds = time.monotonic() - began
        await settle(node, load)
    kept = await read_journal(node.journal)
    done = balance(load.ledger, kept, is_relay=custody == "relay")
    sends = sum(one.sends for one in load.ledger.sent.values())
    meant = sum((paced.meant for paced in lines), Counter[bytes]())
    waits = sorted(wait for paced in lines for wait in paced.waits)
    tell(
        capsys,
        f"{custody}, {times} rolling restarts, {sends / seconds:.0f} messages/s: {done}; {load.refused_count} connections"
        f" refused, {sends - meant.total()} messages sent again for a lost connection, {len(doubled(load, meant))} of them arrived twice; taken over in {statistics.median(restarts):.1f} s"
        f" (at most {max(restarts):.1f} s), the longest that a placer waited {waits[-1]:.2f} s, p50 {statistics.median(waits):.4f} s",
    )
    assert list(problem_kinds(done.problems, load.ledger, kept)) == []
    assert doubled(load, meant) == []
    assert load.refused_count == 0
    assert all(one.is_accepted for one in load.ledger.sent.values())
    assert {str(event.get("event")) for event in node.events()} & OUR_FAULTS == set()


@pytest.mark.timeout(300)
@pytest.mark.fault(47)
@pytest.mark.hazard("H19", "H3", "H5")
@pytest.mark.parametrize(("custody", "times"), [("relay", 3), ("store", 1)])
async def test_rolling_restarts_under_load_lose_double_and_refuse_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], custody: str, times: int
) -> None:
    await run_restarts(tmp_path, capsys, custody=custody, times=times)


@pytest.mark.deep
@pytest.mark.timeout(1800)
@pytest.mark.fault(47)
@pytest.mark.hazard("H19", "H3", "H5")
@pytest.mark.parametrize("custody", ["relay", "store"])
async def test_twenty_rolling_restarts_under_load_lose_double_and_refuse_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], custody: str
) -> None:
    await run_restarts(tmp_path, capsys, custody=custody, times=20)
