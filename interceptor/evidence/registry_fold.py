"""From the rows of a patient to one answer: who is one person, what still stands, what must not be believed.

    identifiers --links--> person --snapshots, retractions--> facts that stand --> PatientEvidence

Pure functions of rows. Nothing depends on the order in which the rows were written, and a merge moves no row: so
merging is associative and commutative, and loses nothing.

A wrong patient's diagnosis is worse than none. A link is not believed when the identifier that was given up came to
life again with another birth date (a number used twice), and a fact is not when the number has another owner since.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from interceptor.context.patient import (
    Allergy,
    CompletedStudy,
    Condition,
    ConditionStatus,
    Observation,
    PatientEvidence,
    SourceAnswer,
)
from interceptor.context.vocabulary import EvidenceSource
from interceptor.evidence.registry import RegistryAnswer, RegistryResult, status_of
from interceptor.evidence.statement import Fact, FactKind, PatientIdentifier, Standing, code_key

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SEXES = frozenset({"M", "F"})


@lru_cache(maxsize=256)
def microseconds(at: datetime) -> int:
    """The stored form of an aware time: microseconds since 1970 UTC."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def read_microseconds(stored: int) -> datetime:
    """The aware UTC time that `microseconds` stored."""
    return _EPOCH + timedelta(microseconds=stored)


@dataclass(frozen=True, slots=True)
class IdentifierRow:
    """One identifier with the latest birth date and sex that came with it; times in microseconds."""

    identifier_id: int
    identifier: PatientIdentifier
    birth_date: str = ""
    birth_said_at: int = 0
    sex: str = ""


@dataclass(frozen=True, slots=True)
class LinkRow:
    """Two identifiers that were said to be one person.

    Attributes:
        linked_from, linked_at: When that was said for the first and for the last time; None when never.
        unlinked_at: When it was last said that they are not.
        first_given_up_at, second_given_up_at: When a merge last gave this one of the two up.
    """

    first_id: int
    second_id: int
    linked_from: int | None
    linked_at: int | None
    unlinked_at: int | None = None
    first_given_up_at: int | None = None
    second_given_up_at: int | None = None

    @property
    def is_active(self) -> bool:
        """Whether they are one person by what was said last; said both at one time, they are not."""
        return self.linked_at is not None and (self.unlinked_at is None or self.linked_at > self.unlinked_at)


