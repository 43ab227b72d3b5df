"""Numbered SQL files to a schema: forward only, each in one transaction with the record that it ran.

A migration that ran is never changed: its hash is kept in the database and compared at every start. A
database with a migration that this program does not know belongs to a newer one and is refused.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from interceptor.journal.port import JournalReason, JournalRefused

_FILE_NAME = re.compile(r"(\d{4})-([a-z0-9-]+)\.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file: its number counted from 1, its name, its statements, and the SHA-256 (hexadecimal) of its bytes."""

    number: int
    name: str
    sql: str
    sha256: str


def load_migrations(database: str) -> tuple[Migration, ...]:
    """All migrations for "sqlite" or "postgres", by number. Numbers are 1, 2, 3 … without a gap."""
    folder = resources.files("interceptor.journal").joinpath("migrations", database)
    found = []
    for file in folder.iterdir():
        match = _FILE_NAME.fullmatch(file.name)
        if match is None:
            continue
        content = file.read_bytes()
        found.append(
            Migration(
                number=int(match[1]),
                name=match[2],
                sql=content.decode("utf-8"),
                sha256=hashlib.sha256(content).hexdigest(),
            )
        )
    found.sort(key=lambda migration: migration.number)
    assert [migration.number for migration in found] == list(range(1, len(found) + 1)), "a gap in the migrations"
    return tuple(found)


def pending_migrations(known: Sequence[Migration], applied: Mapping[int, str]) -> tuple[Migration, ...]:
    """Those of *known* that are not in *applied* (number to SHA-256).

    Raises:
        JournalRefused: The database is newer than this program, or a migration that ran was changed since.
    """
    by_number = {migration.number: migration for migration in known}
    for number, sha256 in sorted(applied.items()):
        migration = by_number.get(number)
        if migration is None:
            detail = f"the database has migration {number:04}, this program knows {len(known):04} at most; run the newer program"
            raise JournalRefused(JournalReason.NEWER_SCHEMA, detail)
        if migration.sha256 != sha256:
            detail = f"migration {number:04}-{migration.name} is not the file that ran on this database"
            raise JournalRefused(JournalReason.CHANGED_MIGRATION, detail)
    return tuple(migration for migration in known if migration.number not in applied)
