"""Orders that pass before we know what is ours: a node that starts while its database is away passes them on.

What was said about an order of ours meanwhile went past it to the filler, which does not know that order. So it is kept,
and has its turn when the journal has been read: a cancel then ends the held order, instead of being forgotten. It is
answered already, by the filler; nothing of it is answered again.

Failures: this stands in memory; a node that dies before the database comes has forgotten it. Beyond `COUNT_MAX` messages or
`SIZE_MAX` bytes the oldest are forgotten, counted, and told of at the end.
"""

from collections import deque

COUNT_MAX = 50_000
SIZE_MAX = 256 * 1024 * 1024
"""Bytes in all: a day of orders of a large hospital."""


class UnseenOrders:
    """Messages with orders, in the order in which they passed."""

    def __init__(self, *, count_max: int = COUNT_MAX, size_max: int = SIZE_MAX) -> None:
        """*size_max* is in bytes."""
        self._count_max, self._size_max = count_max, size_max
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self.forgotten_count = 0

    def note(self, raw: bytes) -> None:
        """A message with orders passes. The same object, asked about twice, passes once."""
        if self._waiting and self._waiting[-1] is raw:
            return
        self._waiting.append(raw)
        self._size += len(raw)
        while len(self._waiting) > self._count_max or (self._size > self._size_max and len(self._waiting) > 1):
            self._size -= len(self._waiting.popleft())
            self.forgotten_count += 1

    def take(self) -> tuple[bytes, ...]:
        """All of them, once."""
        taken = tuple(self._waiting)
        self._waiting.clear()
        self._size = 0
        return taken
