"""The worklist's first page by itself: server time and size at 1,000 held orders and a million journal rows.

    python -m tests.benchmarks.review_page [HELD] [ROWS]

The rows are decisions and audit links, half of each: what grows in a journal. Page, server and database are the real ones; the
requests go through the ASGI interface of a logged-in person, without a network in between. Times are wall and CPU of
this process, the median of the requests; both say little on a machine that does other things too.
"""

import asyncio
import gzip
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import apsw
import httpx2

from interceptor.journal.sqlite import journal_path
from interceptor.review.rights import Role
from tests.support.held_orders import held_order
from tests.support.node import filler, node_of, placer_of
from tests.support.review import review_config, review_of

REQUESTS = 30
PATHS = ("/", "/?tab=decided", "/orders/1", "/audit", "/orders.json")
FILL_DECISIONS = """
WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < :count)
INSERT INTO decision (message_id, decided_at, route, mode, control_id, order_key, placer_order_number, disposition, reasons, policy_id,
    policy_version, policy_profile, policy_sha256, facts, decide_again, unmapped_code, unmapped_name)
SELECT NULL, strftime('%Y-%m-%dT%H:%M:%S.000000Z', 1700000000 + n * 60, 'unixepoch'), 'orders', 'enforce', 'B' || n, 'B' || n || '^P', 'B' || n,
    'pass', '["P-NOTSPINE"]', 'p', '1', 'default', :sha, '{}', 0, '', '' FROM counted
"""
FILL_AUDIT = """
WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < :count)
INSERT INTO audit (number, at, actor, action, entry_id, detail, sha256)
SELECT :first + n, strftime('%Y-%m-%dT%H:%M:%S.000000Z', 1700000000 + n * 60, 'unixepoch'), 'node', 'filled', NULL, '{}', :sha FROM counted
"""


async def report_review_page(folder: Path, *, held: int = 1000, rows: int = 1_000_000) -> list[str]:
    """Lines of the report."""
    async with filler() as receiver:
        config = review_config(folder, filler_port=receiver.port, holds_max_per_10_min=10_000)
        async with node_of(config) as node, review_of(config) as review, placer_of(node) as placer:
            await review.ask("review_heartbeat")
            for number in range(held):
                await placer.exchange(held_order(f"A{number}", name=f"Nonesuch{number}", mrn=f"M{number}"))
            _fill(journal_path(config.node.data_directory), rows)
            browser = await review.person("ann", *Role)
            measured = [await _measure(browser, path) for path in PATHS]
            return [f"review pages, {held} held orders, {rows} journal rows", *measured]


def _fill(path: Path, rows: int) -> None:
    """Put rows into the file beside the node: only a benchmark may, and only while nothing else is written."""
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(60_000)
    connection.pragma("synchronous", 0)
    sha = "0" * 64
    with connection:
        first = connection.execute("SELECT max(number) FROM audit").get
        connection.execute(FILL_DECISIONS, {"count": rows // 2, "sha": sha})
        connection.execute(FILL_AUDIT, {"count": rows - rows // 2, "first": first, "sha": sha})
    connection.close()


async def _measure(browser: httpx2.AsyncClient, path: str) -> str:
    walls, cpus = [], []
    text = b""
    for _ in range(REQUESTS):
        wall, cpu = time.perf_counter(), time.process_time()
        answer = await browser.get(path)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
        text = answer.content
    size, packed = len(text) / 1000, len(gzip.compress(text, 6)) / 1000
    first = f"first {walls[0] * 1000:6.1f} ms"
    return f"  {path:16} {median(walls) * 1000:6.1f} ms wall, {median(cpus) * 1000:6.1f} ms CPU, {first}, {size:6.1f} kB ({packed:.1f} kB packed)"


def main() -> Iterator[str]:
    """The report for the numbers that the command line gives."""
    held, rows = (int(text) for text in (*sys.argv[1:3], *("1000", "1000000")[len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory(prefix="review-page-") as folder:
        yield from asyncio.run(report_review_page(Path(folder), held=held, rows=rows))


if __name__ == "__main__":
    for line in main():
        sys.stdout.write(f"{line}\n")
