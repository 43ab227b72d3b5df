"""Turn events into lines: JSON for machines, coloured text for the demo, written by a thread of its own.

The node's loop only puts a line into a bounded queue. When whoever reads our log hangs, lines are dropped and
counted; messages go on.

Failures: a log that cannot be written to is only counted (`dropped`); nothing is retried.
"""

import logging
import queue
import threading
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TextIO

import structlog
from structlog.typing import Processor

from interceptor.telemetry.event import Level
from interceptor.telemetry.events import LIBRARY_WARNED, EventLog
from interceptor.telemetry.redaction import describe_error

_LINES_MAX: Final = 10_000
"""Lines that may wait for a slow reader: about 2 MB."""
_CLOSE_SECONDS_MAX: Final = 2.0


class LogStyle(StrEnum):
    """How a line looks."""

    JSON = "json"
    CONSOLE = "console"


class LineWriter:
    """Writes lines to a stream from a thread, in order, and never makes the caller wait; `dropped_count` were lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.dropped_count = 0
        self._lines: queue.Queue[str | None] = queue.Queue(_LINES_MAX)
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write_line(self, line: str) -> None:
        """Queue one line (without its end); dropped and counted when the queue is full."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self.dropped_count += 1

    def close(self) -> None:
        """Write what waits, for at most two seconds, and end the thread."""
        try:
            self._lines.put(None, timeout=_CLOSE_SECONDS_MAX)
        except queue.Full:
            return
        self._thread.join(_CLOSE_SECONDS_MAX)

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._stream.write(line + "\n")
                if self._lines.empty():
                    self._stream.flush()
            except (OSError, ValueError):
                # The reader is gone or the stream was closed: the lines are lost, the node is not.
                self.dropped_count += 1


def build_event_log(
    writer: LineWriter, *, style: LogStyle = LogStyle.JSON, level: Level = Level.INFO, strict: bool = False
) -> EventLog:
    """Build the event log of a process. Each line has `at` (UTC, RFC 3339), `level`, `event` and its fields.

    Args:
        writer: Where lines go.
        style: How they look.
        level: The least that is written.
        strict: Raise on an event or field that is not in the catalogue; for tests.
    """
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if style is LogStyle.JSON
        else structlog.dev.ConsoleRenderer(colors=True, timestamp_key="at", pad_event_to=28)
    )
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True, key="at")

    def write(level: str, name: str, fields: Mapping[str, object], /) -> None:
        entry = stamp(None, level, {"level": level, "event": name, **fields})
        writer.write_line(str(renderer(None, level, entry)))

    return EventLog(write, strict=strict, level=level, dropped_count=lambda: writer.dropped_count)


class _LibraryHandler(logging.Handler):
    """Tells that a library logged something, without its text."""

    def __init__(self, event_log: EventLog) -> None:
        super().__init__(logging.WARNING)
        self._event_log = event_log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        described = describe_error(error) if error is not None else {"error": "", "where": ""}
        self._event_log.event(
            LIBRARY_WARNED,
            library=record.name,
            library_level=record.levelname.lower(),
            error=described["error"],
            where=described["where"] or f"{record.module}:{record.lineno} {record.funcName}",
        )


def capture_library_logs(event_log: EventLog) -> None:
    """Send what libraries log through the standard library into *event_log*, without their texts.

    A library's text may quote a message: asyncio prints the arguments of a failed callback.
    """
    root = logging.getLogger()
    root.handlers[:] = [_LibraryHandler(event_log)]
    root.setLevel(logging.WARNING)
