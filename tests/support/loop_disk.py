"""A small ext4 filesystem on a loop device: it can be full, and its plug can be pulled. Root only."""

import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

EXT4_IOC_SHUTDOWN = 0x8004587D
SHUTDOWN_WITHOUT_LOG_FLUSH = 2


def missing() -> str:
    """Why there can be no loop disk here, with the command that helps; "" when there can."""
    if os.geteuid() != 0:
        return "a loop disk needs root: run the tests with sudo"
    tools = [tool for tool in ("mkfs.ext4", "losetup", "mount", "umount") if _find(tool) is None]
    if tools:
        return f"{', '.join(tools)} missing: apt-get install e2fsprogs mount"
    if not Path("/dev/loop-control").exists():
        return "there is no /dev/loop-control: modprobe loop, or give the container the device"
    try:
        with loop_disk(size_mib=8):
            return ""
    except subprocess.CalledProcessError as error:
        return f"a loop disk cannot be mounted here: {error.stderr.decode('utf-8', 'replace').strip()}"


class LoopDisk:
    """One filesystem: `folder` is where it is mounted."""

    def __init__(self, image: Path, folder: Path) -> None:
        self._image = image
        self.folder = folder

    def mount(self) -> None:
        """Mount it; a filesystem that was not left in order replays its journal."""
        _run("mount", "-o", "loop", str(self._image), str(self.folder))

    def unmount(self) -> None:
        """Take it away again."""
        _run("umount", str(self.folder))

    def pull_the_plug(self) -> None:
        """From now on nothing reaches the disk, and what the kernel had not written yet is gone."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", SHUTDOWN_WITHOUT_LOG_FLUSH))
        finally:
            os.close(descriptor)


@contextmanager
def loop_disk(*, size_mib: int) -> Iterator[LoopDisk]:
    """A mounted filesystem of its own for the length of the block."""
    with tempfile.TemporaryDirectory(prefix="loop-disk-") as name:
        image, folder = Path(name) / "image", Path(name) / "mounted"
        folder.mkdir()
        with image.open("wb") as file:
            file.truncate(size_mib * 1024 * 1024)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
        disk = LoopDisk(image, folder)
        disk.mount()
        try:
            yield disk
        finally:
            disk.unmount()


@contextmanager
def ballast(disk: LoopDisk, *, bytes_left: int) -> Iterator[None]:
    """Fill the disk but for so many bytes, for the length of the block."""
    path = disk.folder / "ballast"
    with path.open("wb", buffering=0) as file, suppress(OSError):
        # ext4 keeps a few blocks for itself: fill what can be had, then the rest block by block.
        os.posix_fallocate(file.fileno(), 0, max(1, _room(disk) - max(bytes_left, 2 * 1024 * 1024)))
        file.seek(0, os.SEEK_END)
        while _room(disk) > bytes_left or not bytes_left:
            file.write(bytes(4096))
    try:
        yield
    finally:
        path.unlink()


def _room(disk: LoopDisk) -> int:
    """Free bytes."""
    room = os.statvfs(disk.folder)
    return room.f_bavail * room.f_frsize


def _find(tool: str) -> str | None:
    return shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _run(tool: str, *arguments: str) -> None:
    subprocess.run([_find(tool) or tool, *arguments], check=True, capture_output=True, timeout=60)
