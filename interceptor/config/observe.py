"""Tables about what operations see of a node: its log and the orders that it sends itself."""

from typing import Annotated, Literal

from pydantic import Field

from interceptor.config.value import HttpAddress, Table

LogFormat = Literal["auto", "json", "console"]
LogLevel = Literal["info", "warning", "error"]


class LogTable(Table):
    """The log, on standard error. Nothing of a patient or an order is ever in it."""

    format: LogFormat = "auto"
    """`json`: one object per line, for machines; `console`: aligned and coloured text, for people; `auto`: console on a terminal, else json."""
    level: LogLevel = "info"
    """Least level that is written: `info` also changes of state, `warning` what a person should look at this week, `error` what today."""


class SyntheticTable(Table):
    """An order of our own on every route, decided and answered like a placer's, never delivered, kept or counted as traffic. It proves a route on which nobody sends. See docs/explanation/observability.md."""

    interval_seconds: Annotated[float, Field(ge=0, le=3600)] = 60.0
    """Seconds between two of them; 0 sends none. The alert SyntheticFailing expects at least one in two minutes."""


class TracingTable(Table):
    """OpenTelemetry spans, one for each stage of a message, for finding out where time goes. Needs the extra `tracing`. Nothing of a patient is in them."""

    endpoint: HttpAddress | None = None
    """Address of a collector that takes OTLP over HTTP, e.g. "http://127.0.0.1:4318/v1/traces". Without it there are no spans and no cost."""
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of messages that get spans."""
