"""The files of the project, for tests that read its source."""

import ast
import importlib.util
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "interceptor"
CORE = ("wire", "message", "context", "decision", "action")


@cache
def tracked_files() -> tuple[Path, ...]:
    """Every file that git tracks or would track; ignored ones and caches are left out."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    paths = (ROOT / name.decode() for name in listed.split(b"\0") if name)
    return tuple(sorted({path for path in paths if path.is_file()}))


def python_files(*folders: Path) -> tuple[Path, ...]:
    """The Python files below these folders."""
    return tuple(path for path in tracked_files() if path.suffix == ".py" and any(f in path.parents for f in folders))


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of one file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def shown(path: Path) -> str:
    """The path as a reader writes it: from the root of the project."""
    return path.relative_to(ROOT).as_posix()


def load_script(path: Path) -> ModuleType:
    """A script that is no part of a package, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks its module up while it is being made.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
