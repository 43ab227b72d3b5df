"""A path to an open SQLite connection with exactly the settings that our promises stand on.

WAL with synchronous=FULL: NORMAL loses acknowledged rows when the plug is pulled (measured: 400 of 400).
Every setting is read back, for SQLite ignores a pragma that it does not like without a word.

Failures: what is wrong with the file or its place is a `JournalRefused` (a person must change something)
or a `JournalCorrupt` (set the file aside). `translate` is the one place where SQLite's errors become ours.

Source: RELIABILITY 4; sqlite.org/pragma.html, sqlite.org/wal.html, sqlite.org/rescode.html.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import apsw

from interceptor.journal.migration import load_migrations, pending_migrations
from interceptor.journal.port import (
    JournalBroken,
    JournalCorrupt,
    JournalError,
    JournalReason,
    JournalRefused,
    JournalUnavailable,
)

WAL_SIZE_LIMIT = 64 * 1024 * 1024
_PRAGMAS: Mapping[str, tuple[str, object]] = MappingProxyType(
    {
        "journal_mode": ("WAL", "wal"),
        "synchronous": ("FULL", 2),
        "foreign_keys": ("ON", 1),
        "trusted_schema": ("OFF", 0),
        "cell_size_check": ("ON", 1),
        "mmap_size": ("0", 0),
        "journal_size_limit": (str(WAL_SIZE_LIMIT), WAL_SIZE_LIMIT),
        "wal_autocheckpoint": ("0", 0),
        "secure_delete": ("ON", 1),
    }
)
"""Pragma to what is set and what must be read back. The writer makes checkpoints itself, between batches."""

NETWORK_FILESYSTEMS = frozenset(
    [
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "fuse.ceph",
        "fuse.davfs",
        "fuse.glusterfs",
        "fuse.s3fs",
        "fuse.sshfs",
        "gfs",
        "gfs2",
        "gluster",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
    ]
)

WORLD_ERRORS = (
    apsw.BusyError,
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.FullError,
    apsw.IOError,
    apsw.InterruptError,
    apsw.LockedError,
    apsw.NoMemError,
    apsw.NotADBError,
    apsw.PermissionsError,
    apsw.ProtocolError,
    apsw.ReadOnlyError,
)
"""Errors that come from the world, not from one caller's statement: they end the whole transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSettings:
    """Where and how the file is opened. `vfs` names another SQLite VFS, for the fault tests."""

    path: Path
    vfs: str | None = None
    busy_timeout_seconds: float = 0.25
    allow_network_filesystem: bool = False
    integrity_check_size_max: int = 256 * 1024 * 1024
    """Bigger files get the quick check at start: it reads every page once but does not compare indexes."""


def translate(error: apsw.Error) -> JournalError:
    """SQLite's error as ours. Whatever leaves the outcome of a commit unknown is `JournalBroken`."""
    match error:
        case apsw.FullError():
            return JournalUnavailable(JournalReason.FULL)
        case apsw.BusyError() | apsw.LockedError():
            return JournalUnavailable(JournalReason.LOCKED)
        case apsw.ReadOnlyError() | apsw.PermissionsError():
            return JournalUnavailable(JournalReason.READ_ONLY)
        case apsw.CantOpenError():
            return JournalUnavailable(JournalReason.CANNOT_OPEN)
        case apsw.CorruptError() | apsw.NotADBError():
            return JournalBroken(JournalReason.CORRUPT)
        case _:
            return JournalBroken(JournalReason.IO, type(error).__name__)


class OwnerLock:
    """The right to write to a journal: held by one process at a time, and gone with it, however it ends."""

    def __init__(self, path: Path) -> None:
        """Take the lock on the journal at *path*.

        Raises:
            JournalRefused: Another process has it.
        """
        self._descriptor = os.open(f"{path}-owner", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise JournalRefused(JournalReason.IN_USE, "another process writes to this journal") from None

    def give_back(self) -> None:
        """Let the next process have it."""
        os.close(self._descriptor)


def open_for_writing(settings: FileSettings) -> apsw.Connection:
    """Open, or make, the journal; the caller holds the `OwnerLock`. Checked, set and migrated when this returns.

    Raises:
        JournalCorrupt: The file is damaged.
        JournalRefused: The place or the schema is not one that we write to.
        JournalUnavailable: Full, locked, read-only.
    """
    existed = settings.path.exists() and settings.path.stat().st_size > 0
    with errors_at_start():
        connection = apsw.Connection(str(settings.path), vfs=settings.vfs)
    with errors_at_start(connection):
        _configure(connection, settings.busy_timeout_seconds)
        if existed:
            _check(connection, quick=settings.path.stat().st_size > settings.integrity_check_size_max)
        _migrate(connection)
    return connection


@contextmanager
def errors_at_start(connection: apsw.Connection | None = None) -> Iterator[None]:
    """Within the block SQLite's errors become ours; *connection* is closed when the block fails.

    Raises:
        JournalUnavailable, JournalCorrupt: Instead of SQLite's error.
    """
    try:
        yield
    except apsw.Error as error:
        _close_whatever_happens(connection)
        raise _at_start(error) from error
    except JournalError:
        _close_whatever_happens(connection)
        raise


def _close_whatever_happens(connection: apsw.Connection | None) -> None:
    # Closing may want to make a checkpoint, and fail for the same reason as what came before.
    if connection is not None:
        with suppress(apsw.Error):
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            connection.close()


def open_for_reading(path: Path, *, vfs: str | None = None, busy_timeout_seconds: float = 0.25) -> apsw.Connection:
    """Open a second connection that cannot write.

    Raises:
        JournalUnavailable, JournalCorrupt: It cannot be opened.
    """
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, vfs=vfs)
        connection.set_busy_timeout(round(busy_timeout_seconds * 1000))
        connection.execute(
            "PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON"
        ).fetchall()
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    except apsw.Error as error:
        raise _at_start(error) from error
    return connection


