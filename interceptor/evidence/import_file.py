"""One file of an import as statements, read line by line: what it is, how it is encoded, what was wrong in it.

    CSV          one fact per row                        import_csv.py
    NDJSON       one FHIR resource per line              import_fhir.py
    Bundle       one JSON document with entries          import_fhir.py

A bad row is reported with its line number and left out; the others are loaded. Reports never quote what is in a row.

Failures: a file that cannot be read as what it is said to be is an `ImportFailure`; an OSError leaves as it is.
"""

import codecs
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from io import BufferedReader
from pathlib import Path
from typing import IO

from interceptor.evidence.statement import Statement

_HEAD_SIZE = 65_536
_PIECE_SIZE = 1024 * 1024
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class ImportKind(StrEnum):
    """What a file is."""

    CSV = "csv"
    NDJSON = "ndjson"
    BUNDLE = "bundle"


class ImportFailure(ValueError):  # noqa: N818 - named as in the docs
    """The file as a whole cannot be imported; the message says why, without content."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """One row that was left out. `what` is a fixed sentence with column names, never a value."""

    line_number: int
    what: str


@dataclass(frozen=True, slots=True)
class ReadRow:
    """One line or entry of the file that was read.

    Attributes:
        line_number: Its last line, counted from 1; of a Bundle the entry.
        statement: What it says; None when it says nothing that the registry keeps.
        bad: What is wrong with it.
        position: Bytes of the file that are read so far, for the progress bar.
    """

    line_number: int
    statement: Statement | None
    bad: BadRow | None
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportFile:
    """A file that will be imported.

    Attributes:
        kind: What it is.
        encoding: Python's name of its encoding; utf-8 for JSON.
        size: In bytes.
        digest: Names file, kind and source, to find where an import was broken off.
    """

    path: Path
    kind: ImportKind
    encoding: str
    size: int
    digest: str


def inspect_file(path: Path, *, kind: ImportKind | None, source: str) -> ImportFile:
    """Find out what a file is.

    Args:
        path: The file.
        kind: What it is said to be; None finds out by its name and its first bytes.
        source: Whose import it is.

    Raises:
        ImportFailure: It is empty, or a kind that is not imported.
        OSError: It cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEAD_SIZE)
        if not head.strip():
            raise ImportFailure("is empty")
        kind = kind or _kind_of(path, head)
        encoding = find_encoding(file, head) if kind is ImportKind.CSV else "utf-8-sig"
    status = path.stat()
    named = f"{kind}|{source}|{size}|{status.st_mtime_ns}|".encode() + head
    return ImportFile(path=path, kind=kind, encoding=encoding, size=size, digest=hashlib.sha256(named).hexdigest())


def _kind_of(path: Path, head: bytes) -> ImportKind:
    suffix = path.suffix.lower()
    if suffix in (".ndjson", ".jsonl"):
        return ImportKind.NDJSON
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if not start.startswith(b"{"):
        return ImportKind.CSV
    first_line = start.split(b"\n", 1)[0].rstrip()
    is_whole = first_line.endswith(b"}") and first_line.count(b"{") == first_line.count(b"}")
    if suffix != ".json" and is_whole and b'"Bundle"' not in first_line:
        return ImportKind.NDJSON
    return ImportKind.BUNDLE


def find_encoding(file: IO[bytes], head: bytes) -> str:
    """UTF-8 or UTF-16 by the byte order mark; UTF-8 where all of the file is; else Windows-1252, which reads anything."""
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name
    decoder = codecs.getincrementaldecoder("utf-8")()
    file.seek(0)
    try:
        while piece := file.read(_PIECE_SIZE):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


class CountedLines:
    """The lines of a text file, with how many bytes and lines were handed out. Bytes of no character become U+FFFD."""

    def __init__(self, file: BufferedReader, encoding: str) -> None:
        self._file = file
        self._text = io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="")
        self.line_number = 0

    @property
    def position(self) -> int:
        """Bytes that were read."""
        return self._file.tell()

    def __iter__(self) -> Iterator[str]:
        """The lines, with their ends."""
        return self

    def __next__(self) -> str:
        line = next(self._text)
        self.line_number += 1
        return line
