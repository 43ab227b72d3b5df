"""The metrics of one node as attributes: every label set exists from the start, every child is looked up once.

The registries are our own, so nothing of another library or another node in the same test leaks in. A value that
was not known at the start (a reason code of a policy loaded later) counts under "other": no count is lost and
no label set grows.

Failures: none. Counting cannot fail and never waits; rendering runs in the thread that serves it.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import cast

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.process_collector import ProcessCollector

from interceptor.message.acknowledgment import AckCode
from interceptor.message.header import Header
from interceptor.telemetry import line_metrics, review_metrics
from interceptor.telemetry import metric_catalogue as catalogue
from interceptor.telemetry.health import DegradedReason
from interceptor.telemetry.label import (
    ACKNOWLEDGMENT_CODES,
    OTHER,
    AckOrigin,
    ConnectionResult,
    ConnectResult,
    MessageOutcome,
    MessageTypeLabel,
    NoticeResult,
)
from interceptor.telemetry.metric_family import MetricFamily, MetricKind
from interceptor.telemetry.tally import (
    AnyFamily,
    CounterTally,
    GaugeTally,
    HistogramTally,
    TallyCollector,
    TallyFamily,
    build_family,
)
from interceptor.telemetry.traffic import TrafficRing

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Media type of `Metrics.render`: the Prometheus text format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricLabels:
    """Every name and word that may become a label value: from the configuration, the policy and the stages' enums.

    Attributes:
        routes, destinations, modes: Configured names, and the modes that a route can be in.
        framing_reasons, tolerances, quarantine_reasons: Words of the wire.
        dispositions, reasons: Words of the policy.
        priorities, hold_ends: Words of the lifecycle.
        decision_error_reasons, dead_letter_reasons: Why deciding failed, why a message was given up.
        sources, lookup_statuses, source_results: Configured evidence sources, and how they can answer.
        retrospective_results: What can come of deciding again.
        mismatches: What a peer's certificate may not do.
        feeds, feed_results, registry_results: Configured feeds, what becomes of their messages, how the registry answers.
        synthetic_results: What can become of a synthetic order.
        sends_synthetic: Whether there are any.
        review_actions, login_results: Rights that review pages need, and how a login can go.
        notification_results: How an attempt to tell another system can end.
    """

    routes: Sequence[str]
    destinations: Sequence[str]
    modes: Sequence[str] = ("shadow", "annotate", "enforce")
    framing_reasons: Sequence[str] = ()
    tolerances: Sequence[str] = ()
    quarantine_reasons: Sequence[str] = ()
    dispositions: Sequence[str] = ("pass", "annotate", "hold")
    reasons: Sequence[str] = ()
    priorities: Sequence[str] = ()
    hold_ends: Sequence[str] = ()
    decision_error_reasons: Sequence[str] = ("exception", "over_budget")
    dead_letter_reasons: Sequence[str] = ("refused", "attempts_spent", "maybe_overtaken")
    sources: Sequence[str] = ()
    lookup_statuses: Sequence[str] = ()
    source_results: Sequence[str] = ()
    retrospective_results: Sequence[str] = ()
    feeds: Sequence[str] = ()
    feed_results: Sequence[str] = ()
    registry_results: Sequence[str] = ()
    synthetic_results: Sequence[str] = ()
    sends_synthetic: bool = False
    review_actions: Sequence[str] = ()
    login_results: Sequence[str] = ()
    notification_results: Sequence[str] = ()
    mismatches: Sequence[str] = ()


class Counters:
    """The children of one counter family that differ in the last labels; the first ones are fixed."""

    __slots__ = ("_children", "_other")

    def __init__(
        self, family: TallyFamily[CounterTally], *, fixed: tuple[str, ...] = (), words: Sequence[Iterable[str]]
    ) -> None:
        keys = list(product(*(_with_other(values) for values in words)))
        self._children: dict[tuple[str, ...], CounterTally] = {key: family.labels(*fixed, *key) for key in keys}
        self._other = self._children[tuple(OTHER for _ in words)]

    def count(self, *words: str, amount: float = 1) -> None:
        """Add to one child. A word that was not known at the start counts with all words as "other"."""
        self._children.get(words, self._other).inc(amount)

    def sums(self) -> dict[str, int]:
        """Counts by the first label, only what has happened."""
        found: dict[str, int] = {}
        for words, child in self._children.items():
            if child.value:
                found[words[0]] = found.get(words[0], 0) + int(child.value)
        return found

    def total(self) -> int:
        """All counts together."""
        return sum(self.sums().values())

    def child(self, *words: str) -> CounterTally:
        """The child itself, for a caller that counts the same thing many times."""
        return self._children.get(words, self._other)


class Gauges:
    """The children of one gauge family by the last label; the first ones are fixed."""

    __slots__ = ("_children",)

    def __init__(
        self, family: TallyFamily[GaugeTally], *, fixed: tuple[str, ...] = (), words: Iterable[str], start: float = 0
    ) -> None:
        self._children: dict[str, GaugeTally] = {}
        for word in dict.fromkeys((*words, OTHER)):
            self._children[word] = family.labels(*fixed, word)
            self._children[word].set(start)

    def set(self, word: str, value: float) -> None:
        """Set one child; an unknown word sets "other"."""
        self._children.get(word, self._children[OTHER]).set(value)

    def set_all(self, values: Mapping[str, float], *, default: float = 0) -> None:
        """Set every child: to its value here, or to the default."""
        for word, child in self._children.items():
            child.set(values.get(word, default))


def _with_other(words: Iterable[str]) -> Iterator[str]:
    return iter(dict.fromkeys((*words, OTHER)))


def timestamp_value(moment: datetime | None) -> float:
    """Seconds since 1970 of an aware time, NaN for None: the value of every `_timestamp_seconds` gauge."""
    return math.nan if moment is None else moment.timestamp()


class _Families:
    """The families of the catalogue by name.

    Each has a registry of its own: one registry refuses `dead_letters` beside `dead_letters_total`, although the text
    format tells them apart; and a page can be rendered piece by piece.
    """

    def __init__(self) -> None:
        self._by_name = {family.name: build_family(family) for family in catalogue.CATALOGUE}
        process = CollectorRegistry()
        ProcessCollector(registry=process)
        self.registries = (process, *(_registry_of(one) for one in self._by_name.values()))

    def counter(self, family: MetricFamily) -> TallyFamily[CounterTally]:
        assert family.kind is MetricKind.COUNTER
        return cast("TallyFamily[CounterTally]", self._by_name[family.name])

    def gauge(self, family: MetricFamily) -> TallyFamily[GaugeTally]:
        assert family.kind is MetricKind.GAUGE
        return cast("TallyFamily[GaugeTally]", self._by_name[family.name])

    def histogram(self, family: MetricFamily) -> TallyFamily[HistogramTally]:
        assert family.kind is MetricKind.HISTOGRAM
        return cast("TallyFamily[HistogramTally]", self._by_name[family.name])


def _registry_of(family: AnyFamily) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(TallyCollector((family,)))
    return registry


class RouteMetrics:
    """The metrics of one route: what its placers send and what they get back."""

    def __init__(self, families: _Families, route: str, labels: MetricLabels, *, started_at: datetime) -> None:
        fixed = (route,)

        def counters(family: MetricFamily, *words: Iterable[str]) -> Counters:
            return Counters(families.counter(family), fixed=fixed, words=words)

        def counter(family: MetricFamily) -> CounterTally:
            return families.counter(family).labels(route)

        def gauge(family: MetricFamily) -> GaugeTally:
            return families.gauge(family).labels(route)

        self.connections = gauge(catalogue.INBOUND_CONNECTIONS)
        self.connections_total = counters(catalogue.INBOUND_CONNECTIONS_TOTAL, ConnectionResult)
        self.messages = counters(catalogue.MESSAGES_TOTAL, MessageTypeLabel, MessageOutcome)
        self.message_bytes = families.histogram(catalogue.MESSAGE_BYTES).labels(route)
        self.framing_errors = counters(catalogue.FRAMING_ERRORS_TOTAL, labels.framing_reasons)
        self.frame_tolerances = counters(catalogue.FRAME_TOLERANCES_TOTAL, labels.tolerances)
        self.open_frame_bytes = gauge(catalogue.OPEN_FRAME_BYTES)
        self.open_frame_oldest = gauge(catalogue.OPEN_FRAME_OLDEST_TIMESTAMP_SECONDS)
        self.open_frame_oldest.set(math.nan)
        self.added_latency = families.histogram(catalogue.ADDED_LATENCY_SECONDS).labels(route)
        self.ack_latency = families.histogram(catalogue.ACK_LATENCY_SECONDS).labels(route)
        self.acks_sent = counters(catalogue.ACKS_SENT_TOTAL, ACKNOWLEDGMENT_CODES, AckOrigin)
        self.acceptances_relayed = self.acks_sent.child(AckCode.APPLICATION_ACCEPT, AckOrigin.FILLER)
        """The child of `acks_sent` that nearly every message counts in."""
        self.last_message = gauge(catalogue.LAST_MESSAGE_TIMESTAMP_SECONDS)
        self.last_message.set(started_at.timestamp())
        self.traffic = TrafficRing()
        self.health_probes = counter(catalogue.HEALTH_PROBES_TOTAL)
        self.control_id_reuses = counter(catalogue.CONTROL_ID_REUSES_TOTAL)
        self.unknown_charsets = counter(catalogue.UNKNOWN_CHARSETS_TOTAL)
        self.quarantined = counters(catalogue.QUARANTINED_TOTAL, labels.quarantine_reasons)
        self.orders = counters(catalogue.ORDERS_TOTAL, labels.dispositions, labels.reasons)
        self.decision_errors = counters(catalogue.DECISION_ERRORS_TOTAL, labels.decision_error_reasons)
        self.unmapped_procedures = counter(catalogue.UNMAPPED_PROCEDURES_TOTAL)
        self.orders_escalated = counter(catalogue.ORDERS_ESCALATED_TOTAL)
        self.notices = counters(catalogue.NOTICES_TOTAL, NoticeResult)
        self.held = Gauges(families.gauge(catalogue.HELD_ORDERS), fixed=fixed, words=labels.priorities)
        self.parked = gauge(catalogue.PARKED_ORDERS)
        self.breaker_open = gauge(catalogue.BREAKER_OPEN)
        self._modes = {mode: families.gauge(catalogue.ROUTE_MODE_INFO).labels(route, mode) for mode in labels.modes}

    def note_end(
        self,
        kind: MessageTypeLabel,
        header: Header | None,
        outcome: MessageOutcome,
        added_seconds: float,
        code: str,
    ) -> None:
        """A message has come to its end: counted, and shown on the traffic page."""
        self.messages.count(kind, outcome)
        self.traffic.note(kind, header, outcome, added_seconds, code)

    def show_mode(self, mode: str) -> None:
        """Show the mode that the route is in now; one of the modes given at the start."""
        assert mode in self._modes
        for name, child in self._modes.items():
            child.set(1 if name == mode else 0)


class SyntheticMetrics:
    """The metrics of a route's synthetic orders."""

    def __init__(self, families: _Families, route: str, labels: MetricLabels, *, started_at: datetime) -> None:
        self._messages = Counters(
            families.counter(catalogue.SYNTHETIC_MESSAGES_TOTAL), fixed=(route,), words=(labels.synthetic_results,)
        )
        self._last_success = families.gauge(catalogue.SYNTHETIC_LAST_SUCCESS_TIMESTAMP_SECONDS).labels(route)
        self._last_success.set(started_at.timestamp() if labels.sends_synthetic else math.nan)

    def show(self, result: str, *, at: datetime) -> None:
        """One ended with this result, "ok" or another word of the set."""
        self._messages.count(result)
        if result == "ok":
            self._last_success.set(at.timestamp())