@dataclass(frozen=True, slots=True)
class FactRow:
    """One fact of one identifier; `birth_date` is what the sender took the patient's to be."""

    identifier_id: int
    source_id: int
    fact: Fact
    birth_date: str
    reference: str
    said_at: int
    first_said_at: int


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """When a source last sent the whole list of one kind and scope."""

    identifier_id: int
    kind: FactKind
    source_id: int
    scope: str
    said_at: int


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One source; `complete_at`: what it said before and not again is gone."""

    name: str
    last_said_at: int
    complete_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientRows:
    """Everything that may concern one patient: the identifiers asked for, and all that links lead to from them.

    Attributes:
        matched_ids: Identifiers of the question that are known.
        is_too_large: Links led to more than any person has: the rows are not complete.
    """

    matched_ids: tuple[int, ...]
    identifiers: Mapping[int, IdentifierRow]
    links: Sequence[LinkRow]
    facts: Sequence[FactRow]
    snapshots: Sequence[SnapshotRow]
    sources: Mapping[int, SourceRow]
    is_too_large: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedPerson:
    """Identifiers that are one person; `has_doubt` when a link from them was not believed."""

    ids: frozenset[int]
    has_doubt: bool


def contradicts(one: str, other: str) -> bool:
    """Whether two birth dates cannot be the same; less precise ones are compared as far as they go."""
    size = min(len(one), len(other))
    return one[:size] != other[:size]


def is_other_person(one: str, other: str) -> bool:
    """Whether two birth dates are too different for a correction: more than one of year, month and day, not swapped."""
    if not contradicts(one, other):
        return False
    parts, others = one.split("-"), other.split("-")
    if len(parts) == len(others) == 3 and parts == [others[0], others[2], others[1]]:
        return False
    return sum(part != other_part for part, other_part in zip(parts, others, strict=False)) > 1


def _is_reused(given_up: IdentifierRow, kept: IdentifierRow, given_up_at: int | None) -> bool:
    """Whether an identifier that a merge gave up has another owner since."""
    is_alive = given_up_at is not None and given_up.birth_said_at > given_up_at
    return is_alive and is_other_person(given_up.birth_date, kept.birth_date)


def _is_doubtful(link: LinkRow, identifiers: Mapping[int, IdentifierRow]) -> bool:
    first, second = identifiers[link.first_id], identifiers[link.second_id]
    return _is_reused(first, second, link.first_given_up_at) or _is_reused(second, first, link.second_given_up_at)


def reach(start: Iterable[int], links: Iterable[LinkRow]) -> frozenset[int]:
    """The identifiers that links lead to, and those one began with."""
    neighbours: dict[int, list[int]] = {}
    for link in links:
        neighbours.setdefault(link.first_id, []).append(link.second_id)
        neighbours.setdefault(link.second_id, []).append(link.first_id)
    seen = set(start)
    waiting = list(seen)
    while waiting:
        for identifier_id in neighbours.get(waiting.pop(), ()):
            if identifier_id not in seen:
                seen.add(identifier_id)
                waiting.append(identifier_id)
    return frozenset(seen)


def fold_person(start: Iterable[int], rows: PatientRows) -> FoldedPerson:
    """Who is one person with these identifiers."""
    active = [link for link in rows.links if link.is_active]
    doubtful = [link for link in active if _is_doubtful(link, rows.identifiers)]
    believed = [link for link in active if link not in doubtful]
    ids = reach(start, [*believed, *_untyped_links(rows.identifiers.values())])
    return FoldedPerson(ids=ids, has_doubt=any(link.first_id in ids or link.second_id in ids for link in doubtful))


def _untyped_links(identifiers: Iterable[IdentifierRow]) -> list[LinkRow]:
    """One number with and without a type is one number, unless it stands under several types."""
    by_number: dict[tuple[str, str], list[IdentifierRow]] = {}
    for row in identifiers:
        by_number.setdefault((row.identifier.value, row.identifier.authority), []).append(row)
    return [
        LinkRow(rows[0].identifier_id, other.identifier_id, linked_from=None, linked_at=None)
        for rows in by_number.values()
        if len({row.identifier.type for row in rows} - {""}) <= 1
        for other in rows[1:]
    ]


def standing_facts(ids: frozenset[int], rows: PatientRows) -> tuple[FactRow, ...]:
    """The facts of a person that nobody took back, the newest first."""
    mine = [row for row in rows.facts if row.identifier_id in ids]
    active_links = [link for link in rows.links if link.is_active]
    replaced: list[tuple[SnapshotRow, frozenset[int]]] = [
        # A list says nothing of a patient who was merged into this one only later.
        (snapshot, reach((snapshot.identifier_id,), _links_until(active_links, snapshot.said_at)))
        for snapshot in rows.snapshots
        if snapshot.identifier_id in ids
    ]
    taken_back = [row for row in mine if row.fact.standing is Standing.RETRACTED and row.fact.key.startswith("code:")]
    standing = [
        row
        for row in mine
        if row.fact.standing is not Standing.RETRACTED
        and not _is_of_earlier_owner(row, rows)
        and not _is_left_out(row, rows.sources.get(row.source_id))
        and not any(_replaces(snapshot, covered, row) for snapshot, covered in replaced)
        and not any(_takes_back(retraction, row) for retraction in taken_back)
    ]
    return tuple(sorted(standing, key=lambda row: (-row.said_at, row.fact.kind, row.fact.key, row.source_id)))


def _links_until(links: Iterable[LinkRow], said_at: int) -> list[LinkRow]:
    return [link for link in links if link.linked_from is not None and link.linked_from <= said_at]


def _is_of_earlier_owner(row: FactRow, rows: PatientRows) -> bool:
    return is_other_person(row.birth_date, rows.identifiers[row.identifier_id].birth_date)


def _is_left_out(row: FactRow, source: SourceRow | None) -> bool:
    return source is not None and source.complete_at is not None and row.said_at < source.complete_at


def _replaces(snapshot: SnapshotRow, covered: frozenset[int], row: FactRow) -> bool:
    return (
        row.identifier_id in covered
        and row.said_at < snapshot.said_at
        and (row.fact.kind, row.source_id, row.fact.scope) == (snapshot.kind, snapshot.source_id, snapshot.scope)
    )


def _takes_back(retraction: FactRow, row: FactRow) -> bool:
    """A deletion by code meets every fact with that code, also those that have a number of their own."""
    one, other = retraction.fact, row.fact
    return (
        row.said_at <= retraction.said_at
        and (one.kind, retraction.source_id, one.scope) == (other.kind, row.source_id, other.scope)
        and bool(one.codings)
        and bool(other.codings)
        and code_key(one.codings, "") == code_key(other.codings, "")
    )


def _is_one_person(rows: PatientRows, birth_date: str) -> FoldedPerson | None:
    """The person that all matched identifiers lead to; None when they lead to several.

    Identifiers that no message has linked yet are one person where each has the order's own birth date.
    """
    person = fold_person(rows.matched_ids[:1], rows)
    if all(identifier_id in person.ids for identifier_id in rows.matched_ids):
        return person
    stated = {rows.identifiers[identifier_id].birth_date for identifier_id in rows.matched_ids}
    return fold_person(rows.matched_ids, rows) if birth_date and stated == {birth_date} else None


def find_result(rows: PatientRows, *, birth_date: str, sex: str) -> tuple[RegistryResult, FoldedPerson | None]:
    """Whether these rows may speak for an order's patient."""
    if not rows.matched_ids:
        return RegistryResult.UNKNOWN_PATIENT, None
    for identifier_id in rows.matched_ids:
        known = rows.identifiers[identifier_id]
        is_other_sex = {sex, known.sex} == _SEXES
        if is_other_sex or contradicts(known.birth_date, birth_date):
            return RegistryResult.CONFLICT, None
    person = None if rows.is_too_large else _is_one_person(rows, birth_date)
    if person is None or person.has_doubt:
        return RegistryResult.AMBIGUOUS, None
    return RegistryResult.FOUND, person


