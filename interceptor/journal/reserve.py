"""Space kept aside for the day the disk is full.

A file of real blocks beside the journal. When a write finds the disk full the file is removed, so that
orders that we have can still be released and delivered; new custody is refused until the file can be made
again, which is how a disk that has room again is noticed without a restart.
"""

import os
from pathlib import Path


class Reserve:
    """The reserve file of one journal. All methods touch the disk: call them from the writer's thread."""

    def __init__(self, journal_path: Path, *, size: int, free_bytes_min: int) -> None:
        """*size* in bytes; *free_bytes_min*: below this much free space `is_low`, 0 for never."""
        self._path = Path(f"{journal_path}-reserve")
        self._size = size
        self._free_bytes_min = free_bytes_min

    def make(self) -> bool:
        """Make sure that the file is there, with its blocks, and as much room again beside it.

        False when there is not, and then there is no file either: room that the file itself has just given back
        is no sign that the disk has room again.
        """
        try:
            if not self._path.exists() or self._path.stat().st_size != self._size:
                self._allocate()
            if self._free_bytes() >= self._size:
                return True
        except OSError:
            pass
        self.give_up()
        return False

    def _allocate(self) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # A sparse file would keep no room; posix_fallocate falls back to writing where it must.
            os.posix_fallocate(descriptor, 0, self._size)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def give_up(self) -> None:
        """Remove the file, so that its blocks are free."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError:
            return  # A read-only disk: there is nothing to be gained here.

    def is_low(self) -> bool:
        """Whether the filesystem has less free space than the limit."""
        if self._free_bytes_min == 0:
            return False
        try:
            return self._free_bytes() < self._free_bytes_min
        except OSError:
            return False

    def _free_bytes(self) -> int:
        room = os.statvfs(self._path.parent)
        return room.f_bavail * room.f_frsize