class DestinationMetrics:
    """The metrics of one destination: how the filler answers, and what waits for it."""

    def __init__(self, families: _Families, destination: str, labels: MetricLabels) -> None:
        fixed = (destination,)
        self.up = families.gauge(catalogue.DESTINATION_UP).labels(destination)
        self.connects = Counters(
            families.counter(catalogue.DESTINATION_CONNECTS_TOTAL), fixed=fixed, words=(ConnectResult,)
        )
        self.in_flight = families.gauge(catalogue.DESTINATION_IN_FLIGHT).labels(destination)
        self.acks = Counters(
            families.counter(catalogue.DESTINATION_ACKS_TOTAL), fixed=fixed, words=(ACKNOWLEDGMENT_CODES,)
        )
        self.ack_seconds = families.histogram(catalogue.DESTINATION_ACK_SECONDS).labels(destination)
        self.ack_timeouts = families.counter(catalogue.DESTINATION_ACK_TIMEOUTS_TOTAL).labels(destination)
        self.ack_mismatches = families.counter(catalogue.DESTINATION_ACK_MISMATCHES_TOTAL).labels(destination)
        self.unreadable_acks = families.counter(catalogue.DESTINATION_UNREADABLE_ACKS_TOTAL).labels(destination)
        self.unsolicited = families.counter(catalogue.DESTINATION_UNSOLICITED_TOTAL).labels(destination)
        self.retries = families.counter(catalogue.DESTINATION_RETRIES_TOTAL).labels(destination)
        self.annotations_refused = families.counter(catalogue.ANNOTATIONS_REFUSED_TOTAL).labels(destination)
        self.outbox_pending = families.gauge(catalogue.OUTBOX_PENDING).labels(destination)
        self.outbox_oldest = families.gauge(catalogue.OUTBOX_OLDEST_TIMESTAMP_SECONDS).labels(destination)
        self.outbox_oldest.set(math.nan)
        self.dead_letters = families.gauge(catalogue.DEAD_LETTERS).labels(destination)
        self.dead_letters_total = Counters(
            families.counter(catalogue.DEAD_LETTERS_TOTAL), fixed=fixed, words=(labels.dead_letter_reasons,)
        )


