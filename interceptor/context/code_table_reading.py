"""Fill the code tables from the text of their files; every problem of every file is told at once.

Comes in: the content of mappings/codes/*.csv by file name. Goes out: `CodeTables`. A wrong word, a doubled code or a
missing file stops the load: half a table would decide wrongly without anybody seeing it.
"""

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from interceptor.context.code import ATC, CPT, ICD9CM, ICD10CM, LOINC, SNOMED, is_snomed_identifier
from interceptor.context.code_table import (
    CodeTables,
    ContrastAgent,
    ContrastKind,
    ExceptionCode,
    OncologyCode,
    ProcedureCode,
    ProcedureRange,
    QuestionKind,
    SymptomCode,
)
from interceptor.context.table_reading import TableProblems, TableRow, read_table
from interceptor.context.vocabulary import Contrast, ExceptionKind, OncologyTier, ProcedureClass, Region, SymptomClass

_TIER_COLUMNS = ("code", "tier", "past_tier", "haematologic", "organ")
_PROCEDURE_COLUMNS = ("code", "modality", "regions", "contrast", "class")
_AGENT_SYSTEMS = (ICD10CM, ICD9CM, SNOMED, ATC)

_Value = TypeVar("_Value")


class CodeTableError(ValueError):
    """A table is wrong. `problems` has one line for each, "file:line: what is wrong"."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def read_regions(row: TableRow, column: str) -> tuple[Region, ...]:
    """Regions joined by "+" ("C+T+L"), in reading order; a wrong word is noted."""
    words = [word.strip().upper() for word in row[column].split("+") if word.strip()]
    known = set()
    for word in words:
        try:
            known.add(Region(word))
        except ValueError:
            row.wrong(f"{column}: {word!r} is not one of C, T, L")
    return tuple(region for region in Region if region in known)


class _Files:
    """The given files, with one place for their problems."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = files
        self.problems = TableProblems()

    def rows(self, file: str, columns: tuple[str, ...]) -> list[TableRow]:
        text = self.files.get(file)
        if text is None:
            self.problems.add(file, 1, "the table is missing")
            return []
        return list(read_table(file, text, columns, self.problems))

    def by_code(
        self, file: str, columns: tuple[str, ...], build: Callable[[TableRow], _Value | None]
    ) -> dict[str, _Value]:
        """One value for each code of a file; a code that stands twice is a problem."""
        table: dict[str, _Value] = {}
        for row in self.rows(file, columns):
            code = row[columns[0]]
            value = build(row)
            if code in table:
                row.wrong(f"{code} stands twice")
            elif value is not None:
                table[code] = value
        return table


def read_oncology_code(row: TableRow) -> OncologyCode | None:
    """One row of a table of tiers; None when it is wrong."""
    tier = row.word("tier", OncologyTier)
    past = row.word("past_tier", OncologyTier)
    if tier is None or past is None:
        return None
    return OncologyCode(tier=tier, past_tier=past, haematologic=row["haematologic"] == "yes", organ=row["organ"])


def _snomed_oncology_code(row: TableRow) -> OncologyCode | None:
    if not is_snomed_identifier(row["code"]):
        row.wrong(f"{row['code']} is no SNOMED CT identifier")
        return None
    return read_oncology_code(row)


def _symptom_code(row: TableRow) -> SymptomCode | None:
    symptom = row.word("symptom", SymptomClass)
    return None if symptom is None else SymptomCode(symptom_class=symptom, seventh=row["seventh"])


def _exception_code(row: TableRow) -> ExceptionCode | None:
    kind = row.word("kind", ExceptionKind)
    return None if kind is None else ExceptionCode(kind=kind, without_seventh=row["without_seventh"])


def _procedure_code(row: TableRow) -> ProcedureCode | None:
    contrast = row.word("contrast", Contrast)
    procedure_class = row.word("class", ProcedureClass) if row["class"] else None
    regions = read_regions(row, "regions")
    if contrast is None:
        return None
    if procedure_class is None and not regions:
        row.wrong("neither class nor regions")
        return None
    return ProcedureCode(modality=row["modality"], regions=regions, contrast=contrast, procedure_class=procedure_class)


def _ranges(files: _Files) -> tuple[ProcedureRange, ...]:
    ranges = []
    for row in files.rows("procedure_cpt_range.csv", ("first", "last", "class", "why")):
        procedure_class = row.word("class", ProcedureClass)
        if not (row["first"].isdigit() and row["last"].isdigit()) or int(row["first"]) > int(row["last"]):
            row.wrong("first and last are not a range of numbers")
        elif procedure_class is not None:
            procedure = ProcedureCode(modality="", procedure_class=procedure_class)
            ranges.append(ProcedureRange(int(row["first"]), int(row["last"]), procedure))
    return tuple(ranges)


def _findings(files: _Files) -> tuple[dict[str, SymptomCode], dict[str, ExceptionCode]]:
    symptoms: dict[str, SymptomCode] = {}
    exceptions: dict[str, ExceptionCode] = {}
    for row in files.rows("snomed_finding.csv", ("code", "meaning", "words")):
        kind, _, word = row["meaning"].partition(":")
        if kind == "symptom" and word in SymptomClass.__members__.values():
            symptoms[row["code"]] = SymptomCode(symptom_class=SymptomClass(word))
        elif kind == "exception" and word in ExceptionKind.__members__.values():
            exceptions[row["code"]] = ExceptionCode(kind=ExceptionKind(word))
        else:
            row.wrong(f"meaning: {row['meaning']!r} is neither a symptom nor an exception")
    return symptoms, exceptions


