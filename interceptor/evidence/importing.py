"""An import from its first row to its last: batches, the place where it goes on after it was broken off, the summary.

    file -> rows -> batches of statements, each with its place -> registry

A batch and the place that it ends at are one transaction: whatever ends an import, begun again it goes on behind the
last batch. Importing a file twice changes nothing.

Failures: what `store` raises ends the import; the batches before are kept.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from interceptor.evidence.import_file import BadRow, ImportFile, ReadRow
from interceptor.evidence.registry import ImportPlace
from interceptor.evidence.statement import Statement

BAD_ROWS_SHOWN_MAX = 1000


class Store(Protocol):
    """Where an import goes: the database file, or a running node."""

    @property
    def batch_size(self) -> int:
        """Statements of one batch."""
        ...

    def place(self, digest: str) -> int:
        """Lines that are done already; 0 when the import has not begun, or was finished."""
        ...

    def record(self, statements: Sequence[Statement], place: ImportPlace) -> None:
        """Make a batch durable."""
        ...

    def complete(self, said_at: datetime) -> None:
        """The source has said everything that it knows."""
        ...


@dataclass(slots=True)
class ImportSummary:
    """What became of a file.

    Attributes:
        begun_at_line: Lines that an earlier run had done.
        row_count: Rows read, bad ones included.
        recorded_count: Rows that are in the registry.
        unread_count: Rows of kinds that the registry does not keep.
        bad_count: Rows left out.
        bad_rows: The first of them, each with its line.
        is_complete: What the file leaves out was taken back.
        patient_count: Patients named in it, at most (one that comes in two batches counts twice).
    """

    begun_at_line: int = 0
    row_count: int = 0
    recorded_count: int = 0
    unread_count: int = 0
    bad_count: int = 0
    patient_count: int = 0
    bad_rows: list[BadRow] = field(default_factory=list)
    is_complete: bool = False


@dataclass(slots=True)
class _Batch:
    statements: list[Statement] = field(default_factory=list)
    row_count: int = 0
    line_number: int = 0


def run_import(
    file: ImportFile,
    read: Callable[[int], Iterator[ReadRow]],
    store: Store,
    *,
    progress: Callable[[int, ImportSummary], None],
    complete_at: datetime | None = None,
) -> ImportSummary:
    """Import one file.

    Args:
        file: The file.
        read: Its rows, from behind so many lines.
        store: Where they go.
        progress: Told after each batch the bytes that are done, and how it stands.
        complete_at: The file is everything that its source knows, at this time; None when it is not.
    """
    # What is to be everything is read from its beginning: bad rows before the break would be forgotten.
    summary = ImportSummary(begun_at_line=0 if complete_at is not None else store.place(file.digest))
    batch = _Batch()
    position = 0
    for row in read(summary.begun_at_line):
        summary.row_count += 1
        batch.row_count += 1
        batch.line_number, position = row.line_number, row.position
        _take(row, batch, summary)
        # Rows that say nothing must move the bar too.
        if len(batch.statements) >= store.batch_size or batch.row_count >= 20 * store.batch_size:
            _store(batch, file, store, summary)
            progress(position, summary)
            batch = _Batch()
    _store(batch, file, store, summary)
    # A file with bad rows is not everything that its source knows.
    if complete_at is not None and not summary.bad_count:
        store.complete(complete_at)
        summary.is_complete = True
    store.record((), ImportPlace(digest=file.digest, line_number=None))
    progress(file.size, summary)
    return summary


def _take(row: ReadRow, batch: _Batch, summary: ImportSummary) -> None:
    if row.bad is not None:
        summary.bad_count += 1
        if len(summary.bad_rows) < BAD_ROWS_SHOWN_MAX:
            summary.bad_rows.append(row.bad)
    elif row.statement is None:
        summary.unread_count += 1
    else:
        batch.statements.append(row.statement)


def _store(batch: _Batch, file: ImportFile, store: Store, summary: ImportSummary) -> None:
    if not batch.row_count:
        return
    store.record(batch.statements, ImportPlace(digest=file.digest, line_number=batch.line_number))
    summary.recorded_count += len(batch.statements)
    summary.patient_count += len({one.identifiers[:1] for one in batch.statements})
