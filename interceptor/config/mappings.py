"""Load the clinical content of a mappings folder: code tables, text tables, one site profile, one policy.

    mappings/codes/*.csv  text/*  sites/NAME.toml (+ CSV)  policies/NAME.toml   ->  ClinicalContent

Everything is read and checked before anything is used, and every problem of every file is told at once: half of the
clinical content would decide wrongly without anybody seeing it.

Failures: a missing folder or file, a file that is not UTF-8 and every wrong row are problems of one MappingsError.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import tzinfo
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

from interceptor.context.code_table import CodeTables
from interceptor.context.code_table_reading import CodeTableError, parse_code_tables
from interceptor.context.extract import ContextTables
from interceptor.context.site_profile import SiteProfile
from interceptor.context.site_profile_reading import SiteProfileError, parse_site_profile
from interceptor.context.text_matcher import TextMatcher, parse_text_tables
from interceptor.context.text_table import TextTableError
from interceptor.decision.clinical_content import ClinicalContent
from interceptor.decision.policy import Policy, parse_policy
from interceptor.decision.policy_reader import PolicyError

_Part = TypeVar("_Part")
_SUFFIX = ".toml"


class MappingsError(ValueError):
    """The clinical content cannot be used.

    Attributes:
        problems: One line for each, "file:line: key: what is wrong".
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def find_mappings() -> Path:
    """Return the folder that ships: inside the installed package, else at the top of the checkout."""
    package = Path(__file__).parents[1]
    installed = package / "mappings"
    return installed if installed.is_dir() else package.parent / "mappings"


def _find_zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError):  # ZoneInfoNotFoundError is a KeyError on some versions, an OSError underneath
        return None
    except KeyError:
        return None


class _Folder:
    """Reads files, and notes what cannot be read."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.problems: list[str] = []

    def read(self, path: Path) -> str | None:
        try:
            return path.read_bytes().decode("utf-8")
        except OSError:
            self.problems.append(f"{path}:1: cannot be read")
        except UnicodeDecodeError as error:
            self.problems.append(f"{path}:1: not UTF-8 at byte {error.start}")
        return None

    def read_all(self, folder: Path, *suffixes: str) -> dict[str, str]:
        """Every file of a folder with one of these suffixes, by name."""
        if not folder.is_dir():
            self.problems.append(f"{folder}:1: no such folder")
            return {}
        found = {}
        for path in sorted(folder.iterdir()):
            if path.suffix in suffixes and path.is_file():
                text = self.read(path)
                if text is not None:
                    found[path.name] = text
        return found

    def locate(self, folder: str, name: str) -> Path:
        """The file of a name in a folder of the mappings; a name with a suffix or a slash is a path of its own."""
        if name.endswith(_SUFFIX) or "/" in name:
            return Path(name)
        return self.root / folder / f"{name}{_SUFFIX}"

    def build(self, folder: Path, make: Callable[[], _Part]) -> _Part | None:
        """What `make` gives; None when the content is wrong, whose problems are noted with their folder."""
        try:
            return make()
        except (CodeTableError, TextTableError, SiteProfileError, PolicyError) as error:
            self.problems.extend(f"{folder}/{problem}" for problem in error.problems)
            return None


def _load_site(folder: _Folder, name: str) -> SiteProfile | None:
    path = folder.locate("sites", name)
    if folder.read(path) is None:
        return None
    files = folder.read_all(path.parent, _SUFFIX, ".csv")
    return folder.build(path.parent, lambda: parse_site_profile(path.name, files, find_zone=_find_zone))


def _load_policy(folder: _Folder, name: str, profile: str) -> Policy | None:
    path = folder.locate("policies", name)
    text = folder.read(path)
    if text is None:
        return None
    return folder.build(path.parent, lambda: parse_policy(text, file=path.name, profile=profile))


def _load_codes(folder: _Folder) -> CodeTables | None:
    path = folder.root / "codes"
    files = folder.read_all(path, ".csv")
    return folder.build(path, lambda: parse_code_tables(files)) if files else None


def _load_text(folder: _Folder) -> TextMatcher | None:
    path = folder.root / "text"
    files = folder.read_all(path, ".csv")
    return folder.build(path, lambda: parse_text_tables(files)) if files else None


def load_clinical_content(*, mappings: Path, policy: str, profile: str, site: str) -> ClinicalContent:
    """Return everything that decides an order.

    Args:
        mappings: The folder; `find_mappings()` for the one that ships.
        policy: Name of a file in policies/, or the path of a TOML file.
        profile: Profile of the policy, e.g. "default" or "strict".
        site: Name of a file in sites/, or the path of a TOML file whose folder holds its code maps.

    Raises:
        MappingsError: Anything is missing or wrong; nothing is loaded.
    """
    folder = _Folder(mappings)
    codes = _load_codes(folder)
    text = _load_text(folder)
    site_profile = _load_site(folder, site)
    compiled = _load_policy(folder, policy, profile)
    if folder.problems or codes is None or text is None or site_profile is None or compiled is None:
        raise MappingsError(tuple(folder.problems) or (f"{mappings}:1: no clinical content here",))
    if site_profile.snomed_expansion:
        codes = codes.with_snomed(site_profile.snomed_expansion)
        site_profile = replace(site_profile, snomed_expansion={})
    tables = ContextTables(codes=codes, text=text, site=site_profile)
    return ClinicalContent(tables=tables, policy=compiled)
