"""The hours in which a site's reviewers work: what "4 business hours from now" means there.

Source: CLINICAL section 4, rails. Days and holidays are a site's own; they stand in its profile.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo

_UTC = timezone.utc  # noqa: UP017 - the name that datetime gives it in every supported version
_DAYS_AHEAD_MAX = 400
"""A calendar with no open day within 400 days is taken as always open: an order must never wait for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusinessCalendar:
    """Opening hours of a site.

    Attributes:
        zone: The site's time zone.
        days: Open days of the week, Monday is 0.
        opens: Local time of opening.
        closes: Local time of closing, later than `opens`; 00:00 means midnight at the end of the day.
        holidays: Days on which the site is closed.
    """

    zone: tzinfo
    days: frozenset[int] = frozenset(range(5))
    opens: time = time(8)
    closes: time = time(17)
    holidays: frozenset[date] = frozenset()

    def is_open(self, moment: datetime) -> bool:
        """Whether the site works at this moment (aware)."""
        return any(start <= moment < end for start, end in self._windows(moment, days=1))

    def add_business_hours(self, start: datetime, hours: float) -> datetime:
        """Return the moment (in UTC) by which so many open hours have passed since `start` (aware).

        Hours are real ones, also on the day of a clock change. With 0 hours the answer is `start` itself.
        """
        left = timedelta(hours=hours)
        if left <= timedelta(0):
            return start.astimezone(_UTC)
        for opening, closing in self._windows(start, days=_DAYS_AHEAD_MAX):
            begin = max(opening, start.astimezone(_UTC))
            if begin >= closing:
                continue
            if closing - begin >= left:
                return begin + left
            left -= closing - begin
        return start.astimezone(_UTC) + timedelta(hours=hours)

    def opening_of(self, day: date) -> datetime:
        """The local opening time of a day, whether the site works on it or not (aware, in UTC)."""
        return datetime.combine(day, self.opens, self.zone).astimezone(_UTC)

    def _windows(self, start: datetime, *, days: int) -> Iterator[tuple[datetime, datetime]]:
        """Open hours (in UTC) from the day of `start` on."""
        first = start.astimezone(self.zone).date()
        for number in range(days):
            day = first + timedelta(days=number)
            if day.weekday() not in self.days or day in self.holidays:
                continue
            last = day if self.closes > self.opens else day + timedelta(days=1)
            closing = datetime.combine(last, self.closes, self.zone).astimezone(_UTC)
            yield self.opening_of(day), closing
