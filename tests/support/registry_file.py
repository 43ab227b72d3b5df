"""A registry in a real journal file, statements to put into it, and what it has in the end."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from interceptor.context.patient import Coding
from interceptor.evidence.registry_rows import Connection
from interceptor.evidence.registry_sql import SqlRegistry
from interceptor.evidence.statement import (
    Fact,
    FactKind,
    Link,
    PatientIdentifier,
    Standing,
    Statement,
    code_key,
)
from interceptor.journal.sql_journal import SqlJournal
from interceptor.journal.sqlite import SqliteSettings
from interceptor.journal.sqlite_writer import WriterSettings
from tests.support.any_database import open_journal

START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
NOW = START + timedelta(days=1)
BREAST = Coding(system="icd10cm", code="C50.911", display="Malignant neoplasm of breast")
BACK_PAIN = Coding(system="icd10cm", code="M54.50", display="Low back pain")
_WRITER = WriterSettings(free_bytes_min=0, reserve_size=4096)


def number(value: str, authority: str = "HOSP", kind: str = "MR") -> PatientIdentifier:
    return PatientIdentifier(value, authority, kind)


def condition(coding: Coding = BREAST, *, standing: Standing = Standing.ACTIVE, scope: str = "", key: str = "") -> Fact:
    return Fact(
        kind=FactKind.CONDITION,
        key=key or code_key((coding,), ""),
        scope=scope,
        standing=standing,
        codings=(coding,),
        text=coding.display,
    )


def said(
    *facts: Fact,
    of: Iterable[PatientIdentifier] = (number("1001"),),
    minute: int = 0,
    reference: str = "",
    birth_date: str = "1968-01-01",
    sex: str = "F",
    source: str = "adt",
    links: tuple[Link, ...] = (),
    **more: Any,
) -> Statement:
    """A statement, so many minutes after START."""
    return Statement(
        source=source,
        said_at=START + timedelta(minutes=minute),
        reference=reference or f"M{minute}",
        identifiers=tuple(of),
        birth_date=birth_date,
        sex=sex,
        facts=facts,
        links=links,
        **more,
    )


def merge(given_up: PatientIdentifier, kept: PatientIdentifier) -> Link:
    return Link(given_up=given_up, kept=kept, is_merge=True)


@asynccontextmanager
async def open_registry(
    path: Path, *, stale_after: dict[str, timedelta] | None = None
) -> AsyncIterator[tuple[SqlRegistry, SqlJournal]]:
    """A registry in the journal at *path*."""
    async with open_journal(path, settings=SqliteSettings(writer=_WRITER)) as journal:
        yield SqlRegistry(journal.side_tables, stale_after=stale_after), journal


async def record_all(registry: SqlRegistry, statements: Iterable[Statement]) -> None:
    """Each statement in a transaction of its own, in this order."""
    for statement in statements:
        await registry.record((statement,), source=statement.source)


_DUMP = (
    """SELECT value, authority, type, birth_date, birth_said_at, sex, sex_said_at FROM patient_identifier""",
    """SELECT CASE WHEN a.value < b.value THEN a.value ELSE b.value END, CASE WHEN a.value < b.value THEN b.value ELSE a.value END, linked_from, linked_at, unlinked_at,
         CASE WHEN a.value < b.value THEN first_given_up_at ELSE second_given_up_at END,
         CASE WHEN a.value < b.value THEN second_given_up_at ELSE first_given_up_at END
       FROM patient_link JOIN patient_identifier a ON a.identifier_id = first_id
         JOIN patient_identifier b ON b.identifier_id = second_id""",
    """SELECT i.value, kind, s.name, scope, fact_key, standing, system, code, more_codings, text, detail, f.value, onset,
         recorded, f.birth_date, reference, said_at, first_said_at
       FROM patient_fact f JOIN patient_identifier i USING (identifier_id) JOIN evidence_source s USING (source_id)""",
    """SELECT i.value, kind, s.name, scope, said_at
       FROM patient_snapshot JOIN patient_identifier i USING (identifier_id) JOIN evidence_source s USING (source_id)""",
    "SELECT name, last_said_at, complete_at FROM evidence_source",
)


async def dump(journal: SqlJournal) -> list[list[Any]]:
    """Everything in the registry without our own numbers, sorted: two registries are the same when this is equal."""

    def read(connection: Connection) -> list[list[Any]]:
        return [sorted(connection.execute(query), key=repr) for query in _DUMP]

    return await journal.side_tables.read(read)
