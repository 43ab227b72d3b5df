"""Write the reference pages of metrics and events: python docs/generate_telemetry.py. A test compares them with the code."""

from pathlib import Path

from interceptor.telemetry.reference import build_event_reference, build_metric_reference

if __name__ == "__main__":
    pages = Path(__file__).parent / "reference"
    pages.mkdir(exist_ok=True)
    (pages / "metrics.md").write_text(build_metric_reference(), encoding="utf-8")
    (pages / "events.md").write_text(build_event_reference(), encoding="utf-8")