def fold_answer(
    rows: PatientRows, *, birth_date: str, sex: str, as_of: datetime, stale_after: Mapping[str, timedelta]
) -> RegistryAnswer:
    """The answer of one lookup.

    Args:
        rows: Everything that may concern the patient.
        birth_date: Of the order; "" when not stated.
        sex: Of the order; "" when not stated.
        as_of: Now.
        stale_after: How long each feed may be silent before its patients' evidence counts as stale.
    """
    result, person = find_result(rows, birth_date=birth_date, sex=sex)
    said = {source.name: read_microseconds(source.last_said_at) for source in rows.sources.values()}
    is_stale = any(name not in said or as_of - said[name] > limit for name, limit in stale_after.items())
    if result is RegistryResult.FOUND and is_stale:
        result = RegistryResult.STALE
    watched = [said[name] for name in stale_after if name in said]
    time_of_data = min(watched) if watched else max(said.values(), default=None)
    status = status_of(result, is_stale=is_stale)
    answers = (SourceAnswer(source=EvidenceSource.REGISTRY, status=status, as_of=time_of_data),)
    if person is None:
        evidence = PatientEvidence(lookup=status, answers=answers)
    else:
        facts = standing_facts(person.ids, rows)
        evidence = _evidence(facts, rows, PatientEvidence(lookup=status, answers=answers))
    return RegistryAnswer(result=result, evidence=evidence, as_of=time_of_data)


def fold_refusal(result: RegistryResult, rows: PatientRows) -> RegistryAnswer:
    """The answer where the question itself was not fit to be asked."""
    said = [read_microseconds(source.last_said_at) for source in rows.sources.values()]
    status, as_of = status_of(result, is_stale=False), max(said, default=None)
    answers = (SourceAnswer(source=EvidenceSource.REGISTRY, status=status, as_of=as_of),)
    return RegistryAnswer(result=result, evidence=PatientEvidence(lookup=status, answers=answers), as_of=as_of)


