"""How many of one event are written in a minute: a fault that repeats must not fill the disk with its story."""

from typing import Final

_WINDOW_SECONDS: Final = 60.0


class EventWindow:
    """One minute of one event: how many were written, how many left out."""

    __slots__ = ("began_at", "suppressed_count", "written_count")

    def __init__(self, began_at: float) -> None:
        """*began_at*: monotonic seconds."""
        self.began_at = began_at
        self.written_count = 0
        self.suppressed_count = 0

    def admit(self, now: float, written_count_max: int) -> int | None:
        """How many were left out since the last one written; None when this one is left out too."""
        if now - self.began_at >= _WINDOW_SECONDS:
            self.began_at = now
            self.written_count = 0
        if self.written_count >= written_count_max:
            self.suppressed_count += 1
            return None
        self.written_count += 1
        suppressed, self.suppressed_count = self.suppressed_count, 0
        return suppressed
