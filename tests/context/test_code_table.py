"""The shipped code tables: what they say at the borders, and that they are what the generator writes."""

import csv
import subprocess
import sys
import time
from pathlib import Path

import pytest

from interceptor.context.code import is_snomed_identifier, normalise_code
from interceptor.context.code_table import CodeTables, ContrastKind, QuestionKind
from interceptor.context.code_table_reading import CodeTableError, parse_code_tables, parse_snomed_expansion
from tests.support.spine_order import shipped_tables

CODES = Path(__file__).parents[2] / "mappings" / "codes"
SOURCE = Path(__file__).parents[3] / "shared" / "data" / "codes"


def read_files() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in CODES.glob("*.csv")}


def tables() -> CodeTables:
    return shipped_tables().codes


@pytest.mark.parametrize(
    ("codes", "tier"),
    [
        ("C77.0 C78.00 C79.51 C7B.03 C80.0 C41.2 C70.1 C72.0 C72.1 C90.00 C90.02 G89.3 M84.58XA", "metastatic"),
        (
            "C50.911 C61 C34.90 C4A.9 C7A.00 C80.1 C96.9 C90.10 C90.30 C41.4 C72.2 C70.0 C50.999 Z51.0 Z51.11 Z51.12",
            "active",
        ),
        ("D42.1 D43.4 D48.0 D49.2 D49.7 D47.2", "suspected"),
        ("Z85.3 Z85.46 Z85.110 Z85.118 Z85.528 Z85.850 Z85.820 Z85.6 Z85.71 Z85.79", "history_bone_tropic"),
        ("C83.3A C90.01 C91.01 C92.11 C81.9A C95.91", "history_bone_tropic"),
        ("Z85.038 Z85.12 Z85.53 Z85.821 Z85.89 Z85.9 Z85.4A", "history"),
        ("C44.311 C44.90 Z85.828 Z80.3 D24.1 D3A.00 D05.11 Z86.000 D33.4 D45 D49.3 D48.60 D43.2", "none"),
    ],
)
def test_tiers_of_icd_10(codes: str, tier: str) -> None:
    found = {code: tables().oncology("icd10cm", normalise_code(code, "icd10cm")) for code in codes.split()}
    assert {code: known and known.tier for code, known in found.items()} == dict.fromkeys(codes.split(), tier)


@pytest.mark.parametrize(
    ("codes", "tier"),
    [
        ("196.2 197.0 198.5 199.0 209.70 170.2 203.00 203.02 338.3", "metastatic"),
        ("140.0 174.9 185 162.9 189.0 199.1 202.80 208.90 209.25 V58.0 V58.11 V58.12 203.10", "active"),
        ("237.5 237.6 238.0 239.2 273.1", "suspected"),
        ("V10.3 V10.46 V10.11 V10.52 V10.87 V10.82 V10.61 V10.72 203.01 204.01 205.11", "history_bone_tropic"),
        ("V10.05 V10.12 V10.53 V10.9", "history"),
        ("173.31 V16.3 V10.83 210.0 225.2 233.0 234.9 209.60", "none"),
    ],
)
def test_tiers_of_icd_9(codes: str, tier: str) -> None:
    found = {code: tables().oncology("icd9cm", normalise_code(code, "icd9cm")) for code in codes.split()}
    assert {code: known and known.tier for code, known in found.items()} == dict.fromkeys(codes.split(), tier)


def test_codes_that_say_nothing_about_cancer_are_in_no_tier() -> None:
    for code in ("M54.50", "I10", "Z12.31", "R97.20", "Z79.811", "E11.9", "C99"):
        assert tables().oncology("icd10cm", normalise_code(code, "icd10cm")) is None


@pytest.mark.parametrize(
    ("code", "past_tier"),
    [
        ("C50.911", "history_bone_tropic"),
        ("C18.9", "history"),
        ("C79.51", "history_bone_tropic"),
        ("C83.30", "history_bone_tropic"),
        ("C33", "history"),
        ("D49.2", "none"),
    ],
)
def test_a_past_cancer_counts_by_its_organ(code: str, past_tier: str) -> None:
    known = tables().oncology("icd10cm", normalise_code(code, "icd10cm"))
    assert known is not None
    assert known.past_tier == past_tier


