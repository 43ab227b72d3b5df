"""Statements to rows, in the journal's writer thread: each row keeps the latest of what was said, not the last to arrive.

Every write is a register: the larger time wins, then the larger control id, then the larger content. So any order of
arrival ends in the same rows, and a message that comes twice changes nothing.

Failures: the database's errors leave as they are; the writer rolls the whole statement list back.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime

from interceptor.context.patient import Coding
from interceptor.evidence.registry import Forgotten, ImportPlace
from interceptor.evidence.registry_fold import fold_person, microseconds
from interceptor.evidence.registry_rows import Connection, load_patient
from interceptor.evidence.statement import (
    CODINGS_MAX,
    KEY_SIZE_MAX,
    TEXT_SIZE_MAX,
    Fact,
    FactKind,
    Link,
    PatientIdentifier,
    Statement,
)

OBSERVATIONS_KEPT = 10
"""Results that are kept of one measurement; decisions ask for the latest, the others are there for corrections."""

_SOURCE_SPOKE = """
    INSERT INTO evidence_source (name, last_said_at) VALUES (?, ?)
    ON CONFLICT (name) DO UPDATE SET last_said_at = max(evidence_source.last_said_at, excluded.last_said_at)
    RETURNING source_id
"""
_SOURCE_COMPLETE = """
    INSERT INTO evidence_source (name, last_said_at, complete_at) VALUES (?1, ?2, ?2)
    ON CONFLICT (name) DO UPDATE SET last_said_at = max(evidence_source.last_said_at, ?2),
        complete_at = max(coalesce(evidence_source.complete_at, ?2), ?2)
"""
_FIND_IDENTIFIER = """
    SELECT identifier_id, birth_date, birth_said_at, sex, sex_said_at FROM patient_identifier
    WHERE value = ? AND authority = ? AND type = ?
"""
_ADD_IDENTIFIER = """
    INSERT INTO patient_identifier (value, authority, type, birth_date, birth_said_at, sex, sex_said_at)
    VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING identifier_id
"""
_SET_BIRTH = "UPDATE patient_identifier SET birth_date = ?, birth_said_at = ? WHERE identifier_id = ?"
_SET_SEX = "UPDATE patient_identifier SET sex = ?, sex_said_at = ? WHERE identifier_id = ?"
_SET_LINK = """
    INSERT INTO patient_link (first_id, second_id, linked_from, linked_at, unlinked_at, first_given_up_at, second_given_up_at)
    VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (first_id, second_id) DO UPDATE SET
        linked_from = min(coalesce(patient_link.linked_from, excluded.linked_from),
            coalesce(excluded.linked_from, patient_link.linked_from)),
        linked_at = max(coalesce(patient_link.linked_at, excluded.linked_at),
            coalesce(excluded.linked_at, patient_link.linked_at)),
        unlinked_at = max(coalesce(patient_link.unlinked_at, excluded.unlinked_at),
            coalesce(excluded.unlinked_at, patient_link.unlinked_at)),
        first_given_up_at = max(coalesce(patient_link.first_given_up_at, excluded.first_given_up_at),
            coalesce(excluded.first_given_up_at, patient_link.first_given_up_at)),
        second_given_up_at = max(coalesce(patient_link.second_given_up_at, excluded.second_given_up_at),
            coalesce(excluded.second_given_up_at, patient_link.second_given_up_at))
