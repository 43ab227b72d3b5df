"""The metrics page: what stands on it from the start, and what never does."""

import math
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from interceptor.telemetry.health import DegradedReason
from interceptor.telemetry.label import (
    AckOrigin,
    ConnectionResult,
    MessageOutcome,
    MessageTypeLabel,
    message_type_label,
)
from interceptor.telemetry.metric_catalogue import CATALOGUE
from interceptor.telemetry.metric_family import MetricKind
from interceptor.telemetry.metrics import MetricLabels, Metrics, timestamp_value

STARTED_AT = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
LABELS = MetricLabels(
    routes=("imaging", "results"),
    destinations=("ris",),
    framing_reasons=("too_large",),
    tolerances=("missing_final_cr",),
    quarantine_reasons=("no_header",),
    reasons=("H-REGIONAL", "P-NOT-SPINE"),
    priorities=("routine", "stat"),
    hold_ends=("released", "deadline_passed"),
    sources=("epic",),
    feeds=("adt",),
    lookup_statuses=("ok", "failed"),
    source_results=("ok", "timed_out"),
    retrospective_results=("clear", "missed_hold"),
)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(LABELS, version="1.2.3", started_at=STARTED_AT)


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    found = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics)[name, tuple(sorted(labels.items()))]


def test_every_family_of_the_catalogue_has_samples_before_the_first_message(metrics: Metrics) -> None:
    names = {name for name, _ in samples(metrics)}
    # A policy, and certificates where there are any, are shown when they are read.
    shown_later = {
        "interceptor_policy_info",
        "interceptor_tls_certificate_not_after_timestamp_seconds",
        "interceptor_tls_last_reload_successful",
    }
    for family in CATALOGUE:
        shown = f"{family.name}_count" if family.kind is MetricKind.HISTOGRAM else family.name
        assert shown in names or family.name in shown_later, family.name


def test_counting_creates_no_new_series(metrics: Metrics) -> None:
    before = samples(metrics).keys()
    route = metrics.routes["imaging"]
    route.messages.count(MessageTypeLabel.ORM, MessageOutcome.PASSED)
    route.orders.count("hold", "a-reason-of-a-policy-loaded-later")
    route.held.set("a-priority-nobody-named", 3)
    metrics.count_hold_end("an-end-nobody-named", held_seconds=5)
    assert samples(metrics).keys() == before


def test_an_unknown_word_counts_as_other_so_that_no_count_is_lost(metrics: Metrics) -> None:
    metrics.routes["imaging"].orders.count("hold", "H-NEW")
    assert value(metrics, "interceptor_orders_total", route="imaging", disposition="other", reason="other") == 1


def test_a_count_lands_on_its_route_and_no_other(metrics: Metrics) -> None:
    metrics.routes["imaging"].connections_total.count(ConnectionResult.ACCEPTED)
    metrics.routes["imaging"].acks_sent.count("AA", AckOrigin.FILLER, amount=2)
    accepted = "interceptor_inbound_connections_total"
    assert value(metrics, accepted, route="imaging", result="accepted") == 1
    assert value(metrics, accepted, route="results", result="accepted") == 0
    assert value(metrics, "interceptor_acks_sent_total", route="imaging", code="AA", origin="filler") == 2


def test_a_resolved_child_is_the_one_that_is_shown(metrics: Metrics) -> None:
    child = metrics.routes["results"].messages.child("oru", "passed")
    child.inc()
    assert value(metrics, "interceptor_messages_total", route="results", message_type="oru", outcome="passed") == 1


def test_no_created_series_and_base_units_only(metrics: Metrics) -> None:
    for name, _ in samples(metrics):
        assert not name.endswith("_created")
        assert not re.search(r"_(ms|millis|milliseconds|kb|minutes|percent)(_|$)", name)


@pytest.mark.parametrize("family", CATALOGUE, ids=lambda family: family.name)
def test_a_family_is_named_and_explained_by_the_rules(family: object) -> None:
    from interceptor.telemetry.metric_family import MetricFamily

    assert isinstance(family, MetricFamily)
    assert re.fullmatch(r"interceptor_[a-z0-9_]+", family.name)
    assert family.name.endswith("_total") == (family.kind is MetricKind.COUNTER)
    assert bool(family.buckets) == (family.kind is MetricKind.HISTOGRAM)
    assert family.buckets == tuple(sorted(family.buckets))
    assert family.sentence.endswith(".")
    assert family.alert_when


def test_the_mode_that_is_shown_is_the_only_one(metrics: Metrics) -> None:
    metrics.routes["imaging"].show_mode("enforce")
    metrics.routes["imaging"].show_mode("annotate")
    modes = {
        mode: value(metrics, "interceptor_route_mode_info", route="imaging", mode=mode)
        for mode in ("shadow", "annotate", "enforce")
    }
    assert modes == {"shadow": 0, "annotate": 1, "enforce": 0}