def prepare_place(settings: FileSettings) -> None:
    """Make the folder (0700) and the file (0600); refuse filesystems where locks and fsync cannot be trusted.

    A folder that was there and holds nothing else than this journal is closed to others too.

    Raises:
        JournalRefused: A network filesystem.
        JournalUnavailable: The folder or the file cannot be made.
    """
    path = settings.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        kind = filesystem_kind(path.parent)
        if kind in NETWORK_FILESYSTEMS and not settings.allow_network_filesystem:
            raise JournalRefused(JournalReason.NETWORK_FILESYSTEM, f"the folder is on {kind}")
        folder = path.parent.stat()
        alone = all(child.name.startswith(path.name) for child in path.parent.iterdir())
        if alone and folder.st_mode & 0o077 and folder.st_uid == os.geteuid():
            path.parent.chmod(0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except PermissionError as error:
        raise JournalUnavailable(JournalReason.CANNOT_OPEN, error.strerror or "") from error
    except OSError as error:
        raise JournalUnavailable(JournalReason.READ_ONLY, error.strerror or "") from error


def filesystem_kind(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The kind of filesystem that *folder* is on, e.g. "ext4"; "" where the system does not tell."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    real = str(folder.resolve())
    best, kind = -1, ""
    for line in lines:
        left, _, right = line.partition(" - ")
        mount_point = left.split()[4].replace("\\040", " ")
        inside = mount_point == "/" or real == mount_point or real.startswith(mount_point + "/")
        # Of two mounts on one point the later line is on top.
        if inside and len(mount_point) >= best:
            best, kind = len(mount_point), right.split()[0]
    return kind


def _at_start(error: apsw.Error) -> JournalError:
    translated = translate(error)
    if translated.reason is JournalReason.CORRUPT:
        return JournalCorrupt(JournalReason.CORRUPT, type(error).__name__)
    if isinstance(translated, JournalBroken):
        return JournalUnavailable(translated.reason, type(error).__name__)
    return translated


def _configure(connection: apsw.Connection, busy_timeout_seconds: float) -> None:
    connection.set_busy_timeout(round(busy_timeout_seconds * 1000))
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
    connection.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 0)
    for name, (value, expected) in _PRAGMAS.items():
        connection.execute(f"PRAGMA {name} = {value}").fetchall()
        actual = connection.pragma(name)
        if actual != expected:
            raise JournalRefused(JournalReason.SETTINGS, f"{name} is {actual} and cannot be set to {value}")


def _check(connection: apsw.Connection, *, quick: bool) -> None:
    # Rows are damage reports; they name pages and tables, not content.
    found = connection.execute("PRAGMA quick_check(1)" if quick else "PRAGMA integrity_check(1)").fetchall()
    if found != [("ok",)]:
        raise JournalCorrupt(JournalReason.CORRUPT, "the check at start found damage")


def applied_migrations(connection: apsw.Connection) -> dict[int, str]:
    """The migrations that ran on this database: number to SHA-256."""
    rows: Any = connection.execute("SELECT number, sha256 FROM migration")
    return dict(rows)


def _migrate(connection: apsw.Connection) -> None:
    with connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migration"
            " (number INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL) STRICT"
        )
    for migration in pending_migrations(load_migrations("sqlite"), applied_migrations(connection)):
        with connection:
            connection.execute(migration.sql)
            connection.execute(
                "INSERT INTO migration (number, name, sha256) VALUES (?, ?, ?)",
                (migration.number, migration.name, migration.sha256),
            )
