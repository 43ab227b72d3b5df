"""Siblings that left a moment ago: an order set is also completed by an order that did not have to wait.

Values in, values out; the time comes in. What is older than the window is forgotten. Asked by set, so that a busy
hour costs an order nothing: only its own siblings are looked at.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from interceptor.context.order_set import SetMember

COUNT_MAX = 10_000
"""Members remembered at most; at 100 spine orders a second this is more than a minute."""
SET_COUNT_MAX = 64
"""Of one set at most, the latest: no study is made of more orders, and each is looked at for every sibling."""


class RecentMembers:
    """Members of order sets that were let go within the window."""

    def __init__(self, *, window_seconds: float) -> None:
        """*window_seconds*: how long an order that has left still counts for its set."""
        self._window = timedelta(seconds=window_seconds)
        self._members: deque[SetMember] = deque()
        self._by_set: dict[str, deque[SetMember]] = {}

    def add(self, members: Iterable[SetMember]) -> None:
        """Remember orders that go on now."""
        for member in members:
            gone = replace(member, in_custody=False) if member.in_custody else member
            self._members.append(gone)
            of_set = self._by_set.get(gone.set_key)
            if of_set is None:
                of_set = self._by_set[gone.set_key] = deque(maxlen=SET_COUNT_MAX)
            of_set.append(gone)
            if len(self._members) > COUNT_MAX:
                self._forget_first()

    def find(self, set_key: str, *, at: datetime) -> tuple[SetMember, ...]:
        """The members of a set that left within the window before *at*, in order of arrival."""
        while self._members and at - self._members[0].arrived_at > self._window:
            self._forget_first()
        return tuple(self._by_set.get(set_key, ()))

    def _forget_first(self) -> None:
        first = self._members.popleft()
        of_set = self._by_set.get(first.set_key)
        # One that its set had no room for is not there any more.
        if of_set is not None and of_set[0] is first:
            of_set.popleft()
            if not of_set:
                del self._by_set[first.set_key]
