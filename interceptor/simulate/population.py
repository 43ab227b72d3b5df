"""Patients who do not exist: 120 with cancer, and some without.

Names are from lists that no reader takes for real, numbers begin with 99, and every message about them
carries MSH-11 = T. The same seed gives the same people.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from random import Random

FAMILY_NAMES = (
    "Fakerson", "Mocksworth", "Dummyfield", "Samplestone", "Placeholder", "Nonesuch", "Pretendwell", "Fauxley",
    "Testington", "Examplar", "Madeupton", "Simulacre",
)  # fmt: skip
GIVEN_NAMES = (
    "Alpha", "Bravo", "Charlie", "Delta", "Echo", "Foxtrot", "Golf", "Hotel", "India", "Juliett", "Kilo", "Lima",
    "Mike", "November", "Oscar", "Papa", "Quebec", "Romeo", "Sierra", "Tango", "Uniform", "Victor", "Whiskey", "Zulu",
)  # fmt: skip
ONCOLOGY_COUNT = 120
OTHER_COUNT = 60


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One ICD-10-CM code with the words that a requisition would use."""

    code: str
    words: str


CANCERS = (
    Diagnosis("C50.911", "breast ca"),
    Diagnosis("C61", "prostate ca"),
    Diagnosis("C34.90", "lung ca"),
    Diagnosis("C64.1", "renal cell ca"),
    Diagnosis("C90.00", "multiple myeloma"),
    Diagnosis("C79.51", "known bone mets"),
    Diagnosis("C18.9", "colon ca"),
    Diagnosis("C43.9", "melanoma"),
)
OTHER_DIAGNOSES = (
    Diagnosis("I10", "hypertension"),
    Diagnosis("E11.9", "type 2 diabetes"),
    Diagnosis("J45.909", "asthma"),
    Diagnosis("M17.11", "osteoarthritis of the knee"),
)


class Keeper(StrEnum):
    """Who else knows a patient's diagnosis, besides an order that states it."""

    NOBODY = "nobody"
    FEED = "feed"
    FHIR = "fhir"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """One simulated patient; `has_cancer` tells which list `diagnosis` is from."""

    number: str
    family_name: str
    given_name: str
    birth_date: date
    sex: str
    diagnosis: Diagnosis
    has_cancer: bool

    @property
    def keeper(self) -> Keeper:
        """A third of the patients each."""
        return tuple(Keeper)[int(self.number) % len(Keeper)]


def build_population(random: Random, *, today: date) -> tuple[Patient, ...]:
    """Make the patients, those with cancer first; ages 30 to 89."""
    return tuple(
        _build_patient(random, index, has_cancer=index < ONCOLOGY_COUNT, today=today)
        for index in range(ONCOLOGY_COUNT + OTHER_COUNT)
    )


def _build_patient(random: Random, index: int, *, has_cancer: bool, today: date) -> Patient:
    return Patient(
        number=f"99{index + 1:06d}",
        family_name=random.choice(FAMILY_NAMES),
        given_name=random.choice(GIVEN_NAMES),
        birth_date=today - timedelta(days=random.randint(30 * 365, 89 * 365)),
        sex=random.choice("FM"),
        diagnosis=random.choice(CANCERS if has_cancer else OTHER_DIAGNOSES),
        has_cancer=has_cancer,
    )
