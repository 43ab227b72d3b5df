"""How soon the study is wanted: the most urgent of every place that says something about it.

A wrong study now beats the right study too late, so doubt counts as urgent: a word outside the site's list is urgent,
and one urgent place outweighs any number of routine ones. Silence everywhere is routine.

Source: CLINICAL section 2, urgency; HL7 v2.9 chapter 4: ORC-7 and OBR-27 (TQ, withdrawn in 2.5), TQ1-7, TQ1-9 (table 0485),
OBR-5 (withdrawn in 2.3), OBR-36; chapter 3: PV1-2 (table 0004).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from interceptor.context.coded_field import field_path
from interceptor.context.order_facts import Evidence, Urgency
from interceptor.context.site_profile import SiteProfile
from interceptor.context.vocabulary import EvidenceSource, FactName, UrgencyClass
from interceptor.message.group import OrderGroup
from interceptor.message.timestamp import Precision, parse_timestamp
from interceptor.message.view import Segment

_ORDER = tuple(UrgencyClass)
_STAT_WORD = re.compile(r"\bstat\b", re.IGNORECASE)
_EMERGENCY_WORD = re.compile(r"\bemerg", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Stated:
    urgency_class: UrgencyClass
    path: str
    value: str


def _segments(group: OrderGroup, header: Sequence[Segment], name: str) -> Iterator[Segment]:
    """Segments of this name that speak for the order: the order's own, else the header's."""
    found = [one for one in group.current_segments if one.name == name]
    yield from found or (one for one in header if one.name == name)


def _values(
    group: OrderGroup, header: Sequence[Segment], places: Sequence[tuple[str, int, int]]
) -> Iterator[tuple[str, str]]:
    """Every stated value of the places, as (path, value)."""
    for name, number, component in places:
        for segment in _segments(group, header, name):
            if segment.raw_field(number):
                yield from _values_of(segment, number, component)


def _values_of(segment: Segment, number: int, component: int) -> Iterator[tuple[str, str]]:
    for repetition in range(1, segment.repetition_count(number) + 1):
        value = segment.text(number, component, repetition=repetition).strip()
        if not value and component == 1:
            # A CWE whose code is empty still has its words (TQ1-9 "^Routine").
            value = segment.text(number, 2, repetition=repetition).strip()
        if value:
            yield field_path(segment, number, None if component == 1 else component, repetition), value


def class_of_priority(value: str, site: SiteProfile) -> UrgencyClass:
    """The class of a priority word as received; `asap` for one that the site does not know, unless it says more."""
    word = value.strip().upper()
    known = site.priorities.get(word)
    if known is not None:
        return known
    if _STAT_WORD.search(word):
        return UrgencyClass.STAT
    if _EMERGENCY_WORD.search(word):
        return UrgencyClass.EMERGENCY
    return UrgencyClass.ASAP


def _stated(group: OrderGroup, header: Sequence[Segment], site: SiteProfile) -> Iterator[_Stated]:
    for path, value in _values(group, header, site.priority_fields):
        yield _Stated(class_of_priority(value, site), path, value)
    for segment in header:
        if segment.name == "PV1":
            value = segment.text(2).strip()
            patient_class = site.patient_classes.get(value.upper())
            if patient_class is UrgencyClass.INPATIENT and not site.inpatient_is_urgent:
                patient_class = None
            if patient_class is not None:
                yield _Stated(patient_class, field_path(segment, 2), value)


def read_starts(
    group: OrderGroup, header: Sequence[Segment], site: SiteProfile, as_of: datetime
) -> tuple[tuple[datetime, str, str, bool], ...]:
    """Every planned start after `as_of` as (moment, path, value as received, a time of day was stated), earliest first.

    A start that is not in the future is a date of ordering or a default, and is left out. A day without a time of day is
    taken at the site's opening hour.
    """
    starts = []
    for path, value in _values(group, header, site.start_fields):
        stated = parse_timestamp(value)
        if stated is None or stated.precision < Precision.DAY:
            continue
        has_time = stated.precision >= Precision.HOUR
        try:
            moment = stated.at(site.calendar.zone) if has_time else site.calendar.opening_of(stated.date)
            if moment > as_of:
                starts.append((moment, path, value, has_time))
        except (OverflowError, ValueError):
            continue
    return tuple(sorted(starts, key=lambda start: start[0]))


def read_urgency(
    group: OrderGroup, header: Sequence[Segment], site: SiteProfile, as_of: datetime
) -> tuple[Urgency, tuple[Evidence, ...]]:
    """Return the most urgent class, and every place that said something.

    Args:
        group: The order.
        header: The segments that all orders of the message share.
        site: Its words and places.
        as_of: Now (aware).
    """
    stated = list(_stated(group, header, site))
    limit = as_of + timedelta(hours=site.imminent_hours)
    for moment, path, value, has_time in read_starts(group, header, site, as_of):
        # A day alone does not say when on that day: often it is only the day of the order.
        if has_time and moment <= limit:
            stated.append(_Stated(UrgencyClass.IMMINENT, path, value))
    evidence = tuple(
        Evidence(
            fact=FactName.URGENCY,
            source=EvidenceSource.MESSAGE,
            path=one.path,
            text=one.value,
            meaning=one.urgency_class,
        )
        for one in stated
    )
    if not stated:
        return Urgency(urgency_class=UrgencyClass.ROUTINE), evidence
    first = min(stated, key=lambda one: _ORDER.index(one.urgency_class))
    return Urgency(urgency_class=first.urgency_class, path=first.path, stated=first.value), evidence


def read_planned_start(
    group: OrderGroup, header: Sequence[Segment], site: SiteProfile, as_of: datetime
) -> datetime | None:
    """The earliest planned start after `as_of` (aware), None when none is stated."""
    starts = read_starts(group, header, site, as_of)
    return starts[0][0] if starts else None
