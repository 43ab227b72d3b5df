"""kill -9 of the real program under everything a hospital sends: nothing is lost, doubled, reordered or forgotten.

The node runs below its supervisor; it is killed the moment the placer has sent, the filler has received or answered,
the reviewer has asked, or while it starts. Placers send again what was not acknowledged, as placers do. At the end
every acknowledged order must be in exactly one place.
"""

import asyncio
import random
import statistics
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from interceptor.control.protocol import ControlError
from tests.support.any_database import database_of
from tests.support.conservation import Kept, balance, problem_kinds, read_journal
from tests.support.counts import tell
from tests.support.mixed_load import Load
from tests.support.supervised_node import SupervisedNode

PLACER_COUNT = 4
MOMENTS = ("sent", "sent", "received", "answered", "acknowledged", "asked", "starting")
QUIET_SECONDS_MAX = 5.0
"""A moment that does not come within this time is not waited for: the kill comes all the same."""
QUIET_SETTLING_SECONDS_MAX = 120.0
"""At the end everything is released and delivered, however long that takes; but something must happen within this time."""
PAGE_COUNT = 200
RELEASED_TOGETHER = 5
"""What reviewers release of a page before they look at the list again."""
OUR_FAULTS = {"node_failed", "deciding_failed", "journal_replaced", "order_damaged", "timer_failed", "breaker_opened"}


@dataclass
class Killer:
    """Kills the node at the moment that was drawn: when something has happened so many times."""

    node: SupervisedNode
    rng: random.Random
    kills: int = 0
    restart_seconds: list[float] = field(default_factory=list)
    _word: str = ""
    _left: int = 0
    _done: asyncio.Event = field(default_factory=asyncio.Event)

    def happened(self, word: str) -> None:
        """Told of every step of placers, filler and reviewers."""
        if word != self._word:
            return
        self._left -= 1
        if self._left > 0:
            return
        self._word = ""
        if word in ("sent", "asked"):
            # The node has still to read it: anywhere in what it does with one message.
            asyncio.get_running_loop().call_later(self.rng.random() * 0.006, self._kill)
        else:
            self._kill()

    def _kill(self) -> None:
        if not self._done.is_set():
            self.kills += self.node.kill()
            self._done.set()

    async def kill_once(self) -> None:
        """Wait for a drawn moment, kill, and wait for the next node; now and then kill that before it serves."""
        word = self.rng.choice(MOMENTS)
        self._done.clear()
        if word == "starting":
            await asyncio.sleep(self.rng.random() * 0.8)
            self._kill()
        else:
            self._left, self._word = self.rng.randrange(1, 8 if word == "asked" else 120), word
            with suppress(TimeoutError):
                async with asyncio.timeout(QUIET_SECONDS_MAX):
                    await self._done.wait()
            self._word = ""
            self._kill()
        await self.node.until_started()
        if self.rng.random() < 0.85:
            self.restart_seconds.append(await self.node.until_serving())


@dataclass
class Reviewers:
    """Two people who release the same orders at the same time."""

    node: SupervisedNode
    load: Load

    async def work(self) -> None:
        """Go through the list and release, until the load ends; a node that is away is asked again."""
        while not self.load.is_ending:
            await self.release_some()
            await asyncio.sleep(0.05)

    async def release_some(self, *, of_a_page: int = RELEASED_TOGETHER) -> int:
        """Go through the whole list and release some of each page; how many orders were seen that should be released."""
        wanted_count, after = 0, None
        try:
            while True:
                page = await self.node.ask("held_list", after=after, limit=PAGE_COUNT)
                wanted = [one for one in page["orders"] if one["placer_order_number"] in self.load.to_release]
                wanted_count += len(wanted)
                for one in wanted[:of_a_page]:
                    await asyncio.gather(self._release(one, "ann"), self._release(one, "bob"))
                after = page["next"]
                if after is None:
                    return wanted_count
        except ControlError:
            return -1

    async def _release(self, seen: dict[str, object], actor: str) -> None:
        self.load.happened("asked")
        try:
            await self.node.ask(
                "held_release", entry=seen["entry"], version=seen["version"], actor=actor, reason="seen"
            )
        except ControlError:
            return  # The other one was faster, the placer cancelled it, or the node was killed: asked again then.
        self.load.ledger.note_released(str(seen["placer_order_number"]))


