"""docs/clinical/ says what the policy and the vignettes say."""

import re
import runpy
from pathlib import Path

import pytest

from tests.support.plain_facts import shipped_policy

DOCS = Path(__file__).parents[2] / "docs"
PAGES: dict[str, str] = runpy.run_path(str(DOCS / "generate_clinical.py"))["build_pages"]()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_page_is_as_generated(name: str) -> None:
    assert (DOCS / "clinical" / name).read_text(encoding="utf-8") == PAGES[name], "run python docs/generate_clinical.py"


def test_there_is_one_page_for_each_reason_code_and_no_other() -> None:
    pages = {path.stem for path in (DOCS / "clinical" / "reasons").glob("*.md")}
    assert pages == set(shipped_policy().reasons)


@pytest.mark.parametrize("name", sorted(PAGES))
def test_every_link_leads_to_a_page(name: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", PAGES[name]):
        if target.startswith("https://"):
            continue  # A source's own address.
        assert ((DOCS / "clinical" / name).parent / target).exists(), target


def test_every_shipped_reason_has_a_vignette() -> None:
    for name, text in PAGES.items():
        if name.startswith("reasons/"):
            assert not text.endswith("None.\n"), name
