"""Run tests against a module with a fault in it: in a child process, whose import of that module gets the faulty one."""

import ast
import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from types import ModuleType

from tests.mutants.mutate import with_fault

ROOT = Path(__file__).parents[2]


class Outcome(StrEnum):
    """What became of a fault."""

    FOUND = "found"
    HUNG = "hung"
    """The tests did not end in their time: found too."""
    LIVED = "lived"


class _Faulty(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds one module, and gives it the tree with the fault."""

    def __init__(self, name: str, tree: ast.Module, path: Path) -> None:
        self._name = name
        self._tree = tree
        self._path = path

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        del path, target
        return (
            importlib.util.spec_from_loader(fullname, self, origin=str(self._path)) if fullname == self._name else None
        )

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = str(self._path)
        exec(compile(self._tree, str(self._path), "exec"), module.__dict__)


def module_path(name: str) -> Path:
    """The file of a module such as "interceptor.wire.decoder"."""
    return ROOT.joinpath(*name.split(".")).with_suffix(".py")


def try_fault(name: str, index: int | None, tests: Sequence[str], *, seconds_max: float) -> Outcome:
    """Run the tests with one fault in the module, or with none for None.

    The caller has not imported the module: the child, which has everything else at hand, does.
    """
    assert name not in sys.modules, name
    path = module_path(name)
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source) if index is None else with_fault(source, index)
    child = os.fork()
    if child == 0:
        os._exit(_run(_Faulty(name, tree, path), tests))
    return _wait(child, seconds_max)


def _run(finder: _Faulty, tests: Sequence[str]) -> int:
    import pytest

    sys.meta_path.insert(0, finder)
    # A fault may ask for endless memory.
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    options = ["-x", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not deep", "-W", "ignore"]
    # The same examples each time, and none that fails for being slow: on a busy machine every fault would be "found".
    options.append("--hypothesis-profile=ci")
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            try:
                return int(pytest.main([*options, *tests]))
            except BaseException:  # noqa: BLE001 - whatever a fault does to the tests, it was found
                return 1


def _wait(child: int, seconds_max: float) -> Outcome:
    deadline = time.monotonic() + seconds_max
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return Outcome.LIVED if os.waitstatus_to_exitcode(status) == 0 else Outcome.FOUND
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return Outcome.HUNG
