"""The pages say what the code does. Those that can be generated are compared with the code."""

import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from interceptor.telemetry.reference import build_event_reference, build_metric_reference
from tests.support.source_tree import PACKAGE, ROOT, load_script, python_files, shown, tracked_files

PAGES = tuple(path for path in tracked_files() if path.suffix == ".md")
DOCS = ROOT / "docs"
CHANGE_KINDS = {"added", "changed", "fixed", "security", "clinical"}


def load_generator(name: str) -> ModuleType:
    """A script of docs/ as a module."""
    return load_script(DOCS / f"{name}.py")


def test_every_metric_has_its_row_with_alert_when() -> None:
    assert (DOCS / "reference" / "metrics.md").read_text(encoding="utf-8") == build_metric_reference(), "run ./dev docs"


def test_every_log_event_has_its_row() -> None:
    assert (DOCS / "reference" / "events.md").read_text(encoding="utf-8") == build_event_reference(), "run ./dev docs"


def test_the_conformance_statement_says_what_the_code_does() -> None:
    generator = load_generator("generate_conformance")
    assert (DOCS / "reference" / "conformance.md").read_text(encoding="utf-8") == generator.build_page(), (
        "run ./dev docs"
    )


def test_the_api_page_has_every_operation() -> None:
    generator = load_generator("generate_api")
    assert (DOCS / "reference" / "api.md").read_text(encoding="utf-8") == generator.build_page(), "run ./dev docs"
    assert len(generator.operations()) >= 10


def test_the_capacity_page_has_the_recorded_runs_and_no_other_figure() -> None:
    generator = load_generator("generate_capacity")
    assert (DOCS / "reference" / "capacity.md").read_text(encoding="utf-8") == generator.build_page(), "run ./dev docs"


def test_the_hazard_page_lists_the_tests_that_there_are() -> None:
    generator = load_generator("generate_hazards")
    assert (DOCS / "explanation" / "hazards.md").read_text(encoding="utf-8") == generator.build_page(), "run ./dev docs"


def test_every_marker_names_a_hazard_or_a_fault_that_is_listed() -> None:
    assert load_generator("generate_hazards").unknown_markers() == ()


def test_every_reason_code_of_a_policy_is_explained() -> None:
    explained = "\n".join(path.read_text(encoding="utf-8") for path in (DOCS / "clinical").rglob("*.md"))
    for path in (ROOT / "mappings" / "policies").glob("*.toml"):
        tomllib.loads(path.read_text(encoding="utf-8"))
        codes = set(re.findall(r'"([PAH]-[A-Z0-9-]+)"', path.read_text(encoding="utf-8")))
        assert codes
        assert sorted(code for code in codes if code not in explained) == []


@pytest.mark.parametrize("path", PAGES, ids=shown)
def test_links_lead_to_files_and_headings_that_are_there(path: Path) -> None:
    text = re.sub(r"^(```|    ).*?$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", text):
        name, _, heading = target.partition("#")
        linked = (path.parent / name).resolve() if name else path
        assert linked.exists(), f"{shown(path)}: {target}"
        if heading:
            assert heading in headings(linked), f"{shown(path)}: {target}"


def headings(path: Path) -> set[str]:
    """The anchors of a page's headings, as they are commonly built."""
    found = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in found}


@pytest.mark.parametrize("path", [path for path in PAGES if path.parent == DOCS / "adr"], ids=shown)
def test_a_decision_on_record_has_all_its_parts(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for part in ("(- |## )Status", "## Context", "## Decision", "## Consequences", "## Enforced by", "## Revisit when"):
        assert re.search(f"^{part}", text, re.MULTILINE), f"{shown(path)} lacks {part}"


def test_decisions_on_record_are_numbered_without_gaps() -> None:
    numbers = sorted(int(path.name[:4]) for path in (DOCS / "adr").glob("[0-9]*.md"))
    assert numbers == list(range(len(numbers)))


def test_a_change_fragment_has_a_known_kind() -> None:
    fragments = [path for path in (DOCS / "changes").glob("*.md") if path.name != "README.md"]
    assert fragments
    assert [path.name for path in fragments if path.name.split(".")[-2] not in CHANGE_KINDS] == []


def test_every_command_of_the_front_door_is_in_its_help() -> None:
    script = (ROOT / "dev").read_text(encoding="utf-8")
    commands = set(re.findall(r"^([a-z]+)\)$", script, re.MULTILINE))
    usage = script.partition("<<'TEXT'\n")[2].partition("\nTEXT\n")[0]
    assert commands == set(re.findall(r"^  ([a-z]+) ", usage, re.MULTILINE))


def code_outside_telemetry() -> str:
    outside = (path for path in python_files(PACKAGE) if path.parent != PACKAGE / "telemetry")
    return "\n".join(path.read_text(encoding="utf-8") for path in outside)


def test_a_page_that_is_named_in_the_code_is_there() -> None:
    named = set(re.findall(r"\bdocs/[a-z0-9/_.-]+\.md\b", code_outside_telemetry()))
    assert sorted(name for name in named if not (ROOT / name).exists()) == []
