"""The database goes away, or another server takes its place, while orders come in."""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from interceptor.journal.port import IntakeDone, JournalUnavailable
from interceptor.journal.postgres import open_postgres_journal
from interceptor.journal.postgres_connection import PostgresPlace
from tests.support.cluster import cluster, until
from tests.support.counts import tell
from tests.support.journal_values import held_intake
from tests.support.node import placer_of
from tests.support.orders import CHEST_FILM, order
from tests.support.postgres_server import PASSWORD, PostgresServer, free_port, give, need_postgres, new_server

pytestmark = [pytest.mark.timeout(300), pytest.mark.hazard("H3")]


@pytest.mark.fault(41)
async def test_with_the_database_away_relay_flows_and_held_orders_are_intact_when_it_is_back(tmp_path: Path) -> None:
    """A chest film passes, a would-be hold goes on annotated, a cancel of a held order is refused, none of it is slow."""
    need_postgres()
    with new_server() as server:
        async with cluster(tmp_path, 1, server=server) as one, placer_of(one.nodes[0]) as placer:
            assert b"MSA|AA" in await placer.exchange(order("P1", control_id="M1"))
            assert one.filler.received == []
            server.stop()
            assert b"MSA|AA" in await placer.exchange(order("P2", control_id="M2", procedure=CHEST_FILM, diagnoses=()))
            assert b"MSA|AA" in await placer.exchange(order("P3", control_id="M3"))
            film, annotated = await one.filler.wait_for(2)
            assert b"M2" in film
            assert b"\rNTE|" in annotated
            assert b"MSA|AE" in await placer.exchange(order("P1", control_id="M4", control="CA"))
            server.start()
            async with asyncio.timeout(60):
                answer = b""
                while b"MSA|AA" not in answer:
                    answer = await placer.exchange(order("P1", control_id="M4", control="CA"))
            assert len(one.filler.received) == 2
            assert not one.nodes[0].failed.is_set()
            assert (await one.nodes[0].custody.journal.latest_entry_for("P1^EPIC")).state == "withdrawn"  # type: ignore[union-attr]  # it is there


@contextmanager
def standby_of(primary: PostgresServer, folder: Path) -> Iterator[PostgresServer]:
    """A synchronous standby."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    give(folder)
    standby = PostgresServer(folder=folder, port=free_port())
    passwords = folder / "pgpass"
    passwords.write_text(f"127.0.0.1:{primary.port}:*:interceptor:{PASSWORD}\n")
    passwords.chmod(0o600)
    give(passwords)
    connection = f"host=127.0.0.1 port={primary.port} user=interceptor passfile={passwords} application_name=standby"
    standby.run("pg_basebackup", "-D", standby.data, "-d", connection, "-R", "-X", "stream", "-c", "fast")
    standby.configure(port=str(standby.port), primary_conninfo=connection, unix_socket_directories=str(folder))
    standby.start()
    primary.configure(synchronous_standby_names="standby")
    primary.reload()
    try:
        yield standby
    finally:
        if standby.process is not None:
            standby.stop()


async def _write_until_killed(
    place: PostgresPlace, primary: PostgresServer, standby: PostgresServer, seed: int
) -> tuple[list[str], int]:
    """Control ids that were acknowledged, before and after the failover, and how many were refused."""
    acknowledged: list[str] = []
    refused = 0
    is_killed = asyncio.Event()

    async with open_postgres_journal(place) as journal:

        async def bring(worker: int) -> None:
            nonlocal refused
            left = 5
            number = 0
            while left:
                number += 1
                left -= is_killed.is_set()
                name = f"{seed}-{worker}-{number}"
                try:
                    done = await journal.record_intake(held_intake(name, order=name))
                except JournalUnavailable:
                    refused += 1
                    left += is_killed.is_set()
                    await asyncio.sleep(0.2)
                else:
                    assert isinstance(done, IntakeDone)
                    acknowledged.append(name)

        async def kill() -> None:
            await until(lambda: len(acknowledged) >= 40 + seed)
            await asyncio.to_thread(primary.kill)
            await asyncio.to_thread(standby.run, "pg_ctl", "promote", "-D", standby.data, "-w")
            is_killed.set()

        async with asyncio.TaskGroup() as group:
            for worker in range(8):
                group.create_task(bring(worker))
            group.create_task(kill())
    return acknowledged, refused


async def _kill_primaries(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    need_postgres()
    total = 0
    for seed in range(count):
        with new_server() as primary:
            place = primary.database()
            with standby_of(primary, Path(primary.folder.parent) / f"{primary.folder.name}-standby") as standby:
                both = primary.place(place.database, host="127.0.0.1,127.0.0.1", port=f"{primary.port},{standby.port}")
                await until(partial(_is_synchronous, primary))
                acknowledged, _ = await _write_until_killed(both, primary, standby, seed)
                with standby.connect(place.database) as connection:
                    rows = connection.execute("SELECT convert_from(control_id, 'UTF8') FROM message").fetchall()
                kept = [row[0] for row in rows]
                assert sorted(set(acknowledged) - set(kept)) == []
                assert len(kept) == len(set(kept))
                total += len(acknowledged)
            shutil.rmtree(standby.folder, ignore_errors=True)
    tell(capsys, f"{count} primaries killed mid-commit, the standby promoted: {total} acknowledged, 0 lost")


def _is_synchronous(primary: PostgresServer) -> bool:
    with primary.connect("postgres") as connection:
        return connection.execute("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'").fetchone() is not None


@pytest.mark.fault(41, 42)
async def test_a_primary_killed_mid_commit_loses_nothing_acknowledged(capsys: pytest.CaptureFixture[str]) -> None:
    await _kill_primaries(1, capsys)


@pytest.mark.deep
@pytest.mark.timeout(1200)
async def test_twenty_primaries_killed_mid_commit_lose_nothing_acknowledged(capsys: pytest.CaptureFixture[str]) -> None:
    await _kill_primaries(20, capsys)
