"""A CSV of diagnoses as statements: the columns are those of docs/reference/registry-import.md.

    patient_id,assigning_authority,birth_date,sex,code,code_system,description,status,onset,recorded
    1001,HOSP,1968-01-01,F,C50.911,ICD-10-CM,Breast cancer,active,2025-12-01,2026-01-15

The header names the columns, in any order and case; a separator (comma, semicolon, tab, bar) is found in it.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import NamedTuple

from interceptor.context.code import LOINC, diagnosis_system, normalise_system
from interceptor.context.patient import Coding
from interceptor.evidence.feed_result import parse_number
from interceptor.evidence.import_file import BadRow, CountedLines, ImportFailure, ImportFile, ReadRow
from interceptor.evidence.standing import read_standing
from interceptor.evidence.statement import Authorities, Fact, FactKind, PatientIdentifier, Standing, Statement, code_key

SEPARATORS = ",;\t|"
ROW_SIZE_MAX = 65_536
SCOPE = "import"

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "patient_id": ("mrn", "patient", "patientid", "identifier", "pid"),
    "assigning_authority": ("authority", "facility", "namespace"),
    "id_type": ("identifier_type",),
    "birth_date": ("dob", "birthdate", "date_of_birth"),
    "sex": ("gender",),
    "kind": ("type", "fact"),
    "id": ("row_id", "problem_id", "condition_id"),
    "code": ("icd10", "icd_code", "diagnosis_code", "dx_code"),
    "code_system": ("system", "coding_system"),
    "description": ("text", "display", "name", "diagnosis", "dx_name"),
    "status": ("clinical_status", "problem_status"),
    "verification": ("verification_status", "certainty"),
    "onset": ("onset_date", "noted_date"),
    "recorded": ("recorded_date", "entry_date", "date"),
    "updated": ("updated_at", "last_updated", "modified"),
    "value": ("result", "numeric_value"),
    "unit": ("units",),
    "reaction": (),
}
"""Columns with the other names that they are known by. Case, blanks, dashes and underscores make no difference."""

_KINDS = {
    "": FactKind.CONDITION,
    "condition": FactKind.CONDITION,
    "diagnosis": FactKind.CONDITION,
    "problem": FactKind.CONDITION,
    "device": FactKind.CONDITION,
    "pregnancy": FactKind.CONDITION,
    "therapy": FactKind.CONDITION,
    "allergy": FactKind.ALLERGY,
    "observation": FactKind.OBSERVATION,
    "egfr": FactKind.OBSERVATION,
    "study": FactKind.STUDY,
}
_SQUEEZED = re.compile(r"[\s_\-]+")
_SEXES = {"FEMALE": "F", "MALE": "M", "OTHER": "O", "UNKNOWN": "U"}
_SHORT_YEAR = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})")


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvOptions:
    """How rows are read.

    Attributes:
        source: Name of the import.
        authorities: How assigning authorities are spelled.
        as_of: When the file was made: what its rows say is of this time, where they state none.
        day_first: 01/02/2026 is the first of February.
        keeps_rows: Rows of one file are of one time, whatever `updated` says (an import of everything).
    """

    source: str
    authorities: Authorities
    as_of: datetime
    day_first: bool = False
    keeps_rows: bool = False


class BadValue(ValueError):  # noqa: N818 - a row's fault, told by its column
    """A column's value cannot be used; the message names the column."""


def read_csv(file: ImportFile, options: CsvOptions, *, skip: int = 0) -> Iterator[ReadRow]:
    """Every row of a file as it comes.

    Args:
        file: The file.
        options: How rows are read.
        skip: Lines that are done already.

    Raises:
        ImportFailure: The header has no patient or nothing about one.
    """
    with file.path.open("rb") as opened:
        lines = CountedLines(opened, file.encoding)
        header = next(lines, "")
        separator = max(SEPARATORS, key=header.count)
        columns = read_header(next(csv.reader([header], delimiter=separator), []))
        reader = _RowReader(columns, options)
        rows = csv.reader(_whole_lines(lines), delimiter=separator)
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error:
                yield _bad(lines, "is not a row of this file: a quotation mark is not closed, or the row is too long")
                continue
            if lines.line_number <= skip or not any(row):
                continue
            try:
                statement = reader.read(row)
            except BadValue as error:
                yield _bad(lines, str(error))
            else:
                yield ReadRow(lines.line_number, statement, None, lines.position)


def _whole_lines(lines: CountedLines) -> Iterator[str]:
    """Lines without NUL, which the reader of rows takes for a broken file."""
    for line in lines:
        yield line.replace("\0", "")


def _bad(lines: CountedLines, what: str) -> ReadRow:
    return ReadRow(lines.line_number, None, BadRow(lines.line_number, what), lines.position)


def read_header(cells: Sequence[str]) -> Mapping[str, int]:
    """Column name to its place in the rows.

    Raises:
        ImportFailure: A needed column is missing.
    """
    known = {_squeezed(other): name for name, others in COLUMNS.items() for other in (name, *others)}
    columns: dict[str, int] = {}
    for index, cell in enumerate(cells):
        name = known.get(_squeezed(cell))
        if name is not None:
            columns.setdefault(name, index)
    if "patient_id" not in columns:
        raise ImportFailure("has no column patient_id in its first line")
    if "code" not in columns and "description" not in columns:
        raise ImportFailure("has neither a column code nor a column description in its first line")
    return columns


