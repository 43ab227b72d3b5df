"""The registry's rows, read: SQL in, values out. Runs in a reader's thread on a connection that cannot write.

Failures: the database's errors leave as they are; who runs the work translates them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Protocol

from interceptor.context.patient import Coding
from interceptor.evidence.registry import KnownFact, Person, RegistryStats, SourceState
from interceptor.evidence.registry_fold import (
    FactRow,
    IdentifierRow,
    LinkRow,
    PatientRows,
    SnapshotRow,
    SourceRow,
    fold_person,
    read_microseconds,
    standing_facts,
)
from interceptor.evidence.statement import Fact, FactKind, PatientIdentifier, Standing

IDENTIFIERS_MAX = 64
"""More identifiers than one person has: a number like 0000 that links half the hospital."""
FACTS_MAX = 5000
"""More facts than are read of one person; one per visit and code, so this is a very long illness."""

_IDENTIFIER = "SELECT identifier_id, value, authority, type, birth_date, birth_said_at, sex FROM patient_identifier"
_MATCHING = f"{_IDENTIFIER} WHERE value = ? AND authority = ? AND (type = ? OR type = '' OR ? = '')"
_IDENTIFIER_BY_ID = f"{_IDENTIFIER} WHERE identifier_id = ?"
_IDENTIFIERS_OF_VALUE = "SELECT value, authority, type FROM patient_identifier WHERE value = ? ORDER BY authority, type"
_LINKED = """
    SELECT second_id FROM patient_link WHERE first_id = ?1 AND linked_at > coalesce(unlinked_at, linked_at - 1)
    UNION ALL
    SELECT first_id FROM patient_link WHERE second_id = ?1 AND linked_at > coalesce(unlinked_at, linked_at - 1)
    LIMIT ?2
"""
_LINKS_OF_FIRST = """
    SELECT first_id, second_id, linked_from, linked_at, unlinked_at, first_given_up_at, second_given_up_at
    FROM patient_link WHERE first_id = ?
"""
_FACTS = """
    SELECT kind, source_id, scope, fact_key, standing, system, code, more_codings, text, detail, value, onset, recorded,
        birth_date, reference, said_at, first_said_at
    FROM patient_fact WHERE identifier_id = ? LIMIT ?
"""
_SNAPSHOTS = "SELECT kind, source_id, scope, said_at FROM patient_snapshot WHERE identifier_id = ? LIMIT ?"
_SOURCES = "SELECT source_id, name, last_said_at, complete_at FROM evidence_source"
_FACT_COUNTS = """
    SELECT name, kind, count(*) FROM patient_fact JOIN evidence_source USING (source_id)
    WHERE standing <> 'retracted' GROUP BY name, kind
"""


class Rows(Protocol):
    """What comes back for one statement."""

    def __iter__(self) -> Iterator[Any]:
        """Row by row."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows."""
        ...


class Connection(Protocol):
    """What this package needs of a database connection."""

    def execute(self, statements: str, bindings: Any = None, /) -> Rows:
        """Run one statement."""
        ...

    def changes(self) -> int:
        """Rows that the last statement changed."""
        ...


def load_patient(connection: Connection, identifiers: Iterable[PatientIdentifier]) -> PatientRows:
    """Everything that may concern the patient with these identifiers."""
    known: dict[int, IdentifierRow] = {}
    for one in identifiers:
        for row in connection.execute(_MATCHING, (one.value, one.authority, one.type, one.type)):
            known[row[0]] = _identifier_row(row)
    matched = tuple(known)
    is_too_large = not _follow_links(connection, known)
    links = [
        LinkRow(*row)
        for identifier_id in known
        for row in connection.execute(_LINKS_OF_FIRST, (identifier_id,))
        if row[1] in known
    ]
    facts = [row for identifier_id in known for row in _load_facts(connection, identifier_id)]
    snapshots = [
        SnapshotRow(identifier_id, FactKind(kind), *rest)
        for identifier_id in known
        for kind, *rest in connection.execute(_SNAPSHOTS, (identifier_id, FACTS_MAX))
    ]
    return PatientRows(
        matched_ids=matched,
        identifiers=known,
        links=links,
        facts=facts,
        snapshots=snapshots,
        sources=load_sources(connection),
        is_too_large=is_too_large or len(facts) > FACTS_MAX,
    )


def _identifier_row(row: Sequence[Any]) -> IdentifierRow:
    identifier_id, value, authority, kind, *rest = row
    return IdentifierRow(identifier_id, PatientIdentifier(value, authority, kind), *rest)


