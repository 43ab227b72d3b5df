"""No function, class or file grows until nobody reads it. The exceptions below may only become fewer."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.source_tree import ROOT, parsed, python_files, shown

FUNCTION_LINES_MAX = 60
FILE_LINES_MAX = 500
CLASS_LINES_MAX = 250
PUBLIC_METHODS_MAX = 12
POSITIONAL_PARAMETERS_MAX = 5
NESTING_MAX = 3

EXCEPTIONS: dict[str, str] = {
    "tests/faults/test_journal_stateful.py Custody methods": "A state machine's rules and invariants are its methods.",
    "interceptor/journal/sql_journal.py SqlJournal methods": "It has the port's methods, each a few lines that name a function.",
    "interceptor/journal/port.py Journal methods": "The port is one list of everything the node needs; each method is one transaction.",
}
"""What is over a limit, with the reason. Take a row out as soon as it is no longer needed: a test asks for it."""

FOLDERS = ("interceptor", "tests", "docs", "mappings", "deploy")
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
# `with` opens a lifetime and `match` stands for one decision; neither hides a branch inside a branch by itself.
BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.TryStar)


@dataclass(frozen=True)
class Excess:
    """One thing over one limit."""

    where: str
    size: int
    limit: int


def excesses(path: Path, tree: ast.Module) -> Iterator[Excess]:
    """Everything in one file that is over a limit."""
    file = shown(path)
    line_count = len(path.read_text(encoding="utf-8").splitlines())
    if line_count > FILE_LINES_MAX:
        yield Excess(f"{file} lines", line_count, FILE_LINES_MAX)
    commands = set(command_functions(tree))
    for name, node in definitions(tree):
        if isinstance(node, ast.ClassDef):
            yield from class_excesses(f"{file} {name}", node)
        else:
            found = function_excesses(f"{file} {name}", node)
            # A command's options are parameters that typer fills by name.
            yield from (each for each in found if name not in commands or not each.where.endswith(" parameters"))


def command_functions(tree: ast.AST) -> Iterator[str]:
    """Names of the functions that are handed to typer: `app.command(...)(name)` or `@app.command(...)`."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Call(func=ast.Attribute(attr="command" | "callback")), args=[ast.Name(id=name)]):
                yield name
            case ast.FunctionDef(name=name, decorator_list=[ast.Call(func=ast.Attribute(attr="command" | "callback"))]):
                yield name


def definitions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, FunctionNode | ast.ClassDef]]:
    """Every function and class with its dotted name."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, FunctionNode | ast.ClassDef):
            yield prefix + node.name, node
            yield from definitions(node, f"{prefix}{node.name}.")
        else:
            yield from definitions(node, prefix)


def class_excesses(where: str, node: ast.ClassDef) -> Iterator[Excess]:
    size = line_span(node)
    if size > CLASS_LINES_MAX:
        yield Excess(f"{where} lines", size, CLASS_LINES_MAX)
    methods = [
        each
        for each in node.body
        if isinstance(each, FunctionNode) and not each.name.startswith("_") and not is_property(each)
    ]
    if len(methods) > PUBLIC_METHODS_MAX:
        yield Excess(f"{where} methods", len(methods), PUBLIC_METHODS_MAX)


def is_property(node: FunctionNode) -> bool:
    return any("property" in ast.unparse(decorator) for decorator in node.decorator_list)


def function_excesses(where: str, node: FunctionNode) -> Iterator[Excess]:
    size = line_span(node)
    if size > FUNCTION_LINES_MAX:
        yield Excess(f"{where} lines", size, FUNCTION_LINES_MAX)
    positional = [each.arg for each in (*node.args.posonlyargs, *node.args.args) if each.arg not in ("self", "cls")]
    if len(positional) > POSITIONAL_PARAMETERS_MAX:
        yield Excess(f"{where} parameters", len(positional), POSITIONAL_PARAMETERS_MAX)
    depth = nesting(node)
    if depth > NESTING_MAX:
        yield Excess(f"{where} nesting", depth, NESTING_MAX)


def line_span(node: FunctionNode | ast.ClassDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def nesting(node: ast.AST) -> int:
    """How many branches stand inside each other; an elif is not inside its if, an inner function not inside the outer."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FunctionNode | ast.ClassDef | ast.Lambda):
            continue
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        deepest = max(deepest, nesting(child) + (isinstance(child, BRANCHES) and not is_elif))
    return deepest


def all_excesses() -> list[Excess]:
    files = python_files(*(ROOT / folder for folder in FOLDERS))
    return [excess for path in files for excess in excesses(path, parsed(path))]


def test_nothing_is_over_a_limit_but_the_exceptions() -> None:
    over = [
        f"{each.where}: {each.size} is over {each.limit}" for each in all_excesses() if each.where not in EXCEPTIONS
    ]
    assert over == []


def test_no_exception_is_kept_that_is_not_needed() -> None:
    assert set(EXCEPTIONS) <= {each.where for each in all_excesses()}


def test_every_exception_has_a_reason() -> None:
    assert all(reason.endswith(".") for reason in EXCEPTIONS.values())


def write_source(folder: Path, source: str) -> list[str]:
    path = folder / "sample.py"
    path.write_text(source)
    tree = ast.parse(source)
    found = [
        *(
            excess
            for name, node in definitions(tree)
            if isinstance(node, ast.ClassDef)
            for excess in class_excesses(name, node)
        ),
        *(
            excess
            for name, node in definitions(tree)
            if isinstance(node, FunctionNode)
            for excess in function_excesses(name, node)
        ),
    ]
    return [each.where for each in found]


BODY_OF_60 = "def f():\n" + "    x = 1\n" * 59


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (BODY_OF_60, []),
        (BODY_OF_60 + "    y = 1\n", ["f lines"]),
        ("def f(a, b, c, d, e, *, g, h): ...", []),
        ("def f(a, b, c, d, e, f): ...", ["f parameters"]),
        ("class A:\n    def f(self, a, b, c, d, e): ...", []),
        ("class A:\n" + "".join(f"    def m{n}(self): ...\n" for n in range(12)), []),
        ("class A:\n" + "".join(f"    def m{n}(self): ...\n" for n in range(13)), ["A methods"]),
        ("class A:\n" + "    x = 1\n" * 250, ["A lines"]),
        ("def f():\n if a:\n  for b in c:\n   while d:\n    pass", []),
        ("def f():\n if a:\n  for b in c:\n   while d:\n    try:\n     pass\n    finally:\n     pass", ["f nesting"]),
        ("def f():\n if a:\n  pass\n elif b:\n  pass\n elif c:\n  pass\n elif d:\n  pass\n elif e:\n  pass", []),
        ("def f():\n if a:\n  if b:\n   if c:\n    pass\n   elif d:\n    if e:\n     pass", ["f nesting"]),
    ],
)
def test_the_tidy_test_sees_exactly_the_limits(tmp_path: Path, source: str, found: list[str]) -> None:
    assert write_source(tmp_path, source) == found
