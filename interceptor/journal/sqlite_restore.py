"""Backup, and how a journal notices that it is an older copy of itself.

A journal that was put back from a copy believes that orders wait which were delivered after the copy was
made. So a backup carries a mark, and each start counts an epoch up in the database and in a file beside it:
a database behind its file was put back. (A snapshot of the whole machine cannot be told apart.)

Failures: a backup is written under another name and checked before it gets its own; a half one never has it.
"""

import os
from datetime import datetime
from pathlib import Path

import apsw

from interceptor.journal.port import JournalCorrupt, JournalReason, JournalUnavailable
from interceptor.journal.restore_rows import BACKUP_MARK, RESTORED_MARK, get_meta, set_meta
from interceptor.journal.stored_form import instant_text

_EPOCH = "epoch"


def advance_epoch(connection: apsw.Connection, path: Path) -> None:
    """Count this start, and mark the journal as restored when it is behind the file beside it or carries a backup's mark."""
    beside = Path(f"{path}-epoch")
    stored = int(get_meta(connection, _EPOCH) or 0)
    seen = _read_epoch(beside)
    with connection:
        if seen > stored or get_meta(connection, BACKUP_MARK) is not None:
            set_meta(connection, RESTORED_MARK, "1")
            connection.execute("DELETE FROM meta WHERE name = ?", (BACKUP_MARK,))
        epoch = max(stored, seen) + 1
        set_meta(connection, _EPOCH, str(epoch))
    _write_epoch(beside, epoch)


def back_up(connection: apsw.Connection, target: Path, *, at: datetime) -> None:
    """Copy the whole journal as it stands at one moment to *target* (0600), while it is in use.

    Raises:
        FileExistsError: There is something at *target*.
        JournalUnavailable: It cannot be written there.
        JournalCorrupt: The copy is damaged.
    """
    if target.exists():
        raise FileExistsError(target)
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    try:
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        copy = apsw.Connection(str(part))
        with copy.backup("main", connection, "main") as backup:
            backup.step()
        with copy:
            set_meta(copy, BACKUP_MARK, instant_text(at))
        copy.pragma("journal_mode", "delete")
        sound = copy.execute("PRAGMA integrity_check(1)").fetchall() == [("ok",)]
        copy.close()
        if not sound:
            raise JournalCorrupt(JournalReason.CORRUPT, "the copy is damaged")
        _sync(part)
        part.rename(target)
        _sync(target.parent)
    except (apsw.Error, OSError) as error:
        raise JournalUnavailable(JournalReason.CANNOT_OPEN, type(error).__name__) from error
    finally:
        part.unlink(missing_ok=True)


def _read_epoch(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _write_epoch(path: Path, epoch: int) -> None:
    part = Path(f"{path}.part")
    try:
        part.write_text(f"{epoch}\n", encoding="ascii")
        _sync(part)
        part.rename(path)
        _sync(path.parent)
    except OSError:
        return  # Full or read-only: the file stays behind the database, which raises no false alarm.


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
