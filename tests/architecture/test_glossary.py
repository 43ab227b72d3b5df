"""The glossary is the law: what it lists under "never" is no name in the code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.source_tree import PACKAGE, ROOT, parsed, python_files, shown

GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
ROWS = [line.split("|")[1:-1] for line in GLOSSARY.splitlines() if line.startswith("|")]
NEVER = {word for row in ROWS if len(row) == 3 for word in re.findall(r"`([^`]+)`", row[2])}
# The simulators and the site's own configuration speak of the products that sites have.
SITE_WORDS_ALLOWED = {"ehr", "ris"}


def names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of every name that the file gives to something."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name):
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name


def forbidden_word(name: str, never: set[str]) -> str | None:
    """The word of the list that the name contains as whole words; None when there is none."""
    snake = "_" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower() + "_"
    return next((word for word in sorted(never) if f"_{word}_" in snake), None)


@pytest.mark.parametrize("path", python_files(PACKAGE), ids=shown)
def test_the_code_uses_the_words_of_the_glossary(path: Path) -> None:
    never = NEVER - SITE_WORDS_ALLOWED if path.parent.name in ("simulate", "config") else NEVER
    found = [f"{shown(path)}:{line}: {name}" for line, name in names(parsed(path)) if forbidden_word(name, never)]
    assert found == []


def test_the_list_of_words_is_read_from_the_page() -> None:
    assert {"pipehat", "order_id", "correlation_id"} <= NEVER


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("order_id", "order_id"),
        ("OrderIdIndex", "order_id"),
        ("border_idle", None),
        ("risk", None),
        ("ris_port", "ris"),
    ],
)
def test_a_word_counts_only_as_a_whole(name: str, word: str | None) -> None:
    assert forbidden_word(name, NEVER) == word
