"""Every metric that a node shows: name, kind, labels, meaning and when to alert. The reference page is made from this.

Base units only (seconds, bytes). Label values are names from the configuration and words of closed sets, never
anything read from a message. Times are seconds since 1970-01-01 UTC, so that an age is `time() - metric`; NaN
says that there is nothing to measure, and a comparison with NaN never alerts.
"""

from interceptor.telemetry import line_metrics, review_metrics
from interceptor.telemetry.metric_family import FAST_SECONDS, HOLD_SECONDS, PEER_SECONDS, MetricFamily, MetricKind


def _counter(name: str, sentence: str, alert_when: str, *labels: str) -> MetricFamily:
    return MetricFamily(name=name, kind=MetricKind.COUNTER, sentence=sentence, alert_when=alert_when, labels=labels)


def _gauge(name: str, sentence: str, alert_when: str, *labels: str) -> MetricFamily:
    return MetricFamily(name=name, kind=MetricKind.GAUGE, sentence=sentence, alert_when=alert_when, labels=labels)


def _histogram(name: str, sentence: str, alert_when: str, *labels: str, buckets: tuple[float, ...]) -> MetricFamily:
    return MetricFamily(
        name=name, kind=MetricKind.HISTOGRAM, sentence=sentence, alert_when=alert_when, labels=labels, buckets=buckets
    )


# The node itself.
BUILD_INFO = _gauge("interceptor_build_info", "1, with the version that runs.", "never: explains others", "version")
POLICY_INFO = _gauge(
    "interceptor_policy_info",
    "1, with the policy that decides.",
    "two nodes of one site show different sha256",
    "policy",
    "version",
    "profile",
    "sha256",
)
ROUTE_MODE_INFO = _gauge(
    "interceptor_route_mode_info",
    "1 for the mode that the route is in, 0 for the others.",
    "the mode is not the one that was agreed for go-live",
    "route",
    "mode",
)
READY = _gauge("interceptor_ready", "1 when /readyz answers yes.", "0 for 2 minutes")
DEGRADED = _gauge(
    "interceptor_degraded", "1 while the node runs with this reduced promise.", "1 for 1 minute", "reason"
)
CONFIG_LAST_RELOAD_SUCCESSFUL = _gauge(
    "interceptor_config_last_reload_successful", "1 when the last load of the configuration was taken.", "0"
)
CONFIG_LAST_RELOAD_TIMESTAMP_SECONDS = _gauge(
    "interceptor_config_last_reload_timestamp_seconds",
    "When a configuration was taken last, at the start or by a reload.",
    "never: explains others",
)
EVENT_LOOP_LAG_SECONDS = _histogram(
    "interceptor_event_loop_lag_seconds",
    "How late the event loop wakes a timer.",
    "any observation above 1 s",
    buckets=FAST_SECONDS,
)
STORAGE_FREE_BYTES = _gauge(
    "interceptor_storage_free_bytes", "Free space where the journal lives.", "below 10 % or below 1 GiB"
)
STORAGE_SIZE_BYTES = _gauge(
    "interceptor_storage_size_bytes", "Size of the file system where the journal lives.", "never: explains others"
)
LOG_LINES_DROPPED_TOTAL = _counter(
    "interceptor_log_lines_dropped_total", "Log lines lost because the reader of our log is too slow.", "any increase"
)
RECORDS_DROPPED_TOTAL = _counter(
    "interceptor_records_dropped_total",
    "Decisions and quarantined bytes that the journal could not keep; the orders themselves had gone on.",
    "any increase",
)
NOTIFICATIONS_TOTAL = _counter(
    "interceptor_notifications_total",
    "Attempts to tell other systems of held orders, by how they ended.",
    "failed increases",
    "channel",
    "result",
)
SCRAPES_TOTAL = _counter("interceptor_scrapes_total", "Requests for /metrics.", "never: explains others")

