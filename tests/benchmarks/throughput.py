"""Messages per second and latency through every target, interleaved, medians of the rounds.

One round sends the same mix through each target in turn, so that what else the machine does hits all alike.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.messages import write_mix
from tests.benchmarks.target import CannotStart, Target, compile_program, node, port_printing, read_processor_seconds

BASELINE = "relay uvloop"
TARGETS = ("direct", "relay asyncio", BASELINE, "frame relay", "ours shadow", "ours enforce", "ours store")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much to measure."""

    connection_counts: Sequence[int] = (1, 8, 64)
    rounds: int = 3
    warm_seconds: float = 1.0
    seconds: float = 4.0
    processes: int = 2
    """Of the load generator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One target at one number of connections: medians of the rounds, errors of all of them.

    Attributes:
        rate: Messages acknowledged per second.
        p50_us: Median latency of one message, microseconds.
        p99_us: Latency that one in a hundred exceeds, microseconds.
        processor_us: Processor time of the target for one message, microseconds; None for the direct line.
        errors: Refused, mismatched and lost messages, all rounds together.
    """

    target: str
    connections: int
    rate: float
    p50_us: float
    p99_us: float
    processor_us: float | None
    errors: int


def measure(plan: Plan, folder: Path, say: Callable[[str], None]) -> list[Measurement]:
    """Run the whole plan; *say* is told what goes on, and which targets could not start and are left out.

    Raises:
        CannotStart: There is no load generator or no filler.
    """
    load = compile_program("load", folder)
    mix = folder / "mix.bin"
    say(f"mix: mean {write_mix(mix):,.0f} bytes, {plan.processes} processes send")
    samples: dict[tuple[int, str], list[tuple[float, float, float, float | None]]] = {}
    errors: dict[tuple[int, str], int] = {}
    with ExitStack() as stack:
        targets = list(_start_targets(stack, plan, folder, say))
        for round_number in range(1, plan.rounds + 1):
            for connections in plan.connection_counts:
                for target in targets:
                    say(f"round {round_number} of {plan.rounds}, {connections} connections: {target.name}")
                    key = (connections, target.name)
                    sample, error_count = _send(load, mix, target, connections, plan)
                    samples.setdefault(key, []).append(sample)
                    errors[key] = errors.get(key, 0) + error_count
    return [
        Measurement(
            target=name,
            connections=connections,
            rate=statistics.median(sample[0] for sample in taken),
            p50_us=statistics.median(sample[1] for sample in taken),
            p99_us=statistics.median(sample[2] for sample in taken),
            processor_us=_median_or_none([sample[3] for sample in taken]),
            errors=errors[connections, name],
        )
        for (connections, name), taken in samples.items()
    ]


def _start_targets(stack: ExitStack, plan: Plan, folder: Path, say: Callable[[str], None]) -> Iterator[Target]:
    filler = stack.enter_context(port_printing("filler", [str(compile_program("sink", folder))], folder))
    yield Target(name="direct", port=filler.port, process_id=None)
    for loop in ("asyncio", "uvloop"):
        command = [sys.executable, "-m", "tests.benchmarks.relay", loop, str(filler.port)]
        yield stack.enter_context(port_printing(f"relay {loop}", command, folder))
    command = [sys.executable, "-m", "tests.benchmarks.frame_relay", str(filler.port)]
    yield stack.enter_context(port_printing("frame relay", command, folder))
    for name, mode, custody in (
        ("ours shadow", "shadow", "relay"),
        ("ours enforce", "enforce", "relay"),
        ("ours store", "enforce", "store"),
    ):
        try:
            yield stack.enter_context(
                node(
                    name,
                    mode=mode,
                    custody=custody,
                    filler_port=filler.port,
                    connections_max=max(plan.connection_counts),
                    folder=folder,
                )
            )
        except CannotStart as reason:
            say(f"{name}: left out, {reason}")


def _send(
    load: Path, mix: Path, target: Target, connections: int, plan: Plan
) -> tuple[tuple[float, float, float, float | None], int]:
    before = read_processor_seconds(target.process_id) if target.process_id else 0.0
    done = subprocess.run(
        [
            *(str(load), str(target.port), str(mix), str(connections), str(min(plan.processes, connections))),
            *(str(plan.warm_seconds), str(plan.seconds)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    after = read_processor_seconds(target.process_id) if target.process_id else 0.0
    if not done.stdout:
        return (0.0, 0.0, 0.0, None), 1
    result = json.loads(done.stdout)
    rate = result["count"] / result["seconds"]
    # Processor time is of the whole run, so the messages of the warm-up are counted in by the rate.
    sent_count = rate * (plan.warm_seconds + plan.seconds)
    processor_us = (after - before) / sent_count * 1e6 if target.process_id and sent_count else None
    errors = result["refused"] + result["mismatched"] + result["lost"]
    return (rate, result["p50_us"], result["p99_us"], processor_us), errors


def _median_or_none(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def report(measurements: Sequence[Measurement]) -> Iterator[str]:
    """The table, and what the ratios are."""
    by_key = {(found.connections, found.target): found for found in measurements}
    yield f"{'connections':>11}  {'target':<14}{'messages/s':>12}{'p50 us':>10}{'p99 us':>10}{'cpu us':>9}{'of raw':>8}{'errors':>8}"
    for connections in dict.fromkeys(found.connections for found in measurements):
        baseline = by_key.get((connections, BASELINE))
        for found in (found for found in measurements if found.connections == connections):
            ratio = f"{found.rate / baseline.rate:.2f}" if baseline and baseline.rate else ""
            processor = "" if found.processor_us is None else f"{found.processor_us:.1f}"
            yield (
                f"{connections:>11}  {found.target:<14}{found.rate:>12,.0f}{found.p50_us:>10,.0f}{found.p99_us:>10,.0f}"
                f"{processor:>9}{ratio:>8}{found.errors:>8}"
            )
    yield from _compare_with_goals(by_key)


def _compare_with_goals(by_key: dict[tuple[int, str], Measurement]) -> Iterator[str]:
    """The goals of the design, as ratios in this run. Nothing fails by them."""
    for connections, name, goal in ((8, "ours shadow", 0.7), (8, "ours enforce", 0.5)):
        ours, raw = by_key.get((connections, name)), by_key.get((connections, BASELINE))
        if ours and raw and raw.rate:
            yield f"{name} / {BASELINE} at {connections} connections: {ours.rate / raw.rate:.2f} (goal {goal})"
    ours, raw = by_key.get((1, "ours shadow")), by_key.get((1, BASELINE))
    if ours and raw:
        yield f"added p50 at 1 connection over {BASELINE}: {ours.p50_us - raw.p50_us:,.0f} us (goal 100)"
    store = by_key.get((64, "ours store"))
    if store:
        yield f"store custody at 64 connections: {store.rate:,.0f} messages/s (goal 3,000)"
