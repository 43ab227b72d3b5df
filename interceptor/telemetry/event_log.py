"""Write log events, allowed fields only.

    log.event(ORDER_HELD, entry=17, reason="H-REGIONAL", priority="routine")

In tests (`strict`) an unknown event, an unknown field or a value that is not a plain number or word raises; in
production it is dropped, because a log line is never worth an order. Values are numbers, words and short
sequences of them; bytes, Phi and other objects never get through.

Failures: none that reach the caller in production.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from interceptor.telemetry.events import CATALOGUE, Event

_WORD_SIZE_MAX: Final = 2000
"""Longest text value, in characters: a traceback's places fit; a message that slipped in is cut."""
_SEQUENCE_COUNT_MAX: Final = 50
_WINDOW_SECONDS: Final = 60.0


class EventError(AssertionError):
    """Our own mistake in logging; raised in tests only. Names the event and the field, never the value."""


class WriteEvent(Protocol):
    """Where events go: a structured logger."""

    def __call__(self, level: str, name: str, fields: Mapping[str, object], /) -> None:
        """Write one event; must not block and must not raise."""
        ...


class EventLog:
    """The log of one process.

    Safe from any thread as far as *write* is; the counts of the rate limit may then be off by a few.
    """

    def __init__(
        self, write: WriteEvent, *, strict: bool = False, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write
        self._strict = strict
        self._monotonic = monotonic
        self._windows: dict[str, _Window] = {}

    def event(self, event: Event, /, **fields: object) -> None:
        """Write *event* with these of its fields.

        Raises:
            EventError: Strict mode: the event, a field or the kind of a value is not in the catalogue.
        """
        if event not in _CATALOGUED:
            self._refuse(f"event {event.name} is not in the catalogue")
            return
        allowed: dict[str, object] = {}
        for name, value in fields.items():
            if name not in event.fields:
                self._refuse(f"event {event.name} has no field {name}")
            elif not _is_plain(value):
                self._refuse(f"field {name} of event {event.name} is a {type(value).__name__}, not a number or a word")
            else:
                allowed[name] = _cut(value)
        suppressed = self._suppressed(event)
        if suppressed is None:
            return
        if suppressed:
            allowed["suppressed"] = suppressed
        self._write(event.level.value, event.name, allowed)

    def _suppressed(self, event: Event) -> int | None:
        """How many were left out since the last one written; None when this one is to be left out too."""
        if not event.per_minute_max:
            return 0
        now = self._monotonic()
        window = self._windows.get(event.name)
        if window is None:
            window = self._windows[event.name] = _Window(now)
        return window.admit(now, event.per_minute_max)

    def _refuse(self, problem: str) -> None:
        if self._strict:
            raise EventError(problem)


class _Window:
    """One minute of one event: how many were written, how many left out."""

    __slots__ = ("began_at", "suppressed_count", "written_count")

    def __init__(self, began_at: float) -> None:
        self.began_at = began_at
        self.written_count = 0
        self.suppressed_count = 0

    def admit(self, now: float, written_count_max: int) -> int | None:
        if now - self.began_at >= _WINDOW_SECONDS:
            self.began_at = now
            self.written_count = 0
        if self.written_count >= written_count_max:
            self.suppressed_count += 1
            return None
        self.written_count += 1
        suppressed, self.suppressed_count = self.suppressed_count, 0
        return suppressed


_CATALOGUED = frozenset(CATALOGUE)


def _is_plain(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain_one(each) for each in value)
    return _is_plain_one(value)


def _is_plain_one(value: object) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))


def _cut(value: object) -> object:
    if isinstance(value, str):
        return str(value)[:_WORD_SIZE_MAX]
    if isinstance(value, (list, tuple)):
        return [_cut(each) for each in value[:_SEQUENCE_COUNT_MAX]]
    return value
