"""Imports from CSV, NDJSON and Bundles: what is read, what is left out and told, and that they may break off."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.evidence.import_csv import COLUMNS, CsvOptions, read_csv
from interceptor.evidence.import_fhir import FhirOptions, read_bundle_file, read_ndjson
from interceptor.evidence.import_file import ImportFailure, ImportFile, ImportKind, ReadRow, inspect_file
from interceptor.evidence.importing import ImportSummary, run_import
from interceptor.evidence.registry import ImportPlace
from interceptor.evidence.statement import Authorities, FactKind, PatientIdentifier, Standing, Statement
from interceptor.evidence.statement_json import StatementError, read_statement, statement_json
from tests.support.clinical import shipped_content
from tests.support.registry_file import condition, merge, number, said
from tests.support.source_tree import ROOT

AS_OF = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
AUTHORITIES = Authorities({"urn:oid:1.2.3": "HOSP"}, "HOSP")
HEADER = "patient_id,assigning_authority,birth_date,sex,code,code_system,description,status,onset,recorded\n"
ROW = "1001,HOSP,1968-01-01,F,C50.911,ICD-10-CM,Breast cancer,active,2025-12-01,2026-01-15\n"


def csv_rows(path: Path, content: str | bytes, *, skip: int = 0, **changes: Any) -> list[ReadRow]:
    file = path / "list.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    options = replace(CsvOptions(source="list", authorities=AUTHORITIES, as_of=AS_OF), **changes)
    return list(read_csv(inspect_file(file, kind=None, source="list"), options, skip=skip))


def statement(row: ReadRow) -> Statement:
    assert row.bad is None
    assert row.statement is not None
    return row.statement


def test_a_row_is_a_statement(tmp_path: Path) -> None:
    (row,) = csv_rows(tmp_path, HEADER + ROW)
    said_it = statement(row)
    assert (row.line_number, row.position) == (2, len(HEADER + ROW))
    assert said_it.identifiers == (PatientIdentifier("1001", "HOSP"),)
    assert (said_it.birth_date, said_it.sex, said_it.said_at) == ("1968-01-01", "F", AS_OF)
    (fact,) = said_it.facts
    assert (fact.codings[0].system, fact.codings[0].code, fact.text) == ("icd10cm", "C50.911", "Breast cancer")
    assert (fact.standing, fact.onset, fact.recorded) == (Standing.ACTIVE, date(2025, 12, 1), date(2026, 1, 15))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_separator_and_encoding_are_found(tmp_path: Path, separator: str, encoding: str) -> None:
    text = (HEADER + ROW.replace("Breast cancer", "Brustkrebs Mühe")).replace(",", separator)
    assert statement(csv_rows(tmp_path, text.encode(encoding))[0]).facts[0].text == "Brustkrebs Mühe"


def test_columns_have_other_names_and_any_order(tmp_path: Path) -> None:
    (row,) = csv_rows(
        tmp_path,
        'Diagnosis Name,ICD10,DOB,Gender,"MRN"\n"x, y",c61,01/31/1950,Male,7\n'.replace("Diagnosis Name", "DX_NAME"),
    )
    said_it = statement(row)
    assert (said_it.identifiers[0].value, said_it.birth_date, said_it.sex) == ("7", "1950-01-31", "M")
    assert (said_it.facts[0].codings[0].code, said_it.facts[0].text) == ("c61", "x, y")


@pytest.mark.parametrize(
    ("status", "verification", "standing"),
    [
        ("", "", Standing.ACTIVE),
        ("Resolved", "confirmed", Standing.PAST),
        ("remission", "", Standing.PAST),
        ("active", "provisional", Standing.SUSPECTED),
        ("active", "refuted", Standing.RETRACTED),
        ("entered-in-error", "", Standing.RETRACTED),
    ],
)
def test_status_and_verification_say_how_it_stands(
    tmp_path: Path, status: str, verification: str, standing: Standing
) -> None:
    (row,) = csv_rows(tmp_path, f"patient_id,code,status,verification\n1,C61,{status},{verification}\n")
    assert statement(row).facts[0].standing is standing


@pytest.mark.parametrize(
    ("stated", "day_first", "expected"),
    [
        ("2026-03-01", False, date(2026, 3, 1)),
        ("20260301", False, date(2026, 3, 1)),
        ("2026-03-01T10:00:00Z", False, date(2026, 3, 1)),
        ("3/1/2026", False, date(2026, 3, 1)),
        ("1/3/2026", True, date(2026, 3, 1)),
        ("01.03.2026", False, date(2026, 3, 1)),
    ],
)
def test_dates_are_read_in_common_forms(tmp_path: Path, stated: str, day_first: bool, expected: date) -> None:
    (row,) = csv_rows(tmp_path, f"patient_id,code,recorded\n1,C61,{stated}\n", day_first=day_first)
    assert statement(row).facts[0].recorded == expected


def test_other_kinds_of_facts(tmp_path: Path) -> None:
    rows = csv_rows(
        tmp_path,
        "patient_id,kind,code,description,recorded,value,unit,reaction\n"
        "1,allergy,,Gadobutrol,2020-01-01,,,hives\n"
        "1,observation,33914-3,eGFR,2026-02-01,<30,mL/min,\n"
        "1,study,30855-1,MR spine,2026-02-02,,,\n"
        "1,device,Z95.0,Pacemaker,,,,\n",
    )
    facts = [statement(row).facts[0] for row in rows]
    assert [fact.kind for fact in facts] == [
        FactKind.ALLERGY, FactKind.OBSERVATION, FactKind.STUDY, FactKind.CONDITION,
    ]  # fmt: skip
    assert facts[0].detail == "hives"
    assert facts[1].codings[0].system == "loinc"
    assert facts[1].value == pytest.approx(30)
    assert facts[1].value is not None
    assert facts[1].value < 30


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (",HOSP,,,C61,,,,,\n", "patient_id is empty"),
        ("1,HOSP,soon,,C61,,,,,\n", "birth_date is not a date: write 2026-03-01"),
        ("1,HOSP,,,,,,,,\n", "code and description are empty"),
        ("1,HOSP,,,C61,,,,31.31.2026,\n", "onset is not a date: write 2026-03-01"),
    ],
)
def test_a_bad_row_is_told_with_its_line_and_the_rest_is_read(tmp_path: Path, row: str, what: str) -> None:
    rows = csv_rows(tmp_path, HEADER + ROW + row + "\n" + ROW)
    assert [one.bad.what if one.bad else "" for one in rows] == ["", what, ""]
    assert rows[1].bad is not None
    assert rows[1].bad.line_number == 3
    assert rows[2].line_number == 5


def test_a_row_without_an_authority_is_bad_where_there_is_no_default(tmp_path: Path) -> None:
    (row,) = csv_rows(tmp_path, "mrn,code\n1,C61\n", authorities=Authorities())
    assert row.bad is not None
    assert row.bad.what.startswith("assigning_authority is empty")


@pytest.mark.parametrize("header", ["name,code\n", "patient_id,name_of_doctor\n"])
def test_a_file_without_the_needed_columns_is_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(ImportFailure, match="column"):
        csv_rows(tmp_path, header + "1,2\n")


def test_an_updated_time_is_the_row_s_and_never_after_the_file(tmp_path: Path) -> None:
    text = "patient_id,code,updated\n1,C61,2026-01-01T00:00:00+00:00\n1,C62,2099-01-01\n"
    assert [statement(row).said_at for row in csv_rows(tmp_path, text)] == [datetime(2026, 1, 1, tzinfo=UTC), AS_OF]
    assert {statement(row).said_at for row in csv_rows(tmp_path, text, keeps_rows=True)} == {AS_OF}


@given(content=st.binary(max_size=300))
def test_any_bytes_after_the_header_are_rows_or_bad_rows(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    rows = csv_rows(tmp_path_factory.mktemp("csv"), HEADER.encode() + content + b"\n")
    assert all((row.bad is None) != (row.statement is None) for row in rows)


def test_the_reference_page_lists_every_column() -> None:
    page = (ROOT / "docs" / "reference" / "registry-import.md").read_text(encoding="utf-8")
    for name, others in COLUMNS.items():
        (line,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
        assert all(f"`{other}`" in line for other in others), name


# FHIR.


def fhir_options(**changes: Any) -> FhirOptions:
    tables = shipped_content().tables
    options = FhirOptions(source="bulk", authorities=AUTHORITIES, codes=tables.codes, site=tables.site, as_of=AS_OF)
    return replace(options, **changes)


PATIENT = {
    "resourceType": "Patient", "id": "p1", "birthDate": "1968-01-01", "gender": "female",
    "identifier": [
        {"system": "urn:oid:1.2.3", "value": "1001", "type": {"coding": [{"code": "MR"}]}},
        {"system": "http://hl7.org/fhir/sid/us-ssn", "value": "999", "type": {"coding": [{"code": "SS"}]}},
    ],
}  # fmt: skip
CANCER: dict[str, Any] = {
    "resourceType": "Condition", "id": "c1", "subject": {"reference": "Patient/p1"},
    "meta": {"lastUpdated": "2026-02-01T10:00:00Z"},
    "clinicalStatus": {"coding": [{"code": "active"}]}, "verificationStatus": {"coding": [{"code": "confirmed"}]},
    "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "C50.911"}]}, "recordedDate": "2026-01-15",
}  # fmt: skip
RESOURCE_PATIENT = PatientIdentifier("p1", "FHIR:bulk", "FHIR")


def ndjson_rows(path: Path, *resources: Any, skip: int = 0) -> list[ReadRow]:
    file = path / "export.ndjson"
    file.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in resources) + "\n")
    return list(read_ndjson(inspect_file(file, kind=None, source="bulk"), fhir_options(), skip=skip))


def test_a_patient_links_its_identifiers_to_its_resource_id(tmp_path: Path) -> None:
    said_it = statement(ndjson_rows(tmp_path, PATIENT)[0])
    assert said_it.identifiers == (RESOURCE_PATIENT, PatientIdentifier("1001", "HOSP", "MR"))
    assert (said_it.birth_date, said_it.sex) == ("1968-01-01", "F")


def test_a_condition_belongs_to_the_patient_it_refers_to(tmp_path: Path) -> None:
    said_it = statement(ndjson_rows(tmp_path, CANCER)[0])
    assert said_it.identifiers == (RESOURCE_PATIENT,)
    assert (said_it.reference, said_it.said_at) == ("Condition/c1", datetime(2026, 2, 1, 10, 0, tzinfo=UTC))
    (fact,) = said_it.facts
    assert (fact.key, fact.standing, fact.codings[0].code) == ("id:Condition/c1", Standing.ACTIVE, "C50.911")
    assert fact.recorded == date(2026, 1, 15)


@pytest.mark.parametrize(
    ("change", "standing"),
    [
        ({"clinicalStatus": {"coding": [{"code": "resolved"}]}}, Standing.PAST),
        ({"verificationStatus": {"coding": [{"code": "provisional"}]}}, Standing.SUSPECTED),
        ({"verificationStatus": {"coding": [{"code": "refuted"}]}}, Standing.RETRACTED),
        ({"verificationStatus": {"coding": [{"code": "entered-in-error"}]}}, Standing.RETRACTED),
    ],
)
def test_the_status_of_a_condition_is_its_standing(tmp_path: Path, change: dict[str, Any], standing: Standing) -> None:
    (fact,) = statement(ndjson_rows(tmp_path, CANCER | change)[0]).facts
    assert (fact.key, fact.standing) == ("id:Condition/c1", standing)


RATE: dict[str, Any] = {
    "resourceType": "Observation", "id": "o1", "status": "final", "subject": {"reference": "Patient/p1"},
    "code": {"coding": [{"system": "http://loinc.org", "code": "33914-3"}]}, "effectiveDateTime": "2026-02-02",
    "valueQuantity": {"value": 22, "unit": "mL/min"},
}  # fmt: skip


def test_of_results_only_filtration_rates_and_of_studies_only_spine_mr_are_kept(tmp_path: Path) -> None:
    creatinine = RATE | {"code": {"coding": [{"system": "http://loinc.org", "code": "2160-0"}]}}
    study = {"resourceType": "Procedure", "id": "s", "status": "completed", "subject": {"reference": "Patient/p1"}}
    spine = study | {
        "code": {"coding": [{"system": "http://loinc.org", "code": "30855-1"}]},
        "performedDateTime": "2026-02-20",
    }
    chest = study | {"code": {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "71046"}]}}
    rows = ndjson_rows(tmp_path, RATE, creatinine, spine, chest, {"resourceType": "Encounter", "id": "e"})
    assert [row.statement is not None for row in rows] == [True, False, True, False, False]
    assert statement(rows[0]).facts[0].value == 22


def test_a_result_entered_in_error_takes_the_same_result_back(tmp_path: Path) -> None:
    rows = ndjson_rows(tmp_path, RATE, RATE | {"status": "entered-in-error"})
    first, second = (statement(row).facts[0] for row in rows)
    assert (first.key, first.scope) == (second.key, second.scope)
    assert (first.standing, second.standing) == (Standing.ACTIVE, Standing.RETRACTED)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{not json", "is not JSON"),
        ("[1]", "is no FHIR resource"),
        (json.dumps(CANCER | {"subject": {}}), "refers to no patient"),
        (json.dumps({**CANCER, "id": ""}), "has no id"),
        (json.dumps({"resourceType": "Patient"}), "Patient has neither id nor identifier"),
    ],
)
def test_a_bad_line_is_told_and_the_rest_is_read(tmp_path: Path, line: str, what: str) -> None:
    rows = ndjson_rows(tmp_path, PATIENT, line, CANCER)
    assert [one.bad.what if one.bad else "" for one in rows] == ["", what, ""]


def bundle_rows(path: Path, document: Any) -> list[ReadRow]:
    file = path / "bundle.json"
    file.write_text(json.dumps(document))
    return list(read_bundle_file(inspect_file(file, kind=None, source="bulk"), fhir_options()))


def test_entries_of_a_bundle_are_read_with_references_by_uuid(tmp_path: Path) -> None:
    uuid = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"
    entries: Sequence[Any] = [
        {"fullUrl": uuid, "resource": PATIENT},
        {"resource": CANCER | {"subject": {"reference": uuid}}},
        {"request": {}},
    ]
    rows = bundle_rows(tmp_path, {"resourceType": "Bundle", "entry": entries})
    patient, cancer = statement(rows[0]), statement(rows[1])
    assert cancer.identifiers[0] in patient.identifiers
    assert rows[2].bad is not None


@pytest.mark.parametrize("document", [[], {"resourceType": "Patient"}, {"resourceType": "Bundle", "entry": {}}])
def test_what_is_no_bundle_is_refused(tmp_path: Path, document: Any) -> None:
    (tmp_path / "b.json").write_text(json.dumps(document))
    file = inspect_file(tmp_path / "b.json", kind=ImportKind.BUNDLE, source="x")
    with pytest.raises(ImportFailure):
        list(read_bundle_file(file, fhir_options()))


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.csv", "patient_id,code\n", ImportKind.CSV),
        ("a.txt", "patient_id|code\n", ImportKind.CSV),
        ("a.ndjson", "{}", ImportKind.NDJSON),
        ("a", '{"resourceType":"Patient"}\n{"resourceType":"Patient"}\n', ImportKind.NDJSON),
        ("a.json", '{\n"resourceType": "Bundle"}', ImportKind.BUNDLE),
        ("a", '{"resourceType":"Bundle"}', ImportKind.BUNDLE),
    ],
)
def test_the_kind_of_a_file_is_found(tmp_path: Path, name: str, content: str, kind: ImportKind) -> None:
    (tmp_path / name).write_text(content)
    assert inspect_file(tmp_path / name, kind=None, source="x").kind is kind


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(" \n")
    with pytest.raises(ImportFailure, match="empty"):
        inspect_file(tmp_path / "a.csv", kind=None, source="x")


# The run.


class MemoryStore:
    """What an import stored, and a place where it breaks off."""

    batch_size = 10

    def __init__(self, *, fails_after: int = 10**9) -> None:
        self.statements: list[Statement] = []
        self.places: dict[str, int] = {}
        self.completed_at: datetime | None = None
        self._left = fails_after

    def place(self, digest: str) -> int:
        return self.places.get(digest, 0)

    def record(self, statements: Sequence[Statement], place: ImportPlace) -> None:
        if self._left == 0:
            raise ConnectionError
        self._left -= 1
        self.statements.extend(statements)
        if place.line_number is None:
            self.places.pop(place.digest, None)
        else:
            self.places[place.digest] = place.line_number

    def complete(self, said_at: datetime) -> None:
        self.completed_at = said_at


def many_rows(path: Path, count: int, *, bad_every: int = 0) -> ImportFile:
    file = path / "many.csv"
    rows = ("," if bad_every and index % bad_every == 0 else f"{index},C61" for index in range(count))
    file.write_text("mrn,code\n" + "".join(f"{row}\n" for row in rows))
    return inspect_file(file, kind=None, source="list")


def run(file: ImportFile, store: MemoryStore, *, complete_at: datetime | None = None) -> ImportSummary:
    options = CsvOptions(source="list", authorities=AUTHORITIES, as_of=AS_OF)

    def read(skip: int) -> Iterator[ReadRow]:
        return read_csv(file, options, skip=skip)

    return run_import(file, read, store, progress=lambda _position, _summary: None, complete_at=complete_at)


def test_an_import_that_broke_off_goes_on_where_it_stopped(tmp_path: Path) -> None:
    file, store = many_rows(tmp_path, 55), MemoryStore(fails_after=3)
    with pytest.raises(ConnectionError):
        run(file, store)
    assert len(store.statements) == 30
    store._left = 100
    summary = run(file, store)
    assert (summary.begun_at_line, summary.recorded_count) == (31, 25)
    assert [one.identifiers[0].value for one in store.statements] == [str(index) for index in range(55)]
    assert store.places == {}


def test_another_file_of_the_same_name_begins_anew(tmp_path: Path) -> None:
    store = MemoryStore(fails_after=3)
    with pytest.raises(ConnectionError):
        run(many_rows(tmp_path, 55), store)
    store._left = 100
    assert run(many_rows(tmp_path, 56), store).begun_at_line == 0


def test_the_summary_counts_everything_and_names_bad_rows(tmp_path: Path) -> None:
    summary = run(many_rows(tmp_path, 30, bad_every=10), MemoryStore())
    assert (summary.row_count, summary.recorded_count, summary.bad_count) == (27, 27, 0)
    rows = "mrn,code\n1,C61\n,C61\n2,\n"
    (tmp_path / "b.csv").write_text(rows)
    summary = run(inspect_file(tmp_path / "b.csv", kind=None, source="list"), MemoryStore())
    assert (summary.row_count, summary.recorded_count, summary.bad_count) == (3, 1, 2)
    assert [one.line_number for one in summary.bad_rows] == [3, 4]


def test_only_a_file_without_bad_rows_takes_back_what_it_leaves_out(tmp_path: Path) -> None:
    whole, broken = MemoryStore(), MemoryStore()
    assert run(many_rows(tmp_path, 5), whole, complete_at=AS_OF).is_complete
    (tmp_path / "b.csv").write_text("mrn,code\n1,C61\n,C61\n")
    file = inspect_file(tmp_path / "b.csv", kind=None, source="list")
    assert not run(file, broken, complete_at=AS_OF).is_complete
    assert (whole.completed_at, broken.completed_at) == (AS_OF, None)


# To the node.


def test_a_statement_comes_back_from_json_as_it_was() -> None:
    fact = replace(condition(), value=1.5, onset=date(2026, 1, 1), recorded=date(2026, 1, 2), detail="x")
    whole = said(fact, of=[number("1"), number("2", "B", "PI")], links=(merge(number("1"), number("2")),))
    assert read_statement(json.loads(json.dumps(statement_json(whole))), source="adt") == whole


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["said_at", "facts", "identifiers", "links", "snapshots", "kind", "codings"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=10,
    )
)
def test_what_is_no_statement_is_refused(value: Any) -> None:
    with pytest.raises(StatementError):
        read_statement(value, source="x")
