"""The database is stopped, frozen or cut off while orders come in: relay flows, would-be holds go on annotated.

Frozen is worse than stopped: connections stand, and nobody answers. Cut off is worse still: the kernel does not answer
either. Without its synchronous standby it answers every question, and no commit ends. A short lane in CI goes by what has happened, not by a clock; the deep lane keeps the database away for 30 s.
"""

import asyncio
import signal
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from interceptor.action.lifecycle import OrderState
from interceptor.node import Node
from interceptor.telemetry.health import DegradedReason
from tests.support.cluster import on_database, until
from tests.support.cluster_site import Wire
from tests.support.counts import tell
from tests.support.node import Events, Filler, Placer, filler, node_config, node_of, placer_of
from tests.support.orders import CHEST_FILM, order
from tests.support.postgres_server import PostgresServer, need_postgres, new_server, signal_all

pytestmark = [pytest.mark.timeout(300), pytest.mark.hazard("H1", "H3", "H9", "H10"), pytest.mark.fault(41)]
HELD_COUNT = 5
KINDS = (
    "stopped",
    "frozen",
    "cut",
    pytest.param("without its standby", marks=pytest.mark.fault(42)),
)


@dataclass
class Away:
    """A node, its database and the wire between, and what the placers saw."""

    node: Node
    server: PostgresServer
    wire: Wire
    filler: Filler
    seconds: list[float] = field(default_factory=list)
    hold_seconds: list[float] = field(default_factory=list)

    @property
    def annotated(self) -> int:
        """Would-be holds that went on."""
        return len(self.hold_seconds)

    def leave(self, kind: str) -> None:
        """The database is away from now on."""
        match kind:
            case "stopped":
                self.server.stop()
            case "frozen":
                signal_all(self.server, signal.SIGSTOP)
            case "cut":
                self.wire.cut()
            case _:
                # Commits wait for a synchronous standby that is gone; reads are answered.
                self.server.configure(synchronous_standby_names="gone")
                self.server.reload()

    def come_back(self, kind: str) -> None:
        match kind:
            case "stopped":
                self.server.start()
            case "frozen":
                signal_all(self.server, signal.SIGCONT)
            case "cut":
                self.wire.mend()
            case _:
                self.server.configure(synchronous_standby_names="")
                self.server.reload()

    async def films(self, name: str, is_over: asyncio.Event) -> None:
        """Orders that pass, one after the other, each timed."""
        async with placer_of(self.node) as placer:
            number = 0
            while not is_over.is_set():
                number += 1
                content = order(f"{name}{number}", control_id=f"{name}{number}", procedure=CHEST_FILM, diagnoses=())
                began = time.monotonic()
                assert b"MSA|AA" in await placer.exchange(content)
                self.seconds.append(time.monotonic() - began)
                await asyncio.sleep(0.005)

    async def holds(self, is_over: asyncio.Event, count: int) -> None:
        """Orders that would be held; each goes on with a note. A placer that gets no answer sends again, as placers do."""
        number = 0
        while not is_over.is_set() and number < count:
            number += 1
            content = order(f"W{number}", control_id=f"W{number}")
            began = time.monotonic()
            await self._until_answered(content)
            self.hold_seconds.append(time.monotonic() - began)

    async def _until_answered(self, content: bytes) -> None:
        while True:
            async with placer_of(self.node) as placer:
                try:
                    answer = await _answer(placer, content)
                except TimeoutError:
                    continue  # It was in a commit when the database left: its outcome is not known, and not told.
            assert b"MSA|AA" in answer, answer
            return


async def _answer(placer: Placer, content: bytes) -> bytes:
    await placer.send(content)
    return await placer.answer(seconds=10.0)


