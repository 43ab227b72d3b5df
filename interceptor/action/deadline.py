"""When a held order must leave at the latest.

    four business hours (the site's calendar and time zone)
    at most 24 hours, whatever the calendar says
    never later than four hours before the planned start of the study

The earliest of the three counts. A strict policy row may set a shorter one (15 minutes), which counts by the
clock, not by business hours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldLimits:
    """The numbers of [hold]; hours."""

    business_hours: float = 4.0
    hours_max: float = 24.0
    planned_start_margin_hours: float = 4.0


def hold_deadline(
    taken_at: datetime,
    *,
    limits: HoldLimits,
    add_business_hours: Callable[[datetime, float], datetime],
    planned_start: datetime | None,
    row_deadline_seconds: float | None,
) -> datetime:
    """Return the aware time at which an order taken at *taken_at* is released unreviewed.

    Args:
        taken_at: Aware time of custody.
        limits: The site's limits.
        add_business_hours: The site's calendar: the time so many business hours after another.
        planned_start: Planned start of the study, aware; None when the order states none.
        row_deadline_seconds: A shorter deadline that the policy row sets; None for none.

    Returns:
        Never before *taken_at*.
    """
    candidates = [
        add_business_hours(taken_at, limits.business_hours),
        taken_at + timedelta(hours=limits.hours_max),
    ]
    if planned_start is not None:
        candidates.append(planned_start - timedelta(hours=limits.planned_start_margin_hours))
    if row_deadline_seconds is not None:
        candidates.append(taken_at + timedelta(seconds=row_deadline_seconds))
    return max(min(candidates), taken_at)
