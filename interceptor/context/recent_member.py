"""Siblings that left a moment ago: an order set is also completed by an order that did not have to wait.

Values in, values out; the time comes in. What is older than the window is forgotten.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from interceptor.context.order_set import SetMember

COUNT_MAX = 10_000
"""Members remembered at most; at 100 spine orders a second this is more than a minute."""


class RecentMembers:
    """Members of order sets that were let go within the window."""

    def __init__(self, *, window_seconds: float) -> None:
        """*window_seconds*: how long an order that has left still counts for its set."""
        self._window = timedelta(seconds=window_seconds)
        self._members: deque[SetMember] = deque(maxlen=COUNT_MAX)

    def add(self, members: Iterable[SetMember]) -> None:
        """Remember orders that go on now."""
        self._members.extend(replace(member, in_custody=False) for member in members)

    def find(self, *, at: datetime) -> tuple[SetMember, ...]:
        """All that left within the window before *at*, in order of arrival."""
        while self._members and at - self._members[0].arrived_at > self._window:
            self._members.popleft()
        return tuple(self._members)
