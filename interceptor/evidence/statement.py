"""What a source says of a patient, as values: the one language of feeds, imports and the registry.

    ADT, PPR, ORU -> feed_*.py -+
    CSV           -> import_csv -+-> Statement -> registry
    FHIR NDJSON   -> import_fhir-+

A statement is true for the moment at which it was said. Statements may arrive in any order and more than once: the
registry they end in is the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from interceptor.context.code import normalise_code
from interceptor.context.patient import Coding

TEXT_SIZE_MAX = 500
"""Longest text that is kept of one fact, in characters: names of diagnoses are shorter, notes are not evidence."""
KEY_SIZE_MAX = 200
CODINGS_MAX = 10
"""Codings that are kept of one fact."""

_OID_PREFIXES = ("urn:oid:", "oid:")


class FactKind(StrEnum):
    """What a fact is about."""

    CONDITION = "condition"
    ALLERGY = "allergy"
    OBSERVATION = "observation"
    STUDY = "study"


class Standing(StrEnum):
    """What the source says of a fact now."""

    ACTIVE = "active"
    SUSPECTED = "suspected"
    """Provisional, differential or unconfirmed."""
    PAST = "past"
    """Resolved, inactive or in remission."""
    RETRACTED = "retracted"
    """Deleted, refuted or entered in error: as if never said."""


@dataclass(frozen=True, slots=True)
class PatientIdentifier:
    """One identifier of a patient: the id is unique only together with the authority that assigned it.

    Attributes:
        value: PID-3.1.
        authority: PID-3.4 in the registry's spelling (`Authorities.name`); never empty.
        type: PID-3.5, e.g. "MR" or "PI"; "" when not stated, which matches every type.
    """

    value: str
    authority: str
    type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One diagnosis, allergy, measured value or completed study.

    Attributes:
        kind: What it is about.
        key: What makes it the same fact when it is said again, within source, kind and scope: "id:" and the sender's
            own number where there is one, else `code_key`.
        scope: What the list that it stands in belongs to: a visit, the problem list, "" for the patient.
        standing: What the source says of it now.
        codings: The most telling first; may be empty.
        text: The source's words.
        detail: Reaction of an allergy, unit of an observation.
        value: Of an observation.
        onset: Day of onset.
        recorded: Day it was recorded, measured or completed.
    """

    kind: FactKind
    key: str
    scope: str = ""
    standing: Standing = Standing.ACTIVE
    codings: tuple[Coding, ...] = ()
    text: str = ""
    detail: str = ""
    value: float | None = None
    onset: date | None = None
    recorded: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The facts of this kind and scope in the same statement are all there are: earlier ones are gone."""

    kind: FactKind
    scope: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Two identifiers are one person, or (`is_unlink`) are not after all.

    Attributes:
        given_up: The identifier that is not used any more, where there is a direction (MRG-1).
        kept: The surviving one (PID-3).
        is_merge: The sender merged two records; else both simply name one person (A24, one PID-3 list).
    """

    given_up: PatientIdentifier
    kept: PatientIdentifier
    is_merge: bool = False
    is_unlink: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What one message, row or resource says of one patient.

    Attributes:
        source: Name of the feed or import.
        said_at: When the sender said it (aware): EVN-2, MSH-7, lastUpdated.
        reference: Message control id, line or resource id; for the audit, never for a log.
        identifiers: All name the one patient; the first carries the facts. Empty when only `links` are stated.
        birth_date: ISO day, month or year ("1968", "1968-03", "1968-03-01"), "" when not stated.
        sex: "M", "F", another word of table 0001, "" when not stated.
    """

    source: str
    said_at: datetime
    reference: str = ""
    identifiers: tuple[PatientIdentifier, ...] = ()
    birth_date: str = ""
    sex: str = ""
    facts: tuple[Fact, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    links: tuple[Link, ...] = ()


class Authorities:
    """How assigning authorities are spelled in the registry: case and "urn:oid:" make no difference.

    Args:
        aliases: Other spellings (an OID, a FHIR system, an older namespace) to the one name that is used.
        default: Authority of identifiers that state none; "" when such identifiers say nothing.
    """

    __slots__ = ("_aliases", "_default")

    def __init__(self, aliases: Mapping[str, str] | None = None, default: str = "") -> None:
        self._aliases = {_spelling(alias): _spelling(name) for alias, name in (aliases or {}).items()}
        self._default = _spelling(default)

    def with_default(self, default: str) -> "Authorities":
        """The same spellings with another default; "" keeps this one."""
        return Authorities(self._aliases, default or self._default)

    def name(self, *spellings: str) -> str:
        """The authority that the sender's spellings (namespace id, universal id) mean; "" when there is none.

        An alias of any of them wins, else the first that is stated.
        """
        stated = [_spelling(one) for one in spellings if one.strip()]
        for spelling in stated:
            if spelling in self._aliases:
                return self._aliases[spelling]
        return stated[0] if stated else self._default


def _spelling(word: str) -> str:
    word = word.strip()
    lowered = word.lower()
    for prefix in _OID_PREFIXES:
        if lowered.startswith(prefix):
            return word[len(prefix) :]
    return word.rstrip("/").upper()


def code_key(codings: Sequence[Coding], text: str) -> str:
    """The key of a fact without a number of its own: its first code, else its words."""
    if codings:
        first = codings[0]
        return f"code:{first.system}|{normalise_code(first.code, first.system)}"[:KEY_SIZE_MAX]
    return f"text:{' '.join(text.casefold().split())}"[:KEY_SIZE_MAX]
