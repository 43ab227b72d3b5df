"""A base image made of this Debian machine's own packages, for building where no registry of images can be reached.

It stands for `python:3.11-slim-bookworm`: Debian's files, a Python, a shell, no more. Made by copying what dpkg says belongs
to a few packages and to those that they need.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGES = (
    "base-files",
    "base-passwd",
    "ca-certificates",
    "coreutils",
    "dash",
    "grep",
    "libc-bin",
    "passwd",
    "python3-venv",
)
LEFT_OUT = ("/usr/share/doc", "/usr/share/man", "/usr/share/locale", "/usr/share/info")
IMAGE = "localhost/python-from-this-machine"


def missing_for_building() -> str:
    """Why no image can be built here; empty when one can."""
    if os.geteuid() != 0:
        return "an image is built by root only here"
    if shutil.which("buildah") is None:
        return "apt-get install buildah"
    if shutil.which("dpkg-query") is None:
        return "no base image: it is made of Debian's packages, and this is no Debian"
    lacking = [name for name in PACKAGES if name not in _installed()]
    return f"apt-get install {' '.join(lacking)}" if lacking else ""


@dataclass(frozen=True, kw_only=True)
class Buildah:
    """buildah with a storage of its own below *folder*."""

    folder: Path

    def run(self, *arguments: str | Path, seconds: float = 600.0) -> str:
        """Run a command of it; returns what it printed. A failure shows everything."""
        options = ("--storage-driver", "vfs", "--root", self.folder / "root", "--runroot", self.folder / "run")
        done = subprocess.run(
            ["buildah", *options, *arguments], capture_output=True, text=True, timeout=seconds, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout.strip()


def make_base_image(buildah: Buildah) -> None:
    """Put the base image into the storage, as `IMAGE`."""
    root = buildah.folder / "base"
    for path in sorted(_files(_closure(PACKAGES))):
        _copy(path, root)
    # What the packages' own scripts would have made.
    for name in ("passwd", "group"):
        shutil.copy(root / "usr" / "share" / "base-passwd" / f"{name}.master", root / "etc" / name)
    for name in ("tmp", "proc", "dev", "sys", "run"):
        (root / name).mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    container = buildah.run("from", "scratch")
    buildah.run("copy", "--quiet", container, root, "/")
    buildah.run("commit", "--quiet", container, IMAGE)
    buildah.run("rm", container)
    shutil.rmtree(root)


def _installed() -> dict[str, str]:
    listed = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Package}\t${db:Status-Status}\t${Depends}, ${Pre-Depends}\n"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = (line.split("\t") for line in listed.splitlines())
    return {name: needs for name, status, needs in rows if status == "installed"}


def _closure(names: Iterable[str]) -> set[str]:
    installed = _installed()
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for alternatives in installed[name].split(","):
            wanted = (re.sub(r"[ :(].*", "", one.strip()) for one in alternatives.split("|"))
            waiting.extend([one for one in wanted if one in installed][:1])
    return found


def _files(packages: Iterable[str]) -> Iterator[Path]:
    listed = subprocess.run(["dpkg-query", "--listfiles", *packages], capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        if line.startswith("/") and not line.startswith(LEFT_OUT):
            # Package lists say /bin/sh where the file is in /usr/bin.
            path = Path(os.path.realpath(os.path.dirname(line)), os.path.basename(line))  # noqa: PTH119, PTH120
            if path.is_symlink() or path.is_file():
                yield path
    # The links of a merged /usr belong to no package.
    yield from (path for path in Path("/").iterdir() if path.is_symlink() and path.resolve().is_relative_to("/usr"))


def _copy(path: Path, root: Path) -> None:
    target = root / path.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.is_symlink():
        shutil.copy2(path, target, follow_symlinks=False)
