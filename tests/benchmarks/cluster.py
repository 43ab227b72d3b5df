"""Store custody on one SQLite node, and on one, two and three nodes against one PostgreSQL; and how long a takeover takes.

Everything shares this machine: nodes, database, load and filler. So more nodes are not more machines here; the figures say
what the way through the database costs, and that more nodes do not make it slower than one by much.
"""

import asyncio
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from interceptor.journal.postgres_connection import PostgresPlace
from interceptor.wire.frame import encode_frame
from tests.support.cluster_site import Site, site
from tests.support.orders import CHEST_FILM, order
from tests.support.postgres_server import missing, new_server

CONNECTIONS = 16
LEASE_SECONDS, WAIT_SECONDS = 2.0, 1.0


def report_cluster(folder: Path, seconds: float) -> Iterator[str]:
    """Lines of the report."""
    if why := missing():
        yield f"several nodes: left out ({why})"
        return
    yield f"store custody, {CONNECTIONS} connections, orders that pass, acknowledged after the commit:"
    with new_server(on_disk=True) as server:
        for count in (0, 1, 2, 3):
            home = folder / f"nodes-{count}"
            home.mkdir(parents=True)
            rate, p99, takeover = asyncio.run(_measure(home, server.database(is_migrated=True), count, seconds))
            name = "one node on SQLite" if count == 0 else f"{count} on PostgreSQL"
            more = "" if takeover is None else f", another delivers {takeover:.1f} s after a kill"
            yield f"  {name:<20} {rate:7,.0f} messages/s, p99 {p99 * 1000:6.1f} ms{more}"
    yield f"  (lease {LEASE_SECONDS:.0f} s and TCP_USER_TIMEOUT {WAIT_SECONDS:.0f} s: the least that a takeover waits)"


async def _measure(folder: Path, place: PostgresPlace, count: int, seconds: float) -> tuple[float, float, float | None]:
    around = site(
        folder, place, count=max(count, 1), is_sqlite=count == 0, lease=LEASE_SECONDS, wait=WAIT_SECONDS, is_wired=False
    )
    async with around as nodes:
        waits: list[float] = []
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for worker in range(CONNECTIONS):
                group.create_task(_send(nodes, worker, until, waits))
        takeover = await _time_takeover(nodes) if count > 1 else None
        ordered = sorted(waits)
        return len(waits) / seconds, statistics.quantiles(ordered, n=100)[98], takeover


async def _send(around: Site, worker: int, until: float, waits: list[float]) -> None:
    node = around.nodes[worker % len(around.nodes)]
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    number = 0
    while time.monotonic() < until:
        number += 1
        name = f"B{worker}N{number}"
        # A patient each: orders of one patient and day are one set, and have their turns one after the other.
        content = encode_frame(order(name, procedure=CHEST_FILM, diagnoses=(), patient=name))
        began = time.monotonic()
        writer.write(content)
        answer = await reader.readuntil(b"\x1c\r")
        assert b"MSA|AA" in answer
        waits.append(time.monotonic() - began)
    writer.close()


async def _time_takeover(around: Site) -> float:
    """Kill the node that started first, which delivers as a rule: seconds until the filler gets a new message."""
    await around.nodes[0].kill()
    began = time.monotonic()
    seen = len(around.filler.received)
    node = around.nodes[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    writer.write(encode_frame(order("TAKEOVER", procedure=CHEST_FILM, diagnoses=())))
    await reader.readuntil(b"\x1c\r")
    while not any(b"|CTAKEOVER|" in content for content in around.filler.received[seen:]):
        await around.filler.wait_for(len(around.filler.received) + 1, seconds=60)
    took = time.monotonic() - began
    writer.close()
    return took
