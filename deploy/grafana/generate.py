"""Write the three Grafana dashboards: python deploy/grafana/generate.py. A test compares them with the files.

A dashboard is a list of rows, a row a title and its panels, a panel a title, a unit and its expressions. `$job` and
`$instance` are chosen on the dashboard. Every metric must be on a running node's page: tests/alerts/test_dashboards.py.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WIDTH = 24
HEIGHT = 8
CHOSEN = 'job=~"$job", instance=~"$instance"'


@dataclass(frozen=True)
class Panel:
    """One chart, or one number (`kind="stat"`); *lines* are (expression, legend)."""

    title: str
    unit: str
    lines: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    description: str = ""


@dataclass(frozen=True)
class Dashboard:
    """One page: rows of panels."""

    uid: str
    title: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]


def rate(metric: str, by: str, *matchers: str) -> str:
    """How many a second, summed by labels."""
    return f"sum by ({by}) (rate(interceptor_{metric}{{{', '.join((CHOSEN, *matchers))}}}[$__rate_interval]))"


def quantile(share: float, metric: str, by: str = "") -> str:
    """A quantile of a histogram, by labels."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', labels)})"


def value(metric: str, *matchers: str) -> str:
    """A gauge as it is."""
    return f"interceptor_{metric}{{{', '.join((CHOSEN, *matchers))}}}"


def increase(metric: str, duration: str, *matchers: str) -> str:
    """How much a counter grew."""
    return f"increase({value(metric, *matchers)}[{duration}])"


def age(metric: str, *matchers: str) -> str:
    """Seconds since the time that a gauge tells."""
    return f"time() - {value(metric, *matchers)}"


TRAFFIC = Dashboard(
    uid="interceptor-traffic",
    title="Interceptor: traffic",
    rows=(
        (
            "What comes in",
            (
                Panel("Messages by route", "reqps", ((rate("messages_total", "route"), "{{route}}"),)),
                Panel("By what became of them", "reqps", ((rate("messages_total", "outcome"), "{{outcome}}"),)),
                Panel(
                    "Since the last message",
                    "s",
                    (
                        (age("last_message_timestamp_seconds"), "{{route}}"),
                        (age("synthetic_last_success_timestamp_seconds"), "{{route}} synthetic"),
                    ),
                ),
                Panel(
                    "Placers' connections",
                    "short",
                    (
                        (value("inbound_connections"), "{{route}}"),
                        (
                            rate("inbound_connections_total", "route, result", 'result!="accepted"'),
                            "{{route}} {{result}}/s",
                        ),
                    ),
                ),
            ),
        ),
        (
            "What placers get back",
            (
                Panel(
                    "Answers by code and origin",
                    "reqps",
                    ((rate("acks_sent_total", "code, origin"), "{{code}} {{origin}}"),),
                ),
                Panel(
                    "Time that we add",
                    "s",
                    (
                        (quantile(0.5, "added_latency_seconds", "route"), "{{route}} median"),
                        (quantile(0.99, "added_latency_seconds", "route"), "{{route}} p99"),
                    ),
                    description="Without the filler's own time. More than 50 ms for more than 1 % of messages burns the allowance of AddedLatency.",
                ),
                Panel(
                    "Answer as the placer sees it",
                    "s",
                    (
                        (quantile(0.5, "ack_latency_seconds", "route"), "{{route}} median"),
                        (quantile(0.99, "ack_latency_seconds", "route"), "{{route}} p99"),
                    ),
                ),
                Panel(
                    "What is not as it should be",
                    "reqps",
                    (
                        (rate("framing_errors_total", "route, reason"), "framing {{route}} {{reason}}"),
                        (rate("quarantined_total", "route, reason"), "quarantined {{route}} {{reason}}"),
                        (rate("control_id_reuses_total", "route"), "control id reused {{route}}"),
                        (rate("decision_errors_total", "route, reason"), "undecided {{route}} {{reason}}"),
                    ),
                ),
            ),
        ),
        (
            "Destinations",
            (
                Panel("Reachable", "short", ((value("destination_up"), "{{destination}}"),), kind="stat"),
                Panel(
                    "Their answers",
                    "reqps",
                    ((rate("destination_acks_total", "destination, code"), "{{destination}} {{code}}"),),
                ),
                Panel(
                    "Their answering time, p99",
                    "s",
                    ((quantile(0.99, "destination_ack_seconds", "destination"), "{{destination}}"),),
                ),
                Panel(
                    "Timeouts, mismatches, retries, refused notes",
                    "reqps",
                    (
                        (rate("destination_ack_timeouts_total", "destination"), "timeouts {{destination}}"),
                        (rate("destination_ack_mismatches_total", "destination"), "mismatches {{destination}}"),
                        (rate("destination_retries_total", "destination"), "retries {{destination}}"),
                        (rate("annotations_refused_total", "destination"), "notes refused {{destination}}"),
                    ),
                ),
                Panel("Outbox", "short", ((value("outbox_pending"), "{{destination}}"),)),
                Panel("Oldest in the outbox", "s", ((age("outbox_oldest_timestamp_seconds"), "{{destination}}"),)),
            ),
        ),
    ),
)

