"""Exceptions: each kind at its borders, from every place that can state it."""

from datetime import date

import pytest

from interceptor.context.extract import OrderFacts
from interceptor.context.patient import (
    NO_EVIDENCE,
    Allergy,
    Coding,
    CompletedStudy,
    Condition,
    ConditionStatus,
    Observation,
    PatientEvidence,
)
from interceptor.context.vocabulary import EvidenceSource, FactName, LookupStatus
from interceptor.message.group import order_groups
from interceptor.message.view import MessageView
from tests.support.spine_order import NOW, diagnosis, facts_of, order_message, question, segment, shipped_tables

FHIR = EvidenceSource.FHIR


def kinds(*, evidence: PatientEvidence | None = None, **fields: object) -> list[str]:
    raw = order_message(**fields)  # type: ignore[arg-type]
    found = (facts_of(raw, evidence=evidence) if evidence else facts_of(raw)).exceptions
    return [one.kind.value for one in found]


def result(
    code: str, value: str, unit: str = "mL/min/{1.73_m2}", *, day: str = "", status: str = "F", kind: str = "NM"
) -> str:
    return segment("OBX", f1="1", f2=kind, f3=code, f5=value, f6=unit, f11=status, f14=day)


@pytest.mark.parametrize(
    ("lines", "is_low"),
    [
        ((result("98979-8^eGFR^LN", "29"),), True),
        ((result("98979-8^eGFR^LN", "29.9"),), True),
        ((result("98979-8^eGFR^LN", "30"),), False),
        ((result("98979-8^eGFR^LN", "22"),), True),
        ((result("62238-1", "22"),), True),
        ((result("GFR^Estimated GFR^L", "22"),), True),
        ((result("GFR^Estimated GFR^L", "<15", kind="ST"),), True),
        ((result("98979-8^eGFR^LN", "<30", kind="ST"),), True),
        ((result("98979-8^eGFR^LN", "<60", kind="ST"),), False),
        ((result("98979-8^eGFR^LN", ">60", kind="ST"),), False),
        ((result("98979-8^eGFR^LN", "<^15", kind="SN"),), True),
        ((result("98979-8^eGFR^LN", ">^60", kind="SN"),), False),
        ((result("98979-8^eGFR^LN", "22 mL/min", kind="ST"),), True),
        ((result("98979-8^eGFR^LN", "0.4", "mL/s/{1.73_m2}"),), True),
        ((result("98979-8^eGFR^LN", "1.2", "mL/s/{1.73_m2}"),), False),
        ((result("98979-8^eGFR^LN", "pending", kind="ST"),), False),
        ((result("98979-8^eGFR^LN", "22", status="W"),), False),
        ((result("2160-0^Creatinine^LN", "2.2"),), False),
        ((result("98979-8^eGFR^LN", "22", day="20250101"), result("98979-8^eGFR^LN", "70", day="20260201")), False),
        ((result("98979-8^eGFR^LN", "70", day="20250101"), result("98979-8^eGFR^LN", "22", day="20260201")), True),
        ((segment("NTE", f1="1", f3="back pain, eGFR 25"),), True),
        ((segment("NTE", f1="1", f3="back pain, eGFR 65"),), False),
        ((segment("NTE", f1="1", f3="back pain, GFR: <30"),), True),
        ((diagnosis("N18.4"),), True),
        ((diagnosis("N18.32"),), False),
        ((diagnosis("585.5", "I9"),), True),
        ((diagnosis("N17.9"),), True),
        ((question("On dialysis?", "Yes"),), True),
        ((question("On dialysis?", "No"),), False),
    ],
)
def test_kidneys(lines: tuple[str, ...], is_low: bool) -> None:
    assert kinds(more=lines) == (["renal"] if is_low else [])


def test_the_filtration_rate_is_told_with_unit_and_day() -> None:
    facts = facts_of(order_message(more=(result("98979-8^eGFR^LN", "22", day="20260103"),)))
    assert [one.phrase for one in facts.exceptions] == ["eGFR 22 mL/min/1.73 m2 on 2026-01-03"]


@pytest.mark.parametrize(
    ("allergen", "found"),
    [
        ("^GADOBUTROL", True), ("GADAVIST", True), ("^Magnevist", True), ("^gadolinium contrast", True), ("^MRI CONTRAST", True),
        ("123^GADOTERATE MEGLUMINE^L", True), ("V08CA09^^ATC", True), ("^CONTRAST", False), ("^IOHEXOL", False), ("^IODINE", False),
        ("Z91.041^Radiographic dye^I10", False), ("^PENICILLIN", False), ("^NO KNOWN ALLERGIES", False), ("^SHELLFISH", False),
    ],
)  # fmt: skip
def test_only_an_allergy_to_gadolinium_is_a_gadolinium_reaction(allergen: str, found: bool) -> None:
    expected = ["gadolinium_reaction"] if found else []
    assert kinds(header=(segment("AL1", f1="1", f2="DA", f3=allergen, f4="SV", f5="HIVES"),)) == expected
    assert kinds(header=(segment("IAM", f1="1", f2="DA", f3=allergen, f6="A"),)) == expected
    assert kinds(header=(segment("IAM", f1="1", f2="DA", f3=allergen, f6="D"),)) == []


