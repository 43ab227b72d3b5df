"""What a metric is: its name, kind, labels, meaning and when to alert; and the bucket bounds that several share."""

from dataclasses import dataclass
from enum import StrEnum


class MetricKind(StrEnum):
    """How the number behaves."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricFamily:
    """One metric.

    Attributes:
        name: As it is shown, with unit or `_total`.
        kind: Counter, gauge or histogram.
        sentence: What is counted or measured.
        alert_when: When somebody should be told; "never: ..." for a metric that only explains others.
        labels: Label names, outermost first.
        buckets: Upper bounds for a histogram, ascending, in the metric's unit.
    """

    name: str
    kind: MetricKind
    sentence: str
    alert_when: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


FAST_SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""For our own work: the goals are 30 us for any message, 250 us for a spine order, 800 ms for a lookup."""
PEER_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""For waits on a peer, up to the default acknowledgment timeout of 30 s."""
HOLD_SECONDS = (60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0, 86400.0)
"""For holds, up to the longest deadline of 24 h."""