HOLDS = Dashboard(
    uid="interceptor-holds",
    title="Interceptor: holds and review",
    rows=(
        (
            "What waits for a person",
            (
                Panel(
                    "Held now", "short", ((f"sum by (priority) ({value('held_orders')})", "{{priority}}"),), kind="stat"
                ),
                Panel(
                    "Share of its time used, worst order",
                    "percentunit",
                    ((value("held_order_wait_ratio"), "{{priority}}"),),
                    description="1 is the deadline: the order then goes to the filler unreviewed.",
                ),
                Panel("Oldest held", "s", ((age("held_order_oldest_timestamp_seconds"), "{{priority}}"),)),
                Panel("Dead letters", "short", ((value("dead_letters"), "{{destination}}"),), kind="stat"),
            ),
        ),
        (
            "What is decided",
            (
                Panel("Orders by disposition", "reqps", ((rate("orders_total", "disposition"), "{{disposition}}"),)),
                Panel(
                    "Reasons to hold", "reqps", ((rate("orders_total", "reason", 'disposition="hold"'), "{{reason}}"),)
                ),
                Panel(
                    "Share held, today and this week",
                    "percentunit",
                    (
                        (f"interceptor:hold_share:ratio_increase1d{{{CHOSEN}}}", "{{route}} today"),
                        (f"interceptor:hold_share:ratio_increase7d{{{CHOSEN}}}", "{{route}} this week"),
                    ),
                ),
                Panel(
                    "Mode and breaker",
                    "short",
                    (
                        (f"{value('route_mode_info')} == 1", "{{route}} {{mode}}"),
                        (value("breaker_open"), "{{route}} breaker"),
                    ),
                    kind="stat",
                ),
            ),
        ),
        (
            "How holds end",
            (
                Panel("By how", "reqps", ((rate("hold_ends_total", "end"), "{{end}}"),)),
                Panel(
                    "How long they lasted, median", "s", ((quantile(0.5, "hold_duration_seconds", "end"), "{{end}}"),)
                ),
                Panel(
                    "Left without review",
                    "short",
                    ((increase("hold_ends_total", "1d", 'end="deadline_passed"'), "in a day"),),
                    kind="stat",
                ),
                Panel(
                    "Escalated, unmapped, notices",
                    "reqps",
                    (
                        (rate("orders_escalated_total", "route"), "escalated {{route}}"),
                        (rate("unmapped_procedures_total", "route"), "unmapped {{route}}"),
                        (rate("notices_total", "route, result"), "notices {{route}} {{result}}"),
                    ),
                ),
            ),
        ),
        (
            "What is known of patients",
            (
                Panel(
                    "Lookups", "reqps", ((rate("evidence_lookups_total", "source, result"), "{{source}} {{result}}"),)
                ),
                Panel("Lookup time, p95", "s", ((quantile(0.95, "evidence_lookup_seconds", "source"), "{{source}}"),)),
                Panel(
                    "Since a feed said something new", "s", ((age("registry_feed_last_timestamp_seconds"), "{{feed}}"),)
                ),
                Panel(
                    "Decided again after a failed lookup",
                    "short",
                    (
                        (value("retrospective_waiting"), "waiting"),
                        (increase("retrospective_messages_total", "1d"), "{{result}} in a day"),
                    ),
                ),
            ),
        ),
    ),
)

