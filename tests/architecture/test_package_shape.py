"""Each name has one home, and a package says what it is for."""

import ast
import re
from pathlib import Path

import pytest

from tests.support.source_tree import PACKAGE, ROOT, parsed, python_files, shown

BANNED_STEMS = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "base",
    "manager",
    "service",
    "handler",
    "misc",
    "errors",
}
PACKAGES = [path for path in python_files(PACKAGE) if path.name == "__init__.py"]


@pytest.mark.parametrize("path", python_files(PACKAGE, ROOT / "tests"), ids=shown)
def test_no_module_is_a_drawer_for_everything(path: Path) -> None:
    assert path.stem not in BANNED_STEMS
    assert path.parent.name not in BANNED_STEMS


@pytest.mark.parametrize("path", PACKAGES, ids=shown)
def test_a_package_module_is_its_docstring(path: Path) -> None:
    tree = parsed(path)
    rest = tree.body[1:]
    if path.parent == PACKAGE:
        assert [ast.unparse(node).partition(" = ")[0] for node in rest] == ["__version__"]
    else:
        assert rest == []


@pytest.mark.parametrize("path", [path for path in PACKAGES if path.parent != PACKAGE], ids=shown)
def test_a_package_says_what_comes_in_what_goes_out_and_what_never_happens_here(path: Path) -> None:
    docstring = ast.get_docstring(parsed(path)) or ""
    for part in (r"\b[Ii]n: ", r"\b[Oo]ut: ", r"\b[Nn]ever .*here:? "):
        assert re.search(part, docstring), f"{shown(path)} lacks {part!r}"


@pytest.mark.parametrize("path", python_files(PACKAGE), ids=shown)
def test_a_module_tells_what_it_is_for(path: Path) -> None:
    assert len(ast.get_docstring(parsed(path)) or "") > 30


@pytest.mark.parametrize("path", python_files(PACKAGE), ids=shown)
def test_no_unfinished_work_is_left_in_the_code(path: Path) -> None:
    marks = re.findall(
        r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX|NotImplementedError)\b", path.read_text(encoding="utf-8")
    )
    assert marks == []


@pytest.mark.parametrize("path", python_files(PACKAGE), ids=shown)
def test_a_suppressed_check_names_its_rule_and_its_reason(path: Path) -> None:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if re.search(r"#\s*(noqa|type: ignore|pragma)", line):
            assert re.search(r"# (noqa: [A-Z0-9, ]+ - \w|type: ignore\[[a-z-, ]+\]  # \w)", line), (
                f"{shown(path)}:{number}"
            )
