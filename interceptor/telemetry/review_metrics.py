"""The metrics of the review pages, as their process reports them to the node; see `metric_catalogue.py`."""

from interceptor.telemetry.metric_family import MetricFamily, MetricKind

HTTP_REQUESTS_TOTAL = MetricFamily(
    name="interceptor_http_requests_total",
    kind=MetricKind.COUNTER,
    sentence="Requests of the review pages and their interface, by the right that they need and the kind of answer.",
    alert_when="5xx above 1 % for 15 minutes",
    labels=("action", "status"),
)
HTTP_REQUEST_DURATION_SECONDS = MetricFamily(
    name="interceptor_http_request_duration_seconds",
    kind=MetricKind.HISTOGRAM,
    sentence="Time to answer a request of the review pages.",
    alert_when="the 95th percentile above 1 s for 15 minutes",
    labels=("action",),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
SSE_CLIENTS = MetricFamily(
    name="interceptor_sse_clients",
    kind=MetricKind.GAUGE,
    sentence="Browsers that get live updates, as of the last report.",
    alert_when="never: explains others",
)
LOGINS_TOTAL = MetricFamily(
    name="interceptor_logins_total",
    kind=MetricKind.COUNTER,
    sentence="Logins, by how they were done, and those that were refused or had to wait.",
    alert_when="refused or throttled above 20 in 10 minutes",
    labels=("result",),
)
REVIEW_SEEN_TIMESTAMP_SECONDS = MetricFamily(
    name="interceptor_review_seen_timestamp_seconds",
    kind=MetricKind.GAUGE,
    sentence="When the review process, or a person at the command line, last gave a sign of life; NaN before the first.",
    alert_when="older than 60 s where [review] is configured: nothing new is held",
)

CATALOGUE: tuple[MetricFamily, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, MetricFamily)
)
"""Every family above, in the order of this file."""
