"""The oncology tier: the strongest evidence wins, all of it is kept, conflicts are shown."""

from datetime import date

import pytest

from interceptor.context.extract import EvidenceNeeded
from interceptor.context.patient import NO_EVIDENCE, Coding, Condition, ConditionStatus, PatientEvidence
from interceptor.context.vocabulary import EvidenceSource, FactName, LookupStatus
from tests.support.spine_order import diagnosis, facts_of, order_message, question, segment


def tier_of(evidence: PatientEvidence = NO_EVIDENCE, /, **fields: object) -> str:
    return facts_of(order_message(**fields), evidence=evidence).oncology.tier.value  # type: ignore[arg-type]  # one place per key


def knows(*conditions: Condition) -> PatientEvidence:
    return PatientEvidence(lookup=LookupStatus.OK, conditions=conditions)


def condition(*codings: tuple[str, str], past: bool = False, suspected: bool = False, text: str = "") -> Condition:
    return Condition(
        codings=tuple(Coding(system=system, code=code) for system, code in codings),
        text=text,
        status=ConditionStatus.PAST if past else ConditionStatus.ACTIVE,
        suspected=suspected,
        recorded=date(2025, 1, 1),
        source=EvidenceSource.FHIR,
    )


@pytest.mark.parametrize(
    ("codes", "tier"),
    [
        (("C50.911",), "active"),
        (("c50911",), "active"),
        (("C61XXXX",), "active"),
        (("C50.911", "C79.51"), "metastatic"),
        (("Z85.3",), "history_bone_tropic"),
        (("Z85.3", "Z79.811"), "active"),
        (("Z85.038", "Z79.631"), "active"),
        (("Z85.828", "Z79.631"), "none"),
        (("Z79.631",), "none"),
        (("C90.01", "Z79.64"), "history_bone_tropic"),
        (("Z85.3", "Z79.899"), "history_bone_tropic"),
        (("Z85.3", "D49.2"), "suspected"),
        (("C44.311",), "none"),
        (("Z80.3",), "none"),
        (("D05.11",), "none"),
        (("Z12.31",), "none"),
        (("M54.50",), "none"),
    ],
)
def test_coded_diagnoses_of_the_order(codes: tuple[str, ...], tier: str) -> None:
    assert tier_of(more=tuple(diagnosis(code) for code in codes)) == tier


@pytest.mark.parametrize(
    ("line", "tier"),
    [
        (diagnosis("174.9", "I9"), "active"),
        (diagnosis("174.9", ""), "active"),
        (diagnosis("V10.3", ""), "history_bone_tropic"),
        (diagnosis("C50.911", "", method="I10"), "active"),
        (diagnosis("254837009", "SCT"), "active"),
        (diagnosis("126906006", "SNM"), "active"),
        (diagnosis("C50.911", "99EDG"), "none"),
        (diagnosis("12345", "99EDG", words="Breast cancer"), "active"),
        (segment("DG1", f1="1", f4="Metastatic prostate cancer"), "metastatic"),
        (segment("DG1", f1="1", f3="C50.911^^I10", f21="D"), "none"),
        (segment("DG1", f1="1", f3="Z12.31^^I10", f4="Screening for malignant neoplasm of breast"), "none"),
        (segment("PRB", f1="AD", f2="20250101", f3="C61^^I10"), "active"),
        (segment("PRB", f1="DE", f2="20250101", f3="C61^^I10"), "none"),
        (segment("PRB", f1="AD", f2="20250101", f3="C61^^I10", f14="RESOLVED"), "history_bone_tropic"),
        (segment("PRB", f1="AD", f2="20250101", f3="C18.9^^I10", f14="INACTIVE"), "history"),
        (segment("PRB", f1="AD", f2="20250101", f3="C61^^I10", f13="PROVISIONAL"), "suspected"),
        (segment("PRB", f1="AD", f2="20250101", f3="C61^^I10", f13="REFUTED"), "none"),
        (question("History of cancer?", "Y"), "history"),
        (question("History of cancer?", "N"), "none"),
        (question("Known cancer type", "breast cancer"), "active"),
    ],
)
def test_every_place_and_spelling_of_a_diagnosis(line: str, tier: str) -> None:
    assert tier_of(more=(line,)) == tier


