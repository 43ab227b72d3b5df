"""The documentation as a site: built as CI builds it, every page in it, every link followed."""

import tomllib
from pathlib import Path

import pytest

from tests.support.source_tree import ROOT, load_script

pytestmark = pytest.mark.xdist_group("site")  # It is built once.

SITE = load_script(ROOT / "docs" / "build_site.py")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. A link that leads nowhere fails here, with all others that do."""
    first: Path = SITE.build(tmp_path_factory.mktemp("site"))
    return first.parent


def test_every_page_is_in_the_site(site: Path) -> None:
    places = [name.replace("README.md", "index.md") for name in SITE.site_pages()]
    missing = [name for name in places if not (site / name).with_suffix(".html").exists()]
    assert missing == []


def test_every_kind_of_user_has_a_section() -> None:
    titles = " ".join(
        section["title"] for section in tomllib.loads((ROOT / "docs" / "site.toml").read_text("utf-8"))["navigation"]
    )
    for user in ("interface analysts", "radiologists", "operations", "quality leads"):
        assert user in titles


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<a href="away.html">x</a> <a href="#there">y</a> <p id="there">', encoding="utf-8"
    )
    assert list(SITE.broken_links(tmp_path)) == ["index.html: away.html: is not there"]


def test_what_a_page_would_fetch_from_elsewhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<script src="https://cdn.example/x.js"></script>', encoding="utf-8")
    (problem,) = SITE.broken_links(tmp_path)
    assert problem.endswith("is fetched from another machine")


def test_a_page_that_is_in_no_section_is_named() -> None:
    settings = {"navigation": [{"title": "A", "pages": ["index.md"]}]}
    with pytest.raises(ValueError, match=r"listed nowhere.*other"):
        SITE.navigation(settings, {"index.md": ROOT / "README.md", "other.md": ROOT / "README.md"})
