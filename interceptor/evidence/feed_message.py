"""From one message of a feed to what it says of its patients. READ FIRST of the feed.

    trigger                     DG1 of the visit   AL1        PRB        OBX, PV1-15   identifiers
    ADT A01 A03 A04 A05 A08     snapshot           snapshot   -          update        PID-3 is one person
    ADT A28 A31                 snapshot           snapshot   -          update        PID-3 is one person
    ADT A18 A30 A34 A36 A39 A40 -                  -          -          -             MRG-1 merged into PID-3
    ADT A46 A47                 -                  -          -          -             MRG-1 is now PID-3
    ADT A24, A37                -                  -          -          -             two PID are one person; are not
    PPR PC1 PC2                 -                  -          update     -             PID-3 is one person
    PPR PC3                     -                  -          delete     -             PID-3 is one person
    ORU R01                     -                  -          -          update        PID-3 is one person
    ORM, OMI, OMG (state)       -                  -          -          study done    PID-3 is one person

Snapshot: the list in the message is the whole list; what an earlier message said, and this one does not, is gone. A
list belongs to the visit (PV1-19); without a visit number nothing is taken back by absence. DG1-21 anywhere in the
message makes it an update. Update: each entry stands for itself.

No older message wins over a younger one, whatever order they arrive in: EVN-2 or MSH-7 is the time of every fact.

Source: HL7 v2.5.1 chapters 2.10.4, 3, 7, 12.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from interceptor.evidence.feed_diagnosis import read_allergies, read_diagnoses, read_problems
from interceptor.evidence.feed_patient import (
    FeedTables,
    first_named,
    patient_runs,
    read_birth_date,
    read_identifiers,
    read_said_at,
    read_sex,
)
from interceptor.evidence.feed_result import (
    read_observations,
    read_order_state,
    read_report,
    read_visit_state,
)
from interceptor.evidence.statement import Fact, Link, PatientIdentifier, Snapshot, Statement
from interceptor.message.group import is_order_message, order_groups
from interceptor.message.view import MessageView, Segment

_VISITS = frozenset({"A01", "A03", "A04", "A05", "A08", "A28", "A31"})
_MERGES = frozenset({"A18", "A30", "A34", "A36", "A39", "A40"})
_NEW_NUMBERS = frozenset({"A46", "A47"})
_LINKS = frozenset({"A24", "A37"})
_PROBLEMS = frozenset({"PC1", "PC2", "PC3"})


class Unread(StrEnum):
    """Why a message says nothing."""

    IGNORED = "ignored"
    """A type or trigger that is not read."""
    NO_PATIENT = "no_patient"
    """No identifier with an assigning authority: whoever it is about cannot be found again."""


def read_feed_message(
    view: MessageView, tables: FeedTables, *, received_at: datetime
) -> tuple[Statement, ...] | Unread:
    """What a message says of its patients, one statement for each.

    Args:
        view: The message.
        tables: What it is read by.
        received_at: When it came in (aware); counts where the message states no time.
    """
    code, trigger = view.message_type.code, view.message_type.trigger
    if code == "ADT" and trigger in _LINKS:
        return _read_link(view, tables, received_at, is_unlink=trigger == "A37")
    is_read = (
        (code == "ADT" and trigger in _VISITS | _MERGES | _NEW_NUMBERS)
        or (code == "PPR" and trigger in _PROBLEMS)
        or (code == "ORU" and trigger in ("R01", ""))
        or is_order_message(view.header)
    )
    if not is_read:
        return Unread.IGNORED
    if is_order_message(view.header):
        return read_order_states(view, tables, received_at=received_at) or Unread.IGNORED
    said_at = read_said_at(view, tables.zone, received_at)
    read = [_read_patient(view, run, tables, said_at) for run in patient_runs(view.segments)]
    statements = tuple(statement for statement in read if statement is not None)
    return statements or Unread.NO_PATIENT


def read_order_states(view: MessageView, tables: FeedTables, *, received_at: datetime) -> tuple[Statement, ...]:
    """The completed spine studies that an order message tells of; () for nearly every order.

    For the order route, which sees such messages anyway. A message that names two patients says nothing.
    """
    if not any(_tells_state(segment) for segment in view.segments):
        return ()
    runs = patient_runs(view.segments)
    if len(runs) != 1:
        return ()
    statement = _read_patient(view, runs[0], tables, read_said_at(view, tables.zone, received_at))
    return (statement,) if statement is not None and statement.facts else ()


def _tells_state(segment: Segment) -> bool:
    if segment.name == "ORC":
        return bool(segment.raw_field(5))
    return segment.name == "OBR" and bool(segment.raw_field(25))


def _reference(view: MessageView) -> str:
    return view.control_id.decode("latin-1").strip()


def _read_patient(view: MessageView, run: Sequence[Segment], tables: FeedTables, said_at: datetime) -> Statement | None:
    """What one PID and the segments after it say; None when the patient has no usable identifier."""
    patient = run[0]
    identifiers = read_identifiers(patient, 3, tables.authorities)
    if not identifiers:
        return None
    trigger = view.message_type.trigger
    is_change = view.message_type.code == "ADT" and trigger in _MERGES | _NEW_NUMBERS
    facts, snapshots = ([], []) if is_change else _read_facts(view, run, tables, said_at)
    return Statement(
        source=tables.source,
        said_at=said_at,
        reference=_reference(view),
        identifiers=identifiers,
        birth_date=read_birth_date(patient),
        sex=read_sex(patient),
        facts=tuple(facts),
        snapshots=tuple(snapshots),
        links=_merges(run, identifiers[0], tables) if is_change else (),
    )


def _merges(run: Sequence[Segment], kept: PatientIdentifier, tables: FeedTables) -> tuple[Link, ...]:
    """MRG-1 of this patient: numbers that were given up for PID-3. Before 2.3.1 MRG-4 held the patient's number."""
    given_up = [
        identifier
        for segment in run
        if segment.name == "MRG"
        for identifier in (
            read_identifiers(segment, 1, tables.authorities) or read_identifiers(segment, 4, tables.authorities)
        )
    ]
    return tuple(Link(given_up=one, kept=kept, is_merge=True) for one in given_up)


