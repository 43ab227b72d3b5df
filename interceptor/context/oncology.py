"""How strongly everything that is known says that the patient has cancer.

All evidence is kept; the strongest decides. A code or condition that is current outweighs words that deny a cancer, and
the conflict is shown. A history together with a current treatment is active. What was refuted never gets here.

Source: CLINICAL section 2, oncology tier; FHIR R4 Condition.clinicalStatus and verificationStatus.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from interceptor.context.code import ICD9CM, ICD10CM, SNOMED, normalise_code, normalise_system
from interceptor.context.code_table import CodeTables, OncologyCode
from interceptor.context.order_facts import Evidence, Oncology
from interceptor.context.order_reading import Diagnosis
from interceptor.context.patient import Coding, Condition, ConditionStatus
from interceptor.context.text_folding import OncologyFinding
from interceptor.context.text_folding import read_oncology as read_text_oncology
from interceptor.context.text_reading import Assertion, Mention, TextLabel
from interceptor.context.vocabulary import EvidenceSource, FactName, OncologyTier

_ORDER = tuple(OncologyTier)
_HISTORY_TIERS = frozenset({OncologyTier.HISTORY, OncologyTier.HISTORY_BONE_TROPIC})
_CURRENT_TIERS = frozenset({OncologyTier.METASTATIC, OncologyTier.ACTIVE})
_OVER = re.compile(r"\bned\b|n\.e\.d|no evidence|remission|(?:cancer|disease)[ -]?free|cured", re.IGNORECASE)
"""Cues that say more than history: there is no disease now."""
_PREFERRED_SYSTEMS = (ICD10CM, ICD9CM, SNOMED)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedMention:
    """A mention with the path of its text, or the source it came from when that is no field of the message."""

    mention: Mention
    path: str | None
    source: EvidenceSource = EvidenceSource.MESSAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """One piece of evidence with what it says.

    Attributes:
        evidence: For the reader.
        tier: What it speaks for.
        is_history_code: A code that says "history of"; current treatment makes it active.
        is_affirmed: It says by itself that the cancer is there now.
        denies_all: It says that there never was a cancer.
        denies_now: It says that there is none any more.
        haematologic, organ: As in `Oncology`.
    """

    evidence: Evidence
    tier: OncologyTier
    is_history_code: bool = False
    is_affirmed: bool = False
    denies_all: bool = False
    denies_now: bool = False
    haematologic: bool = False
    organ: str = ""


def coding_of_condition(condition: Condition) -> tuple[str, str, Coding] | None:
    """The coding of a condition that counts: ICD-10-CM, else ICD-9-CM, else SNOMED CT; None when it has none of them.

    Returns:
        Normalised system, code in the spelling of the tables, and the coding as received.
    """
    by_system: dict[str, Coding] = {}
    for coding in condition.codings:
        by_system.setdefault(normalise_system(coding.system), coding)
    for system in _PREFERRED_SYSTEMS:
        if system in by_system:
            return system, normalise_code(by_system[system].code, system), by_system[system]
    return None


def _code_tier(known: OncologyCode, *, is_past: bool, is_suspected: bool) -> OncologyTier:
    if is_past:
        return OncologyTier.NONE if is_suspected else known.past_tier
    if is_suspected and known.tier in (OncologyTier.METASTATIC, OncologyTier.ACTIVE):
        return OncologyTier.SUSPECTED
    return known.tier


def _diagnosis_findings(diagnoses: Iterable[Diagnosis], tables: CodeTables) -> Iterable[_Finding]:
    for diagnosis in diagnoses:
        known = tables.oncology(diagnosis.system, diagnosis.code)
        stated = diagnosis.stated
        if known is None:
            continue
        tier = _code_tier(known, is_past=diagnosis.is_past, is_suspected=diagnosis.is_suspected)
        yield _Finding(
            evidence=Evidence(
                fact=FactName.ONCOLOGY,
                source=EvidenceSource.MESSAGE,
                path=stated.path,
                code=stated.code,
                code_system=diagnosis.system,
                text=stated.words or known.organ or None,
                date=diagnosis.stated_on,
                meaning=tier,
                counted=tier is not OncologyTier.NONE,
            ),
            tier=tier,
            is_history_code=tier in _HISTORY_TIERS and diagnosis.code[:1] in ("Z", "V"),
            is_affirmed=tier in _CURRENT_TIERS,
            haematologic=known.haematologic,
            organ=known.organ,
        )


def _condition_findings(conditions: Iterable[Condition], tables: CodeTables) -> Iterable[_Finding]:
    for condition in conditions:
        chosen = coding_of_condition(condition)
        if chosen is None:
            continue
        system, code, coding = chosen
        known = tables.oncology(system, code)
        if known is None:
            continue
        is_past = condition.status is ConditionStatus.PAST
        tier = _code_tier(known, is_past=is_past, is_suspected=condition.suspected)
        yield _Finding(
            evidence=Evidence(
                fact=FactName.ONCOLOGY,
                source=condition.source,
                code=coding.code,
                code_system=system,
                text=coding.display or condition.text or known.organ or None,
                date=condition.onset or condition.recorded,
                meaning=tier,
                counted=tier is not OncologyTier.NONE,
            ),
            tier=tier,
            is_history_code=tier in _HISTORY_TIERS and (is_past or code[:1] in ("Z", "V") or system == SNOMED),
            is_affirmed=tier in _CURRENT_TIERS,
            haematologic=known.haematologic,
            organ=known.organ,
        )


def _text_findings(placed: Sequence[PlacedMention]) -> Iterable[_Finding]:
    paths = {id(one.mention): one for one in placed}
    for finding in read_text_oncology([one.mention for one in placed]):
        yield _text_finding(finding, paths[id(finding.mention)])


def _text_finding(finding: OncologyFinding, place: PlacedMention) -> _Finding:
    mention = finding.mention
    negated = mention.assertion is Assertion.NEGATED
    says_over = mention.assertion is Assertion.HISTORY and _OVER.search(mention.cue) is not None
    return _Finding(
        evidence=Evidence(
            fact=FactName.ONCOLOGY,
            source=place.source,
            path=place.path,
            text=mention.words,
            meaning=finding.tier,
            assertion=mention.assertion,
            start_offset=mention.start_offset,
            end_offset=mention.end_offset,
            counted=finding.tier is not OncologyTier.NONE,
        ),
        tier=finding.tier,
        is_affirmed=finding.tier in _CURRENT_TIERS and mention.assertion is Assertion.AFFIRMED,
        denies_all=finding.denies and negated,
        denies_now=says_over or (finding.denies and not negated),
        haematologic=mention.label is TextLabel.HAEMATOLOGIC,
        organ=mention.organ,
    )


def _therapy_evidence(
    diagnoses: Iterable[Diagnosis], conditions: Iterable[Condition], tables: CodeTables
) -> list[Evidence]:
    """Codes of current cancer treatment; they count only together with a history."""
    found = []
    for diagnosis in diagnoses:
        therapy = tables.therapy(diagnosis.system, diagnosis.code)
        if therapy is not None and not diagnosis.is_past:
            stated = diagnosis.stated
            found.append(_therapy(EvidenceSource.MESSAGE, stated.path, stated.code, diagnosis.system, therapy))
    for condition in conditions:
        chosen = coding_of_condition(condition)
        if chosen is None or condition.status is ConditionStatus.PAST:
            continue
        therapy = tables.therapy(chosen[0], chosen[1])
        if therapy is not None:
            found.append(_therapy(condition.source, None, chosen[2].code, chosen[0], therapy))
    return found


def _therapy(source: EvidenceSource, path: str | None, code: str, system: str, therapy: str) -> Evidence:
    return Evidence(
        fact=FactName.ONCOLOGY, source=source, path=path, code=code, code_system=system, text=therapy, meaning="therapy"
    )


def _upgrade(finding: _Finding) -> _Finding:
    evidence = replace(finding.evidence, meaning=OncologyTier.ACTIVE, counted=True)
    return replace(finding, tier=OncologyTier.ACTIVE, evidence=evidence)


def read_oncology(
    *,
    diagnoses: Sequence[Diagnosis],
    mentions: Sequence[PlacedMention],
    conditions: Sequence[Condition],
    tables: CodeTables,
) -> tuple[Oncology, tuple[Evidence, ...]]:
    """Return the strongest tier, and all evidence, the deciding one first.

    Args:
        diagnoses: Coded diagnoses of every order of the patient in the message, and of its header.
        mentions: What their texts mention, and the texts of conditions without a code.
        conditions: What the evidence sources know.
        tables: What codes mean.
    """
    findings = [
        *_diagnosis_findings(diagnoses, tables),
        *_condition_findings(conditions, tables),
        *_text_findings(mentions),
    ]
    therapy = _therapy_evidence(diagnoses, conditions, tables)
    text_therapy = any(
        one.mention.label is TextLabel.THERAPY and one.mention.assertion is Assertion.AFFIRMED for one in mentions
    )
    if therapy or text_therapy:
        findings = [
            _upgrade(one) if one.is_history_code or (therapy and _is_text_history(one)) else one for one in findings
        ]
    if not any(one.tier in (*_CURRENT_TIERS, *_HISTORY_TIERS) for one in findings):
        therapy = [replace(one, counted=False) for one in therapy]
    if not findings:
        return Oncology(tier=OncologyTier.NONE), tuple(therapy)
    findings.sort(key=lambda one: _ORDER.index(one.tier))
    tier = findings[0].tier
    deciding = [one for one in findings if one.tier is tier and tier is not OncologyTier.NONE]
    organ = next((one.organ for one in deciding if one.organ), "")
    return (
        Oncology(
            tier=tier,
            conflict=_conflict(findings, tier),
            haematologic=any(one.haematologic for one in deciding),
            organ=organ,
        ),
        (*(one.evidence for one in findings), *therapy),
    )


def _is_text_history(finding: _Finding) -> bool:
    return finding.tier in _HISTORY_TIERS and finding.evidence.code is None and not finding.denies_now


def _conflict(findings: Sequence[_Finding], tier: OncologyTier) -> bool:
    """Whether something denies what decided: another organ's denial does not, nor "NED" beside a history."""
    says = [one for one in findings if one.tier is tier]
    for denial in findings:
        if not (denial.denies_all or denial.denies_now):
            continue
        same_organ = not denial.organ or any(not one.organ or one.organ == denial.organ for one in says)
        if not same_organ:
            continue
        if denial.denies_all and (tier in _HISTORY_TIERS or any(one.is_affirmed for one in says)):
            return True
        if denial.denies_now and tier in _CURRENT_TIERS and any(one.is_affirmed for one in says if one is not denial):
            return True
    return False
