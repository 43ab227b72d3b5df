"""The capacity page: the benchmark's own table, whatever it could not measure."""

from pathlib import Path

import pytest

from tests.benchmarks.throughput import BASELINE, Measurement, report
from tests.support.source_tree import ROOT, load_script

CAPACITY = load_script(ROOT / "docs" / "generate_capacity.py")


def test_a_recorded_run_is_a_table_with_its_own_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = [
        Measurement(
            connections=8, target=BASELINE, rate=45800.0, p50_us=120.0, p99_us=300.0, processor_us=None, errors=0
        ),
        Measurement(
            connections=8, target="ours shadow", rate=6900.4, p50_us=110.0, p99_us=1156.0, processor_us=26.1, errors=3
        ),
    ]
    text = "\n".join(["Linux, Python 3.11, 2 cores", *report(measured), "decode 1.2 us"])
    (tmp_path / "2026-01-01.txt").write_text(text, encoding="utf-8")
    monkeypatch.setattr(CAPACITY, "RECORDS", tmp_path)
    page = CAPACITY.build_page()
    assert f"| 8 | {BASELINE} | 45,800 | 120 | 300 |  | 1.00 | 0 |" in page
    assert "| 8 | ours shadow | 6,900 | 110 | 1,156 | 26.1 | 0.15 | 3 |" in page
    assert "decode 1.2 us" in page
    assert "No run is recorded" not in page
