"""The metrics of TLS, of who may speak, of limits and of the audit trail's export; see `metric_catalogue.py`."""

from interceptor.telemetry.metric_family import MetricFamily, MetricKind

ACCESS_MISMATCHES_TOTAL = MetricFamily(
    name="interceptor_access_mismatches_total",
    kind=MetricKind.COUNTER,
    sentence="Certificates that are not on the list of peers, and messages that their sender's certificate does not allow.",
    alert_when="any increase",
    labels=("route", "reason", "result"),
)
TLS_CERTIFICATE_NOT_AFTER_TIMESTAMP_SECONDS = MetricFamily(
    name="interceptor_tls_certificate_not_after_timestamp_seconds",
    kind=MetricKind.GAUGE,
    sentence="When a certificate that is in use ends: our own, or the longest of the authorities.",
    alert_when="less than 30 days ahead; page below 7 days",
    labels=("place", "file"),
)
TLS_LAST_RELOAD_SUCCESSFUL = MetricFamily(
    name="interceptor_tls_last_reload_successful",
    kind=MetricKind.GAUGE,
    sentence="1 when the last change of a certificate's files was taken.",
    alert_when="0",
    labels=("place",),
)
INBOUND_HELD_BYTES = MetricFamily(
    name="interceptor_inbound_held_bytes",
    kind=MetricKind.GAUGE,
    sentence="Bytes of inbound messages in memory: open frames, those that wait, those under way.",
    alert_when="never: explains others",
)
MEMORY_PAUSED = MetricFamily(
    name="interceptor_memory_paused",
    kind=MetricKind.GAUGE,
    sentence="1 while the node reads nothing further of the connections that hold much, because all together hold too much memory.",
    alert_when="1 for 1 minute",
)
AUDIT_EXPORT_WAITING = MetricFamily(
    name="interceptor_audit_export_waiting",
    kind=MetricKind.GAUGE,
    sentence="Links of the audit trail that the audit record repository does not have yet.",
    alert_when="above 1000, or growing for 15 minutes",
)
AUDIT_EXPORTED_TOTAL = MetricFamily(
    name="interceptor_audit_exported_total",
    kind=MetricKind.COUNTER,
    sentence="Audit messages that were handed to the audit record repository.",
    alert_when="never: explains others",
)
AUDIT_SINK_UP = MetricFamily(
    name="interceptor_audit_sink_up",
    kind=MetricKind.GAUGE,
    sentence="1 while a connection to the audit record repository stands; NaN without [atna].",
    alert_when="0 for 15 minutes",
)

CATALOGUE: tuple[MetricFamily, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, MetricFamily)
)
"""Every family above, in the order of this file."""
