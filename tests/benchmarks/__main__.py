"""Measure: `python -m tests.benchmarks [--quick]`. Prints figures and ratios; asserts nothing on time.

Needs gcc. Runs alone give the best figures: what else the machine does shows in all of them, ratios least.
"""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.feed_load import report_with_feed
from tests.benchmarks.hostile_load import report_with_hostiles
from tests.benchmarks.review_load import report_with_readers
from tests.benchmarks.scrape_load import report_with_scrapes
from tests.benchmarks.target import CannotStart
from tests.benchmarks.throughput import TARGETS, Plan, measure, report


def say(line: str) -> None:
    """One line of the report."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def note(line: str) -> None:
    """One line about what goes on, which is no part of the report."""
    sys.stderr.write(f"  {line}\n")


def report_micro(folder: Path, seconds: float) -> Iterator[str]:
    """The parts by themselves."""
    from tests.benchmarks import micro
    from tests.benchmarks.cluster import report_cluster
    from tests.benchmarks.registry import report_registry

    yield from micro.report_wire(seconds)
    yield from micro.report_decisions(seconds)
    yield from micro.report_journal(folder, seconds)
    yield from report_registry(folder, patients=max(100, int(2000 * seconds)))
    yield from report_cluster(folder, max(2.0, seconds * 4))


def main() -> int:
    """Run what the arguments ask for; 1 when the machine cannot."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round at 8 connections")
    parser.add_argument("--only", choices=("throughput", "micro"), help="leave the other part out")
    parser.add_argument("--folder", type=Path, help="where journals and logs go (default: a temporary folder)")
    chosen = parser.parse_args()
    plan = Plan(connection_counts=(8,), rounds=1, warm_seconds=0.5, seconds=1.5) if chosen.quick else Plan()
    say(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(prefix="interceptor-bench-", dir=chosen.folder) as name:
        folder = Path(name)
        missing: list[str] = []
        if chosen.only != "micro":
            try:
                measurements = measure(plan, folder, note)
            except CannotStart as reason:
                say(str(reason))
                return 1
            for line in report(measurements):
                say(line)
            for line in report_with_feed(plan, folder, note):
                say(line)
            for line in report_with_scrapes(plan, folder, note):
                say(line)
            for line in report_with_readers(plan, folder, note):
                say(line)
            for line in report_with_hostiles(plan, folder, note):
                say(line)
            missing = [name for name in TARGETS if name not in {found.target for found in measurements}]
            if missing:
                say(f"not measured, could not start: {', '.join(missing)}")
        if chosen.only != "throughput":
            for line in report_micro(folder, 0.3 if chosen.quick else 1.0):
                say(line)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
