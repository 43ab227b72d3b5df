"""Too many holds are our mistake until somebody says otherwise: the breaker stops holding.

It opens on more holds within ten minutes than the route allows, or when the share of orders held is above
three times what it was over the day before. An open breaker stays open until a person closes it.

Source: RELIABILITY hazards H23 and H24 in docs/explanation/hazards.md.
"""

from collections import deque
from dataclasses import dataclass

WINDOW_SECONDS = 600.0
BASELINE_SECONDS = 86_400.0
RATE_FACTOR = 3.0
HOLDS_MIN = 5
"""A rate of fewer holds than this in the window says nothing."""
BASELINE_ORDERS_MIN = 200
"""A baseline of fewer spine orders than this says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Why the breaker opened: `reason` is "count" or "rate"; `holds` within the window."""

    reason: str
    holds: int


class HoldBreaker:
    """Counts the decided spine orders of one route."""

    def __init__(self, *, holds_max: int) -> None:
        """*holds_max*: most holds within ten minutes; the next one opens the breaker."""
        self._holds_max = holds_max
        self._recent: deque[tuple[float, bool]] = deque()
        self._recent_holds = 0
        self._baseline_orders = 0.0
        self._baseline_holds = 0.0
        self._baseline_at = 0.0

    def count(self, *, is_hold: bool, seconds: float) -> Opening | None:
        """Count one spine order that the policy would hold or not, at a monotonic time; what opens it, if anything."""
        self._forget(seconds)
        self._recent.append((seconds, is_hold))
        self._recent_holds += is_hold
        if not is_hold:
            return None
        if self._recent_holds > self._holds_max:
            return Opening(reason="count", holds=self._recent_holds)
        if self._is_rate_too_high():
            return Opening(reason="rate", holds=self._recent_holds)
        return None

    def reset(self) -> None:
        """A person has looked: begin the window anew. What was counted goes into the baseline."""
        while self._recent:
            self._age_out()

    def _is_rate_too_high(self) -> bool:
        if self._recent_holds < HOLDS_MIN or self._baseline_orders < BASELINE_ORDERS_MIN:
            return False
        rate = self._recent_holds / len(self._recent)
        # A day without a single hold must not make the first few look like a flood.
        baseline = max(self._baseline_holds, 1.0) / self._baseline_orders
        return rate > RATE_FACTOR * baseline

    def _forget(self, seconds: float) -> None:
        while self._recent and self._recent[0][0] <= seconds - WINDOW_SECONDS:
            self._age_out()

    def _age_out(self) -> None:
        """One order leaves the window for the baseline, which fades with a time constant of a day."""
        at, was_hold = self._recent.popleft()
        self._recent_holds -= was_hold
        elapsed = max(0.0, at - self._baseline_at)
        keep = max(0.0, 1.0 - elapsed / BASELINE_SECONDS)
        self._baseline_orders = self._baseline_orders * keep + 1
        self._baseline_holds = self._baseline_holds * keep + was_hold
        self._baseline_at = at