class SourceMetrics:
    """The metrics of one evidence source."""

    def __init__(self, families: _Families, source: str, labels: MetricLabels) -> None:
        fixed = (source,)
        self.lookups = Counters(
            families.counter(catalogue.EVIDENCE_LOOKUPS_TOTAL), fixed=fixed, words=(labels.lookup_statuses,)
        )
        self.lookup_seconds = families.histogram(catalogue.EVIDENCE_LOOKUP_SECONDS).labels(source)
        self.answers = Counters(
            families.counter(catalogue.SOURCE_ANSWERS_TOTAL), fixed=fixed, words=(labels.source_results,)
        )
        self.seconds = families.histogram(catalogue.SOURCE_SECONDS).labels(source)
        self.breaker_open = families.gauge(catalogue.SOURCE_BREAKER_OPEN).labels(source)


class FeedMetrics:
    """The metrics of one feed of patients' diagnoses, beside those of its listener."""

    def __init__(self, families: _Families, feed: str, labels: MetricLabels) -> None:
        self.messages = Counters(
            families.counter(catalogue.REGISTRY_FEED_MESSAGES_TOTAL), fixed=(feed,), words=(labels.feed_results,)
        )
        self.last_said = families.gauge(catalogue.REGISTRY_FEED_LAST_TIMESTAMP_SECONDS).labels(feed)
        self.last_said.set(math.nan)
        self._last_said_at: datetime | None = None

    def show_said(self, said_at: datetime) -> None:
        """Something was recorded that the sender said at this time; an older time changes nothing."""
        if self._last_said_at is None or said_at > self._last_said_at:
            self._last_said_at = said_at
            self.last_said.set(said_at.timestamp())