async def outbox_is_empty(node: SupervisedNode) -> bool:
    with suppress(ControlError):
        return not (await node.ask("held_list", states=["queued", "parked"]))["orders"]
    return False


async def settle(node: SupervisedNode, reviewers: Reviewers) -> None:
    """The last releases, and everything that waits for the filler delivered: a long run leaves a long queue."""
    load = reviewers.load
    load.drop_share = 0.0
    seen, changed_at = (-1, -1), time.monotonic()
    while await reviewers.release_some(of_a_page=PAGE_COUNT) != 0 or not await outbox_is_empty(node):
        now = (load.ledger.released.total(), len(load.ledger.received))
        if now != seen:
            seen, changed_at = now, time.monotonic()
        assert time.monotonic() < changed_at + QUIET_SETTLING_SECONDS_MAX, "nothing is released or delivered any more"
        await asyncio.sleep(0.05)


def promised_places(load: Load, kept: Kept) -> list[str]:
    """Held orders stay held, released ones have left, and nobody's cancel came to nothing."""
    found = []
    for number in sorted(load.held - load.cancelled):
        state = kept.states[number].value if number in kept.states else "unknown"
        wanted = "delivered" if number in load.to_release else "held"
        if state != wanted:
            found.append(f"{number} is {state}, not {wanted}")
    return found


async def run_sweep(
    folder: Path, capsys: pytest.CaptureFixture[str], database: str, *, custody: str, kill_count: int
) -> None:
    rng = random.Random(kill_count)
    load = Load(rng, drop_share=0.004)
    server = await asyncio.start_server(load.fill, "127.0.0.1", 0)
    filler_port = server.sockets[0].getsockname()[1]
    place = database_of(folder / "data" / "journal" / "journal.db")
    kill_count //= 1 if place is None else POSTGRES_SHARE
    node = SupervisedNode(folder, filler_port=filler_port, route=f'custody = "{custody}"', database=place)
    killer, reviewers = Killer(node, rng), Reviewers(node, load)
    load.happened = killer.happened
    async with server, node.running():
        async with asyncio.TaskGroup() as group:
            for number in range(PLACER_COUNT):
                group.create_task(load.place(number, lambda: node.placer_port))
            group.create_task(reviewers.work())
            while killer.kills < kill_count:
                await killer.kill_once()
            load.is_ending = True
        await node.until_serving()
        await settle(node, reviewers)
    load.ledger.disruptions += killer.kills
    kept = await read_journal(node.journal)
    done = balance(load.ledger, kept, is_relay=custody == "relay")
    problems = [*done.problems, *promised_places(load, kept)]
    sends = sum(one.sends for one in load.ledger.sent.values())
    tell(
        capsys,
        f"{database}, {custody}, killed {killer.kills} times: serving again after {statistics.median(killer.restart_seconds):.1f} s"
        f" (at most {max(killer.restart_seconds):.1f} s); {sends} sends, {done};"
        f" {load.ledger.released.total()} releases confirmed, {len(problems)} problems",
    )
    assert list(problem_kinds(problems, load.ledger, kept)) == []
    assert all(one.is_accepted for one in load.ledger.sent.values())
    assert {event["event"] for event in node.events() if "event" in event} & OUR_FAULTS == set()
    assert done.places["held"] > 0
    assert done.places["ended"] > 0
    assert load.ledger.released.total() > 0


POSTGRES_SHARE = 4
"""On PostgreSQL, where a node that comes back waits three seconds for its own lease, it is killed so many times less often."""


@pytest.mark.timeout(400)
@pytest.mark.fault(1)
@pytest.mark.fault(18)
@pytest.mark.hazard("H3", "H4", "H5", "H15", "H26")
@pytest.mark.parametrize(("custody", "kill_count"), [("relay", 20), ("store", 10)])
async def test_killed_at_random_points_under_load_the_node_keeps_its_promises(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], database: str, custody: str, kill_count: int
) -> None:
    await run_sweep(tmp_path, capsys, database, custody=custody, kill_count=kill_count)


@pytest.mark.deep
@pytest.mark.timeout(3600)
@pytest.mark.fault(1)
@pytest.mark.hazard("H3", "H4", "H5")
@pytest.mark.parametrize(("custody", "kill_count"), [("relay", 300), ("store", 150)])
async def test_killed_hundreds_of_times_the_node_keeps_its_promises(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], database: str, custody: str, kill_count: int
) -> None:
    await run_sweep(tmp_path, capsys, database, custody=custody, kill_count=kill_count)