def _read_facts(
    view: MessageView, run: Sequence[Segment], tables: FeedTables, said_at: datetime
) -> tuple[list[Fact], list[Snapshot]]:
    code, trigger = view.message_type.code, view.message_type.trigger
    said_on = said_at.astimezone(tables.zone).date()
    if code == "PPR":
        return read_problems(run, is_delete=trigger == "PC3"), []
    if code == "ADT":
        visit = first_named(run, "PV1")
        diagnoses, lists = read_diagnoses(run, visit, is_snapshot=tables.is_snapshot)
        allergies, more_lists = read_allergies(run, is_snapshot=tables.is_snapshot)
        states = read_visit_state(visit, said_on)
        return [*diagnoses, *allergies, *states, *read_observations(run, tables, said_at)], [*lists, *more_lists]
    if code == "ORU":
        reports = (read_report(segment, tables, said_on) for segment in run if segment.name == "OBR")
        studies = [report for report in reports if report is not None]
        return [*studies, *read_observations(run, tables, said_at)], []
    states_of_orders = (read_order_state(group, tables, said_on) for group in order_groups(view))
    return [state for state in states_of_orders if state is not None], []


def _read_link(
    view: MessageView, tables: FeedTables, received_at: datetime, *, is_unlink: bool
) -> tuple[Statement, ...] | Unread:
    """A24 and A37: two PID of one person, or of two after all."""
    patients = [read_identifiers(segment, 3, tables.authorities) for segment in view.segments_named("PID")]
    if len(patients) != 2 or not all(patients):
        return Unread.NO_PATIENT
    first, second = patients
    links = tuple(
        Link(given_up=one, kept=other, is_unlink=is_unlink)
        for one in first
        for other in second
        if is_unlink or (one, other) == (first[0], second[0])
    )
    said_at = read_said_at(view, tables.zone, received_at)
    return (Statement(source=tables.source, said_at=said_at, reference=_reference(view), links=links),)
