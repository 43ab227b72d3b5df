"""Numbers that the data path counts for every message, and how they become prometheus_client's families.

prometheus_client's own Counter, Gauge and Histogram take a lock and make several calls for each count; on a
message that is relayed in some tens of microseconds a dozen of them are a tenth of the work. These here add to a
plain number. They belong to the thread that counts (the node's loop, the journal's loop-side callbacks); the
serving thread reads them, and may see a histogram whose sum is one message ahead of its buckets, never a wrong
total at rest.

Source: Prometheus exposition format; figures in docs/adr/0006-tallies.md.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from interceptor.telemetry.metric_family import MetricFamily, MetricKind


class CounterTally:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self, bounds: tuple[float, ...] = ()) -> None:
        del bounds
        self.value = 0.0

    def inc(self, amount: float = 1) -> None:
        """Add *amount*, 0 or more."""
        assert amount >= 0, "a counter never goes down"
        self.value += amount


class GaugeTally:
    """A number that goes up and down."""

    __slots__ = ("_read", "value")

    def __init__(self, bounds: tuple[float, ...] = ()) -> None:
        del bounds
        self.value = 0.0
        self._read: Callable[[], float] | None = None

    def inc(self, amount: float = 1) -> None:
        """Add *amount*."""
        self.value += amount

    def dec(self, amount: float = 1) -> None:
        """Take *amount* away."""
        self.value -= amount

    def set(self, value: float) -> None:
        """Replace the value."""
        self.value = value

    def set_function(self, read: Callable[[], float]) -> None:
        """Ask *read*, in the serving thread, at every render."""
        self._read = read

    def current(self) -> float:
        """The value, or what the function says now."""
        return self.value if self._read is None else self._read()


class HistogramTally:
    """Counts of values by upper bound, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """*bounds* ascend; the last bucket, above them all, is implied."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value; it belongs to the first bucket whose bound is not below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


_Child = TypeVar("_Child", CounterTally, GaugeTally, HistogramTally)


class TallyFamily(Generic[_Child]):
    """All children of one family of the catalogue, by their label values."""

    def __init__(self, family: MetricFamily, make: type[_Child]) -> None:
        self.family = family
        self._make: type[_Child] = make
        self._children: dict[tuple[str, ...], _Child] = {}
        if not family.labels:
            self.labels()

    def labels(self, *values: str) -> _Child:
        """The child with these label values; made at its first mention."""
        assert len(values) == len(self.family.labels), f"{self.family.name} has labels {self.family.labels}"
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = self._make(self.family.buckets)
        return child

    def clear(self) -> None:
        """Forget every child."""
        self._children = {}

    def children(self) -> Iterator[tuple[tuple[str, ...], _Child]]:
        """Label values and child, in the order they were made."""
        return iter(tuple(self._children.items()))


AnyFamily = TallyFamily[CounterTally] | TallyFamily[GaugeTally] | TallyFamily[HistogramTally]


def build_family(family: MetricFamily) -> AnyFamily:
    """The children of one family of the catalogue, none yet."""
    match family.kind:
        case MetricKind.COUNTER:
            return TallyFamily(family, CounterTally)
        case MetricKind.GAUGE:
            return TallyFamily(family, GaugeTally)
        case MetricKind.HISTOGRAM:
            return TallyFamily(family, HistogramTally)


class TallyCollector(Collector):
    """Gives the tallies to a prometheus_client registry."""

    def __init__(self, families: Iterable[AnyFamily]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterator[Metric]:
        """Each family as the library's own value, read now."""
        for tally in self._families:
            yield _metric(tally)


def _metric(tally: AnyFamily) -> Metric:
    family = tally.family
    name, sentence, labels = family.name, family.sentence, family.labels
    metric: CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
    match family.kind:
        case MetricKind.COUNTER:
            metric = CounterMetricFamily(name, sentence, labels=labels)
        case MetricKind.GAUGE:
            metric = GaugeMetricFamily(name, sentence, labels=labels)
        case MetricKind.HISTOGRAM:
            metric = HistogramMetricFamily(name, sentence, labels=labels)
    for values, child in tally.children():
        if isinstance(child, HistogramTally):
            assert isinstance(metric, HistogramMetricFamily)
            metric.add_metric(values, buckets=_buckets(child), sum_value=child.total)
        else:
            assert not isinstance(metric, HistogramMetricFamily)
            metric.add_metric(values, child.current() if isinstance(child, GaugeTally) else child.value)
    return metric


def _bound_text(bound: float) -> str:
    text: str = floatToGoString(bound)  # type: ignore[no-untyped-call]  # the library has no annotation here
    return text


def _buckets(child: HistogramTally) -> list[tuple[str, float]]:
    """Cumulative counts by upper bound, as the format wants them."""
    found: list[tuple[str, float]] = []
    cumulative = 0.0
    for bound, count in zip((*child.bounds, float("inf")), tuple(child.counts), strict=True):
        cumulative += count
        found.append((_bound_text(bound), cumulative))
    return found