def _agent_pattern(words: list[str]) -> re.Pattern[str]:
    """One pattern of whole words, the longest first; a trailing * stands for any ending."""
    alternatives = []
    for word in sorted(words, key=lambda word: (-len(word), word)):
        stem = r"\s+".join(re.escape(part) for part in word.rstrip("*").split())
        alternatives.append(stem + (r"\w*" if word.endswith("*") else ""))
    return re.compile(rf"\b(?:{'|'.join(alternatives) or '(?!)'})\b", re.IGNORECASE)


def _agents(files: _Files) -> tuple[dict[str, ContrastAgent], re.Pattern[str], re.Pattern[str]]:
    agents: dict[str, ContrastAgent] = {}
    gadolinium, other = [], []
    for row in files.rows("gadolinium.csv", ("word", "agent", "kind", "group", "market")):
        agents[row["word"].casefold()] = ContrastAgent(
            agent=row["agent"], kind=ContrastKind.GADOLINIUM, group=row["group"]
        )
        gadolinium.append(row["word"])
    for row in files.rows("other_contrast.csv", ("word", "agent", "kind")):
        kind = row.word("kind", ContrastKind)
        if kind is not None:
            agents[row["word"].casefold()] = ContrastAgent(agent=row["agent"], kind=kind)
            other.append(row["word"])
    return agents, _agent_pattern(gadolinium), _agent_pattern(other)


def _allergy_codes(files: _Files) -> dict[str, dict[str, ContrastAgent]]:
    tables: dict[str, dict[str, ContrastAgent]] = {}
    for row in files.rows("allergy_code.csv", ("system", "code", "agent", "kind")):
        kind = row.word("kind", ContrastKind)
        if row["system"] not in _AGENT_SYSTEMS:
            row.wrong(f"system: {row['system']!r} is not one of {', '.join(_AGENT_SYSTEMS)}")
        elif kind is not None:
            tables.setdefault(row["system"], {})[row["code"]] = ContrastAgent(agent=row["agent"], kind=kind)
    return tables


def _questions(files: _Files) -> tuple[tuple[QuestionKind, re.Pattern[str]], ...]:
    questions = []
    for row in files.rows("order_question.csv", ("kind", "pattern")):
        kind = row.word("kind", QuestionKind)
        pattern = compile_pattern(row, "pattern")
        if kind is not None and pattern is not None:
            questions.append((kind, pattern))
    return tuple(questions)


def compile_pattern(row: TableRow, column: str) -> re.Pattern[str] | None:
    """A value as a regular expression without regard to case; None and a problem when it is none."""
    try:
        return re.compile(row[column], re.IGNORECASE)
    except re.error as error:
        row.wrong(f"{column}: not a regular expression: {error}")
        return None


def parse_code_tables(files: Mapping[str, str]) -> CodeTables:
    """Build the tables from the content of mappings/codes/*.csv, by file name.

    Raises:
        CodeTableError: A table is missing or wrong; it names every problem.
    """
    given = _Files(files)
    symptoms, exceptions = _findings(given)
    agents, gadolinium_words, other_words = _agents(given)
    seventh, without = ("code", "symptom", "seventh"), ("code", "kind", "without_seventh")
    tables = CodeTables(
        oncology_codes={
            ICD10CM: given.by_code("oncology_icd10cm.csv", _TIER_COLUMNS, read_oncology_code),
            ICD9CM: given.by_code("oncology_icd9cm.csv", _TIER_COLUMNS, read_oncology_code),
            SNOMED: given.by_code("snomed_oncology.csv", _TIER_COLUMNS, _snomed_oncology_code),
        },
        symptom_codes={
            ICD10CM: given.by_code("symptom_icd10cm.csv", seventh, _symptom_code),
            ICD9CM: given.by_code("symptom_icd9cm.csv", seventh, _symptom_code),
            SNOMED: symptoms,
        },
        exception_codes={
            ICD10CM: given.by_code("exception_icd10cm.csv", without, _exception_code),
            ICD9CM: given.by_code("exception_icd9cm.csv", without, _exception_code),
            SNOMED: exceptions,
        },
        therapy_codes={
            ICD10CM: given.by_code("therapy_icd10cm.csv", ("code", "therapy"), lambda row: row["therapy"]),
            ICD9CM: given.by_code("therapy_icd9cm.csv", ("code", "therapy"), lambda row: row["therapy"]),
        },
        procedure_codes={
            CPT: given.by_code("procedure_cpt.csv", _PROCEDURE_COLUMNS, _procedure_code),
            LOINC: given.by_code("procedure_loinc.csv", _PROCEDURE_COLUMNS, _procedure_code),
        },
        procedure_ranges=_ranges(given),
        laboratory_codes=given.by_code("laboratory.csv", ("loinc", "meaning"), lambda row: row["meaning"]),
        allergy_codes=_allergy_codes(given),
        gadolinium_words=gadolinium_words,
        other_contrast_words=other_words,
        agents=agents,
        questions=_questions(given),
    )
    if given.problems.lines:
        raise CodeTableError(tuple(given.problems.lines))
    return tables


def parse_snomed_expansion(file: str, text: str) -> dict[str, OncologyCode]:
    """A site's own list of SNOMED CT concepts, in the columns of snomed_oncology.csv.

    Raises:
        CodeTableError: The list is wrong; it names every problem.
    """
    given = _Files({file: text})
    table = given.by_code(file, _TIER_COLUMNS, _snomed_oncology_code)
    if given.problems.lines:
        raise CodeTableError(tuple(given.problems.lines))
    return table