MACHINE = Dashboard(
    uid="interceptor-machine",
    title="Interceptor: machine and storage",
    rows=(
        (
            "The node",
            (
                Panel("Ready", "short", ((value("ready"), "{{instance}}"),), kind="stat"),
                Panel(
                    "Reduced promises",
                    "short",
                    ((f"{value('degraded')} == 1", "{{instance}} {{reason}}"),),
                    kind="stat",
                ),
                Panel("Version", "short", ((value("build_info"), "{{instance}} {{version}}"),), kind="stat"),
                Panel("Policy", "short", ((value("policy_info"), "{{policy}} {{version}} {{profile}}"),), kind="stat"),
            ),
        ),
        (
            "Time",
            (
                Panel(
                    "Event loop, how late, p99",
                    "s",
                    ((quantile(0.99, "event_loop_lag_seconds", "instance"), "{{instance}}"),),
                ),
                Panel(
                    "Deciding",
                    "s",
                    ((quantile(0.5, "decision_seconds"), "median"), (quantile(0.99, "decision_seconds"), "p99")),
                ),
                Panel(
                    "Processor",
                    "percentunit",
                    ((f"rate(process_cpu_seconds_total{{{CHOSEN}}}[$__rate_interval])", "{{instance}}"),),
                ),
                Panel("Memory", "bytes", ((f"process_resident_memory_bytes{{{CHOSEN}}}", "{{instance}}"),)),
            ),
        ),
        (
            "Journal and disk",
            (
                Panel(
                    "Commit",
                    "s",
                    (
                        (quantile(0.5, "journal_commit_seconds"), "median"),
                        (quantile(0.99, "journal_commit_seconds"), "p99"),
                    ),
                ),
                Panel("Writes that wait", "short", ((value("journal_queue_depth"), "{{instance}}"),)),
                Panel(
                    "Writes per commit",
                    "short",
                    ((quantile(0.5, "journal_batch_size"), "median"), (quantile(0.99, "journal_batch_size"), "p99")),
                ),
                Panel(
                    "Failures and losses",
                    "reqps",
                    (
                        (rate("journal_errors_total", "kind"), "journal {{kind}}"),
                        (rate("records_dropped_total", "instance"), "records dropped {{instance}}"),
                        (rate("log_lines_dropped_total", "instance"), "log lines dropped {{instance}}"),
                    ),
                ),
                Panel(
                    "Free disk",
                    "percentunit",
                    ((f"{value('storage_free_bytes')} / {value('storage_size_bytes')}", "{{instance}}"),),
                ),
                Panel("Free disk", "bytes", ((value("storage_free_bytes"), "{{instance}}"),)),
            ),
        ),
        (
            "Who comes in, and who looks",
            (
                Panel(
                    "Peers that were turned away",
                    "reqps",
                    (
                        (
                            rate("inbound_connections_total", "route, result", 'result=~"refused_.+"'),
                            "{{route}} {{result}}",
                        ),
                        (rate("access_mismatches_total", "route, reason"), "{{route}} {{reason}}"),
                    ),
                ),
                Panel(
                    "Certificates end in",
                    "s",
                    (
                        (
                            f"{value('tls_certificate_not_after_timestamp_seconds')} - time()",
                            "{{place}} {{file}}",
                        ),
                    ),
                ),
                Panel(
                    "Memory of inbound messages",
                    "bytes",
                    ((value("inbound_held_bytes"), "{{instance}}"),),
                    description="While MemoryPaused fires, the connections that hold much are not read.",
                ),
                Panel("Since somebody could review", "s", ((age("review_seen_timestamp_seconds"), "{{instance}}"),)),
                Panel(
                    "Audit events that the repository misses",
                    "short",
                    ((value("audit_export_waiting"), "{{instance}}"),),
                ),
                Panel(
                    "Connections around the node",
                    "short",
                    (
                        (
                            'haproxy_server_current_sessions{proxy="orders", server="filler"}',
                            "{{instance}}",
                        ),
                    ),
                    description="From HAProxy, where one stands in front: more than 0 is BypassInUse.",
                ),
            ),
        ),
    ),
)

DASHBOARDS = (TRAFFIC, HOLDS, MACHINE)


def build(dashboard: Dashboard) -> dict[str, Any]:
    """A dashboard as Grafana's JSON model."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["interceptor"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_source(), _variable("job", "up"), _variable("instance", 'up{job=~"$job"}')]},
        "panels": list(_panels(dashboard)),
    }


def _panels(dashboard: Dashboard) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    top = 0
    for title, panels in dashboard.rows:
        made.append(
            {"type": "row", "title": title, "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1}, "collapsed": False}
        )
        top += 1
        width = WIDTH // (3 if len(panels) % 3 == 0 else 4)
        per_line = WIDTH // width
        for index, panel in enumerate(panels):
            place = {"x": width * (index % per_line), "y": top + HEIGHT * (index // per_line), "w": width, "h": HEIGHT}
            made.append(_panel(panel, place))
        top += HEIGHT * -(-len(panels) // per_line)
    return [{"id": number, **panel} for number, panel in enumerate(made, start=1)]


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + index), "expr": expression, "legendFormat": legend}
        for index, (expression, legend) in enumerate(panel.lines)
    ]
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": {"type": "prometheus", "uid": "$datasource"},
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def _source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _variable(name: str, series: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "$datasource"},
        "query": f"label_values({series}, {name})",
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def render(dashboard: Dashboard) -> str:
    """The file's content."""
    return json.dumps(build(dashboard), indent=2) + "\n"


if __name__ == "__main__":
    for each in DASHBOARDS:
        (Path(__file__).parent / f"{each.uid.removeprefix('interceptor-')}.json").write_text(
            render(each), encoding="utf-8"
        )
