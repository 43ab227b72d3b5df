"""Write docs/explanation/hazards.md from hazards.toml and the markers of the tests: python docs/generate_hazards.py.

A test that shows a control of a hazard carries `@pytest.mark.hazard("H4")`, one that shows the promised behaviour
for a fault `@pytest.mark.fault(19)`. The page tells which tests they are, and what has none.
"""

import ast
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "explanation" / "hazards.md"


def marked_tests(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Kind ("hazard" or "fault"), number and test of every marker below *folder*; `pytestmark` marks every test of its file."""
    for path in sorted(folder.rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        of_file = tuple(_of_file(tree))
        for node in tree.body:
            found = dict.fromkeys(_marked(node, path.relative_to(ROOT).as_posix(), "", of_file))
            yield from found


def _of_file(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Kind and number of each marker in the file's `pytestmark`."""
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="pytestmark")], value=ast.List(elts=marks)):
                yield from (one for mark in marks for one in _of_marker(mark))
            case ast.Assign(targets=[ast.Name(id="pytestmark")], value=mark):
                yield from _of_marker(mark)


def _of_marker(marker: ast.expr) -> Iterator[tuple[str, str]]:
    match marker:
        case ast.Call(func=ast.Attribute(attr="hazard" | "fault" as kind), args=arguments):
            yield from ((kind, str(ast.literal_eval(argument))) for argument in arguments)


def _marked(
    node: ast.stmt, file: str, prefix: str, of_file: tuple[tuple[str, str], ...]
) -> Iterator[tuple[str, str, str]]:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return
    name = prefix + node.name
    own = [one for decorator in node.decorator_list for one in _of_marker(decorator)]
    is_test = node.name.startswith("test") and not isinstance(node, ast.ClassDef)
    yield from ((kind, number, f"{file}::{name}") for kind, number in (*own, *(of_file if is_test else ())))
    if isinstance(node, ast.ClassDef):
        for child in node.body:
            yield from _marked(child, file, f"{name}::", of_file)


def unknown_markers() -> tuple[str, ...]:
    """Tests that name a hazard or a fault which is not in hazards.toml."""
    titles = _titles()
    return tuple(
        f"{test}: {kind} {number}" for kind, number, test in marked_tests(ROOT / "tests") if number not in titles[kind]
    )


def _titles() -> Mapping[str, Mapping[str, str]]:
    listed = tomllib.loads((ROOT / "docs" / "hazards.toml").read_text(encoding="utf-8"))
    hazards = {number: f"{row['title']} (severity {row['severity']})" for number, row in listed["hazard"].items()}
    return {"hazard": hazards, "fault": listed["fault"]}


def build_page() -> str:
    """The page as Markdown."""
    tests: dict[tuple[str, str], list[str]] = defaultdict(list)
    for kind, number, test in marked_tests(ROOT / "tests"):
        tests[kind, number].append(test)
    lines = [
        "<!-- Written by ./dev docs from docs/hazards.toml and the tests' markers. Do not edit. -->",
        "# Hazards and faults",
        "",
        "What can harm a patient or break a promise, which faults the promises are made for, and the tests of the",
        "controls. A test shows what its name says and no more; it does not settle a hazard. What has no test is listed",
        "first: nothing is claimed for it.",
    ]
    for kind, titles in _titles().items():
        untested = [number for number in titles if not tests[kind, number]]
        lines += ["", f"## {kind.capitalize()}s without a test: {len(untested)} of {len(titles)}"]
        lines += [*([""] if untested else []), *(f"- {number}: {titles[number]}" for number in untested)]
        lines += ["", f"## {kind.capitalize()}s with tests"]
        for number, title in titles.items():
            if tests[kind, number]:
                lines += ["", f"### {number}: {title}", "", *(f"- `{test}`" for test in tests[kind, number])]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(build_page(), encoding="utf-8")
