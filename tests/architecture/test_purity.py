"""The core computes; it never looks at the world. import-linter holds the imports, this the rest."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.source_tree import CORE, PACKAGE, parsed, python_files, shown

BANNED_BUILTINS = {"open", "print", "input", "exec", "eval", "compile", "__import__", "breakpoint", "globals"}
BANNED_CLOCK_METHODS = {"now", "today", "utcnow"}
CLOCK_CLASSES = {"datetime", "date"}
BANNED_MODULES = {
    "asyncio",
    "io",
    "logging",
    "os",
    "pathlib",
    "queue",
    "random",
    "secrets",
    "select",
    "shutil",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib",
    "uuid",
}


def impurities(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of everything in the tree that would look at the world."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in BANNED_BUILTINS:
                yield node.lineno, name
            case ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr=method) if (
                owner in CLOCK_CLASSES and method in BANNED_CLOCK_METHODS
            ):
                yield node.lineno, f"{owner}.{method}"
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names if not is_allowed(alias.name))
            case ast.ImportFrom(module=str(module)) if not is_allowed(module):
                yield node.lineno, module


def is_allowed(module: str) -> bool:
    top = module.partition(".")[0]
    return top == "interceptor" or (top in sys.stdlib_module_names and top not in BANNED_MODULES)


@pytest.mark.parametrize("path", python_files(*(PACKAGE / name for name in CORE)), ids=shown)
def test_the_core_never_looks_at_the_world(path: Path) -> None:
    found = [f"{shown(path)}:{line}: {name}" for line, name in impurities(parsed(path))]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "open('x')",
        "print(1)",
        "datetime.now(UTC)",
        "datetime.datetime.utcnow()",
        "date.today()",
        "import time",
        "import os.path",
        "from random import choice",
        "import hl7",
        "from pydantic import BaseModel",
        "clock = datetime.now",
    ],
)
def test_the_purity_test_sees(source: str) -> None:
    assert list(impurities(ast.parse(source)))


@pytest.mark.parametrize("source", ["now = 1", "view.open(1)", "import re", "from interceptor.wire import frame"])
def test_the_purity_test_does_not_see_ghosts(source: str) -> None:
    assert not list(impurities(ast.parse(source)))