class JournalMetrics:
    """The metrics of the journal's writer."""

    def __init__(self, families: _Families) -> None:
        self.commit_seconds = families.histogram(catalogue.JOURNAL_COMMIT_SECONDS).labels()
        self.batch_size = families.histogram(catalogue.JOURNAL_BATCH_SIZE).labels()
        self.queue_depth = families.gauge(catalogue.JOURNAL_QUEUE_DEPTH).labels()
        self.errors = Counters(families.counter(catalogue.JOURNAL_ERRORS_TOTAL), words=(("unavailable", "broken"),))


class LineMetrics:
    """The metrics of who may speak, of certificates, and of limits of the whole process."""

    def __init__(self, families: _Families, labels: MetricLabels) -> None:
        words = (labels.routes, labels.mismatches, ("refused", "allowed"))
        self.mismatches = Counters(families.counter(line_metrics.ACCESS_MISMATCHES_TOTAL), words=words)
        self.inbound_held_bytes = families.gauge(line_metrics.INBOUND_HELD_BYTES).labels()
        self.memory_paused = families.gauge(line_metrics.MEMORY_PAUSED).labels()
        self.audit_waiting = families.gauge(line_metrics.AUDIT_EXPORT_WAITING).labels()
        self.audit_exported = families.counter(line_metrics.AUDIT_EXPORTED_TOTAL).labels()
        self.audit_sink_up = families.gauge(line_metrics.AUDIT_SINK_UP).labels()
        self.audit_sink_up.set(math.nan)
        self._not_after = families.gauge(line_metrics.TLS_CERTIFICATE_NOT_AFTER_TIMESTAMP_SECONDS)
        self._reloads = families.gauge(line_metrics.TLS_LAST_RELOAD_SUCCESSFUL)

    def show_certificate(self, place: str, file: str, not_after: datetime) -> None:
        """Show when a certificate ends; *place* is a table of the configuration, *file* a key of it."""
        self._not_after.labels(place, file).set(not_after.timestamp())

    def show_reload(self, place: str, *, is_taken: bool) -> None:
        """Show whether the last change of a table's files was taken."""
        self._reloads.labels(place).set(1 if is_taken else 0)