@pytest.mark.parametrize(
    ("place", "tier"),
    [
        ({"reason": "C61^Prostate cancer^I10"}, "active"),
        ({"reason": "C61"}, "active"),
        ({"reason": "^^^C61^Prostate cancer^I10"}, "active"),
        ({"reason": "M54.50^LBP^I10~C61^Prostate ca^I10"}, "active"),
        ({"reason": "^^^^^^^^breast cancer"}, "active"),
        ({"reason": "breast ca & back pain"}, "active"),
        ({"obr": {"f13": "metastatic lung ca"}}, "metastatic"),
        ({"orc": {"f16": "^breast cancer"}}, "active"),
        ({"more": (segment("NTE", f1="1", f3="breast cancer"),)}, "active"),
        ({"header": (segment("PV2", f3="^prostate cancer"),)}, "active"),
        ({"header": (diagnosis("C61"),)}, "active"),
        ({"more": (segment("OBX", f1="1", f2="CE", f3="R^Reason for exam^L", f5="C61^Prostate ca^I10"),)}, "active"),
        ({"header": (segment("NTE", f1="1", f3="breast cancer"),)}, "none"),
        (
            {
                "more": (
                    segment("OBX", f1="1", f2="NM", f3="2857-1^PSA^LN", f5="4"),
                    segment("NTE", f1="1", f3="prostate cancer"),
                )
            },
            "none",
        ),
    ],
)
def test_every_field_that_may_name_a_cancer(place: dict[str, object], tier: str) -> None:
    assert tier_of(**place) == tier


@pytest.mark.parametrize(
    ("known", "tier"),
    [
        (condition(("icd10cm", "C50.911")), "active"),
        (condition(("http://hl7.org/fhir/sid/icd-10-cm", "C79.51")), "metastatic"),
        (condition(("icd10cm", "C50.911"), past=True), "history_bone_tropic"),
        (condition(("icd10cm", "C18.9"), past=True), "history"),
        (condition(("icd10cm", "C50.911"), suspected=True), "suspected"),
        (condition(("icd10cm", "C50.911"), past=True, suspected=True), "none"),
        (condition(("icd10cm", "D49.2"), past=True), "none"),
        (condition(("snomed", "254837009")), "active"),
        (condition(("snomed", "254837009"), ("icd10cm", "Z85.3")), "history_bone_tropic"),
        (condition(("snomed", "38341003")), "none"),
        (condition(text="Breast cancer"), "active"),
        (condition(text="Breast cancer", past=True), "history_bone_tropic"),
        (condition(("epic", "123"), text="Metastatic lung cancer"), "metastatic"),
    ],
)
def test_conditions_of_the_evidence_sources(known: Condition, tier: str) -> None:
    assert tier_of(knows(known)) == tier


def test_current_treatment_makes_a_past_condition_active() -> None:
    treated = (condition(("icd10cm", "C50.911"), past=True), condition(("icd10cm", "Z79.811")))
    assert tier_of(knows(*treated)) == "active"


@pytest.mark.parametrize(
    ("reason", "code", "tier", "conflict"),
    [
        ("^no hx of cancer, new LBP", "C61", "active", True),
        ("^prostate ca s/p prostatectomy, NED. new LBP", "C61", "active", True),
        ("^no hx of cancer, new LBP", "Z85.3", "history_bone_tropic", True),
        ("^no hx of cancer, new LBP", "", "none", False),
        ("^h/o prostate ca, new LBP", "C61", "active", False),
        ("^prostate ca, new LBP", "C61", "active", False),
        ("^prostate ca, no known mets, new LBP", "C61", "active", False),
        ("^h/o breast ca, NED, new LBP", "Z85.3", "history_bone_tropic", False),
    ],
)
def test_coded_cancer_outweighs_words_that_deny_it_and_the_conflict_is_shown(
    reason: str, code: str, tier: str, conflict: bool
) -> None:
    oncology = facts_of(order_message(reason=reason, more=(diagnosis(code),) if code else ())).oncology
    assert (oncology.tier.value, oncology.conflict) == (tier, conflict)


def test_all_evidence_is_kept_with_its_path_the_deciding_one_first() -> None:
    facts = facts_of(order_message(reason="^mother with breast cancer", more=(diagnosis("Z80.3"), diagnosis("C61"))))
    assert facts.oncology.organ == "prostate"
    found = [(one.path, one.code, one.meaning, one.counted) for one in facts.evidence if one.fact is FactName.ONCOLOGY]
    assert found[0] == ("DG1[2]-3.1", "C61", "active", True)
    assert ("DG1-3.1", "Z80.3", "none", False) in found
    assert any(path == "OBR-31.2" and not counted for path, _, _, counted in found)


def test_another_order_of_the_patient_may_name_the_cancer() -> None:
    raw = order_message(more=(diagnosis("C61"),)) + b"ORC|NW|P2^EHR\rOBR|2|P2^EHR||72146^MRI T^C4\r"
    assert facts_of(raw, number=2).oncology.tier == "active"


def test_without_an_answer_of_the_sources_the_caller_is_asked_for_one() -> None:
    facts = facts_of(order_message(more=(diagnosis("C61"),)), evidence=None)
    for name in ("oncology", "exceptions", "lookup"):
        with pytest.raises(EvidenceNeeded):
            getattr(facts, name)
    assert facts.symptom.symptom_class == "unknown"
