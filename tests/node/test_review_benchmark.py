"""The benchmark of orders beside people who read pages measures what it says."""

from tests.benchmarks.feed_load import Run
from tests.benchmarks.review_load import report


def test_the_report_compares_medians_and_shows_the_slowest_round_of_pages() -> None:
    alone = [Run(1000, 500, 1000, 0), Run(900, 500, 3000, 1), Run(1000, 500, 2000, 0)]
    read = [Run(500, 900, 3000, 2)]
    pages = [{"pages_per_second": 90.0, "p50_ms": 400.0}, {"pages_per_second": 40.0, "p50_ms": 900.0}]
    beside = [Run(1000, 500, 2600, 0)]
    lines = list(report(alone, beside, read, pages, held_count=200))
    assert "worklist of 200" in lines[0]
    assert lines[1].split()[-2:] == ["1", "errors"]
    assert lines[4].split()[2] == "40"
    assert "rate 0.50, order p99 1.50" in lines[-2]
    assert "neighbour / without: order p99 1.30" in lines[-1]