# Inbound.
INBOUND_CONNECTIONS = _gauge(
    "interceptor_inbound_connections", "Connections that placers hold open.", "0 on a route that is in use", "route"
)
INBOUND_CONNECTIONS_TOTAL = _counter(
    "interceptor_inbound_connections_total",
    "Connections that placers opened.",
    "refused ones increase",
    "route",
    "result",
)
HEALTH_PROBES_TOTAL = _counter(
    "interceptor_health_probes_total",
    "Questions of a load balancer on the orders' port that were answered.",
    "no increase for 1 minute on a route that stands behind one",
    "route",
)
MESSAGES_TOTAL = _counter(
    "interceptor_messages_total",
    "Inbound messages, when answered or given up.",
    "no increase for longer than the feed is ever quiet",
    "route",
    "message_type",
    "outcome",
)
MESSAGE_BYTES = _histogram(
    "interceptor_message_bytes",
    "Size of inbound messages without their frame.",
    "never: explains others",
    "route",
    buckets=(512.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 16777216.0),
)
FRAMING_ERRORS_TOTAL = _counter(
    "interceptor_framing_errors_total", "Streams that stopped being MLLP.", "any increase", "route", "reason"
)
FRAME_TOLERANCES_TOTAL = _counter(
    "interceptor_frame_tolerances_total",
    "Deviations from MLLP that were tolerated by name.",
    "start_inside_frame increases: a placer cuts messages short",
    "route",
    "tolerance",
)
OPEN_FRAME_BYTES = _gauge(
    "interceptor_open_frame_bytes", "Bytes that wait for the end of their frame.", "above 16 MiB", "route"
)
OPEN_FRAME_OLDEST_TIMESTAMP_SECONDS = _gauge(
    "interceptor_open_frame_oldest_timestamp_seconds",
    "When the oldest open frame began; NaN when none is open.",
    "older than the read timeout",
    "route",
)
ADDED_LATENCY_SECONDS = _histogram(
    "interceptor_added_latency_seconds",
    "Time that we add to a message: last byte in to last byte out, and the same for its answer; the filler's own time is excluded.",
    "p99 above 50 ms for 10 minutes",
    "route",
    buckets=FAST_SECONDS,
)
ACK_LATENCY_SECONDS = _histogram(
    "interceptor_ack_latency_seconds",
    "Last byte of a message to the last byte of its acknowledgment, as the placer sees it.",
    "p99 near the placer's timeout",
    "route",
    buckets=PEER_SECONDS,
)
ACKS_SENT_TOTAL = _counter(
    "interceptor_acks_sent_total",
    "Acknowledgments that placers got, by code and by whose they are.",
    "AE or AR above the route's usual share",
    "route",
    "code",
    "origin",
)
LAST_MESSAGE_TIMESTAMP_SECONDS = _gauge(
    "interceptor_last_message_timestamp_seconds",
    "When the last message came in; until the first one, when the node started.",
    "older than the feed is ever quiet",
    "route",
)
SYNTHETIC_MESSAGES_TOTAL = _counter(
    "interceptor_synthetic_messages_total",
    "Orders of our own that went through a route as far as the decision, by what became of them; no part of the traffic's metrics.",
    "not_decided or late increases",
    "route",
    "result",
)
SYNTHETIC_LAST_SUCCESS_TIMESTAMP_SECONDS = _gauge(
    "interceptor_synthetic_last_success_timestamp_seconds",
    "When the last one was decided and accepted; until the first one, when the node started; NaN when none are sent.",
    "older than 5 minutes",
    "route",
)
CONTROL_ID_REUSES_TOTAL = _counter(
    "interceptor_control_id_reuses_total", "Same control id, other bytes: treated as new.", "any increase", "route"
)
UNKNOWN_CHARSETS_TOTAL = _counter(
    "interceptor_unknown_charsets_total",
    "Orders decided although MSH-18 names a character set that we do not know.",
    "any increase",
    "route",
)
QUARANTINED_TOTAL = _counter(
    "interceptor_quarantined_total",
    "Inbound contents that are not HL7, kept for an analyst.",
    "any increase",
    "route",
    "reason",
)