def test_an_allergy_to_another_contrast_medium_is_shown() -> None:
    facts = facts_of(order_message(header=(segment("AL1", f1="1", f2="DA", f3="^OMNIPAQUE"),)))
    assert facts.exceptions == ()
    shown = [(one.path, one.meaning, one.counted) for one in facts.evidence if one.fact is FactName.EXCEPTION]
    assert shown == [("AL1-3", "iodinated_contrast_allergy", False)]


def test_an_allergy_of_the_evidence_sources() -> None:
    allergy = Allergy(codings=(Coding(system="rxnorm", code="1", display="gadobutrol"),), reaction="hives", source=FHIR)
    found = facts_of(order_message(), evidence=PatientEvidence(lookup=LookupStatus.OK, allergies=(allergy,))).exceptions
    assert [(one.kind, one.phrase) for one in found] == [("gadolinium_reaction", "allergy to gadobutrol (hives)")]


@pytest.mark.parametrize(
    ("asked", "answer", "kind"),
    [
        ("Pacemaker or ICD?", "Yes", "device"), ("Pacemaker or ICD?", "Y", "device"), ("Pacemaker or ICD?", "Y^Yes^HL70136", "device"),
        ("Pacemaker or ICD?", "1^Yes^L", "device"), ("Pacemaker or ICD?", "Medtronic 2019", "device"),
        ("Pacemaker or ICD?", "No", None), ("Pacemaker or ICD?", "N^No^HL70136", None), ("Pacemaker or ICD?", "0^No^L", None),
        ("Pacemaker or ICD?", "None", None), ("Pacemaker or ICD?", "Unknown", None), ("Pacemaker or ICD?", "", None),
        ("Pacemaker or ICD?", '""', None), ("Is the patient pregnant?", "Y", "pregnancy"), ("Is the patient pregnant?", "N", None),
        ("Is the patient pregnant?", "Possibly", "pregnancy"), ("Is the patient pregnant?", "Not pregnant", None),
        ("Is the patient pregnant?", "N/A", None), ("Hospice patient?", "Yes", "hospice"), ("Recent trauma?", "Yes", "trauma"),
        ("Recent trauma?", "No", None), ("Gadolinium allergy?", "Yes", "gadolinium_reaction"), ("Gadolinium allergy?", "No", None),
        ("Contrast allergy?", "Yes", None), ("Claustrophobic?", "Yes", None),
    ],
)  # fmt: skip
def test_order_questions(asked: str, answer: str, kind: str | None) -> None:
    assert kinds(more=(question(asked, answer, kind="CE"),)) == ([kind] if kind else [])


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("Z95.0", "device"), ("Z95.810", "device"), ("Z96.21", "device"), ("Z95.5", None), ("Z33.1", "pregnancy"), ("Z51.5", "hospice"),
        ("Z66", None), ("M46.46", "infection"), ("S32.010A", "trauma"), ("S32.010S", None), ("M96.1", "postoperative"),
    ],
)  # fmt: skip
def test_coded_exceptions(code: str, kind: str | None) -> None:
    assert kinds(more=(diagnosis(code),)) == ([kind] if kind else [])


@pytest.mark.parametrize(
    ("birth", "is_child"),
    [
        ("20080303", True), ("20080302", False), ("2008", True), ("200803", True), ("200802", False), ("2007", False),
        ("20080303120000-0500", True), ("19670404", False), ("", False), ('""', False), ("20300101", False), ("unknown", False),
    ],
)  # fmt: skip
def test_younger_than_eighteen_on_the_day_of_the_order(birth: str, is_child: bool) -> None:
    assert kinds(birth=birth) == (["paediatric"] if is_child else [])


def test_the_birth_date_of_the_sources_counts_where_the_order_has_none() -> None:
    known = PatientEvidence(lookup=LookupStatus.OK, birth_date=date(2014, 1, 1))
    assert kinds(birth="", evidence=known) == ["paediatric"]
    assert kinds(birth="19670404", evidence=known) == []


def test_pregnancy_by_ambulatory_status() -> None:
    raw = order_message().replace(b"PV1|1|O", b"PV1|1|O|||||||||||||B6")
    assert [one.kind.value for one in facts_of(raw).exceptions] == ["pregnancy"]


