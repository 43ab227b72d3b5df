"""The log events of TLS, of who may speak, and of limits; see `events.py`."""

from interceptor.telemetry.event import Event, error, info, warning

LINE_IN_PLAIN_TEXT = warning(
    "line_in_plain_text",
    "Patient data crosses the network in plain text here: give the table a [….tls].",
    "place",
    per_minute_max=0,
)
ACCESS_MISMATCHED = warning(
    "access_mismatched",
    "A certificate is not on the list of peers, or sent what it may not: the audit trail has what it claimed to be.",
    "route",
    "peer",
    "reason",
    "result",
)
CERTIFICATE_EXPIRING = warning(
    "certificate_expiring",
    "A certificate ends soon: replace its file; a running node takes it within a minute.",
    "place",
    "file",
    "days",
    per_minute_max=0,
)
CERTIFICATE_EXPIRED = error(
    "certificate_expired",
    "A certificate has ended: the other side refuses it. Replace its file.",
    "place",
    "file",
    per_minute_max=0,
)
CERTIFICATES_RELOADED = info(
    "certificates_reloaded", "Certificates were read again; new connections use them.", "place"
)
CERTIFICATES_REFUSED = error(
    "certificates_refused",
    "A new certificate, key or list cannot be used; the earlier one stays in use.",
    "place",
    "reason",
)
MEMORY_SHORT = error(
    "memory_short",
    "Inbound messages hold much memory: the connections with the large ones are not read until they have left. Nothing is dropped.",
    "held_bytes",
    "limit_bytes",
)
MEMORY_FREED = info("memory_freed", "Every connection is read again.", "held_bytes", "seconds")
AUDIT_SINK_LOST = warning(
    "audit_sink_lost",
    "The audit record repository cannot be reached; what it misses is kept and sent later.",
    "reason",
    "waiting",
)
AUDIT_SINK_CONNECTED = info("audit_sink_connected", "The audit record repository takes audit messages.", "waiting")
AUDIT_SINK_BEHIND = error(
    "audit_sink_behind",
    "More audit messages wait for the repository than should: it is away or too slow.",
    "waiting",
)

CATALOGUE: tuple[Event, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Event))
"""Every event above, in the order of this file."""
