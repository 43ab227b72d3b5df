"""DG1, PRB, AL1 and IAM as facts.

    DG1    belongs to a visit (PV1-19): its list replaces the visit's earlier one, unless a DG1-21 says otherwise
    PRB    belongs to the problem list: each stands for itself, by its number (PRB-4) or its code
    AL1    belongs to the patient: the list replaces the earlier one of this feed
    IAM    as AL1, each for itself by IAM-6

A message without any DG1 or AL1 says nothing of them. A single one with null in field 3 says that there is none.

Source: HL7 v2.5.1 chapter 2.10.4 (snapshot and action code mode); chapter 3: AL1, IAM; chapter 6: DG1; chapter 12: PRB.
"""

from collections.abc import Iterable, Sequence
from datetime import date

from interceptor.context.code import CPT, ICD9CM, ICD10CM, LOINC, SNOMED, diagnosis_system, normalise_system
from interceptor.context.coded_field import StatedCode, read_coded_field
from interceptor.context.patient import Coding
from interceptor.evidence.standing import read_standing
from interceptor.evidence.statement import Fact, FactKind, Snapshot, Standing, code_key
from interceptor.message.timestamp import parse_timestamp
from interceptor.message.view import Segment, is_null

PROBLEM_SCOPE = "problem"
ALLERGY_SCOPE = "allergy"
_RANKS = {system: rank for rank, system in enumerate((ICD10CM, ICD9CM, SNOMED, LOINC, CPT))}
_DELETED = frozenset({"D", "DE", "DELETE", "UN"})
"""Delete; UN: unlink, the problem does not belong to this patient."""


def read_day(segment: Segment, number: int) -> date | None:
    """The day of a time field."""
    stated = parse_timestamp(segment.text(number))
    return None if stated is None else stated.date


def visit_scope(visit: Segment | None) -> str:
    """The scope of a visit's diagnoses; "visit:" where the visit has no number."""
    return f"visit:{visit.text(19).strip()}" if visit is not None else "visit:"


def read_diagnoses(
    segments: Sequence[Segment], visit: Segment | None, *, is_snapshot: bool
) -> tuple[list[Fact], list[Snapshot]]:
    """DG1 of one patient.

    A visit without a number has no list that could be replaced: its diagnoses are added, none is taken back by absence.
    """
    mine = [segment for segment in segments if segment.name == "DG1"]
    scope = visit_scope(visit)
    facts = [fact for segment in mine if (fact := _diagnosis(segment, scope)) is not None]
    by_action = any(segment.text(21).strip() for segment in mine)
    is_whole = is_snapshot and bool(mine) and not by_action and scope != "visit:"
    return facts, [Snapshot(kind=FactKind.CONDITION, scope=scope)] if is_whole else []


def _diagnosis(segment: Segment, scope: str) -> Fact | None:
    method = segment.text(2).strip()
    codes, texts = read_coded_field(segment, 3)
    codings = _codings(codes, method)
    description = segment.text(4, None, subcomponent=None).strip()
    words = description or next((one.words for one in codes if one.words), "") or " ".join(one.text for one in texts)
    if not codings and not words:
        return None
    is_deleted = segment.text(21).strip().upper() in _DELETED
    return Fact(
        kind=FactKind.CONDITION,
        key=code_key(codings, words),
        scope=scope,
        standing=Standing.RETRACTED if is_deleted else Standing.ACTIVE,
        codings=codings,
        text=words,
        recorded=read_day(segment, 5),
    )


def _codings(codes: Iterable[StatedCode], method: str = "") -> tuple[Coding, ...]:
    """All codes, ICD-10-CM first."""
    found = [
        Coding(system=diagnosis_system(one.code, one.system, method), code=one.code, display=one.words) for one in codes
    ]
    return tuple(sorted(found, key=lambda coding: _RANKS.get(coding.system, len(_RANKS))))


def read_problems(segments: Iterable[Segment], *, is_delete: bool) -> list[Fact]:
    """PRB of one patient. *is_delete*: the message itself deletes (PC3), whatever PRB-1 says."""
    facts = (_problem(segment, is_delete=is_delete) for segment in segments if segment.name == "PRB")
    return [fact for fact in facts if fact is not None]


def _problem(segment: Segment, *, is_delete: bool) -> Fact | None:
    codes, texts = read_coded_field(segment, 3)
    codings = _codings(codes)
    words = next((one.words for one in codes if one.words), "") or " ".join(one.text for one in texts)
    number = segment.text(4, None, subcomponent=None).strip()
    if not codings and not words and not number:
        return None
    if is_delete or segment.text(1).strip().upper() in _DELETED:
        standing = Standing.RETRACTED
    else:
        standing = read_standing(*(segment.text(place, part) for place in (13, 14) for part in (1, 2)))
        if standing in (Standing.ACTIVE, Standing.SUSPECTED) and read_day(segment, 9) is not None:
            standing = Standing.PAST
    return Fact(
        kind=FactKind.CONDITION,
        key=f"id:{number}" if number else code_key(codings, words),
        scope=PROBLEM_SCOPE,
        standing=standing,
        codings=codings,
        text=words,
        onset=read_day(segment, 16),
        recorded=read_day(segment, 7) or read_day(segment, 2),
    )


def read_allergies(segments: Sequence[Segment], *, is_snapshot: bool) -> tuple[list[Fact], list[Snapshot]]:
    """AL1 and IAM of one patient."""
    facts = [fact for segment in segments if segment.name in ("AL1", "IAM") and (fact := _allergy(segment)) is not None]
    is_whole = is_snapshot and any(segment.name == "AL1" for segment in segments)
    return facts, [Snapshot(kind=FactKind.ALLERGY, scope=ALLERGY_SCOPE)] if is_whole else []


def _allergy(segment: Segment) -> Fact | None:
    if is_null(segment.raw_field(3)):
        return None
    codes, texts = read_coded_field(segment, 3)
    codings = tuple(Coding(system=normalise_system(one.system), code=one.code, display=one.words) for one in codes)
    words = next((one.words for one in codes if one.words), "") or " ".join(one.text for one in texts)
    if not codings and not words:
        return None
    is_deleted = segment.name == "IAM" and segment.text(6).strip().upper() in _DELETED
    return Fact(
        kind=FactKind.ALLERGY,
        key=code_key(codings, words),
        scope=ALLERGY_SCOPE,
        standing=Standing.RETRACTED if is_deleted else Standing.ACTIVE,
        codings=codings,
        text=words,
        detail=segment.text(5, subcomponent=None).strip() or segment.text(5, 2).strip(),
        recorded=read_day(segment, 6) if segment.name == "AL1" else read_day(segment, 11),
    )