# Destinations.
DESTINATION_UP = _gauge(
    "interceptor_destination_up",
    "1 when the last attempt to reach the filler succeeded.",
    "0 for 1 minute",
    "destination",
)
DESTINATION_CONNECTS_TOTAL = _counter(
    "interceptor_destination_connects_total", "Attempts to connect.", "more than one a minute", "destination", "result"
)
DESTINATION_IN_FLIGHT = _gauge(
    "interceptor_destination_in_flight",
    "Messages sent and not yet acknowledged.",
    "never: explains others",
    "destination",
)
DESTINATION_ACKS_TOTAL = _counter(
    "interceptor_destination_acks_total",
    "Acknowledgments of the filler.",
    "AE or AR above the destination's usual share",
    "destination",
    "code",
)
DESTINATION_ACK_SECONDS = _histogram(
    "interceptor_destination_ack_seconds",
    "Last byte sent to the last byte of the filler's acknowledgment.",
    "p99 above half of ack_timeout_seconds",
    "destination",
    buckets=PEER_SECONDS,
)
DESTINATION_ACK_TIMEOUTS_TOTAL = _counter(
    "interceptor_destination_ack_timeouts_total",
    "Messages that the filler did not answer in time.",
    "any increase",
    "destination",
)
DESTINATION_ACK_MISMATCHES_TOTAL = _counter(
    "interceptor_destination_ack_mismatches_total",
    "Acknowledgments for another message than the one in flight; the connection was dropped.",
    "any increase",
    "destination",
)
DESTINATION_UNREADABLE_ACKS_TOTAL = _counter(
    "interceptor_destination_unreadable_acks_total",
    "Answers that are no acknowledgment, broken or too large; the message counts as unanswered.",
    "any increase",
    "destination",
)
DESTINATION_UNSOLICITED_TOTAL = _counter(
    "interceptor_destination_unsolicited_total",
    "Messages that the filler sent without being asked on our connection; never taken for an acknowledgment.",
    "any increase",
    "destination",
)
DESTINATION_RETRIES_TOTAL = _counter(
    "interceptor_destination_retries_total",
    "Messages of the outbox that are sent again.",
    "increases for 10 minutes",
    "destination",
)
ANNOTATIONS_REFUSED_TOTAL = _counter(
    "interceptor_annotations_refused_total",
    "Annotated messages that the filler refused; the original was sent once instead.",
    "any increase",
    "destination",
)
OUTBOX_PENDING = _gauge(
    "interceptor_outbox_pending", "Messages in our custody that wait to be sent.", "above 100", "destination"
)
OUTBOX_OLDEST_TIMESTAMP_SECONDS = _gauge(
    "interceptor_outbox_oldest_timestamp_seconds",
    "When the oldest waiting message was queued; NaN when none waits.",
    "older than 5 minutes",
    "destination",
)
DEAD_LETTERS = _gauge(
    "interceptor_dead_letters",
    "Messages that the filler refused for good and nobody has settled.",
    "above 0",
    "destination",
)
DEAD_LETTERS_TOTAL = _counter(
    "interceptor_dead_letters_total", "Messages given up, by reason.", "any increase", "destination", "reason"
)

# Orders and holds.
ORDERS_TOTAL = _counter(
    "interceptor_orders_total",
    "Orders decided, by disposition and deciding reason.",
    "the share of hold is twice or half of last week's",
    "route",
    "disposition",
    "reason",
)
DECISION_SECONDS = _histogram(
    "interceptor_decision_seconds", "Time to decide one message.", "p99 above 5 ms", buckets=FAST_SECONDS
)
DECISION_ERRORS_TOTAL = _counter(
    "interceptor_decision_errors_total",
    "Messages passed unchanged because deciding failed or took longer than its budget.",
    "any increase",
    "route",
    "reason",
)
UNMAPPED_PROCEDURES_TOTAL = _counter(
    "interceptor_unmapped_procedures_total",
    "Orders whose procedure looks like spine imaging and maps to nothing.",
    "increases: the site profile lacks a code",
    "route",
)
HELD_ORDERS = _gauge(
    "interceptor_held_orders", "Orders that wait for a person.", "above the reviewers' usual load", "route", "priority"
)
HELD_ORDER_OLDEST_TIMESTAMP_SECONDS = _gauge(
    "interceptor_held_order_oldest_timestamp_seconds",
    "When the longest waiting held order was taken; NaN when none is held.",
    "older than half of the deadline",
    "priority",
)
HELD_ORDER_WAIT_RATIO = _gauge(
    "interceptor_held_order_wait_ratio",
    "The largest share of its time until the deadline that a held order has waited: 0 just taken, 1 due; NaN when none is held.",
    "above 0.5 for 5 minutes: nobody looks; above 1 for 1 minute: the deadline does not release",
    "priority",
)
PARKED_ORDERS = _gauge(
    "interceptor_parked_orders",
    "Orders that wait for their siblings.",
    "above 0 for longer than the set window",
    "route",
)
HOLD_DURATION_SECONDS = _histogram(
    "interceptor_hold_duration_seconds",
    "How long a held order waited, by how the hold ended.",
    "median above an hour",
    "end",
    buckets=HOLD_SECONDS,
)
HOLD_ENDS_TOTAL = _counter(
    "interceptor_hold_ends_total",
    "Holds that ended, by how.",
    "deadline_passed increases: orders leave unreviewed",
    "end",
)
ORDERS_ESCALATED_TOTAL = _counter(
    "interceptor_orders_escalated_total", "Orders that a person must be told of at once.", "any increase", "route"
)
NOTICES_TOTAL = _counter(
    "interceptor_notices_total",
    "Notices to the placer, by whether they could be built; how they arrive is their destination's metrics.",
    "result failed increases",
    "route",
    "result",
)
BREAKER_OPEN = _gauge(
    "interceptor_breaker_open", "1 while too many holds have turned the route to annotate.", "1", "route"
)

