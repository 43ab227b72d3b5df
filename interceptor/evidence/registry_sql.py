"""The registry beside the journal, on either database, in tables of its own: the adapter of `registry.Registry`.

Writes go through the journal's one writer and share its commits, reads run beside it. A feed gives way to orders: on a
disk that is nearly full its writes are refused first.

Failures: the journal's own errors (unavailable, broken) leave as they are; a lookup that raises counts as failed.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol, TypeVar

from interceptor.evidence import registry_rows, registry_writes
from interceptor.evidence.registry import (
    Forgotten,
    ImportPlace,
    Person,
    Recorded,
    RegistryAnswer,
    RegistryResult,
    RegistryStats,
)
from interceptor.evidence.registry_fold import fold_answer, fold_refusal
from interceptor.evidence.registry_rows import Connection, load_patient
from interceptor.evidence.statement import PatientIdentifier, Statement

_T = TypeVar("_T")


class Tables(Protocol):
    """What the registry needs of the journal: work in its writer, work in its readers."""

    async def write(self, work: Callable[[Connection], _T]) -> _T:
        """Run *work* in the writer; durable when this returns."""
        ...

    async def write_audited(
        self,
        work: Callable[[Connection], _T],
        *,
        at: datetime,
        actor: str,
        action: str,
        describe: Callable[[_T], Mapping[str, object] | None],
    ) -> _T:
        """As `write`, with a link of the audit chain in the same transaction unless *describe* gives None."""
        ...

    async def read(self, work: Callable[[Connection], _T]) -> _T:
        """Run *work* on a connection that cannot write."""
        ...


class SqlRegistry:
    """`registry.Registry` on the journal's database. The methods are described there."""

    def __init__(self, tables: Tables, *, stale_after: Mapping[str, timedelta] | None = None) -> None:
        """*stale_after*: how long each feed may be silent before what the registry knows counts as stale."""
        self._tables = tables
        self._stale_after = dict(stale_after or {})

    async def lookup(
        self, identifiers: Sequence[PatientIdentifier], *, birth_date: str, sex: str, as_of: datetime
    ) -> RegistryAnswer:
        """What is known of a patient."""

        def look_up(connection: Connection) -> RegistryAnswer:
            rows = load_patient(connection, identifiers)
            if not identifiers:
                return fold_refusal(RegistryResult.NO_IDENTIFIER, rows)
            return fold_answer(rows, birth_date=birth_date, sex=sex, as_of=as_of, stale_after=self._stale_after)

        return await self._tables.read(look_up)

    async def record(
        self,
        statements: Sequence[Statement],
        *,
        source: str,
        place: ImportPlace | None = None,
        at: datetime | None = None,
    ) -> Recorded:
        """Store statements."""
        await self._tables.write(
            partial(registry_writes.record_statements, statements=statements, source=source, place=place, at=at)
        )
        return Recorded(len(statements))

    async def record_complete(self, *, source: str, said_at: datetime) -> None:
        """The source has said everything that it knows."""
        await self._tables.write(partial(registry_writes.record_complete, source=source, said_at=said_at))

    async def import_place(self, *, source: str, digest: str) -> int:
        """Lines of an import that are done."""
        return await self._tables.read(partial(registry_writes.find_import_place, source=source, digest=digest))

    async def person(self, identifiers: Sequence[PatientIdentifier]) -> Person | None:
        """Everything of one person."""
        return await self._tables.read(partial(registry_rows.load_person, identifiers=identifiers))

    async def find_identifiers(self, value: str) -> tuple[PatientIdentifier, ...]:
        """Identifiers with this value."""
        return await self._tables.read(partial(registry_rows.find_identifiers, value=value))

    async def stats(self) -> RegistryStats:
        """How much there is."""
        return await self._tables.read(registry_rows.load_stats)

    async def forget(self, identifiers: Sequence[PatientIdentifier], *, at: datetime, actor: str) -> Forgotten | None:
        """Remove a person. The audit has counts, not who it was: the chain is never erased."""
        return await self._tables.write_audited(
            partial(registry_writes.forget_person, identifiers=identifiers),
            at=at,
            actor=actor,
            action="patient_forgotten",
            describe=_describe,
        )


def _describe(forgotten: Forgotten | None) -> Mapping[str, object] | None:
    if forgotten is None:
        return None
    return {name: getattr(forgotten, name) for name in Forgotten.__slots__}
