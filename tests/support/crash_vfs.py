"""An SQLite VFS that loses power: what was not synced survives in part, and sectors may be torn.

It goes on top of the real one. Every write since the last sync of its file is remembered; at the crash each of
them survives whole, up to some sector, or not at all. From the crash on nothing reaches a file any more.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

SECTOR_SIZE = 512


class PowerLost(apsw.IOError):
    """What every operation gets from the crash on."""


class CrashVfs(apsw.VFS):
    """Counts writes, syncs and truncations; the one numbered `crash_at` never happens."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "")
        self.name = name
        self.operation_count = 0
        self.crash_at: int | None = None
        self.is_off = False
        self.unsynced: dict[str, list[tuple[int, bytes, bytes, int]]] = {}

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "CrashFile":  # noqa: N802 - SQLite's name
        return CrashFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's name
        self.tick()
        super().xDelete(filename, syncdir)

    def tick(self) -> None:
        """One operation that changes something."""
        self.operation_count += 1
        if self.crash_at is not None and self.operation_count >= self.crash_at:
            self.is_off = True
        if self.is_off:
            raise PowerLost

    def lose_power(self, rng: random.Random) -> None:
        """Leave in the files what a disk might have kept."""
        self.is_off = True
        for name, writes in self.unsynced.items():
            path = Path(name)
            if path.exists():
                _undo_and_tear(path, writes, rng)
            writes.clear()


class CrashFile(apsw.VFSFile):
    """One file of the `CrashVfs`."""

    def __init__(self, vfs: CrashVfs, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._vfs = vfs
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._writes = vfs.unsynced.setdefault(path, [])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        self._vfs.tick()
        size = super().xFileSize()
        old = super().xRead(min(len(data), size - offset), offset) if offset < size else b""
        self._writes.append((offset, bytes(data), old, size))
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._vfs.tick()
        super().xSync(flags)
        self._writes.clear()

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        self._vfs.tick()
        super().xTruncate(newsize)


def _undo_and_tear(path: Path, writes: list[tuple[int, bytes, bytes, int]], rng: random.Random) -> None:
    with path.open("r+b") as file:
        for offset, new, old, size in reversed(writes):
            file.seek(offset)
            file.write(old)
            if offset + len(new) > size:
                file.truncate(max(size, offset + len(old)) if old else size)
        for offset, new, _, _ in writes:
            chance = rng.random()
            if chance < 0.4:
                continue
            kept = len(new) if chance > 0.7 else rng.randrange(len(new) // SECTOR_SIZE + 1) * SECTOR_SIZE
            file.seek(offset)
            file.write(new[:kept])


@contextmanager
def crash_vfs(name: str) -> Iterator[CrashVfs]:
    """A `CrashVfs` that is registered for the length of the block."""
    vfs = CrashVfs(name)
    try:
        yield vfs
    finally:
        vfs.unregister()
