"""The breaker of one FHIR server: after failures in a row it is left alone, then tried with one patient.

    CLOSED --failures in a row--> OPEN --pause over--> one probe --good--> CLOSED
                                    ^------------------ failed --'  (pause doubles, up to a maximum)

No clock of its own: the monotonic time comes in. Only answers about the server count; that a patient is ambiguous
says nothing of its health.

Source: Nygard, Release It!, 2nd edition, chapter 5 (circuit breaker).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerOptions:
    """When it opens and for how long: failures in a row; first and longest pause in seconds."""

    failures_max: int = 5
    pause_seconds: float = 5.0
    pause_seconds_max: float = 120.0


class FhirBreaker:
    """Counts what became of questions, and says whether the next one may be asked."""

    def __init__(self, options: BreakerOptions) -> None:
        self._options = options
        self._failures = 0
        self._pause_seconds = options.pause_seconds
        self._open_until: float | None = None
        self._is_probing = False

    @property
    def is_open(self) -> bool:
        """Whether the server is left alone, or only tried."""
        return self._open_until is not None

    def admit(self, now: float) -> bool:
        """Whether a question may be asked now. After a pause exactly one may, until its end is told."""
        if self._open_until is None:
            return True
        if self._is_probing or now < self._open_until:
            return False
        self._is_probing = True
        return True

    def seconds_closed_for(self, now: float) -> float:
        """How long until a question may be asked again; 0 when one may now."""
        return 0.0 if self._open_until is None else max(0.0, self._open_until - now)

    def succeeded(self) -> bool:
        """The server answered; True when that closed the breaker."""
        was_open = self.is_open
        self._failures = 0
        self._pause_seconds = self._options.pause_seconds
        self._open_until = None
        self._is_probing = False
        return was_open

    def failed(self, now: float, *, pause_seconds: float = 0.0) -> bool:
        """The server failed, and may have asked for a pause; True when that opened the breaker."""
        was_open = self.is_open
        self._failures += 1
        if not was_open and self._failures < self._options.failures_max and pause_seconds <= 0:
            return False
        if self._is_probing or not was_open:
            wanted = max(self._pause_seconds, pause_seconds)
            self._open_until = now + min(wanted, self._options.pause_seconds_max)
            self._pause_seconds = min(self._pause_seconds * 2, self._options.pause_seconds_max)
        self._is_probing = False
        return not was_open

    def abandoned(self) -> None:
        """A question was given up before it said anything of the server; the next one may be the probe."""
        self._is_probing = False
