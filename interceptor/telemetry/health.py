"""Whether the node lives and is ready: a small object that the node updates and the health page reads.

Alive: the event loop ticked lately and the journal's writer lives; if not, restart the process. Ready: it can
take orders; if not, send none here. The filler being away makes the node neither dead nor unready: the placer
sees it by itself. A degraded node is ready, says why, and raises the alarm.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class DegradedReason(StrEnum):
    """The reduced promises that a node can run with. Each is an event, a metric and a line of /readyz."""

    JOURNAL_UNAVAILABLE = "journal_unavailable"
    """The journal cannot write: nothing is held or parked, would-be holds go on annotated."""
    JOURNAL_REPLACED = "journal_replaced"
    """The journal was damaged; it was set aside and a new one begun."""
    JOURNAL_RESTORED = "journal_restored"
    """An older copy of the journal was put back: nothing queued is sent before `interceptor journal confirm-restored`."""
    REVIEW_AWAY = "review_away"
    """Nobody can review: would-be holds go on annotated."""
    BREAKER_OPEN = "breaker_open"
    """Too many holds: a route was turned to annotate."""
    DECIDING_FAILS = "deciding_fails"
    """Messages pass unchanged because deciding raised."""
    LOOKUP_FAILS = "lookup_fails"
    """The evidence sources do not answer."""
    CLOCK_INSANE = "clock_insane"
    """The wall clock jumped."""
    CONFIG_OLD = "config_old"
    """The last reload was refused; the earlier configuration runs on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of a health report."""

    name: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """The answer to one probe: `ok` when every check is; `notes` do not change the answer."""

    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)

    def text(self, *, verbose: bool) -> str:
        """The page: one word, or with *verbose* every check on its own line and the notes below."""
        summary = "ok" if self.ok else "failed"
        failed = tuple(check for check in self.checks if not check.ok)
        shown = self.checks if verbose else failed
        lines = [
            f"[{'+' if check.ok else '-'}] {check.name}{': ' + check.detail if check.detail else ''}" for check in shown
        ]
        notes = [f"[!] degraded: {note}" for note in self.notes] if verbose else []
        return "\n".join([*lines, *notes, summary]) + "\n"


class Health:
    """What the node knows about itself. Written by the node's loop, read from the health thread.

    Every attribute is one value that is replaced, never changed in place, so a reader needs no lock.

    Attributes:
        bound: Every listener is open.
        config_loaded: A valid configuration runs.
        migrations_applied: The journal has the schema that this version needs.
        journal_writable: The last write or probe of the journal succeeded.
        draining: The node is stopping; it takes nothing new.
    """

    def __init__(
        self, *, loop_tick_age_seconds_max: float = 2.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.bound = False
        self.config_loaded = False
        self.migrations_applied = False
        self.journal_writable = False
        self.draining = False
        self._loop_tick_age_seconds_max = loop_tick_age_seconds_max
        self._monotonic = monotonic
        self._loop_ticked_at = monotonic()
        self._writer_alive: Callable[[], bool] | None = None
        self._degraded: frozenset[DegradedReason] = frozenset()

    @property
    def degraded(self) -> frozenset[DegradedReason]:
        """The reduced promises that hold now."""
        return self._degraded

    def record_loop_tick(self) -> None:
        """The node's event loop is turning. Called several times a second."""
        self._loop_ticked_at = self._monotonic()

    def watch_writer(self, alive: Callable[[], bool]) -> None:
        """Ask this function, from the health thread, whether the journal's writer lives."""
        self._writer_alive = alive

    def degrade(self, reason: DegradedReason) -> bool:
        """Note a reduced promise; True when it is new, so that the caller tells it once."""
        is_new = reason not in self._degraded
        self._degraded |= {reason}
        return is_new

    def recover(self, reason: DegradedReason) -> bool:
        """The promise holds again; True when it did not before."""
        was_degraded = reason in self._degraded
        self._degraded -= {reason}
        return was_degraded

    def liveness(self) -> HealthReport:
        """Whether the process should go on: asked by whoever restarts it."""
        age = self._monotonic() - self._loop_ticked_at
        loop = Check(name="event_loop", ok=age <= self._loop_tick_age_seconds_max, detail=f"ticked {age:.1f} s ago")
        if self._writer_alive is None:
            return HealthReport(checks=(loop,))
        return HealthReport(checks=(loop, Check(name="journal_writer", ok=self._writer_alive())))

    def readiness(self) -> HealthReport:
        """Whether orders should be sent here: asked by whoever directs placers."""
        checks = (
            *self.liveness().checks,
            Check(name="listeners_bound", ok=self.bound),
            Check(name="config_loaded", ok=self.config_loaded),
            Check(name="migrations_applied", ok=self.migrations_applied),
            Check(name="journal_writable", ok=self.journal_writable),
            Check(name="not_draining", ok=not self.draining),
        )
        return HealthReport(checks=checks, notes=tuple(sorted(self._degraded)))