@asynccontextmanager
async def place(folder: Path) -> AsyncIterator[Away]:
    """One node whose way to the database can be cut."""
    need_postgres()
    with new_server() as server:
        database = server.database()
        wire = Wire(server.port)
        carrier = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
        wire.port = carrier.sockets[0].getsockname()[1]
        async with carrier, filler() as ris:
            config = on_database(
                node_config(folder, filler_port=ris.port),
                server.place(database.database, port=str(wire.port)),
                folder,
                name="one",
            )
            async with node_of(config, Events()) as node:
                made = Away(node, server, wire, ris)
                try:
                    yield made
                finally:
                    signal_all(server, signal.SIGCONT)
                    wire.mend()


def would_be_holds(received: list[bytes]) -> list[bytes]:
    """Those that reached the filler with a note."""
    return [content for content in received if b"|W" in content and b"\rNTE|" in content]


async def stay_away(folder: Path, kind: str, capsys: pytest.CaptureFixture[str], *, seconds: float, holds: int) -> None:
    """Run the lane; the database is back after *seconds* and when *holds* would-be holds have gone on."""
    async with place(folder) as away:
        async with placer_of(away.node) as placer:
            for number in range(HELD_COUNT):
                assert b"MSA|AA" in await placer.exchange(order(f"H{number}", control_id=f"H{number}"))
            assert away.filler.received == []
        is_over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for name in ("A", "B"):
                group.create_task(away.films(name, is_over))
            await until(lambda: len(away.seconds) >= 20)
            with_database = len(away.seconds)
            began = time.monotonic()
            away.leave(kind)
            holding = group.create_task(away.holds(is_over, 1_000_000 if seconds else holds))
            await until(lambda: away.annotated >= holds and time.monotonic() - began >= seconds, seconds=240)
            await until(lambda: DegradedReason.JOURNAL_UNAVAILABLE in away.node.health.degraded)
            await _cancel_is_refused(away)
            is_over.set()
            await holding
        gone = time.monotonic() - began
        without = sorted(away.seconds[with_database:])
        assert len(would_be_holds(away.filler.received)) >= away.annotated
        away.come_back(kind)
        await until(lambda: away.node.health.readiness().ok, seconds=120)
        assert not away.node.failed.is_set()
        entries = await away.node.custody.journal.open_entries()
        held = [one for one in entries if one.placer_order_number.startswith("H")]
        assert [one.state for one in held] == [OrderState.HELD] * HELD_COUNT
        await _cancel_is_taken(away)
    tell(
        capsys,
        f"database {kind} for {gone:.1f} s: {len(without)} passed, median {statistics.median(without) * 1000:.1f} ms,"
        f" p99 {without[int(len(without) * 0.99)] * 1000:.1f} ms, worst {without[-1] * 1000:.0f} ms;"
        f" {away.annotated} would-be holds went on annotated, the first after {away.hold_seconds[0]:.1f} s, median"
        f" {statistics.median(away.hold_seconds) * 1000:.1f} ms; {HELD_COUNT} held orders intact",
    )


async def _cancel_is_refused(away: Away) -> None:
    """A cancel of a held order must not pass it: AE, and the placer keeps it."""
    async with placer_of(away.node) as placer:
        assert b"MSA|AE" in await placer.exchange(order("H0", control_id="HC", control="CA"))


async def _cancel_is_taken(away: Away) -> None:
    async with placer_of(away.node) as placer, asyncio.timeout(60):
        while b"MSA|AA" not in await placer.exchange(order("H0", control_id="HC", control="CA")):  # noqa: ASYNC110 - the other side is asked anew
            await asyncio.sleep(0.05)
    entry = await away.node.custody.journal.latest_entry_for("H0^EPIC")
    assert entry is not None
    assert entry.state is OrderState.WITHDRAWN
    assert not [content for content in away.filler.received if b"|HC|" in content]


@pytest.mark.parametrize("kind", KINDS)
async def test_relay_flows_while_the_database_is_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    await stay_away(tmp_path, kind, capsys, seconds=0.0, holds=3)


@pytest.mark.deep
@pytest.mark.parametrize("kind", KINDS)
async def test_relay_flows_while_the_database_is_away_for_half_a_minute(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    await stay_away(tmp_path, kind, capsys, seconds=30.0, holds=20)