def test_a_new_policy_replaces_the_shown_one(metrics: Metrics) -> None:
    metrics.show_policy(policy_id="spine", version="1", profile="default", sha256="a" * 64)
    metrics.show_policy(policy_id="spine", version="2", profile="default", sha256="b" * 64)
    shown = [dict(labels) for name, labels in samples(metrics) if name == "interceptor_policy_info"]
    assert [labels["version"] for labels in shown] == ["2"]


def test_nothing_held_is_nan_because_no_comparison_with_nan_alerts(metrics: Metrics) -> None:
    assert math.isnan(value(metrics, "interceptor_held_order_oldest_timestamp_seconds", priority="routine"))
    assert math.isnan(timestamp_value(None))
    metrics.held_oldest.set("routine", timestamp_value(STARTED_AT))
    shown = value(metrics, "interceptor_held_order_oldest_timestamp_seconds", priority="routine")
    assert shown == STARTED_AT.timestamp()


def test_a_route_that_never_had_a_message_is_silent_since_the_start(metrics: Metrics) -> None:
    assert value(metrics, "interceptor_last_message_timestamp_seconds", route="imaging") == STARTED_AT.timestamp()


def test_gauges_that_are_not_named_fall_back_to_the_default(metrics: Metrics) -> None:
    held = metrics.routes["imaging"].held
    held.set_all({"routine": 4, "stat": 1})
    held.set_all({"stat": 2})
    assert value(metrics, "interceptor_held_orders", route="imaging", priority="routine") == 0
    assert value(metrics, "interceptor_held_orders", route="imaging", priority="stat") == 2


def test_a_hold_end_is_counted_and_its_duration_observed(metrics: Metrics) -> None:
    metrics.count_hold_end("released", held_seconds=120)
    assert value(metrics, "interceptor_hold_ends_total", end="released") == 1
    assert value(metrics, "interceptor_hold_duration_seconds_sum", end="released") == 120


def test_free_storage_is_measured_when_the_page_is_rendered(metrics: Metrics, tmp_path: Path) -> None:
    metrics.watch_storage(tmp_path)
    assert value(metrics, "interceptor_storage_free_bytes") > 0
    metrics.watch_storage(tmp_path / "gone")
    assert math.isnan(value(metrics, "interceptor_storage_free_bytes"))


def test_two_nodes_in_one_process_do_not_share_counts(metrics: Metrics) -> None:
    other = Metrics(LABELS, version="1.2.3", started_at=STARTED_AT)
    other.journal.errors.count("broken")
    assert value(metrics, "interceptor_journal_errors_total", kind="broken") == 0


def test_every_degraded_reason_has_its_series(metrics: Metrics) -> None:
    reasons = {dict(labels)["reason"] for name, labels in samples(metrics) if name == "interceptor_degraded"}
    assert reasons == {*DegradedReason, "other"}


@pytest.mark.parametrize(
    ("code", "label"),
    [("ORM", "orm"), ("ADT", "adt"), ("ACK", "ack"), ("QRY", "other"), ("", "other"), ("orm", "other")],
)
def test_message_codes_fold_to_a_closed_set(code: str, label: str) -> None:
    assert message_type_label(code) == label


def test_a_page_is_rendered_in_pieces_so_that_a_message_never_waits_for_all_of_it(metrics: Metrics) -> None:
    pieces: list[None] = []
    page = metrics.render(between=lambda: pieces.append(None))
    assert own_lines(page) == own_lines(metrics.render())
    assert len(pieces) == len(CATALOGUE) + 1


def own_lines(page: bytes) -> list[bytes]:
    """The page without what the library measures of the process, which moves."""
    return [line for line in page.splitlines() if b"process_" not in line]


PROMISED = """
build_info policy_info route_mode_info inbound_connections inbound_connections_total messages_total message_bytes
framing_errors_total added_latency_seconds ack_latency_seconds acks_sent_total last_message_timestamp_seconds destination_up
destination_in_flight destination_acks_total destination_ack_seconds destination_ack_timeouts_total
destination_ack_mismatches_total destination_retries_total outbox_pending outbox_oldest_timestamp_seconds orders_total
decision_seconds decision_errors_total held_orders held_order_oldest_timestamp_seconds hold_duration_seconds hold_ends_total
orders_escalated_total dead_letters dead_letters_total unmapped_procedures_total breaker_open evidence_lookups_total
evidence_lookup_seconds registry_feed_last_timestamp_seconds event_loop_lag_seconds journal_commit_seconds
journal_batch_size journal_queue_depth storage_free_bytes tls_certificate_not_after_timestamp_seconds http_requests_total
http_request_duration_seconds sse_clients logins_total notifications_total config_last_reload_successful
synthetic_last_success_timestamp_seconds
"""
"""What operations were promised; rules, dashboards and runbooks of sites name these."""


def test_no_metric_that_was_promised_is_missing_or_renamed() -> None:
    assert {f"interceptor_{name}" for name in PROMISED.split()} <= {family.name for family in CATALOGUE}