"""
_SET_FACT = """
    INSERT INTO patient_fact (identifier_id, kind, source_id, scope, fact_key, standing, system, code, more_codings, text,
        detail, value, onset, recorded, birth_date, reference, said_at, first_said_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (identifier_id, kind, source_id, scope, fact_key) DO UPDATE SET
        standing = excluded.standing, system = excluded.system, code = excluded.code,
        more_codings = excluded.more_codings, text = excluded.text, detail = excluded.detail, value = excluded.value,
        onset = excluded.onset, recorded = excluded.recorded, birth_date = excluded.birth_date,
        reference = excluded.reference, said_at = excluded.said_at,
        first_said_at = min(patient_fact.first_said_at, excluded.first_said_at)
    WHERE (excluded.said_at, length(excluded.reference), excluded.reference, excluded.standing, excluded.system,
            excluded.code, excluded.more_codings, excluded.text, excluded.detail, coalesce(excluded.value, -1e300),
            excluded.onset, excluded.recorded, excluded.birth_date)
        > (patient_fact.said_at, length(patient_fact.reference), patient_fact.reference, patient_fact.standing,
            patient_fact.system, patient_fact.code, patient_fact.more_codings, patient_fact.text, patient_fact.detail,
            coalesce(patient_fact.value, -1e300), patient_fact.onset, patient_fact.recorded, patient_fact.birth_date)
"""
_SET_FIRST_SAID = """
    UPDATE patient_fact SET first_said_at = ?6
    WHERE identifier_id = ?1 AND kind = ?2 AND source_id = ?3 AND scope = ?4 AND fact_key = ?5 AND first_said_at > ?6
"""
_KEEP_NEWEST = """
    DELETE FROM patient_fact
    WHERE identifier_id = ?1 AND kind = ?2 AND source_id = ?3 AND scope = ?4 AND fact_key <
        (SELECT fact_key FROM patient_fact WHERE identifier_id = ?1 AND kind = ?2 AND source_id = ?3 AND scope = ?4
         ORDER BY fact_key DESC LIMIT 1 OFFSET ?5)
"""
_SET_SNAPSHOT = """
    INSERT INTO patient_snapshot (identifier_id, kind, source_id, scope, said_at) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (identifier_id, kind, source_id, scope)
    DO UPDATE SET said_at = max(patient_snapshot.said_at, excluded.said_at)
"""
_SET_PLACE = """
    INSERT INTO registry_import (source_id, digest, line_number, at) VALUES (?, ?, ?, ?)
    ON CONFLICT (source_id, digest) DO UPDATE SET line_number = excluded.line_number, at = excluded.at
"""
_CLEAR_PLACE = "DELETE FROM registry_import WHERE source_id = ? AND digest = ?"
_FIND_PLACE = """
    SELECT line_number FROM registry_import JOIN evidence_source USING (source_id) WHERE name = ? AND digest = ?
"""
_FORGET = (
    "DELETE FROM patient_fact WHERE identifier_id = ?",
    "DELETE FROM patient_link WHERE first_id = ?1 OR second_id = ?1",
    "DELETE FROM patient_snapshot WHERE identifier_id = ?",
    "DELETE FROM patient_identifier WHERE identifier_id = ?",
)


class _KnownIdentifier:
    """One identifier's number, and the birth date and sex that stand in its row."""

    __slots__ = ("birth", "identifier_id", "sex")

    def __init__(self, identifier_id: int, birth: tuple[int, str], sex: tuple[int, str]) -> None:
        self.identifier_id = identifier_id
        self.birth = birth
        self.sex = sex


class _Recording:
    """The statements of one transaction; remembers the identifiers that it has met."""

    def __init__(self, connection: Connection, source_id: int) -> None:
        self._connection = connection
        self._source_id = source_id
        self._known: dict[PatientIdentifier, _KnownIdentifier] = {}

    def record(self, statement: Statement) -> None:
        said_at = microseconds(statement.said_at)
        ids = [self._identifier(one, statement, said_at) for one in statement.identifiers]
        for other in ids[1:]:
            self._link(ids[0], other, said_at)
        for link in statement.links:
            self._record_link(link, said_at)
        if not ids:
            return
        reference = _stored(statement.reference, KEY_SIZE_MAX)
        for fact in statement.facts:
            self._record_fact(ids[0], fact, statement.birth_date, reference, said_at)
        for snapshot in statement.snapshots:
            values = (ids[0], snapshot.kind.value, self._source_id, _stored(snapshot.scope, KEY_SIZE_MAX), said_at)
            self._connection.execute(_SET_SNAPSHOT, values)

    def _identifier(self, one: PatientIdentifier, statement: Statement | None, said_at: int) -> int:
        birth = (said_at, statement.birth_date) if statement is not None and statement.birth_date else (0, "")
        sex = (said_at, _stored(statement.sex, 20)) if statement is not None and statement.sex else (0, "")
        known = self._known.get(one) or self._load(one)
        if known is None:
            values = (*_identifier_values(one), birth[1], birth[0], sex[1], sex[0])
            ((identifier_id,),) = self._connection.execute(_ADD_IDENTIFIER, values).fetchall()
            known = _KnownIdentifier(identifier_id, birth, sex)
        self._known[one] = known
        if birth > known.birth:
            self._connection.execute(_SET_BIRTH, (birth[1], birth[0], known.identifier_id))
            known.birth = birth
        if sex > known.sex:
            self._connection.execute(_SET_SEX, (sex[1], sex[0], known.identifier_id))
            known.sex = sex
        return known.identifier_id

    def _load(self, one: PatientIdentifier) -> _KnownIdentifier | None:
        for identifier_id, birth, birth_at, sex, sex_at in self._connection.execute(
            _FIND_IDENTIFIER, _identifier_values(one)
        ):
            return _KnownIdentifier(identifier_id, (birth_at, birth), (sex_at, sex))
        return None

    def _record_link(self, link: Link, said_at: int) -> None:
        given_up, kept = self._identifier(link.given_up, None, said_at), self._identifier(link.kept, None, said_at)
        self._link(given_up, kept, said_at, is_merge=link.is_merge, is_unlink=link.is_unlink)

    def _link(self, given_up: int, kept: int, said_at: int, *, is_merge: bool = False, is_unlink: bool = False) -> None:
        if given_up == kept:
            return
        linked = None if is_unlink else said_at
        given_up_at = said_at if is_merge else None
        first, second = min(given_up, kept), max(given_up, kept)
        ends = (given_up_at, None) if first == given_up else (None, given_up_at)
        values = (first, second, linked, linked, said_at if is_unlink else None, *ends)
        self._connection.execute(_SET_LINK, values)

    def _record_fact(self, identifier_id: int, fact: Fact, birth_date: str, reference: str, said_at: int) -> None:
        place = (
            identifier_id,
            fact.kind.value,
            self._source_id,
            _stored(fact.scope, KEY_SIZE_MAX),
            _stored(fact.key, KEY_SIZE_MAX),
        )
        values = (*place, fact.standing.value, *_coding_values(fact), _stored(fact.detail, TEXT_SIZE_MAX), fact.value,
                  _day(fact.onset), _day(fact.recorded), birth_date, reference, said_at, said_at)  # fmt: skip
        self._connection.execute(_SET_FACT, values)
        if not self._connection.changes():
            self._connection.execute(_SET_FIRST_SAID, (*place, said_at))
        elif fact.kind is FactKind.OBSERVATION:
            self._connection.execute(_KEEP_NEWEST, (*place[:4], OBSERVATIONS_KEPT - 1))


def record_statements(
    connection: Connection,
    statements: Sequence[Statement],
    *,
    source: str,
    place: ImportPlace | None,
    at: datetime | None,
) -> None:
    """Store what one source says. *at*: when it was told; kept with *place* alone."""
    said_at = max((microseconds(statement.said_at) for statement in statements), default=0)
    ((source_id,),) = connection.execute(_SOURCE_SPOKE, (source, said_at)).fetchall()
    recording = _Recording(connection, source_id)
    for statement in statements:
        recording.record(statement)
    if place is None:
        return
    if place.line_number is None:
        connection.execute(_CLEAR_PLACE, (source_id, place.digest))
    else:
        told_at = at.isoformat() if at is not None else ""
        connection.execute(_SET_PLACE, (source_id, place.digest, place.line_number, told_at))


def record_complete(connection: Connection, *, source: str, said_at: datetime) -> None:
    """What this source said before, and not again, is gone."""
    connection.execute(_SOURCE_COMPLETE, (source, microseconds(said_at)))


def find_import_place(connection: Connection, *, source: str, digest: str) -> int:
    """Lines of an import that are done; 0 when it has not begun."""
    for (line_number,) in connection.execute(_FIND_PLACE, (source, digest)):
        return int(line_number)
    return 0


def forget_person(connection: Connection, identifiers: Iterable[PatientIdentifier]) -> Forgotten | None:
    """Remove a person: every identifier that links lead to, with all that was said of it."""
    rows = load_patient(connection, identifiers)
    if not rows.matched_ids:
        return None
    person = fold_person(rows.matched_ids, rows)
    removed = [0, 0, 0, 0]
    for identifier_id in person.ids:
        for index, statement in enumerate(_FORGET):
            connection.execute(statement, (identifier_id,))
            removed[index] += connection.changes()
    return Forgotten(identifier_count=removed[3], fact_count=removed[0], link_count=removed[1])


def _identifier_values(one: PatientIdentifier) -> tuple[str, str, str]:
    return _stored(one.value, KEY_SIZE_MAX), _stored(one.authority, KEY_SIZE_MAX), _stored(one.type, 20)


def _coding_values(fact: Fact) -> tuple[str, str, str, str]:
    """System, code and further codings, and the text; a display equal to the text is not kept twice."""
    text = _stored(fact.text, TEXT_SIZE_MAX)
    if not fact.codings:
        return "", "", "", text
    first, *others = fact.codings
    text = text or _stored(first.display, TEXT_SIZE_MAX)
    return _stored(first.system, KEY_SIZE_MAX), _stored(first.code, KEY_SIZE_MAX), _more_codings(others), text


def _more_codings(codings: Sequence[Coding]) -> str:
    if not codings:
        return ""
    return json.dumps([[one.system, one.code, one.display[:TEXT_SIZE_MAX]] for one in codings[: CODINGS_MAX - 1]])


def _stored(text: str, size_max: int) -> str:
    """Text as both databases can hold it: cut, without NUL and what UTF-8 has no form for."""
    text = text[:size_max]
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _day(day: date | None) -> str:
    return "" if day is None else day.isoformat()
