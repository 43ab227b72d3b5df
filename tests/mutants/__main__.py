"""`./dev mutants`: make small faults in the pure core, one at a time, and see whether the tests find each.

    ./dev mutants                      a sample of 80, at most ten minutes
    ./dev mutants --count 0            every one
    ./dev mutants --module decoder     of one module

The sample is drawn by --seed, the same for the same source. Ends with 1 when a fault lived that tests/mutants/kept.toml does
not explain: write the test that finds it.
"""

import argparse
import random
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

# What every child needs and no target is: imported once, before the first fork.
import hypothesis
import pytest
import pytest_asyncio

from tests.mutants.mutate import Fault, faults
from tests.mutants.trial import Outcome, module_path, try_fault

HERE = Path(__file__).parent
PRELOADED = (hypothesis, pytest, pytest_asyncio)
SECONDS_PER_FAULT_MAX = 90.0


def read_targets() -> dict[str, list[str]]:
    """Each module with its tests."""
    rows = tomllib.loads((HERE / "targets.toml").read_text(encoding="utf-8"))["target"]
    return {row["module"]: row["tests"] for row in rows}


def read_kept() -> dict[tuple[str, str], str]:
    """Module and key of each fault that may live, with why."""
    rows = tomllib.loads((HERE / "kept.toml").read_text(encoding="utf-8")).get("kept", [])
    return {(row["module"], row["fault"]): row["why"] for row in rows}


def draw(targets: Sequence[str], *, count: int, seed: int) -> list[tuple[str, Fault]]:
    """A sample over all targets; *count* 0 takes everything."""
    found = [(name, fault) for name in targets for fault in faults(module_path(name).read_text(encoding="utf-8"))]
    if count and count < len(found):
        found = random.Random(seed).sample(found, count)
    return sorted(found, key=lambda one: (one[0], one[1].index))


def main() -> int:
    """Run the sample; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="./dev mutants", description="Small faults in the core: do the tests find them?"
    )
    parser.add_argument("--count", type=int, default=80, help="how many faults; 0 is all of them")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=10.0, help="stop after so long")
    parser.add_argument("--module", default="", help="only modules whose name contains this")
    options = parser.parse_args()
    targets = {name: tests for name, tests in read_targets().items() if options.module in name}
    kept = read_kept()
    deadline = time.monotonic() + options.minutes * 60
    for name, tests in targets.items():
        if try_fault(name, None, tests, seconds_max=SECONDS_PER_FAULT_MAX) is not Outcome.LIVED:
            sys.stdout.write(f"{name}: its tests fail without any fault\n")
            return 1
    counts: Counter[str] = Counter()
    unexplained = 0
    sample = draw(list(targets), count=options.count, seed=options.seed)
    for name, fault in sample:
        if time.monotonic() > deadline:
            sys.stdout.write(f"stopped after {options.minutes:g} minutes\n")
            break
        outcome = try_fault(name, fault.index, targets[name], seconds_max=SECONDS_PER_FAULT_MAX)
        counts[outcome] += 1
        if outcome is Outcome.LIVED:
            why = kept.get((name, fault.key), "")
            unexplained += not why
            sys.stdout.write(
                f"{'kept ' if why else 'LIVED'} {name}:{fault.line} {fault.key}{'   # ' + why if why else ''}\n"
            )
            sys.stdout.flush()
    tried = sum(counts.values())
    sys.stdout.write(f"{tried} of {len(sample)} faults tried: {dict(counts)}; {unexplained} lived without a reason\n")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
