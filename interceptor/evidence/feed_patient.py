"""Whose message it is, and when it was said: PID, MRG, EVN and MSH.

Source: HL7 v2.5.1 chapter 3: PID-3, PID-7, PID-8, MRG-1, EVN-2; chapter 2A: CX.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from interceptor.context.code_table import CodeTables
from interceptor.context.site_profile import SiteProfile
from interceptor.evidence.statement import Authorities, PatientIdentifier
from interceptor.message.timestamp import Precision, Timestamp, parse_timestamp
from interceptor.message.view import MessageView, Segment

NOT_A_PERSON = frozenset({"AN", "ANC", "AND", "ANT", "VN", "SS", "MA", "MC", "PNT"})
"""Types of PID-3.5 that name an account, a visit, an insurance or a placeholder, or that several people give."""

FUTURE_MAX = timedelta(hours=24)
"""A sender's clock may be wrong by so much. A message from next year would win against every true one till then."""

_DATE_FORMS = {Precision.YEAR: "%Y", Precision.MONTH: "%Y-%m"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedTables:
    """What messages of one feed are read by.

    Attributes:
        source: Name of the feed.
        authorities: How assigning authorities are spelled.
        codes: What measured values and order questions are.
        site: The site's procedure codes and its time zone.
        is_snapshot: Whether DG1 and AL1 lists without action codes replace the earlier ones (HL7's snapshot mode).
    """

    source: str
    authorities: Authorities
    codes: CodeTables
    site: SiteProfile
    is_snapshot: bool = True

    @property
    def zone(self) -> tzinfo:
        """Zone of times that state none."""
        return self.site.calendar.zone


def read_identifiers(segment: Segment, number: int, authorities: Authorities) -> tuple[PatientIdentifier, ...]:
    """The identifiers of a CX field, each once, those of medical records first; without an authority they say nothing."""
    found: dict[PatientIdentifier, None] = {}
    for repetition in range(1, segment.repetition_count(number) + 1):
        value = segment.text(number, repetition=repetition).strip()
        kind = segment.text(number, 5, repetition=repetition).strip().upper()
        namespace, universal = (segment.text(number, 4, repetition=repetition, subcomponent=part) for part in (1, 2))
        authority = authorities.name(namespace, universal)
        if value and authority and kind not in NOT_A_PERSON:
            found[PatientIdentifier(value, authority, kind)] = None
    return tuple(sorted(found, key=lambda one: one.type != "MR"))


def read_birth_date(segment: Segment) -> str:
    """PID-7 as an ISO day, month or year; "" when not stated."""
    stated = parse_timestamp(segment.text(7))
    return "" if stated is None else stated.first.strftime(_DATE_FORMS.get(stated.precision, "%Y-%m-%d"))


def read_sex(segment: Segment) -> str:
    """PID-8 in upper case; "" when not stated."""
    return segment.text(8).strip().upper()


def read_said_at(view: MessageView, zone: tzinfo, received_at: datetime) -> datetime:
    """When the sender said it: EVN-2, or MSH-7 where that is more precise.

    *received_at* counts where neither is stated, or the time is more than a day in the future.
    """
    event = view.first("EVN")
    stated = [parse_timestamp(event.text(2)) if event is not None else None, parse_timestamp(view.text("MSH-7"))]
    times: list[Timestamp] = [one for one in stated if one is not None and one.precision >= Precision.DAY]
    if not times:
        return received_at
    # Two messages of one minute can only be put in order by the seconds.
    best = max(times, key=lambda one: min(one.precision, Precision.SECOND))
    said_at = best.at(zone).astimezone(UTC)
    return received_at if said_at > received_at + FUTURE_MAX else said_at


def patient_runs(segments: Iterable[Segment]) -> list[list[Segment]]:
    """The segments of each patient: from one PID to the next. What stands before the first belongs to nobody."""
    runs: list[list[Segment]] = []
    for segment in segments:
        if segment.name == "PID":
            runs.append([])
        if runs:
            runs[-1].append(segment)
    return runs


def first_named(segments: Sequence[Segment], name: str) -> Segment | None:
    """The first segment of this name."""
    return next((segment for segment in segments if segment.name == name), None)
