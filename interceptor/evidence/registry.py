"""What the node needs of a patient registry: the port and the values of its answers.

A lookup never guesses. Identifiers that lead to two persons, or to one whose birth date or sex is another than the
order's, give no evidence from this source, and the answer says why: `RegistryResult` is counted and shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from interceptor.context.patient import PatientEvidence
from interceptor.context.vocabulary import LookupStatus
from interceptor.evidence.statement import Fact, PatientIdentifier, Statement


class RegistryResult(StrEnum):
    """How one lookup ended: the closed set for metrics and answers."""

    FOUND = "found"
    """The patient is known; the evidence may still be empty."""
    STALE = "stale"
    """As FOUND, but a feed has been silent for longer than it should."""
    UNKNOWN_PATIENT = "unknown_patient"
    """None of the identifiers is known. No statement about the patient."""
    NO_IDENTIFIER = "no_identifier"
    """The order has no identifier with an assigning authority: nobody can be looked up."""
    AMBIGUOUS = "ambiguous"
    """The identifiers lead to more than one person."""
    CONFLICT = "conflict"
    """Birth date or sex of the order are not those of the patient."""
    FAILED = "failed"
    """The registry could not be read."""


ANSWERED = frozenset({RegistryResult.FOUND, RegistryResult.STALE, RegistryResult.UNKNOWN_PATIENT})
"""Results that say what the registry knows; after all others the patient counts as not checked."""


def status_of(result: RegistryResult, *, is_stale: bool) -> LookupStatus:
    """What a result means for the lookup as a whole; staleness also tells for a patient who is not known."""
    if result not in ANSWERED:
        return LookupStatus.FAILED
    return LookupStatus.STALE if is_stale or result is RegistryResult.STALE else LookupStatus.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryAnswer:
    """One lookup.

    Attributes:
        result: How it ended.
        evidence: What the registry knows, in the form that facts are read from; its lookup status is the result's.
        as_of: Time of the newest statement of any source; None when nothing was ever said.
    """

    result: RegistryResult
    evidence: PatientEvidence
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFact:
    """A fact as it stands in the registry.

    Attributes:
        source, reference: Who said it, and in which message or resource.
        first_said_at, last_said_at: When it was said for the first and for the last time.
        is_current: False when a later statement took it back.
    """

    fact: Fact
    source: str
    reference: str
    identifier: PatientIdentifier
    first_said_at: datetime
    last_said_at: datetime
    is_current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Everything that the registry has of one person, for `registry show`."""

    identifiers: tuple[PatientIdentifier, ...]
    birth_dates: tuple[str, ...]
    sexes: tuple[str, ...]
    facts: tuple[KnownFact, ...]
    is_ambiguous: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """One source: when it last said something, and how many facts it has."""

    name: str
    last_said_at: datetime
    fact_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryStats:
    """How much there is."""

    identifier_count: int
    link_count: int
    fact_counts: dict[str, int] = field(default_factory=dict)
    sources: tuple[SourceState, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What `forget` removed."""

    identifier_count: int
    fact_count: int
    link_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPlace:
    """How far an import has come: kept in the same transaction as the rows up to there.

    Attributes:
        digest: Names the file and how it is read.
        line_number: Lines that are done; None when the import is finished and the place is not needed any more.
    """

    digest: str
    line_number: int | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """So many statements are durable; 0 where a message had nothing to say. The proof behind an acknowledgment."""

    statement_count: int


class Registry(Protocol):
    """What is known of patients."""

    async def lookup(
        self, identifiers: Sequence[PatientIdentifier], *, birth_date: str, sex: str, as_of: datetime
    ) -> RegistryAnswer:
        """What is known of the patient with these identifiers.

        Args:
            identifiers: Of the order (PID-3); those of one person.
            birth_date: Of the order, ISO day, month or year; "" when not stated.
            sex: Of the order (PID-8); "" when not stated.
            as_of: Now (aware).

        Raises:
            Exception: The storage's own error; the caller counts the lookup as failed.
        """

    async def record(
        self,
        statements: Sequence[Statement],
        *,
        source: str,
        place: ImportPlace | None = None,
        at: datetime | None = None,
    ) -> Recorded:
        """Store statements of one source, and how far its import has come; durable when this returns."""

    async def record_complete(self, *, source: str, said_at: datetime) -> None:
        """What this source said before *said_at*, and not again, is gone."""

    async def import_place(self, *, source: str, digest: str) -> int:
        """Lines of an import that are done already; 0 when it has not begun, or is finished."""

    async def person(self, identifiers: Sequence[PatientIdentifier]) -> Person | None:
        """Everything of one person; None when no identifier is known."""

    async def find_identifiers(self, value: str) -> tuple[PatientIdentifier, ...]:
        """Identifiers with this value, of whatever authority."""

    async def stats(self) -> RegistryStats:
        """How much there is."""

    async def forget(self, identifiers: Sequence[PatientIdentifier], *, at: datetime, actor: str) -> Forgotten | None:
        """Remove a person with all identifiers and facts. Audited. None when not known."""
