"""The benchmark of orders beside a feed measures what it says: both are taken."""

import re
import shutil
import tempfile
from pathlib import Path

import pytest

from interceptor.message.view import MessageView
from tests.benchmarks.feed_load import Run, build_admissions, report, report_with_feed
from tests.benchmarks.registry import report_registry
from tests.benchmarks.throughput import Plan


def test_the_report_compares_medians_and_counts_every_error() -> None:
    alone = [Run(1000, 500, 1000, 0), Run(900, 500, 3000, 1), Run(1000, 500, 2000, 0)]
    together = [Run(500, 900, 5000, 2)]
    lines = list(report(alone, together, [Run(400, 1, 2, 0)]))
    assert lines[1].split()[-2:] == ["1", "errors"]
    assert "rate 0.50, order p99 2.50" in lines[-1]


def test_the_feed_s_messages_are_of_many_patients_with_a_diagnosis() -> None:
    views = [MessageView(one) for one in build_admissions()]
    assert len({view.text("PID-3.1") for view in views}) == len(views) > 100
    assert {view.text("DG1-3.1") for view in views} == {"C50.911"}


@pytest.mark.skipif(shutil.which("gcc") is None, reason="the load generator is compiled")
def test_orders_and_admissions_are_taken_without_an_error() -> None:
    plan = Plan(rounds=1, warm_seconds=0.1, seconds=0.5)
    # The control socket's path must be short, and pytest's folders are long.
    with tempfile.TemporaryDirectory(prefix="ib-") as folder:
        lines = list(report_with_feed(plan, Path(folder), lambda _: None))
    rates = [float(re.search(r"([\d,]+) messages/s", line)[1].replace(",", "")) for line in lines[1:4]]  # type: ignore[index]  # fails if absent
    assert all(line.endswith(" 0 errors") for line in lines[1:4])
    assert all(rate > 0 for rate in rates)


def test_the_registry_is_measured_at_any_size(tmp_path: Path) -> None:
    lines = list(report_registry(tmp_path, patients=20, conditions=2))
    assert lines[0] == "registry: 20 patients with 2 conditions"
    assert all(word in "\n".join(lines) for word in ("conditions/s", "bytes a condition", "p50 / p99"))
