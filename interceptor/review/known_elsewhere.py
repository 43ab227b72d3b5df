"""What the registry knows of an order's patient, for the page: diagnoses, allergies, values and studies with source and day.

Read beside the data path; nothing is concluded from it here. What the decision counted stands in its evidence.
"""

from dataclasses import dataclass
from typing import Any

from interceptor.evidence.registry import KnownFact
from interceptor.evidence.registry_rows import find_identifiers, load_person
from interceptor.evidence.statement import FactKind, Standing
from interceptor.review.parts import Database
from interceptor.review.shown_text import short

FACTS_MAX = 40
_TITLES = {
    FactKind.CONDITION: "Diagnosis",
    FactKind.ALLERGY: "Allergy",
    FactKind.OBSERVATION: "Result",
    FactKind.STUDY: "Earlier study",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ElsewhereFact:
    """One thing that the registry knows."""

    title: str
    text: str
    code: str
    standing: str
    date: str
    source: str


async def known_elsewhere(database: Database, patient_id: str, authority: str) -> tuple[ElsewhereFact, ...]:
    """What stands in the registry now, the newest first. Nothing where the identifier leads to more than one person."""

    def read(connection: Any) -> tuple[KnownFact, ...]:
        identifiers = [one for one in find_identifiers(connection, patient_id) if one.authority in ("", authority)]
        person = load_person(connection, identifiers) if identifiers else None
        return () if person is None or person.is_ambiguous else person.facts

    facts = [one for one in await database.read(read) if one.is_current and one.fact.standing is not Standing.RETRACTED]
    facts.sort(key=lambda one: one.last_said_at, reverse=True)
    return tuple(_shown(one) for one in facts[:FACTS_MAX])


def _shown(known: KnownFact) -> ElsewhereFact:
    fact = known.fact
    value = "" if fact.value is None else f"{fact.value:g} {fact.detail}"
    day = fact.onset or fact.recorded or known.last_said_at.date()
    return ElsewhereFact(
        title=_TITLES[fact.kind],
        text=short(" ".join(filter(None, (fact.text, value))), 200),
        code=short(fact.codings[0].code, 40) if fact.codings else "",
        standing="" if fact.standing is Standing.ACTIVE else fact.standing.value,
        date=day.isoformat(),
        source=short(known.source, 40),
    )
