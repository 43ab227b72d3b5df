"""An SQLite VFS on which one kind of operation fails for as long as a test wants it to."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import apsw

Operation = Literal["write", "sync", "read"]


class FaultVfs(apsw.VFS):
    """Set `fail`: it is asked before each operation with the operation and the file's name, and may raise."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "")
        self.name = name
        self.fail: Callable[[Operation, str], None] | None = None

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "FaultFile":  # noqa: N802 - SQLite's name
        return FaultFile(self, name, flags)

    def ask(self, operation: Operation, file: str) -> None:
        """Let the test decide."""
        if self.fail is not None:
            self.fail(operation, file)


class FaultFile(apsw.VFSFile):
    """One file of the `FaultVfs`."""

    def __init__(self, vfs: FaultVfs, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._vfs = vfs
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        self._vfs.ask("write", self._path)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._vfs.ask("sync", self._path)
        super().xSync(flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's name
        self._vfs.ask("read", self._path)
        return super().xRead(amount, offset)


@contextmanager
def fault_vfs(name: str) -> Iterator[FaultVfs]:
    """A `FaultVfs` that is registered for the length of the block."""
    vfs = FaultVfs(name)
    try:
        yield vfs
    finally:
        vfs.unregister()
