"""The reference pages of metrics and events, as Markdown, from their catalogues."""

from collections.abc import Iterable

from interceptor.telemetry.event import Level
from interceptor.telemetry.events import CATALOGUE as EVENTS
from interceptor.telemetry.health import DegradedReason
from interceptor.telemetry.metric_catalogue import CATALOGUE as METRICS

_GENERATED = "<!-- Written by ./dev docs from interceptor/telemetry/. Do not edit. -->"


def build_metric_reference() -> str:
    """docs/reference/metrics.md: every metric with its labels, meaning and when to alert."""
    rows = [
        (
            f"`{family.name}`",
            family.kind.value,
            ", ".join(f"`{label}`" for label in family.labels),
            family.sentence,
            family.alert_when,
        )
        for family in METRICS
    ]
    return "\n".join(
        [
            _GENERATED,
            "# Metrics",
            "",
            "Served at `/metrics` on the address of `[metrics] listen`, rendered at most once a second in a thread of its",
            "own. Base units: seconds and bytes. Label values are names from the configuration and words of closed sets,",
            "never anything read from a message; all label sets exist from the start, and a value that was not known then",
            "counts as `other`. A `_timestamp_seconds` metric is a time, so its age is `time() - metric`; it is NaN when there",
            "is nothing to measure, and a comparison with NaN never alerts. The usual `process_*` metrics stand beside these.",
            "",
            *_table(("metric", "kind", "labels", "meaning", "alert when"), rows),
            "",
        ]
    )


def build_event_reference() -> str:
    """docs/reference/events.md: every log event with its level, its fields and what to do."""
    rows = [
        (f"`{event.name}`", event.level.value, ", ".join(f"`{name}`" for name in event.fields), event.sentence)
        for event in EVENTS
    ]
    levels = {
        Level.INFO: "a change of state",
        Level.WARNING: "a person should look this week",
        Level.ERROR: "a person should look today",
    }
    return "\n".join(
        [
            _GENERATED,
            "# Log events",
            "",
            "One line per event, JSON or text. Each has `at` (UTC), `level`, `event` and some of the fields below. Nothing of",
            "a patient or an order is ever a field: `entry` is our own number and leads to the journal, where access is",
            "controlled. An event that repeats for the same route, destination, source, reason and error is thinned out to 30 a",
            "minute; the next one written has `suppressed`, the number left out. `[log] level` leaves out the lesser levels.",
            "",
            *(f"- `{level.value}`: {meaning}" for level, meaning in levels.items()),
            "",
            *_table(("event", "level", "fields", "what it means"), rows),
            "",
            "## Reduced promises",
            "",
            "`node_degraded` and `node_recovered` name one of these, as do `interceptor_degraded{reason}` and `/readyz?verbose`:",
            "",
            *(f"- `{reason.value}`" for reason in DegradedReason),
            "",
        ]
    )


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [_row(header), _row(("---",) * len(header)), *(_row(row) for row in rows)]


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
