"""Why the study is asked for, and whether that is new.

Codes and texts of the order and of its siblings are read together and the gravest symptom counts. Codes say nothing
about onset. A reason that names only the cancer, or a search for its spread, is `unknown`: ask, do not hold.

Source: CLINICAL section 2, symptom and onset.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from interceptor.context.code import DIAGNOSIS_SYSTEMS
from interceptor.context.code_table import CodeTables
from interceptor.context.oncology import PlacedMention
from interceptor.context.order_facts import Evidence, Symptom
from interceptor.context.order_reading import Diagnosis
from interceptor.context.text_folding import SymptomFinding
from interceptor.context.text_folding import read_symptom as read_text_symptom
from interceptor.context.text_reading import Assertion, Mention, TextLabel, TextReading
from interceptor.context.vocabulary import EvidenceSource, ExceptionKind, FactName, OncologyTier, Onset, SymptomClass

_ORDER = tuple(SymptomClass)
_SYMPTOM_LABELS = frozenset({TextLabel.DEFICIT, TextLabel.RADICULAR, TextLabel.PAIN})
_REASON_LABELS = frozenset(
    {
        TextLabel.STAGING,
        TextLabel.SURVEILLANCE,
        TextLabel.PLANNING,
        TextLabel.TRAUMA,
        TextLabel.INFECTION,
        TextLabel.POSTOPERATIVE,
        TextLabel.OTHER_REASON,
    }
)
_ONCOLOGY_LABELS = frozenset({TextLabel.CANCER, TextLabel.HAEMATOLOGIC, TextLabel.METASTASIS, TextLabel.THERAPY})
_SPOKEN = frozenset({Assertion.AFFIRMED, Assertion.SUSPECTED, Assertion.HISTORY})
_REASON_EXCEPTIONS = frozenset({ExceptionKind.TRAUMA, ExceptionKind.INFECTION, ExceptionKind.POSTOPERATIVE})
_TUMOUR_MARKERS = ("R97", "7958")
"""Raised tumour markers and what else is a search for cancer: no reason of its own (ICD-10-CM, ICD-9-CM)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _CodeReason:
    """What one diagnosis code says about the reason: a symptom, another reason, or nothing."""

    diagnosis: Diagnosis
    symptom_class: SymptomClass | None = None
    is_other: bool = False
    is_unlisted: bool = False
    is_oncologic: bool = False


def _reason_of(diagnosis: Diagnosis, tables: CodeTables) -> _CodeReason:
    system, code = diagnosis.system, diagnosis.code
    symptom = tables.symptom(system, code)
    oncology = tables.oncology(system, code)
    is_oncologic = oncology is not None and oncology.tier is not OncologyTier.NONE
    if symptom is not None and symptom is not SymptomClass.OTHER_REASON:
        return _CodeReason(diagnosis=diagnosis, symptom_class=symptom)
    exception = tables.exception(system, code)
    if symptom is SymptomClass.OTHER_REASON or exception in _REASON_EXCEPTIONS:
        return _CodeReason(diagnosis=diagnosis, is_other=True)
    if is_oncologic or tables.therapy(system, code) is not None or code.startswith(_TUMOUR_MARKERS):
        return _CodeReason(diagnosis=diagnosis, is_oncologic=True)
    # Status codes (a pacemaker, a kidney disease) and whatever no table knows.
    is_unlisted = exception is None and system in DIAGNOSIS_SYSTEMS
    return _CodeReason(diagnosis=diagnosis, is_unlisted=is_unlisted)


def read_symptom(
    *,
    diagnoses: Sequence[Diagnosis],
    readings: Sequence[TextReading],
    mentions: Sequence[PlacedMention],
    tables: CodeTables,
) -> tuple[Symptom, tuple[Evidence, ...]]:
    """Return the gravest symptom that is stated as reason, its onset, and what said so.

    Args:
        diagnoses: Coded reasons of the order and its siblings; problems of a problem list are left out here.
        readings: Their texts, read.
        mentions: The mentions of these texts with their paths.
        tables: What codes mean.
    """
    codes = [_reason_of(one, tables) for one in diagnoses if not one.is_problem and not one.is_past]
    text = read_text_symptom(readings)
    symptom = _join(codes, text, mentions)
    evidence = [*_code_evidence(codes, symptom), *_text_evidence(mentions, symptom)]
    evidence.sort(key=lambda one: not one.counted)
    return symptom, tuple(evidence)


def _join(codes: Sequence[_CodeReason], text: SymptomFinding, mentions: Sequence[PlacedMention]) -> Symptom:
    coded = min((one.symptom_class for one in codes if one.symptom_class), key=_ORDER.index, default=None)
    old_purpose = text.symptom_class is SymptomClass.OTHER_REASON and text.onset is Onset.NOT_NEW
    if coded is not None and not (old_purpose and coded is not SymptomClass.DEFICIT):
        return Symptom(symptom_class=min(coded, text.symptom_class, key=_ORDER.index), onset=text.onset)
    if text.symptom_class is not SymptomClass.UNKNOWN:
        return Symptom(symptom_class=text.symptom_class, onset=text.onset)
    names_cancer = any(one.is_oncologic for one in codes) or any(
        one.mention.label in _ONCOLOGY_LABELS and one.mention.assertion in _SPOKEN for one in mentions
    )
    if any(one.is_other for one in codes) or (not names_cancer and any(one.is_unlisted for one in codes)):
        return Symptom(symptom_class=SymptomClass.OTHER_REASON)
    return Symptom(symptom_class=SymptomClass.UNKNOWN)


def _code_evidence(codes: Sequence[_CodeReason], symptom: Symptom) -> list[Evidence]:
    found = []
    for one in codes:
        meaning = one.symptom_class or (SymptomClass.OTHER_REASON if one.is_other or one.is_unlisted else None)
        if meaning is None:
            continue
        stated = one.diagnosis.stated
        found.append(
            Evidence(
                fact=FactName.SYMPTOM,
                source=EvidenceSource.MESSAGE,
                path=stated.path,
                code=stated.code,
                code_system=one.diagnosis.system,
                text=stated.words or None,
                date=one.diagnosis.stated_on,
                meaning=meaning,
                counted=meaning is symptom.symptom_class,
            )
        )
    return found


def _meaning(mention: Mention) -> str | None:
    if mention.label in _SYMPTOM_LABELS:
        return SymptomClass(mention.label.value)
    return SymptomClass.OTHER_REASON if mention.label in _REASON_LABELS else None


def _text_evidence(mentions: Sequence[PlacedMention], symptom: Symptom) -> list[Evidence]:
    found = []
    for one in mentions:
        mention = one.mention
        meaning = _meaning(mention)
        if meaning is None:
            continue
        spoken = mention.assertion in _SPOKEN
        shown = Evidence(
            fact=FactName.SYMPTOM,
            source=one.source,
            path=one.path,
            text=mention.words,
            meaning=meaning,
            assertion=mention.assertion,
            start_offset=mention.start_offset,
            end_offset=mention.end_offset,
            counted=spoken and meaning == symptom.symptom_class,
        )
        found.append(shown)
        if mention.onset is not Onset.UNKNOWN:
            counted = spoken and mention.onset is symptom.onset
            found.append(replace(shown, fact=FactName.ONSET, meaning=mention.onset, counted=counted))
    return found
