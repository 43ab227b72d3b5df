"""Read small tables in CSV with comment lines, naming every problem with its file and line.

    # source, version, licence          comment lines and blank lines are skipped
    code,tier,organ                     the names of the columns
    C50,active,breast                   rows

Comes in: text. Goes out: rows that know their line. Nothing is opened here.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

_Word = TypeVar("_Word", bound=StrEnum)


class TableProblems:
    """Collects every problem of a set of files, so that all are told at once.

    Attributes:
        lines: One for each problem, "file:line: what is wrong".
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, file: str, line: int, what: str) -> None:
        """Note one problem; `line` counts from 1."""
        self.lines.append(f"{file}:{line}: {what}")


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row: values by column, stripped of blanks, with the file and line it stands in."""

    file: str
    line: int
    values: dict[str, str]
    problems: TableProblems

    def __getitem__(self, column: str) -> str:
        return self.values[column]

    def wrong(self, what: str) -> None:
        """Note that this row is wrong."""
        self.problems.add(self.file, self.line, what)

    def word(self, column: str, words: type[_Word], *, empty: _Word | None = None) -> _Word | None:
        """The value as a member of a closed set; None and a problem when it is none."""
        value = self.values[column]
        if not value and empty is not None:
            return empty
        try:
            return words(value)
        except ValueError:
            self.wrong(f"{column}: {value!r} is not one of {', '.join(words)}")
            return None


def read_table(
    file: str, text: str, columns: Sequence[str], problems: TableProblems, *, optional: Sequence[str] = ()
) -> Iterator[TableRow]:
    """Yield the rows of one table.

    Args:
        file: Name for the problems.
        text: Content of the file.
        columns: Columns that must be there, in any order.
        problems: Where to note what is wrong; a wrong row is noted and left out.
        optional: Columns that may be there; "" where they are not.
    """
    lines = [
        (number, line)
        for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1)
        if line.strip() and not line.startswith("#")
    ]
    if not lines:
        problems.add(file, 1, "the table is empty")
        return
    header_line = lines[0][0]
    header = [name.strip() for name in next(csv.reader([lines[0][1]]))]
    missing = [name for name in columns if name not in header]
    unknown = [name for name in header if name not in columns and name not in optional]
    for name in missing:
        problems.add(file, header_line, f"column {name!r} is missing")
    for name in unknown:
        problems.add(file, header_line, f"column {name!r} is unknown")
    if missing or unknown:
        return
    absent = dict.fromkeys(set(optional) - set(header), "")
    for number, line in lines[1:]:
        cells = next(csv.reader([line]))
        if len(cells) != len(header):
            problems.add(file, number, f"{len(cells)} values for {len(header)} columns")
            continue
        values = dict(zip(header, (cell.strip() for cell in cells), strict=True))
        yield TableRow(file, number, {**values, **absent}, problems)
