"""Orders through a node while its feed listener takes ADT, against the same node without a word on the feed.

Both are paced as the design has it: 1,000 orders and 500 ADT a second, for as far as the machine goes.
"""

import json
import statistics
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.messages import CHEST_ORDER, SPINE_ORDER, build_admission, write_mix
from tests.benchmarks.target import compile_program, find_free_port, node, port_printing
from tests.benchmarks.throughput import Plan

ORDERS_PER_SECOND = 1000
ADMISSIONS_PER_SECOND = 500
CONNECTIONS = 8
ORDERS = (*(CHEST_ORDER,) * 11, SPINE_ORDER)
"""One order in twelve is for the spine, and asks the registry."""
_PATIENTS = 200
_DIAGNOSIS = b"DG1|1||C50.911^Malignant neoplasm of breast^I10||20260105|F\r"


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of the load generator came to; latency in microseconds."""

    rate: float
    p50_us: float
    p99_us: float
    errors: int


def report_with_feed(plan: Plan, folder: Path, say: Callable[[str], None]) -> Iterator[str]:
    """Lines of the report.

    Raises:
        CannotStart: There is no load generator, no filler or no node.
    """
    load, feed_port = compile_program("load", folder), find_free_port()
    orders, admissions = folder / "orders.bin", folder / "admissions.bin"
    write_mix(orders, ORDERS)
    write_mix(admissions, build_admissions())
    alone: list[Run] = []
    together: list[Run] = []
    fed: list[Run] = []
    with (
        port_printing("filler-feed", [str(compile_program("sink", folder))], folder) as filler,
        node(
            "ours with feed",
            mode="enforce",
            custody="relay",
            filler_port=filler.port,
            connections_max=CONNECTIONS,
            folder=folder,
            feed_port=feed_port,
        ) as ours,
    ):
        for round_number in range(1, plan.rounds + 1):
            say(f"round {round_number} of {plan.rounds}: orders without and with a feed")
            alone.append(finish_load(start_load(load, ours.port, orders, ORDERS_PER_SECOND, plan)))
            feeding = start_load(load, feed_port, admissions, ADMISSIONS_PER_SECOND, plan)
            together.append(finish_load(start_load(load, ours.port, orders, ORDERS_PER_SECOND, plan)))
            fed.append(finish_load(feeding))
    yield from report(alone, together, fed)


def build_admissions() -> tuple[bytes, ...]:
    """ADT^A08 of as many patients, each with a diagnosis."""
    whole = build_admission()
    return tuple(whole.replace(b"|1001^^^HOSP", b"|2%05d^^^HOSP" % number) + _DIAGNOSIS for number in range(_PATIENTS))


def report(alone: list[Run], together: list[Run], fed: list[Run]) -> Iterator[str]:
    """Medians of the rounds, and the ratio that the design has a goal for."""
    before, after, feed = median_of(alone), median_of(together), median_of(fed)
    yield f"orders while a feed takes ADT, {CONNECTIONS} connections each, {ORDERS_PER_SECOND:,} orders/s asked for"
    for words, run in (("without the feed", before), ("with the feed", after), ("the feed itself", feed)):
        yield (
            f"  {words:<18}{run.rate:>10,.0f} messages/s{run.p50_us:>10,.0f} us p50{run.p99_us:>10,.0f} us p99"
            f"{run.errors:>6} errors"
        )
    if before.rate and before.p99_us:
        yield (
            f"  with / without: rate {after.rate / before.rate:.2f}, order p99 {after.p99_us / before.p99_us:.2f} "
            f"(goal: 2 at {ORDERS_PER_SECOND:,} orders/s and {ADMISSIONS_PER_SECOND} ADT/s)"
        )


def median_of(runs: list[Run]) -> Run:
    """Each figure's median over the rounds; errors of all of them."""
    return Run(
        rate=statistics.median(run.rate for run in runs),
        p50_us=statistics.median(run.p50_us for run in runs),
        p99_us=statistics.median(run.p99_us for run in runs),
        errors=sum(run.errors for run in runs),
    )


def start_load(load: Path, port: int, mix: Path, rate: int, plan: Plan) -> subprocess.Popen[str]:
    """Begin to send so many messages a second to a port."""
    numbers = (CONNECTIONS, 1, plan.warm_seconds, plan.seconds, rate)
    return subprocess.Popen(
        [str(load), str(port), str(mix), *map(str, numbers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def finish_load(running: subprocess.Popen[str]) -> Run:
    """What it came to, when it has ended."""
    said, _ = running.communicate()
    if not said:
        return Run(0.0, 0.0, 0.0, 1)
    result = json.loads(said)
    errors = result["refused"] + result["mismatched"] + result["lost"]
    return Run(result["count"] / result["seconds"], result["p50_us"], result["p99_us"], errors)
