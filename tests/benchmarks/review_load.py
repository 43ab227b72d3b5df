"""Orders through a node while fifty people do nothing but read the worklist, against the same node left alone.

The goal is that nobody at the wire feels how many people read pages: order p99 within 1.5 times of its p99 without.
Beside it, the same node with a neighbour on the machine that is busy with nothing and asks the node nothing: what is left
between the two is ours.
"""

import asyncio
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from interceptor.control.client import request
from interceptor.control.protocol import ControlError
from tests.benchmarks.feed_load import CONNECTIONS, ORDERS, ORDERS_PER_SECOND, Run, finish_load, median_of, start_load
from tests.benchmarks.messages import write_mix
from tests.benchmarks.target import ROOT, CannotStart, compile_program, find_free_port, node, port_printing
from tests.benchmarks.throughput import Plan
from tests.support.node import Placer
from tests.support.orders import order

READER_COUNT = 50
HELD_COUNT = 200
_START_SECONDS_MAX = 60.0
_NEIGHBOUR = "import sys, time\nuntil = time.monotonic() + float(sys.argv[1])\nwhile time.monotonic() < until: pass"
_TABLES = """
[review]
listen = "127.0.0.1:{port}"
[hold]
set_window_seconds = 0.0
"""


def report_with_readers(plan: Plan, folder: Path, say: Callable[[str], None]) -> Iterator[str]:
    """Lines of the report.

    Raises:
        CannotStart: There is no load generator, no filler, no node or no review pages.
    """
    load, port = compile_program("load", folder), find_free_port()
    orders = folder / "orders-read.bin"
    write_mix(orders, ORDERS)
    alone: list[Run] = []
    beside: list[Run] = []
    read: list[Run] = []
    pages: list[dict[str, float]] = []
    with (
        port_printing("filler-review", [str(compile_program("sink", folder))], folder) as filler,
        node(
            "ours read",
            mode="enforce",
            custody="relay",
            filler_port=filler.port,
            connections_max=CONNECTIONS,
            folder=folder,
            tables=_TABLES.format(port=port),
        ) as ours,
    ):
        socket = folder / "ours-read" / "control" / "control.sock"
        held_count = hold_orders(socket, ours.port)
        cookie = log_in(socket, port)
        for round_number in range(1, plan.rounds + 1):
            say(f"round {round_number} of {plan.rounds}: orders without and with {READER_COUNT} people at the worklist")
            alone.append(finish_load(start_load(load, ours.port, orders, ORDERS_PER_SECOND, plan)))
            seconds = plan.warm_seconds + plan.seconds
            with subprocess.Popen([sys.executable, "-c", _NEIGHBOUR, str(seconds)]):
                beside.append(finish_load(start_load(load, ours.port, orders, ORDERS_PER_SECOND, plan)))
            readers = start_readers(port, cookie, seconds)
            read.append(finish_load(start_load(load, ours.port, orders, ORDERS_PER_SECOND, plan)))
            pages.append(finish_readers(readers))
    yield from report(alone, beside, read, pages, held_count=held_count)


def hold_orders(socket: Path, port: int) -> int:
    """Have orders held, so that the worklist has something to show; how many are."""
    ask(socket, "account_add", account="bench", roles=["reviewer"])
    ask(socket, "review_heartbeat")

    async def send() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        placer = Placer(reader, writer)
        for number in range(HELD_COUNT):
            await placer.exchange(order(f"H{number}", patient=f"9{number:05d}"))
            if number % 15 == 14:
                # The breaker opens above twenty holds in ten minutes: a person would look, and close it.
                await asyncio.to_thread(ask, socket, "mode_set", route="bench", mode="enforce", actor="bench")
        writer.close()

    asyncio.run(send())
    return len(ask(socket, "held_list")["orders"])


def log_in(socket: Path, port: int) -> str:
    """The cookie of somebody who is logged in.

    Raises:
        CannotStart: The pages are not served.
    """
    secret = ask(socket, "login_link", account="bench")["secret"]
    deadline = time.monotonic() + _START_SECONDS_MAX
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("POST", f"/login/link/{secret}", headers={"Sec-Fetch-Site": "same-origin"})
            answer = connection.getresponse()
            answer.read()
        except OSError:
            time.sleep(0.2)
            continue
        finally:
            connection.close()
        if answer.status == 303:
            return str(answer.headers["Set-Cookie"]).partition(";")[0]
        break
    raise CannotStart("the review pages do not let us in")


def ask(socket: Path, command: str, **arguments: Any) -> dict[str, Any]:
    """A command that the node carries out, as soon as it takes commands."""
    deadline = time.monotonic() + _START_SECONDS_MAX
    while True:
        try:
            return request(socket, command, **arguments)
        except ControlError as error:
            if error.code != "not_running" or time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def start_readers(port: int, cookie: str, seconds: float) -> subprocess.Popen[str]:
    """Begin to read the worklist."""
    command = [
        # Their browsers are other machines: what they cost here must not be taken from the node's processor, nor from
        # the load's. Only this class of process gives way at once; a nice one keeps its turn to the end.
        *("chrt", "--idle", "0"),
        sys.executable,
        "-m",
        "tests.benchmarks.review_clients",
        str(port),
        cookie,
        str(READER_COUNT),
        str(seconds),
    ]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def finish_readers(running: subprocess.Popen[str]) -> dict[str, float]:
    """How many pages were read, when all have ended."""
    said, _ = running.communicate()
    found: dict[str, float] = json.loads(said) if said else {"pages_per_second": 0.0, "p50_ms": 0.0}
    return found


def report(
    alone: list[Run], beside: list[Run], read: list[Run], pages: list[dict[str, float]], *, held_count: int
) -> Iterator[str]:
    """Medians of the rounds, and the ratio that the design has a goal for."""
    before, busy, after = median_of(alone), median_of(beside), median_of(read)
    yield (
        f"orders while {READER_COUNT} people read a worklist of {held_count}, {CONNECTIONS} connections, "
        f"{ORDERS_PER_SECOND:,} orders/s asked for"
    )
    for words, run in (("left alone", before), ("a busy neighbour", busy), ("with readers", after)):
        yield (
            f"  {words:<18}{run.rate:>10,.0f} messages/s{run.p50_us:>10,.0f} us p50{run.p99_us:>10,.0f} us p99"
            f"{run.errors:>6} errors"
        )
    slowest = min(pages, key=lambda one: one["pages_per_second"])
    yield f"  the pages         {slowest['pages_per_second']:>10,.0f} pages/s   {slowest['p50_ms']:>10,.0f} ms p50"
    if before.rate and before.p99_us:
        yield f"  with / without: rate {after.rate / before.rate:.2f}, order p99 {after.p99_us / before.p99_us:.2f} (goal: 1.5)"
        yield f"  busy neighbour / without: order p99 {busy.p99_us / before.p99_us:.2f}"