class ReviewMetrics:
    """The metrics of the review pages, as their process reports them."""

    def __init__(self, families: _Families, labels: MetricLabels) -> None:
        words = (labels.review_actions, ("2xx", "3xx", "4xx", "5xx"))
        self.requests = Counters(families.counter(review_metrics.HTTP_REQUESTS_TOTAL), words=words)
        seconds = families.histogram(review_metrics.HTTP_REQUEST_DURATION_SECONDS)
        self._seconds = {action: seconds.labels(action) for action in _with_other(labels.review_actions)}
        self.streams = families.gauge(review_metrics.SSE_CLIENTS).labels()
        self.logins = Counters(families.counter(review_metrics.LOGINS_TOTAL), words=(labels.login_results,))
        self.seen = families.gauge(review_metrics.REVIEW_SEEN_TIMESTAMP_SECONDS).labels()
        self.seen.set(math.nan)

    def observe(self, action: str, seconds: float) -> None:
        """A request that needed the right to *action* was answered in so many seconds."""
        self._seconds.get(action, self._seconds[OTHER]).observe(seconds)


class Metrics:
    """All metrics of one node.

    `routes`, `destinations`, `sources` and `feeds` hold the groups by configured name; take the group once, when the part that
    counts is built. Counting is safe from any thread.
    """

    def __init__(self, labels: MetricLabels, *, version: str, started_at: datetime) -> None:
        families = _Families()
        self._registries = families.registries
        families.gauge(catalogue.BUILD_INFO).labels(version).set(1)
        self._policy_info = families.gauge(catalogue.POLICY_INFO)
        self.routes: Mapping[str, RouteMetrics] = {
            route: RouteMetrics(families, route, labels, started_at=started_at) for route in labels.routes
        }
        self.synthetic: Mapping[str, SyntheticMetrics] = {
            route: SyntheticMetrics(families, route, labels, started_at=started_at) for route in labels.routes
        }
        self.destinations: Mapping[str, DestinationMetrics] = {
            destination: DestinationMetrics(families, destination, labels) for destination in labels.destinations
        }
        self.sources: Mapping[str, SourceMetrics] = {
            source: SourceMetrics(families, source, labels) for source in labels.sources
        }
        self.feeds: Mapping[str, FeedMetrics] = {feed: FeedMetrics(families, feed, labels) for feed in labels.feeds}
        self.registry_lookups = Counters(
            families.counter(catalogue.REGISTRY_LOOKUPS_TOTAL), words=(labels.registry_results,)
        )
        self.retrospective_waiting = families.gauge(catalogue.RETROSPECTIVE_WAITING).labels()
        self.retrospective_messages = Counters(
            families.counter(catalogue.RETROSPECTIVE_MESSAGES_TOTAL), words=(labels.retrospective_results,)
        )
        self.journal = JournalMetrics(families)
        self.line = LineMetrics(families, labels)
        self.review = ReviewMetrics(families, labels)
        self.ready = families.gauge(catalogue.READY).labels()
        self.degraded = Gauges(families.gauge(catalogue.DEGRADED), words=DegradedReason)
        self._reload_successful = families.gauge(catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL).labels()
        self._reload_timestamp = families.gauge(catalogue.CONFIG_LAST_RELOAD_TIMESTAMP_SECONDS).labels()
        self.show_reload(successful=True, at=started_at)
        self.event_loop_lag = families.histogram(catalogue.EVENT_LOOP_LAG_SECONDS).labels()
        self.storage_free_bytes = families.gauge(catalogue.STORAGE_FREE_BYTES).labels()
        self.storage_size_bytes = families.gauge(catalogue.STORAGE_SIZE_BYTES).labels()
        for storage in (self.storage_free_bytes, self.storage_size_bytes):
            storage.set(math.nan)
        self.log_lines_dropped = families.counter(catalogue.LOG_LINES_DROPPED_TOTAL).labels()
        self.records_dropped = families.counter(catalogue.RECORDS_DROPPED_TOTAL).labels()
        self.notifications = Counters(
            families.counter(catalogue.NOTIFICATIONS_TOTAL), words=(("webhook",), labels.notification_results)
        )
        self.scrapes = families.counter(catalogue.SCRAPES_TOTAL).labels()
        self.decision_seconds = families.histogram(catalogue.DECISION_SECONDS).labels()
        self.held_oldest = Gauges(
            families.gauge(catalogue.HELD_ORDER_OLDEST_TIMESTAMP_SECONDS), words=labels.priorities, start=math.nan
        )
        self.held_wait_ratio = Gauges(
            families.gauge(catalogue.HELD_ORDER_WAIT_RATIO), words=labels.priorities, start=math.nan
        )
        hold_duration = families.histogram(catalogue.HOLD_DURATION_SECONDS)
        self._hold_durations = {end: hold_duration.labels(end) for end in _with_other(labels.hold_ends)}
        self._hold_ends = Counters(families.counter(catalogue.HOLD_ENDS_TOTAL), words=(labels.hold_ends,))

    def count_hold_end(self, end: str, *, held_seconds: float) -> None:
        """A hold ended: how, and how long it lasted in seconds (0 or more)."""
        self._hold_ends.count(end)
        self._hold_durations.get(end, self._hold_durations[OTHER]).observe(held_seconds)

    def show_reload(self, *, successful: bool, at: datetime) -> None:
        """A configuration was taken, or refused, at this time."""
        self._reload_successful.set(successful)
        if successful:
            self._reload_timestamp.set(at.timestamp())

    def show_policy(self, *, policy_id: str, version: str, profile: str, sha256: str) -> None:
        """Show the policy that decides from now on, instead of the earlier one."""
        self._policy_info.clear()
        self._policy_info.labels(policy_id, version, profile, sha256).set(1)

    def watch_storage(self, folder: Path) -> None:
        """Measure the file system of this folder at every render, in the rendering thread."""

        def measured(blocks: Callable[[os.statvfs_result], int]) -> float:
            try:
                status = os.statvfs(folder)
            except OSError:
                return math.nan
            return float(blocks(status) * status.f_frsize)

        self.storage_free_bytes.set_function(lambda: measured(lambda status: status.f_bavail))
        self.storage_size_bytes.set_function(lambda: measured(lambda status: status.f_blocks))

    def render(self, *, between: Callable[[], None] = lambda: None) -> bytes:
        """The metrics page in the Prometheus text format. Takes milliseconds: never call it in the node's loop.

        Args:
            between: Called after each metric, so that the caller can let other threads go on.
        """
        pieces = []
        for registry in self._registries:
            pieces.append(generate_latest(registry))
            between()
        return b"".join(pieces)
