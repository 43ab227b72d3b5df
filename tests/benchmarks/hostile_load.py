"""Orders of others while peers mean no good, or too much of it: 10,000 idle connections, slowloris, a burst of ten times as much.

One node with the limits that it has when nobody sets any. Its other placers send 200 orders a second on connections that
stand; what they wait is compared, in the same run, with what they wait when nobody disturbs. The peers are processes at the
lowest priority: they have machines of their own.
"""

import json
import struct
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from interceptor.wire.frame import encode_frame
from tests.benchmarks.feed_load import CONNECTIONS, ORDERS, Run, finish_load, median_of, start_load
from tests.benchmarks.messages import CHEST_ORDER, NUMBER, write_mix
from tests.benchmarks.target import Target, compile_program, find_free_port, node, port_printing
from tests.benchmarks.throughput import Plan
from tests.support.metric_page import sample

ORDERS_PER_SECOND = 200
IDLE_COUNT = 10_000
SLOW_COUNT = 200
BURST_FACTOR = 10
_BURST_COUNT_MAX = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """What the others waited while something went on, and what became of the peers that did it.

    Attributes:
        crowd: Sums of what the peers say: attempted, standing, closed, sent, answered.
        refused: Connections that the route turned away over its limits.
        standing: Connections of the route at the end.
        grown_mib: How much the node's largest resident size grew.
    """

    name: str
    quiet: Run
    during: Run
    crowd: Mapping[str, int]
    refused: float
    standing: float
    grown_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The node under test, and what is needed to disturb it."""

    ours: Target
    metrics_port: int
    folder: Path
    load: Path
    crowd: Path
    plan: Plan

    def page(self) -> bytes:
        """The node's metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=30) as answer:
            content: bytes = answer.read()
        return content

    def peak_mib(self) -> float:
        """The largest resident size of the node's process so far."""
        supervisor = self.ours.process_id
        (pid,) = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text(encoding="ascii").split()
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

    def others(self) -> "subprocess.Popen[str]":
        """The placers that do as they should."""
        return start_load(self.load, self.ours.port, self.folder / "orders-hostile.bin", ORDERS_PER_SECOND, self.plan)

    def peers(self, *arguments: object) -> "subprocess.Popen[str]":
        """Peers of one kind, for as long as the others are measured."""
        seconds = self.plan.warm_seconds + self.plan.seconds
        command = ["chrt", "--idle", "0", str(self.crowd), *map(str, arguments), f"{seconds:.1f}"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


Peers = Callable[[Stage], list["subprocess.Popen[str]"]]


def idle(stage: Stage) -> list["subprocess.Popen[str]"]:
    """All 10,000 within the measured time, each from an address of its own."""
    seconds = stage.plan.warm_seconds + stage.plan.seconds
    return [stage.peers("idle", stage.ours.port, IDLE_COUNT, round(IDLE_COUNT / seconds * 1.25))]


def slowloris(stage: Stage) -> list["subprocess.Popen[str]"]:
    """On the orders' port and on that of the metrics, each from one address."""
    return [stage.peers("slow", port, SLOW_COUNT, 0) for port in (stage.ours.port, stage.metrics_port)]


def burst(stage: Stage) -> list["subprocess.Popen[str]"]:
    """One peer, one connection, ten times what all others send, without waiting for answers."""
    return [
        stage.peers("burst", stage.ours.port, stage.folder / "burst.bin", ORDERS_PER_SECOND * BURST_FACTOR),
    ]


def flood(stage: Stage) -> list["subprocess.Popen[str]"]:
    """The same as fast as its connection takes it: what one peer can do at most."""
    return [stage.peers("burst", stage.ours.port, stage.folder / "burst.bin", 0)]


DISTURBANCES: Mapping[str, Peers] = {
    "10,000 idle connections": idle,
    "slowloris on two ports": slowloris,
    "10x burst of one peer": burst,
    "one peer without end": flood,
}


def measure_disturbances(plan: Plan, folder: Path, say: Callable[[str], None]) -> list[Disturbance]:
    """Each disturbance between two quiet measurements.

    Raises:
        CannotStart: There is no load generator, no filler or no node.
    """
    metrics_port = find_free_port()
    write_mix(folder / "orders-hostile.bin", ORDERS)
    _write_burst(folder / "burst.bin")
    found: list[Disturbance] = []
    with (
        port_printing("filler-hostile", [str(compile_program("sink", folder))], folder) as filler,
        node(
            "ours disturbed",
            mode="enforce",
            custody="relay",
            filler_port=filler.port,
            connections_max=60,
            folder=folder,
            metrics_port=metrics_port,
            placers_max=200,
            placers_per_address_max=50,
        ) as ours,
    ):
        stage = Stage(
            ours=ours,
            metrics_port=metrics_port,
            folder=folder,
            load=compile_program("load", folder),
            crowd=compile_program("crowd", folder),
            plan=plan,
        )
        quiet = finish_load(stage.others())
        for name, peers in DISTURBANCES.items():
            say(f"orders of others: {name}")
            found.append(_disturb(stage, name, peers, quiet))
            quiet = finish_load(stage.others())
            found[-1] = _with_later(found[-1], quiet)
    return found


def _disturb(stage: Stage, name: str, peers: Peers, quiet: Run) -> Disturbance:
    before, refused_before = stage.peak_mib(), _refused(stage.page())
    others = stage.others()
    # They are inside before the crowd comes: who is there is not turned away.
    time.sleep(0.3)
    running = peers(stage)
    during = finish_load(others)
    standing = sample(stage.page(), "interceptor_inbound_connections", route="bench")
    said = [json.loads(one.communicate()[0]) for one in running]
    return Disturbance(
        name=name,
        quiet=quiet,
        during=during,
        crowd={key: sum(one[key] for one in said) for key in said[0]},
        refused=_refused(stage.page()) - refused_before,
        standing=standing,
        grown_mib=stage.peak_mib() - before,
    )


def _with_later(one: Disturbance, quiet: Run) -> Disturbance:
    """Compared with the quiet before and after it: a machine drifts."""
    return Disturbance(
        name=one.name,
        quiet=median_of([one.quiet, quiet]),
        during=one.during,
        crowd=one.crowd,
        refused=one.refused,
        standing=one.standing,
        grown_mib=one.grown_mib,
    )


def _refused(page: bytes) -> float:
    return sample(page, "interceptor_inbound_connections_total", route="bench", result="refused_limit")


def _write_burst(path: Path) -> None:
    with path.open("wb") as stream:
        for number in range(_BURST_COUNT_MAX):
            frame = encode_frame(CHEST_ORDER.replace(NUMBER, b"8%011d" % number))
            stream.write(struct.pack("=I", len(frame)) + frame)


def report_with_hostiles(plan: Plan, folder: Path, say: Callable[[str], None]) -> Iterator[str]:
    """Lines of the report.

    Raises:
        CannotStart: There is no load generator, no filler or no node.
    """
    yield f"orders of others, {CONNECTIONS} connections, {ORDERS_PER_SECOND} orders/s, while peers misbehave (goal: p99 2 times)"
    for one in measure_disturbances(plan, folder, say):
        yield line_of(one)


def line_of(one: Disturbance) -> str:
    """One line: what the others waited with and without, their ratio, and what became of the peers."""
    ratio = one.during.p99_us / one.quiet.p99_us if one.quiet.p99_us else 0.0
    middle = one.during.p50_us / one.quiet.p50_us if one.quiet.p50_us else 0.0
    return (
        f"  {one.name:<24}p50 {one.quiet.p50_us:>6,.0f} -> {one.during.p50_us:>6,.0f} us ({middle:.2f})"
        f"  p99 {one.quiet.p99_us:>6,.0f} -> {one.during.p99_us:>6,.0f} us ({ratio:.2f})"
        f"  {one.during.rate:,.0f}/s, {one.during.errors} errors; {one.refused:,.0f} of {one.crowd['attempted']:,} turned away,"
        f" {one.crowd['answered']:,} of {one.crowd['sent']:,} answered, +{one.grown_mib:.1f} MiB"
    )
