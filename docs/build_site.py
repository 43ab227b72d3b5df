"""Build the documentation as a site: python docs/build_site.py [FOLDER], artifacts/ without one.

Takes the pages as they are in the repository, where their links lead to files. What they link to outside docs/ comes along;
docs/site.toml says what stands where. Afterwards every link of the built pages is followed: one that leads nowhere, or to
another machine for something that a page needs, ends it with 1.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
TOP_PAGES = {"about.md": "README.md", "contributing.md": "CONTRIBUTING.md", "security.md": "SECURITY.md"}
NOT_PAGES = ("adr/0000-template.md",)
_LINK = re.compile(r"(\]\()((?!https?:|mailto:|#)[^)\s]+)(\))")


def site_pages() -> dict[str, Path]:
    """Every page by its place in the site."""
    pages = {path.relative_to(DOCS).as_posix(): path for path in DOCS.rglob("*.md")}
    pages.update({place: ROOT / name for place, name in TOP_PAGES.items()})
    return {name: path for name, path in sorted(pages.items()) if name not in NOT_PAGES}


def navigation(settings: dict[str, Any], pages: dict[str, Path]) -> list[dict[str, list[dict[str, str]]]]:
    """The sections with their pages, as Zensical takes them.

    Raises:
        ValueError: A page is listed twice, nowhere, or is not there.
    """
    sections = settings["navigation"]
    named = [entry for section in sections for entry in section["pages"] if not entry.endswith("*")]
    twice = {entry for entry in named if named.count(entry) > 1}
    absent = set(named) - set(pages)
    if twice or absent:
        raise ValueError(f"docs/site.toml: listed twice {sorted(twice)}, not there {sorted(absent)}")
    built = []
    left = dict.fromkeys(name for name in pages if name not in named)
    for section in sections:
        listed: list[str] = []
        for entry in section["pages"]:
            if entry.endswith("/*"):
                found = [name for name in left if Path(name).parent.as_posix() == entry[:-2]]
                listed.extend(found)
                left = dict.fromkeys(name for name in left if name not in found)
            else:
                listed.append(entry)
        built.append({section["title"]: [{_title(pages[name]): name} for name in listed]})
    if left:
        raise ValueError(f"docs/site.toml: listed nowhere {sorted(left)}")
    return built


def _title(path: Path) -> str:
    heading = re.search(r"^# (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return heading[1].replace("`", "") if heading else path.stem.replace("-", " ").capitalize()


def copy_pages(pages: dict[str, Path], target: Path) -> None:
    """Write the pages below *target*, with links that lead to their places in the site, and what they link to."""
    places = {path.resolve(): name for name, path in pages.items()}
    for name, path in pages.items():

        def moved(match: re.Match[str], *, name: str = name, path: Path = path) -> str:
            link, _, heading = match[2].partition("#")
            linked = (path.parent / link).resolve()
            place = places.get(linked) or _carried(linked, target)
            back = "../" * name.count("/")
            return f"{match[1]}{back}{place}{'#' + heading if heading else ''}{match[3]}"

        written = target / name
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(_outside_code(path.read_text(encoding="utf-8"), moved), encoding="utf-8")


def _outside_code(text: str, replacement: Any) -> str:
    """*text* with its links replaced, except in fenced blocks."""
    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else _LINK.sub(replacement, part) for part in parts)


def _carried(linked: Path, target: Path) -> str:
    """A file outside docs/ comes along; of a folder, its list of files."""
    place = Path("files") / linked.relative_to(ROOT)
    if linked.is_dir():
        listed = sorted(path.relative_to(linked).as_posix() for path in linked.rglob("*") if path.is_file())
        place = place.with_name(place.name + ".txt")
        (target / place).parent.mkdir(parents=True, exist_ok=True)
        (target / place).write_text(
            "\n".join(name for name in listed if "__pycache__" not in name) + "\n", encoding="utf-8"
        )
    else:
        (target / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(linked, target / place)
    return place.as_posix()


def _toml(value: Any) -> str:
    """A value in TOML, as far as the navigation and the settings need it."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case dict():
            return "{ " + ", ".join(f"{_toml(key)} = {_toml(one)}" for key, one in value.items()) + " }"
        case list():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case _:
            return str(value)


class _Page(HTMLParser):
    """The links of a page and the places in it that links can lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.needed: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors.update(values[name] for name in ("id", "name") if name in values)
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in ("script", "img", "iframe") and "src" in values:
            self.needed.append(values["src"])
        if tag == "link" and values.get("rel") in ("stylesheet", "icon", "preload"):
            self.needed.append(values["href"])


def broken_links(site: Path) -> Iterator[str]:
    """Each link of the built pages that leads nowhere, and each thing that a page would fetch from elsewhere."""
    pages: dict[Path, _Page] = {}
    for path in sorted(site.rglob("*.html")):
        pages[path] = _Page()
        pages[path].feed(path.read_text(encoding="utf-8"))
    for path, page in pages.items():
        if path.name == "404.html":
            continue  # Its links start at the root of the server that it will be on.
        for link in (*page.links, *page.needed):
            problem = _follow(link, path, pages, is_needed=link in page.needed)
            if problem:
                yield f"{path.relative_to(site)}: {link}: {problem}"


def _follow(link: str, path: Path, pages: dict[Path, _Page], *, is_needed: bool) -> str:
    parts = urlsplit(link)
    if parts.scheme in ("http", "https") or parts.netloc:
        return "is fetched from another machine" if is_needed else ""
    if parts.scheme:
        return ""
    linked = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if linked.is_dir():
        linked /= "index.html"
    if not linked.exists():
        return "is not there"
    anchor = unquote(parts.fragment)
    if anchor and linked in pages and anchor not in pages[linked].anchors:
        return "has no such heading"
    return ""


def build(folder: Path) -> Path:
    """Build the site below *folder*; returns where its first page is.

    Raises:
        ValueError: The navigation, or a link, is wrong.
        subprocess.CalledProcessError: Zensical failed; it has said why.
    """
    source, site = folder / "site-source", folder / "site"
    for old in (source, site):
        shutil.rmtree(old, ignore_errors=True)
    pages = site_pages()
    settings = tomllib.loads((DOCS / "site.toml").read_text(encoding="utf-8"))
    nav = navigation(settings, pages)
    copy_pages(pages, source / "pages")
    project = {**settings["project"], "docs_dir": "pages", "site_dir": "site", "nav": nav}
    lines = ["[project]", *(f"{key} = {_toml(value)}" for key, value in project.items())]
    (source / "zensical.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    program = Path(sys.executable).with_name("zensical")
    subprocess.run([program, "build", "--clean", "--strict"], cwd=source, check=True)  # noqa: S603 - a program of our own environment
    (source / "site").rename(site)
    _complain(broken_links(site))
    return site / "index.html"


def _complain(problems: Iterable[str]) -> None:
    found = list(problems)
    if found:
        raise ValueError("\n".join(found))


if __name__ == "__main__":
    try:
        print(build(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "artifacts").resolve()))
    except ValueError as error:
        sys.exit(str(error))
