"""HL7 times, with the precision and the offset that were stated.

    YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ]

A day is not midnight and a time without an offset is not UTC: both are kept apart until a caller names the zone.

Source: HL7 v2.9 chapter 2A, DTM; TS before 2.6 (its second component, the degree of precision, is ignored: the
number of digits says it).
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo
from enum import IntEnum

_PATTERN = re.compile(
    r"(\d{4})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:\.(\d{1,4})\d*)?)?)?)?)?)?(?:([+-])(\d{2})(\d{2}))?",
    re.ASCII,
)
_LEAP_SECOND = 60
_MINUTES_OF_HOUR = 60
_OFFSET_HOURS_MAX = 14


class Precision(IntEnum):
    """The smallest unit that was stated."""

    YEAR = 1
    MONTH = 2
    DAY = 3
    HOUR = 4
    MINUTE = 5
    SECOND = 6
    FRACTION = 7


@dataclass(frozen=True, slots=True)
class Timestamp:
    """One HL7 time as stated.

    Attributes:
        first: The earliest moment that it can mean, in its own zone (no tzinfo).
        precision: The smallest unit that was stated.
        offset_minutes: Minutes east of UTC; None when not stated.
    """

    first: datetime
    precision: Precision
    offset_minutes: int | None = None

    @property
    def date(self) -> date:
        """The day, in the sender's zone; the first of the month or year when no day was stated."""
        return self.first.date()

    def at(self, zone: tzinfo) -> datetime:
        """The earliest moment that it can mean, aware: its own offset where stated, else in `zone`.

        In the hour that a clock change repeats, the first of the two.
        """
        if self.offset_minutes is None:
            return self.first.replace(tzinfo=zone)
        return self.first.replace(tzinfo=timezone(timedelta(minutes=self.offset_minutes)))


def _read_offset(sign: str | None, hours: str, minutes: str) -> int | None:
    """Minutes east of UTC; None when not stated.

    Raises:
        ValueError: No place on earth has that offset.
    """
    if sign is None:
        return None
    if int(hours) > _OFFSET_HOURS_MAX or int(minutes) >= _MINUTES_OF_HOUR:
        msg = "no such offset"
        raise ValueError(msg)
    total = int(hours) * _MINUTES_OF_HOUR + int(minutes)
    return -total if sign == "-" else total


def parse_timestamp(text: str) -> Timestamp | None:
    """Read an HL7 time, blanks around it allowed; None for anything else, such as month 13, hour 24 or "unknown".

    More than four decimals are accepted and cut. Second 60 (a leap second) reads as 59.
    """
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        return None
    *parts, fraction, sign, offset_hours, offset_minutes = match.groups()
    numbers = [int(part) for part in parts if part is not None]
    precision = Precision.FRACTION if fraction else Precision(len(numbers))
    year, month, day, hour, minute, second = (*numbers, *(1, 1, 1, 0, 0, 0)[len(numbers) :])
    try:
        first = datetime(  # noqa: DTZ001 - the zone is the caller's to name
            year, month, day, hour, minute, 59 if second == _LEAP_SECOND else second,
            int((fraction or "").ljust(6, "0")),
        )  # fmt: skip
        return Timestamp(first, precision, _read_offset(sign, offset_hours, offset_minutes))
    except ValueError:
        return None


def format_timestamp(moment: datetime) -> str:
    """Build an HL7 time to the second with its offset, e.g. "20260105101502+0100".

    Raises:
        ValueError: The datetime is not aware; what we write must say its zone.
    """
    if moment.utcoffset() is None:
        msg = "a time without its offset"
        raise ValueError(msg)
    return moment.strftime("%Y%m%d%H%M%S%z")[:19]
