"""The code tables of mappings/codes as dictionaries: what a code means, in a few dictionary look-ups.

ICD codes are prefixes and the longest that fits wins; everything else is looked up whole. No code is spelled out
here: `code_table_reading.py` fills the dictionaries.

Source: mappings/codes/README.md.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

from interceptor.context.code import ATC, CPT, ICD9CM, ICD10CM, SNOMED, prefixes
from interceptor.context.vocabulary import Contrast, ExceptionKind, OncologyTier, ProcedureClass, Region, SymptomClass

_SHORTEST_PREFIX = 3
_SEVENTH = 6


class QuestionKind(StrEnum):
    """What an order question (an OBX of an order) asks."""

    OVERRIDE = "override"
    PREGNANCY = "pregnancy"
    DEVICE = "device"
    GADOLINIUM = "gadolinium"
    CONTRAST_ALLERGY = "contrast_allergy"
    DIALYSIS = "dialysis"
    EGFR = "egfr"
    HOSPICE = "hospice"
    REASON = "reason"
    CANCER = "cancer"


class ContrastKind(StrEnum):
    """What kind of contrast medium an allergy names."""

    GADOLINIUM = "gadolinium"
    IODINATED = "iodinated"
    UNSPECIFIED = "unspecified"


@dataclass(frozen=True, slots=True, kw_only=True)
class OncologyCode:
    """What a diagnosis code says about cancer.

    Attributes:
        tier: What it speaks for when it is current.
        past_tier: What it speaks for when its source calls it resolved, inactive or in remission.
        haematologic: Whether it is a haematologic malignancy.
        organ: Plain word for organ or disease, "" when the code names none.
    """

    tier: OncologyTier
    past_tier: OncologyTier
    haematologic: bool
    organ: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcedureCode:
    """What a procedure code orders. `procedure_class` None: it follows from regions and contrast."""

    modality: str
    regions: tuple[Region, ...] = ()
    contrast: Contrast = Contrast.UNKNOWN
    procedure_class: ProcedureClass | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastAgent:
    """A contrast medium as an allergy names it. `group`: ACR group of NSF risk (I, II, III), "" when unknown."""

    agent: str
    kind: ContrastKind
    group: str = ""


@dataclass(frozen=True, slots=True)
class ProcedureRange:
    """What the CPT numbers from `first` to `last` (included) are."""

    first: int
    last: int
    procedure: ProcedureCode


@dataclass(frozen=True, slots=True, kw_only=True)
class SymptomCode:
    """What a diagnosis code says about the symptom; with `seventh`, only when the seventh character is one of these."""

    symptom_class: SymptomClass
    seventh: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExceptionCode:
    """Which exception a diagnosis code speaks for; not when the seventh character is one of `without_seventh`."""

    kind: ExceptionKind
    without_seventh: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeTables:
    """All tables, by coding system. Codes are expected in the spelling of `code.normalise_code`."""

    oncology_codes: Mapping[str, Mapping[str, OncologyCode]]
    symptom_codes: Mapping[str, Mapping[str, SymptomCode]]
    exception_codes: Mapping[str, Mapping[str, ExceptionCode]]
    therapy_codes: Mapping[str, Mapping[str, str]]
    procedure_codes: Mapping[str, Mapping[str, ProcedureCode]]
    procedure_ranges: tuple[ProcedureRange, ...]
    laboratory_codes: Mapping[str, str]
    allergy_codes: Mapping[str, Mapping[str, ContrastAgent]]
    gadolinium_words: re.Pattern[str]
    other_contrast_words: re.Pattern[str]
    agents: Mapping[str, ContrastAgent]
    questions: tuple[tuple[QuestionKind, re.Pattern[str]], ...]

    def oncology(self, system: str, code: str) -> OncologyCode | None:
        """What a diagnosis code says about cancer; None when it says nothing."""
        return _longest(self.oncology_codes.get(system), code, system)

    def symptom(self, system: str, code: str) -> SymptomClass | None:
        """The symptom that a diagnosis code states; None when it is in no table."""
        table = self.symptom_codes.get(system)
        if table is None:
            return None
        for prefix in _tried(system, code):
            found = table.get(prefix)
            if found is not None and (not found.seventh or code[_SEVENTH : _SEVENTH + 1] in tuple(found.seventh)):
                return found.symptom_class
        return None

    def exception(self, system: str, code: str) -> ExceptionKind | None:
        """The exception that a diagnosis code speaks for."""
        table = self.exception_codes.get(system)
        found = _longest(table, code, system)
        if found is None or (found.without_seventh and code[_SEVENTH : _SEVENTH + 1] in tuple(found.without_seventh)):
            return None
        return found.kind

    def therapy(self, system: str, code: str) -> str | None:
        """The current cancer treatment that a code of long term use states, in plain words."""
        return _longest(self.therapy_codes.get(system), code, system)

    def procedure(self, system: str, code: str) -> ProcedureCode | None:
        """What a CPT or LOINC number orders; for CPT every number is something, by range."""
        found = self.procedure_codes.get(system, {}).get(code)
        if found is None and system == CPT and code[:5].isdigit():
            number = int(code[:5])
            for one in self.procedure_ranges:
                if one.first <= number <= one.last:
                    return one.procedure
        return found

    def is_listed_procedure(self, system: str, code: str) -> bool:
        """Whether a number stands in the tables itself, not only in a range."""
        return code in self.procedure_codes.get(system, {})

    def filtration_rate_codes(self) -> tuple[str, ...]:
        """LOINC numbers of the estimated glomerular filtration rate, sorted: what a FHIR server is asked for."""
        return tuple(sorted(code for code, measures in self.laboratory_codes.items() if measures == "egfr"))

    def laboratory(self, code: str) -> str | None:
        """What a LOINC number of a result measures: "egfr" or "pregnancy"."""
        return self.laboratory_codes.get(code)

    def contrast_agent(self, text: str) -> ContrastAgent | None:
        """The contrast medium that a text names; gadolinium before anything else."""
        found = self.gadolinium_words.search(text) or self.other_contrast_words.search(text)
        if found is None:
            return None
        word = found.group(0).casefold()
        agent = self.agents.get(word)
        if agent is not None:
            return agent
        endings = (word[:size] + "*" for size in range(len(word), 0, -1))
        return next((self.agents[ending] for ending in endings if ending in self.agents), None)

    def allergy(self, system: str, code: str) -> ContrastAgent | None:
        """The contrast medium that the code of an allergy names."""
        return _longest(self.allergy_codes.get(system), code, system)

    def question_kind(self, text: str) -> QuestionKind | None:
        """What an order question asks, by its words."""
        for kind, pattern in self.questions:
            if pattern.search(text):
                return kind
        return None

    def with_snomed(self, more: Mapping[str, OncologyCode]) -> "CodeTables":
        """These tables with a site's own expansion of SNOMED CT; the shipped concepts win."""
        shipped = self.oncology_codes.get(SNOMED, {})
        return replace(self, oncology_codes={**self.oncology_codes, SNOMED: {**more, **shipped}})


_Value = TypeVar("_Value")


def _tried(system: str, code: str) -> tuple[str, ...]:
    if system in (ICD10CM, ICD9CM, ATC):
        return prefixes(code, _SHORTEST_PREFIX)
    return (code,)


def _longest(table: Mapping[str, _Value] | None, code: str, system: str) -> _Value | None:
    if table is None:
        return None
    for prefix in _tried(system, code):
        found = table.get(prefix)
        if found is not None:
            return found
    return None
