"""Send spans to an OpenTelemetry collector, where one is configured; needs the extra `tracing`.

Failures: without the extra's packages the start is refused. A collector that is away costs spans, never a message.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Tracer

_FLUSH_MILLISECONDS_MAX = 2000


class TracingError(Exception):
    """Traces are configured, and the packages for them are not installed."""


@contextmanager
def exporting(endpoint: str | None, *, sample_ratio: float, node: str, version: str) -> "Iterator[Tracer | None]":
    """A tracer whose spans go to *endpoint* for the length of the block; None where there is no endpoint.

    Args:
        endpoint: Address that takes OTLP over HTTP, e.g. "http://127.0.0.1:4318/v1/traces".
        sample_ratio: Share of messages that get spans, 0-1.
        node: Name of this node.
        version: Our version.

    Raises:
        TracingError: The packages are missing.
    """
    if endpoint is None:
        yield None
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        message = "[tracing] endpoint needs more packages: pip install 'order-interceptor[tracing]'"
        raise TracingError(message) from None
    processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint))
    with tracing_to(processor, sample_ratio=sample_ratio, node=node, version=version) as tracer:
        yield tracer


@contextmanager
def tracing_to(processor: "SpanProcessor", *, sample_ratio: float, node: str, version: str) -> "Iterator[Tracer]":
    """A tracer whose spans go to *processor*; what waits is sent at the end of the block."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

    # Only what is named here: the library's own detectors would add the process's arguments and owner.
    resource = Resource({"service.name": "order-interceptor", "service.instance.id": node, "service.version": version})
    provider = TracerProvider(sampler=TraceIdRatioBased(sample_ratio), resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    try:
        yield provider.get_tracer("interceptor", version)
    finally:
        provider.force_flush(_FLUSH_MILLISECONDS_MAX)
        provider.shutdown()