def studies(*codes: str, day: date = date(2026, 2, 20), text: str = "") -> PatientEvidence:
    done = tuple(
        CompletedStudy(
            codings=(Coding(system="cpt", code=code),) if code else (), text=text, completed=day, source=FHIR
        )
        for code in codes
    )
    return PatientEvidence(lookup=LookupStatus.OK, studies=done)


@pytest.mark.parametrize(
    ("study", "known", "expected"),
    [
        ("72148^^C4", studies("72156", "72157", "72158"), ["recent_complete"]),
        ("72148^^C4", studies("72141", "72146", "72148"), ["recent_complete"]),
        ("72148^^C4", studies("72156", "72157"), []),
        ("72148^^C4", studies("", text="MRI TOTAL SPINE W WO CONTRAST"), ["recent_complete"]),
        ("72148^^C4", studies("72156", "72157", "72158", day=date(2026, 1, 31)), ["recent_complete"]),
        ("72148^^C4", studies("72156", "72157", "72158", day=date(2026, 1, 30)), []),
        ("72148^^C4", studies("72156", "72157", "72158", day=date(2026, 3, 3)), []),
        ("72148^^C4", studies("72127", "72130", "72133"), []),
        ("72131^^C4", studies("72148"), ["prior_mri"]),
        ("72131^^C4", studies("72148", day=date(2026, 1, 1)), []),
        ("72131^^C4", studies("70553"), []),
        ("72131^^C4", studies("72156", "72157", "72158"), ["recent_complete", "prior_mri"]),
        ("78306^^C4", studies("72148"), []),
    ],
)
def test_recent_spine_mr(study: str, known: PatientEvidence, expected: list[str]) -> None:
    assert kinds(study=study, evidence=known) == expected


def known_condition(code: str, *, day: date | None = None, past: bool = False) -> PatientEvidence:
    one = Condition(
        codings=(Coding(system="icd10cm", code=code),),
        status=ConditionStatus.PAST if past else ConditionStatus.ACTIVE,
        recorded=day,
        source=FHIR,
    )
    return PatientEvidence(lookup=LookupStatus.OK, conditions=(one,))


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (known_condition("N18.5"), ["renal"]),
        (known_condition("N18.5", past=True), []),
        (known_condition("Z95.0"), ["device"]),
        (known_condition("N17.9", day=date(2026, 2, 1)), ["renal"]),
        (known_condition("N17.9", day=date(2025, 2, 1)), []),
        (known_condition("Z33.1", day=date(2026, 1, 1)), ["pregnancy"]),
        (known_condition("Z33.1", day=date(2024, 1, 1)), []),
        (known_condition("S32.010A"), []),
        (known_condition("M46.46", day=date(2026, 2, 20)), ["infection"]),
    ],
)
def test_conditions_of_the_evidence_sources(known: PatientEvidence, expected: list[str]) -> None:
    assert kinds(evidence=known) == expected


def test_a_filtration_rate_of_the_evidence_sources() -> None:
    def rate(value: float, code: str = "98979-8") -> PatientEvidence:
        one = Observation(
            coding=Coding(system="http://loinc.org", code=code), value=value, observed=date(2026, 2, 1), source=FHIR
        )
        return PatientEvidence(lookup=LookupStatus.OK, observations=(one,))

    assert kinds(evidence=rate(29)) == ["renal"]
    assert kinds(evidence=rate(30)) == []
    assert kinds(evidence=rate(2, "2160-0")) == []


def test_why_another_order_of_the_patient_was_placed_is_no_exception_of_this_one() -> None:
    header, first, second = "MSH|^~\\&|A|B|C|D|20260302||ORM^O01|1|T|2.5.1\rPID|1||M1\r", "P1", "P2"
    orders = "".join(
        f"ORC|NW|{number}^E\rOBR|1|{number}^E||{study}^^C4\r{more}\r"
        for number, study, more in ((first, "72148", diagnosis("Z95.0")), (second, "73721", diagnosis("S32.010A")))
    )
    view = MessageView((header + orders).encode())
    groups = order_groups(view)
    found = [
        OrderFacts(
            view, group, tables=shipped_tables(), evidence=NO_EVIDENCE, as_of=NOW, message_groups=groups
        ).exceptions
        for group in groups
    ]
    assert [[one.kind.value for one in exceptions] for exceptions in found] == [["device"], ["device", "trauma"]]


@pytest.mark.parametrize(
    ("asked", "answer", "expected"),
    [
        ("Override reason", "Contrast contraindicated", True), ("Override reason", "Y", True), ("Override?", "No", False),
        ("Override reason", "", False), ("Override reason", "N/A", False), ("Comments", "override", False),
    ],
)  # fmt: skip
def test_an_override_is_an_answer_that_is_not_no(asked: str, answer: str, expected: bool) -> None:
    assert facts_of(order_message(more=(question(asked, answer),))).override is expected
