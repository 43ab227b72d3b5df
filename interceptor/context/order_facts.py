"""The facts of one order, as values: what extraction hands to the decision.

Every value keeps the evidence that it was read from, so that a radiologist can check it and a page can
mark the words that said so. Nothing here reads a message; `extract.py` does.
"""

import datetime as dt
from dataclasses import dataclass

from interceptor.context.vocabulary import (
    Contrast,
    EvidenceSource,
    ExceptionKind,
    FactName,
    OncologyTier,
    Onset,
    ProcedureClass,
    ProcedureSource,
    Region,
    SymptomClass,
    UrgencyClass,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One thing that was read and what it was taken to mean.

    Attributes:
        fact: The fact it speaks for.
        source: Where it was read.
        path: The field in the message, e.g. "OBR-31.2" or "DG1[2]-3.1"; None when it was not in the message.
        code: The code that was read, in the spelling received; None for text.
        code_system: The coding system that the code was taken to be of, e.g. "icd10cm"; None for text.
        text: The words that were read: the matched words for text, the display for a code.
        date: The day of the fact (onset, recorded or observed), where the source gave one.
        meaning: The value it speaks for, in the words of the vocabulary, e.g. "active", "pain", "stat".
        assertion: For text: affirmed, suspected, history, negated, relative, hypothetical. "affirmed" for codes.
        start_offset: First character of the matched words in the field's decoded text, counted from 0; None for codes.
        end_offset: Character after the last matched one.
        counted: False for evidence that was read but decided nothing (negated, a relative's, overruled).
    """

    fact: FactName
    source: EvidenceSource
    path: str | None = None
    code: str | None = None
    code_system: str | None = None
    text: str | None = None
    date: dt.date | None = None
    meaning: str | None = None
    assertion: str = "affirmed"
    start_offset: int | None = None
    end_offset: int | None = None
    counted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Procedure:
    """The ordered study.

    Attributes:
        procedure_class: The class that the policy compares.
        modality: DICOM-like word: MR, CT, XR, NM, PT, XA, US, MG ... or "" when unknown.
        regions: Regions of the spine covered, each once, in C, T, L order.
        contrast: Intravenous contrast.
        source: Which kind of code decided.
        code: The deciding code as received, "" when the name or nothing decided.
        name: The name of the study as received, for people.
        region_contrast: Contrast of each covered region, for set union; same order as `regions`.
    """

    procedure_class: ProcedureClass
    modality: str = ""
    regions: tuple[Region, ...] = ()
    contrast: Contrast = Contrast.UNKNOWN
    source: ProcedureSource = ProcedureSource.NONE
    code: str = ""
    name: str = ""
    region_contrast: tuple[tuple[Region, Contrast], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Oncology:
    """The strongest tier that the evidence supports.

    Attributes:
        tier: The strongest counted evidence.
        conflict: True when other evidence contradicts it (coded cancer against "no history of cancer").
        haematologic: True when the evidence of the tier is of a haematologic malignancy.
        organ: Plain word for the organ or disease, for the note; "" when unknown.
    """

    tier: OncologyTier
    conflict: bool = False
    haematologic: bool = False
    organ: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """The gravest symptom stated as reason, and whether it is new."""

    symptom_class: SymptomClass
    onset: Onset = Onset.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Urgency:
    """The most urgent of all places.

    Attributes:
        urgency_class: The class that the policy compares.
        path: The field that spoke, None when every place was empty.
        stated: The value as received, "" when every place was empty.
    """

    urgency_class: UrgencyClass
    path: str | None = None
    stated: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExceptionFinding:
    """One exception that applies, with a plain phrase for people (e.g. "eGFR 22 mL/min/1.73 m2 on 2026-01-03")."""

    kind: ExceptionKind
    phrase: str
