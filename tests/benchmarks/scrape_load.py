"""Orders through a node while somebody scrapes its metrics fifty times a second, against the same node left alone."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.feed_load import CONNECTIONS, ORDERS, ORDERS_PER_SECOND, Run, finish_load, median_of, start_load
from tests.benchmarks.messages import write_mix
from tests.benchmarks.target import compile_program, find_free_port, node, port_printing
from tests.benchmarks.throughput import Plan

SCRAPES_PER_SECOND = 50


def report_with_scrapes(plan: Plan, folder: Path, say: Callable[[str], None]) -> Iterator[str]:
    """Lines of the report.

    Raises:
        CannotStart: There is no load generator, no filler or no node.
    """
    load, metrics_port = compile_program("load", folder), find_free_port()
    orders = folder / "orders-scraped.bin"
    write_mix(orders, ORDERS)
    alone: list[Run] = []
    scraped: list[Run] = []
    counts: list[int] = []
    with (
        port_printing("filler-scrapes", [str(compile_program("sink", folder))], folder) as filler,
        node(
            "ours scraped",
            mode="enforce",
            custody="relay",
            filler_port=filler.port,
            connections_max=CONNECTIONS,
            folder=folder,
            metrics_port=metrics_port,
        ) as ours,
    ):
        for round_number in range(1, plan.rounds + 1):
            say(f"round {round_number} of {plan.rounds}: orders without and with scrapes")
            alone.append(finish_load(start_load(load, ours.port, orders, ORDERS_PER_SECOND, plan)))
            with scraping(metrics_port) as count:
                scraped.append(finish_load(start_load(load, ours.port, orders, ORDERS_PER_SECOND, plan)))
            counts.append(count() // max(1, round(plan.warm_seconds + plan.seconds)))
    yield from report(alone, scraped, min(counts))


@contextmanager
def scraping(port: int) -> Iterator[Callable[[], int]]:
    """Scrape for the length of the block; gives how many scrapes were answered so far."""
    stop = threading.Event()
    answered = 0

    def scrape() -> None:
        nonlocal answered
        due = time.monotonic()
        while not stop.wait(max(0.0, due - time.monotonic())):
            due += 1 / SCRAPES_PER_SECOND
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/metrics")
            answered += connection.getresponse().read() != b""
            connection.close()

    thread = threading.Thread(target=scrape, name="scraper")
    thread.start()
    try:
        yield lambda: answered
    finally:
        stop.set()
        thread.join()


def report(alone: list[Run], scraped: list[Run], scrapes_per_second: int) -> Iterator[str]:
    """Medians of the rounds, and the ratio that the design has a goal for."""
    before, after = median_of(alone), median_of(scraped)
    yield f"orders while metrics are scraped, {CONNECTIONS} connections, {ORDERS_PER_SECOND:,} orders/s asked for"
    for words, run in (("left alone", before), (f"{scrapes_per_second} scrapes/s", after)):
        yield (
            f"  {words:<18}{run.rate:>10,.0f} messages/s{run.p50_us:>10,.0f} us p50{run.p99_us:>10,.0f} us p99"
            f"{run.errors:>6} errors"
        )
    if before.rate and before.p99_us:
        yield f"  with / without: rate {after.rate / before.rate:.2f}, order p99 {after.p99_us / before.p99_us:.2f} (goal: 1.2)"