def _evidence(facts: Sequence[FactRow], rows: PatientRows, answer: PatientEvidence) -> PatientEvidence:
    by_kind: dict[FactKind, list[FactRow]] = {kind: [] for kind in FactKind}
    for row in facts:
        if row.fact.kind is FactKind.CONDITION or row.fact.standing is not Standing.PAST:
            by_kind[row.fact.kind].append(row)
    return PatientEvidence(
        lookup=answer.lookup,
        answers=answer.answers,
        conditions=tuple(_condition(row, rows) for row in _once(by_kind[FactKind.CONDITION])),
        allergies=tuple(_allergy(row, rows) for row in _once(by_kind[FactKind.ALLERGY])),
        observations=tuple(_observation(row, rows) for row in by_kind[FactKind.OBSERVATION] if row.fact.codings),
        studies=tuple(_study(row, rows) for row in by_kind[FactKind.STUDY]),
        birth_date=_birth_date(rows),
    )


def _once(facts: Iterable[FactRow]) -> list[FactRow]:
    """What is said in the same words at many visits, once: as said last, with the earliest days."""
    found: dict[object, FactRow] = {}
    for row in facts:
        fact = row.fact
        codes = tuple((coding.system, coding.code) for coding in fact.codings)
        said = (row.source_id, fact.standing, codes, "" if codes else fact.text.casefold())
        earlier = found.get(said)
        if earlier is None:
            found[said] = row
            continue
        kept = earlier.fact
        found[said] = FactRow(
            identifier_id=earlier.identifier_id,
            source_id=earlier.source_id,
            fact=Fact(
                kind=kept.kind, key=kept.key, scope=kept.scope, standing=kept.standing, codings=kept.codings,
                text=kept.text, detail=kept.detail, value=kept.value,
                onset=_earlier(kept.onset, fact.onset), recorded=_earlier(kept.recorded, fact.recorded),
            ),
            birth_date=earlier.birth_date,
            reference=earlier.reference,
            said_at=earlier.said_at,
            first_said_at=min(earlier.first_said_at, row.first_said_at),
        )  # fmt: skip
    return list(found.values())


def _earlier(one: date | None, other: date | None) -> date | None:
    return min(one, other) if one is not None and other is not None else one or other


def _recorded(row: FactRow) -> date:
    """The day it was recorded; where the source does not tell, the day on which it was said for the first time."""
    return row.fact.recorded or read_microseconds(row.first_said_at).date()


def _reference(row: FactRow, rows: PatientRows) -> str:
    source = rows.sources.get(row.source_id)
    return f"{source.name}:{row.reference}" if source is not None else row.reference


def _condition(row: FactRow, rows: PatientRows) -> Condition:
    fact = row.fact
    return Condition(
        codings=fact.codings,
        text=fact.text,
        status=ConditionStatus.PAST if fact.standing is Standing.PAST else ConditionStatus.ACTIVE,
        suspected=fact.standing is Standing.SUSPECTED,
        onset=fact.onset,
        recorded=_recorded(row),
        source=EvidenceSource.REGISTRY,
        reference=_reference(row, rows),
    )


def _allergy(row: FactRow, rows: PatientRows) -> Allergy:
    return Allergy(
        codings=row.fact.codings,
        text=row.fact.text,
        reaction=row.fact.detail,
        recorded=_recorded(row),
        source=EvidenceSource.REGISTRY,
        reference=_reference(row, rows),
    )


def _observation(row: FactRow, rows: PatientRows) -> Observation:
    return Observation(
        coding=row.fact.codings[0],
        value=row.fact.value,
        unit=row.fact.detail,
        observed=_recorded(row),
        source=EvidenceSource.REGISTRY,
        reference=_reference(row, rows),
    )


def _study(row: FactRow, rows: PatientRows) -> CompletedStudy:
    return CompletedStudy(
        codings=row.fact.codings,
        text=row.fact.text,
        completed=_recorded(row),
        source=EvidenceSource.REGISTRY,
        reference=_reference(row, rows),
    )


def _birth_date(rows: PatientRows) -> date | None:
    for identifier_id in rows.matched_ids:
        try:
            return date.fromisoformat(rows.identifiers[identifier_id].birth_date)
        except ValueError:
            continue
    return None
