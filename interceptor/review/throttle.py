"""Guessing made slow: after a few failures each further try waits, and nobody is ever locked out.

Failures are counted by account and by address; a wait doubles with each, up to a minute, and is forgotten after a quiet
quarter of an hour. An attacker who guesses at one account slows its owner down, for a minute at most, from the same address
or another; the owner's one-time links and the identity provider are not touched.

Source: OWASP ASVS 5, 6.3.1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

FREE_FAILURES: Final = 5
WAIT_SECONDS_MAX: Final = 60.0
QUIET_SECONDS: Final = 900.0
_KEYS_MAX: Final = 10_000


@dataclass(slots=True)
class _Count:
    failures: int
    last_at: float


class Throttle:
    """Counts failures by key."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """*monotonic* tells seconds."""
        self._monotonic = monotonic
        self._counts: dict[str, _Count] = {}

    def wait_seconds(self, keys: Sequence[str]) -> float:
        """How long the next try for any of these keys has to wait; 0 for not at all."""
        return max((self._wait(key) for key in keys), default=0.0)

    def failed(self, keys: Sequence[str]) -> None:
        """A try for these keys failed."""
        now = self._monotonic()
        if len(self._counts) >= _KEYS_MAX:
            self._counts = {key: one for key, one in self._counts.items() if now - one.last_at < QUIET_SECONDS}
        for key in keys:
            count = self._counts.get(key)
            if count is None or now - count.last_at >= QUIET_SECONDS:
                count = self._counts[key] = _Count(0, now)
            count.failures += 1
            count.last_at = now

    def succeeded(self, key: str) -> None:
        """Somebody got in: their own failures are forgotten, their address's are not."""
        self._counts.pop(key, None)

    def _wait(self, key: str) -> float:
        count, now = self._counts.get(key), self._monotonic()
        if count is None or count.failures < FREE_FAILURES or now - count.last_at >= QUIET_SECONDS:
            return 0.0
        pause = min(2.0 ** (count.failures - FREE_FAILURES), WAIT_SECONDS_MAX)
        return max(0.0, count.last_at + pause - now)