def _squeezed(name: str) -> str:
    return _SQUEEZED.sub("", name.lower().removeprefix("\ufeff"))


class _Cells(NamedTuple):
    """One row by its columns, without blanks around the values; "" for columns that the file lacks."""

    patient_id: str
    assigning_authority: str
    id_type: str
    birth_date: str
    sex: str
    kind: str
    id: str
    code: str
    code_system: str
    description: str
    status: str
    verification: str
    onset: str
    recorded: str
    updated: str
    value: str
    unit: str
    reaction: str


assert _Cells._fields == tuple(COLUMNS)


class _RowReader:
    """Reads rows by a header. Values that repeat (codes, authorities, days) are read once."""

    def __init__(self, columns: Mapping[str, int], options: CsvOptions) -> None:
        self._column_count = 1 + max(columns.values())
        # What the file lacks is read from the empty cell that each row gets at its end.
        self._places = [columns.get(name, -1) for name in COLUMNS]
        self._patient_place = columns["patient_id"]
        self._options = options
        self._authority: Callable[[str], str] = lru_cache(maxsize=256)(options.authorities.name)
        self._day: Callable[[str], date | None] = lru_cache(maxsize=8192)(self._parse_day)

    def read(self, row: list[str]) -> Statement:
        """One row.

        Raises:
            BadValue: A value that is needed is missing or cannot be read.
        """
        if len(row) <= self._patient_place:
            raise BadValue("has fewer columns than the first line")
        row.extend([""] * (1 + max(0, self._column_count - len(row))))
        cells = _Cells._make([row[place].strip() for place in self._places])
        if not cells.patient_id:
            raise BadValue("patient_id is empty")
        authority = self._authority(cells.assigning_authority)
        if not authority:
            raise BadValue("assigning_authority is empty, and no default is configured")
        birth_date = self._date(cells.birth_date, "birth_date")
        sex = cells.sex.upper()
        updated = "" if self._options.keeps_rows else cells.updated
        return Statement(
            source=self._options.source,
            said_at=self._moment(updated) if updated else self._options.as_of,
            reference=cells.id,
            identifiers=(PatientIdentifier(cells.patient_id, authority, cells.id_type.upper()),),
            birth_date=birth_date.isoformat() if birth_date else "",
            sex=_SEXES.get(sex, sex),
            facts=(self._fact(cells),),
        )

    def _fact(self, cells: _Cells) -> Fact:
        kind = _KINDS.get(cells.kind.lower())
        if kind is None:
            raise BadValue("kind is not one of condition, device, pregnancy, therapy, allergy, observation, study")
        if not cells.code and not cells.description:
            raise BadValue("code and description are empty")
        codings, key = _codings(kind, cells.code, cells.code_system, cells.description)
        if cells.id:
            key = f"id:{cells.id}"
        recorded = self._date(cells.recorded, "recorded")
        fact = Fact(
            kind=kind,
            key=key,
            scope=SCOPE,
            standing=_standing(cells.status, cells.verification),
            codings=codings,
            text=cells.description,
            detail=cells.reaction,
            onset=self._date(cells.onset, "onset"),
            recorded=recorded,
        )
        if kind is FactKind.OBSERVATION:
            return _measured(fact, cells)
        if kind is FactKind.STUDY and not cells.id:
            return replace(fact, key=f"{key}@{recorded.isoformat() if recorded else ''}")
        return fact

    def _date(self, text: str, name: str) -> date | None:
        if not text:
            return None
        day = self._day(text)
        if day is None:
            raise BadValue(f"{name} is not a date: write 2026-03-01")
        return day

    def _parse_day(self, text: str) -> date | None:
        """ISO, HL7 (20260301), or with slashes, dots or dashes and the year last."""
        text = text.split("T", 1)[0].split(" ", 1)[0]
        try:
            return date.fromisoformat(text)
        except ValueError:
            match = _SHORT_YEAR.fullmatch(text)
        if match is None:
            return None
        first, second, year = (int(part) for part in match.groups())
        month, day = (second, first) if self._options.day_first or "." in text else (first, second)
        try:
            return date(year, month, day)
        except ValueError:
            return None

    def _moment(self, text: str) -> datetime:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise BadValue("updated is not a time: write 2026-03-01T08:00:00+01:00") from None
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return min(moment, self._options.as_of)


_standing = lru_cache(maxsize=1024)(read_standing)


def _measured(fact: Fact, cells: _Cells) -> Fact:
    """A measured value under its code and day: only the newest of each code are kept."""
    value = parse_number(cells.value)
    if value is None and fact.standing is not Standing.RETRACTED:
        raise BadValue("value is not a number")
    if fact.recorded is None:
        raise BadValue("recorded is needed for an observation")
    scope = f"lab:{code_key(fact.codings, fact.text)}"
    key = f"{fact.recorded.isoformat()}|{cells.id}"
    return replace(fact, key=key, scope=scope, value=value, detail=cells.unit)


@lru_cache(maxsize=65_536)
def _codings(kind: FactKind, code: str, stated_system: str, text: str) -> tuple[tuple[Coding, ...], str]:
    """The coding of a row, and the key of a fact that has no number of its own."""
    if not code:
        return (), code_key((), text)
    if kind is FactKind.CONDITION:
        system = diagnosis_system(code, stated_system)
    else:
        system = normalise_system(stated_system) or (LOINC if kind is FactKind.OBSERVATION else "")
    codings = (Coding(system=system, code=code, display=text),)
    return codings, code_key(codings, text)
