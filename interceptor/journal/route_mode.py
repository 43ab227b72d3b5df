"""The mode of each route now, and whether it may hold: the kill switch, the breaker, the review's heartbeat.

A mode set at run time is durable and wins over the configuration. Going down (enforce, annotate, shadow) acts
at once, even when the journal cannot write it; going up is written first.

Failures: a change that could not be made durable is said so to who asked for it; a change downwards is in force
all the same, until the next restart. Modes that could not be read yet (a database that is away at the start): shadow.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime

from interceptor.action.breaker import HoldBreaker, Opening
from interceptor.action.plan import NoHoldReason, RouteMode
from interceptor.journal.port import Journal, JournalReason

_STRENGTH = {RouteMode.SHADOW: 0, RouteMode.ANNOTATE: 1, RouteMode.ENFORCE: 2}


class RouteModes:
    """Modes by route."""

    def __init__(
        self, journal: Journal, configured: Mapping[str, RouteMode], *, shown: Callable[[str, RouteMode], None]
    ) -> None:
        """*shown* is told each mode that comes into force."""
        self._journal = journal
        self._modes = dict(configured)
        self._shown = shown
        self._change_counts: Counter[str] = Counter()
        self._is_known = True

    async def load(self) -> None:
        """Take the modes that were set at run time before, but where somebody has set one here since."""
        for route, mode in (await self._journal.route_modes()).items():
            if route in self._modes and not self._change_counts[route]:
                self._modes[route] = RouteMode(mode)
        self._is_known = True
        for route, current in self._modes.items():
            self._shown(route, current)

    def pass_until_read(self) -> None:
        """Until `load` succeeds every route is in shadow mode: its kill switch may have been thrown."""
        self._is_known = False
        for route in self._modes:
            self._shown(route, RouteMode.SHADOW)

    async def follow(self) -> tuple[str, ...]:
        """Take the modes that were set on another node; returns the routes whose mode is another now."""
        counts = dict(self._change_counts)
        changed = []
        for route, mode in (await self._journal.route_modes()).items():
            # Not where somebody sets it here at this moment: that is newer.
            if (
                route in self._modes
                and self._change_counts[route] == counts.get(route, 0)
                and self._modes[route] != mode
            ):
                self._apply(route, RouteMode(mode))
                changed.append(route)
        return tuple(changed)

    def mode(self, route: str) -> RouteMode:
        """The mode of *route* now."""
        return self._modes[route] if self._is_known else RouteMode.SHADOW

    async def set(self, route: str, mode: RouteMode, *, actor: str, at: datetime, reason: str) -> RouteMode:
        """Change the mode of a configured route; returns the mode it had.

        Raises:
            JournalUnavailable: It is not durable; a change downwards is in force, one upwards is not.
        """
        before = self._modes[route]
        self._change_counts[route] += 1
        number = self._change_counts[route]
        is_down = _STRENGTH[mode] < _STRENGTH[before]
        if is_down:
            self._apply(route, mode)
        await self._journal.set_route_mode(route=route, mode=mode.value, actor=actor, at=at, reason=reason)
        # Whoever asked later wins: a kill switch that was thrown meanwhile is not undone by this one's end.
        if number == self._change_counts[route]:
            self._apply(route, mode)
        return before

    def _apply(self, route: str, mode: RouteMode) -> None:
        self._modes[route] = mode
        self._shown(route, self.mode(route))


class HoldGate:
    """Whether one route may hold an order now."""

    def __init__(
        self,
        *,
        breaker: HoldBreaker,
        heartbeat_seconds_max: float,
        monotonic: Callable[[], float],
        is_enforcing: Callable[[], bool],
    ) -> None:
        """*heartbeat_seconds_max*: holding stops so long after the review's last sign of life; 0 asks for none.

        *is_enforcing*: whether the route's mode lets it hold at all.
        """
        self._breaker = breaker
        self._heartbeat_seconds_max = heartbeat_seconds_max
        self._monotonic = monotonic
        self._is_enforcing = is_enforcing
        self._seen_at = float("-inf")
        self._journal_fails = False
        self.is_open = False

    def review_seen(self) -> None:
        """Somebody can review: a review process, or a person at the command line, gave a sign of life."""
        self._seen_at = self._monotonic()

    @property
    def review_age_seconds(self) -> float:
        """How long ago somebody gave a sign of life."""
        return self._monotonic() - self._seen_at

    def review_seen_elsewhere(self, seconds_ago: float) -> None:
        """Somebody gave one to another node."""
        self._seen_at = max(self._seen_at, self._monotonic() - seconds_ago)

    def journal_checked(self, *, works: bool) -> None:
        """Whether the journal's last write or probe succeeded."""
        self._journal_fails = not works

    def journal_refused(self, reason: JournalReason) -> None:
        """A message could not be taken: from a database that is away nothing is asked before a probe succeeds."""
        if reason is JournalReason.AWAY:
            self._journal_fails = True

    @property
    def is_journal_missed(self) -> bool:
        """Whether the journal did not take what it was last asked to."""
        return self._journal_fails

    def count(self, *, is_hold: bool) -> Opening | None:
        """Count one decided spine order; what opened the breaker, if this one did.

        A route that holds nothing opens nothing: what it would have held is the baseline of the day it does.
        """
        opening = self._breaker.count(is_hold=is_hold, seconds=self._monotonic())
        if opening is None or self.is_open or not self._is_enforcing():
            return None
        self.is_open = True
        return opening

    def close_breaker(self) -> None:
        """A person has looked and sets the route's mode again."""
        self.is_open = False
        self._breaker.reset()

    def no_hold(self) -> NoHoldReason | None:
        """Why nothing may be held now; None when holding is allowed."""
        if self.is_open:
            return NoHoldReason.BREAKER_OPEN
        if self._journal_fails:
            return NoHoldReason.JOURNAL_UNAVAILABLE
        if self.is_review_away:
            return NoHoldReason.REVIEW_AWAY
        return None

    @property
    def is_review_missed(self) -> bool:
        """Whether the route would hold, and does not because nobody can review."""
        return self.is_review_away and self._is_enforcing()

    @property
    def is_review_away(self) -> bool:
        """Whether the last sign of life is too old."""
        age = self._monotonic() - self._seen_at
        return self._heartbeat_seconds_max > 0 and age > self._heartbeat_seconds_max