@pytest.mark.parametrize(
    ("codes", "symptom"),
    [
        (
            "G95.20 G99.2 G83.4 G82.20 G82.50 R26.2 R29.898 R33.9 R32 R15.9 R20.0 M62.81 M21.371 M47.12 M50.00",
            "deficit",
        ),
        ("M54.16 M54.30 M54.41 M50.120 M51.16 M47.26 G54.4 M51.361", "radicular"),
        ("M54.2 M54.50 M54.51 M54.6 M54.89 M54.9 M53.2X6 G89.3 M84.58XA M48.54XA M51.360", "pain"),
        ("R29.4 M48.54XD", "other_reason"),
    ],
)
def test_symptoms_of_icd_10(codes: str, symptom: str) -> None:
    found = {code: tables().symptom("icd10cm", normalise_code(code, "icd10cm")) for code in codes.split()}
    assert found == dict.fromkeys(codes.split(), symptom)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("N17.9", "renal"), ("N18.4", "renal"), ("N18.5", "renal"), ("N18.6", "renal"), ("Z99.2", "renal"),
        ("N18.30", None), ("N18.32", None), ("N18.9", None), ("Z94.0", None), ("N19", None),
        ("Z95.0", "device"), ("Z95.810", "device"), ("Z96.21", "device"), ("Z95.5", None), ("Z95.2", None), ("Z96.641", None),
        ("Z51.5", "hospice"), ("Z66", None), ("Z33.1", "pregnancy"), ("O09.90", "pregnancy"), ("Z33.2", None), ("O80", None),
        ("M46.46", "infection"), ("G06.1", "infection"), ("M86.171", None),
        ("S32.010A", "trauma"), ("S32.010S", None), ("W19.XXXA", "trauma"), ("M96.1", "postoperative"), ("Z98.1", "postoperative"),
        ("M54.50", None),
    ],
)  # fmt: skip
def test_exceptions_of_icd_10(code: str, kind: str | None) -> None:
    assert tables().exception("icd10cm", normalise_code(code, "icd10cm")) == kind


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("GADOBUTROL", ContrastKind.GADOLINIUM), ("Gadavist 1 mmol/mL", ContrastKind.GADOLINIUM),
        ("Magnevist", ContrastKind.GADOLINIUM), ("OptiMARK", ContrastKind.GADOLINIUM), ("Vueway", ContrastKind.GADOLINIUM),
        ("gadolinium-containing contrast media", ContrastKind.GADOLINIUM), ("MRI contrast agent", ContrastKind.GADOLINIUM),
        ("Omnipaque", ContrastKind.IODINATED), ("iodinated contrast media", ContrastKind.IODINATED),
        ("IODINE", ContrastKind.IODINATED), ("CONTRAST", ContrastKind.UNSPECIFIED), ("IV dye", ContrastKind.UNSPECIFIED),
        ("penicillin", None), ("shellfish", None), ("avocado", None),
    ],
)  # fmt: skip
def test_contrast_media_by_name(words: str, kind: ContrastKind | None) -> None:
    agent = tables().contrast_agent(words)
    assert (agent and agent.kind) == kind


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Pacemaker or ICD?", QuestionKind.DEVICE),
        ("Does the patient have a cochlear implant?", QuestionKind.DEVICE),
        ("Is the patient pregnant?", QuestionKind.PREGNANCY),
        ("Reason for exam", QuestionKind.REASON),
        ("Indication", QuestionKind.REASON),
        ("History of cancer?", QuestionKind.CANCER),
        ("Override reason", QuestionKind.OVERRIDE),
        ("Allergy to gadolinium?", QuestionKind.GADOLINIUM),
        ("Contrast allergy?", QuestionKind.CONTRAST_ALLERGY),
        ("eGFR", QuestionKind.EGFR),
        ("Claustrophobic?", None),
        ("Patient weight", None),
    ],
)
def test_order_questions_by_their_words(words: str, kind: QuestionKind | None) -> None:
    assert tables().question_kind(words) == kind


def test_every_snomed_number_that_ships_has_its_check_digit() -> None:
    numbers = [*tables().oncology_codes["snomed"], *tables().symptom_codes["snomed"]]
    assert len(numbers) > 100
    assert [number for number in numbers if not is_snomed_identifier(number)] == []


def test_any_other_cpt_number_is_no_spine_study() -> None:
    expected = {
        "71046": "not_spine",
        "70553": "not_spine",
        "85025": "not_spine",
        "62270": "out_of_scope",
        "77080": "out_of_scope",
    }
    found = {code: tables().procedure("cpt", code) for code in expected}
    assert {code: known and known.procedure_class for code, known in found.items()} == expected


def test_no_text_of_a_cpt_descriptor_ships() -> None:
    rows = [row for row in csv.reader(read_files()["procedure_cpt.csv"].splitlines()) if not row[0].startswith("#")]
    assert rows[0] == ["code", "modality", "regions", "contrast", "class"]


@pytest.mark.skipif(not SOURCE.is_dir(), reason="the public code lists are not beside the checkout")
def test_the_generator_writes_what_ships(tmp_path: Path) -> None:
    command = [sys.executable, str(CODES / "generate.py"), "--source", str(SOURCE), "--target", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(written) == 10
    assert written == {name: (CODES / name).read_bytes() for name in written}


def test_the_tables_load_within_a_tenth_of_a_second() -> None:
    files = read_files()
    best = 1.0
    for _ in range(3):
        start = time.perf_counter()
        parse_code_tables(files)
        best = min(best, time.perf_counter() - start)
    assert best < 0.1


def test_every_problem_of_every_table_is_told_with_file_and_line() -> None:
    files = read_files()
    del files["laboratory.csv"]
    files["oncology_icd9cm.csv"] = (
        "code,tier,past_tier,haematologic,organ\nC1,deadly,none,,\nC2,active,history,,x\nC2,active,history,,x\n"
    )
    files["order_question.csv"] = "kind,pattern\nreason,(\n"
    files["procedure_cpt.csv"] = "code,modality,regions,contrast\n72148,MR,L,WO\n"
    with pytest.raises(CodeTableError) as caught:
        parse_code_tables(files)
    assert sorted(problem.split(": ")[0] for problem in caught.value.problems) == [
        "laboratory.csv:1", "oncology_icd9cm.csv:2", "oncology_icd9cm.csv:4", "order_question.csv:2", "procedure_cpt.csv:1",
    ]  # fmt: skip


def test_a_site_may_load_more_snomed_concepts_and_the_shipped_ones_win() -> None:
    text = (
        "code,tier,past_tier,haematologic,organ\n254837009,none,none,,\n188147009,active,history_bone_tropic,,breast\n"
    )
    more = parse_snomed_expansion("more.csv", text)
    extended = tables().with_snomed(more)
    shipped, added = extended.oncology("snomed", "254837009"), extended.oncology("snomed", "188147009")
    assert shipped is not None
    assert shipped.tier == "active"
    assert added is not None
    assert added.tier == "active"