def _follow_links(connection: Connection, known: dict[int, IdentifierRow]) -> bool:
    """Add the identifiers that links lead to, and the same numbers without a type; False when there are too many."""
    waiting = list(known)
    while waiting:
        row = known[waiting.pop()]
        found = [
            linked
            for (identifier_id,) in connection.execute(_LINKED, (row.identifier_id, IDENTIFIERS_MAX + 1)).fetchall()
            for linked in connection.execute(_IDENTIFIER_BY_ID, (identifier_id,))
        ]
        for linked in map(_identifier_row, [*found, *_same_number(connection, row.identifier)]):
            if linked.identifier_id in known:
                continue
            if len(known) >= IDENTIFIERS_MAX:
                return False
            known[linked.identifier_id] = linked
            waiting.append(linked.identifier_id)
    return True


def _same_number(connection: Connection, one: PatientIdentifier) -> list[Any]:
    """The rows of the same number without a type; for one without a type the typed row, where there is one type only."""
    rows = connection.execute(_MATCHING, (one.value, one.authority, one.type, one.type)).fetchall()
    types = {row[3] for row in rows} - {""}
    return rows if len(types) <= 1 else []


def _load_facts(connection: Connection, identifier_id: int) -> Iterator[FactRow]:
    for row in connection.execute(_FACTS, (identifier_id, FACTS_MAX + 1)):
        kind, source_id, scope, key, standing, system, code, more, text, detail, value, onset, recorded, *rest = row
        first = (Coding(system=system, code=code, display=text),) if code else ()
        yield FactRow(
            identifier_id,
            source_id,
            Fact(
                kind=FactKind(kind),
                key=key,
                scope=scope,
                standing=Standing(standing),
                codings=(*first, *_more_codings(more)),
                text=text,
                detail=detail,
                value=value,
                onset=_day(onset),
                recorded=_day(recorded),
            ),
            *rest,
        )


def _more_codings(stored: str) -> tuple[Coding, ...]:
    if not stored:
        return ()
    return tuple(Coding(system=system, code=code, display=display) for system, code, display in json.loads(stored))


def _day(stored: str) -> date | None:
    return date.fromisoformat(stored) if stored else None


def load_sources(connection: Connection) -> Mapping[int, SourceRow]:
    """Every source by its number."""
    return {source_id: SourceRow(*rest) for source_id, *rest in connection.execute(_SOURCES)}


def load_person(connection: Connection, identifiers: Sequence[PatientIdentifier]) -> Person | None:
    """Everything of one person, what was taken back included."""
    rows = load_patient(connection, identifiers)
    if not rows.matched_ids:
        return None
    person = fold_person(rows.matched_ids, rows)
    standing = set(map(id, standing_facts(person.ids, rows)))
    mine = [rows.identifiers[identifier_id] for identifier_id in sorted(person.ids)]
    return Person(
        identifiers=tuple(row.identifier for row in mine),
        birth_dates=tuple(dict.fromkeys(row.birth_date for row in mine if row.birth_date)),
        sexes=tuple(dict.fromkeys(row.sex for row in mine if row.sex)),
        facts=tuple(
            KnownFact(
                fact=row.fact,
                source=rows.sources[row.source_id].name,
                reference=row.reference,
                identifier=rows.identifiers[row.identifier_id].identifier,
                first_said_at=read_microseconds(row.first_said_at),
                last_said_at=read_microseconds(row.said_at),
                is_current=id(row) in standing,
            )
            for row in sorted(rows.facts, key=lambda row: (row.fact.kind, -row.said_at, row.fact.key))
            if row.identifier_id in person.ids
        ),
        is_ambiguous=person.has_doubt or rows.is_too_large,
    )


def find_identifiers(connection: Connection, value: str) -> tuple[PatientIdentifier, ...]:
    """Identifiers with this value."""
    return tuple(PatientIdentifier(*row) for row in connection.execute(_IDENTIFIERS_OF_VALUE, (value,)))


def load_stats(connection: Connection) -> RegistryStats:
    """How much there is. Reads every fact: seconds for a million patients."""
    counts: dict[str, int] = {}
    by_source: dict[str, int] = {}
    for name, kind, count in connection.execute(_FACT_COUNTS):
        counts[kind] = counts.get(kind, 0) + count
        by_source[name] = by_source.get(name, 0) + count
    ((identifier_count,),) = connection.execute("SELECT count(*) FROM patient_identifier").fetchall()
    ((link_count,),) = connection.execute("SELECT count(*) FROM patient_link").fetchall()
    sources = sorted(load_sources(connection).values(), key=lambda source: source.name)
    return RegistryStats(
        identifier_count=identifier_count,
        link_count=link_count,
        fact_counts=dict(sorted(counts.items())),
        sources=tuple(
            SourceState(
                name=source.name,
                last_said_at=read_microseconds(source.last_said_at),
                fact_count=by_source.get(source.name, 0),
            )
            for source in sources
        ),
    )