# Evidence.
EVIDENCE_LOOKUPS_TOTAL = _counter(
    "interceptor_evidence_lookups_total",
    "Questions about an order's patient to each evidence source, by how it answered within the budget.",
    "the share of failed or stale is above 5 % for 15 minutes",
    "source",
    "result",
)
EVIDENCE_LOOKUP_SECONDS = _histogram(
    "interceptor_evidence_lookup_seconds",
    "How long an order waited for one evidence source.",
    "p95 above half of lookup_budget_seconds",
    "source",
    buckets=PEER_SECONDS,
)
SOURCE_ANSWERS_TOTAL = _counter(
    "interceptor_source_answers_total",
    "What became of questions put to each source, late ones too; what was answered from kept answers is not among them.",
    "unknown_patient above its usual share: a wrong identifier system makes every patient unknown; any increase of wrong_patient",
    "source",
    "result",
)
SOURCE_SECONDS = _histogram(
    "interceptor_source_seconds",
    "How long a source took for all it was asked of one patient, late answers too.",
    "p95 above lookup_budget_seconds",
    "source",
    buckets=PEER_SECONDS,
)
SOURCE_BREAKER_OPEN = _gauge(
    "interceptor_source_breaker_open",
    "1 while the source is left alone after failures.",
    "1 for 5 minutes",
    "source",
)
REGISTRY_LOOKUPS_TOTAL = _counter(
    "interceptor_registry_lookups_total",
    "Questions to the registry, by how it found the patient.",
    "the share of ambiguous, conflict or no_identifier is above 1 %: wrong patients are not guessed, they are not found",
    "result",
)
REGISTRY_FEED_MESSAGES_TOTAL = _counter(
    "interceptor_registry_feed_messages_total",
    "Messages of a feed, by what became of what they say: recorded, ignored, no_patient, failed or lost.",
    "no_patient, failed or lost increases",
    "feed",
    "result",
)
REGISTRY_FEED_LAST_TIMESTAMP_SECONDS = _gauge(
    "interceptor_registry_feed_last_timestamp_seconds",
    "When the sender of a feed said the newest thing that was recorded; NaN before the first.",
    "older than the feed is ever quiet: diagnoses go stale",
    "feed",
)
RETROSPECTIVE_WAITING = _gauge(
    "interceptor_retrospective_waiting",
    "Messages that went on because a lookup failed and wait to be decided again.",
    "above 0 for an hour: a source does not come back",
)
RETROSPECTIVE_MESSAGES_TOTAL = _counter(
    "interceptor_retrospective_messages_total",
    "Messages that were decided again after their lookup had failed, by what came of it: missed_hold, clear, expired or failed.",
    "any increase of missed_hold; any increase of expired or failed",
    "result",
)

# Journal.
JOURNAL_COMMIT_SECONDS = _histogram(
    "interceptor_journal_commit_seconds",
    "Time of one commit to the disk.",
    "p99 above 100 ms",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0),
)
JOURNAL_BATCH_SIZE = _histogram(
    "interceptor_journal_batch_size",
    "Writes that shared one commit.",
    "never: explains others",
    buckets=(1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0),
)
JOURNAL_QUEUE_DEPTH = _gauge(
    "interceptor_journal_queue_depth", "Writes that wait for the writer.", "above 1000 for 1 minute"
)
JOURNAL_ERRORS_TOTAL = _counter(
    "interceptor_journal_errors_total", "Writes that failed: unavailable or broken.", "any increase", "kind"
)

CATALOGUE: tuple[MetricFamily, ...] = (
    *(value for value in list(globals().values()) if isinstance(value, MetricFamily)),
    *line_metrics.CATALOGUE,
    *review_metrics.CATALOGUE,
)
"""Every family above, in the order of this file, and those of the files beside it."""
