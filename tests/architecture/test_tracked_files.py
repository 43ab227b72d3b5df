"""What must not stand in any file, and what the lock files must have."""

import re
from pathlib import Path

import pytest

from tests.support.source_tree import ROOT, shown, tracked_files

TEXT_SIZE_MAX = 2_000_000
# Spelled in pieces, so that this file does not contain what it looks for.
REGISTRY_HOSTS = re.compile(
    "|".join(("py" + r"pi\.org", "python" + r"hosted\.", "npm" + r"js\.", "deb" + r"ian\.org", "crates" + r"\.io"))
)
MACHINE_PATHS = re.compile(
    "|".join(
        (
            r"(?<![\w.])/work" + "/",
            r"(?<![\w.])/root" + "/",
            r"(?<![\w.])/home/(?!interceptor\b)" + r"\w",
            "/Users" + "/",
        )
    )
)
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def text_of(path: Path) -> str:
    content = path.read_bytes()
    return "" if b"\0" in content or len(content) > TEXT_SIZE_MAX else content.decode("utf-8", "replace")


@pytest.mark.parametrize("pattern", [REGISTRY_HOSTS, MACHINE_PATHS], ids=["registry hosts", "machine paths"])
def test_no_file_names_what_is_true_on_one_machine_only(pattern: re.Pattern[str]) -> None:
    found = [f"{shown(path)}: {match[0]}" for path in tracked_files() for match in pattern.finditer(text_of(path))]
    assert found == []


@pytest.mark.parametrize("path", LOCKS, ids=shown)
def test_every_locked_package_is_pinned_and_hashed_and_nothing_else_stands_in_a_lock(path: Path) -> None:
    entries = re.split(r"\n(?=\S)", path.read_text(encoding="ascii").strip())
    assert entries
    pinned = r"[a-z0-9._-]+==[^\s;]+(?: ; [^\\]+?)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+"
    assert [entry for entry in entries if not re.fullmatch(pinned, entry)] == []


def test_what_is_tested_is_what_runs() -> None:
    """Every package of the run lock, and of the image, stands in the test lock with the same version."""
    pins = {
        lock.stem: set(re.findall(r"^[a-z0-9._-]+==[^\s;]+", lock.read_text("ascii"), re.MULTILINE)) for lock in LOCKS
    }
    assert pins["run"] <= pins["container"] <= pins["test"]


def test_scripts_can_be_run() -> None:
    for script in (ROOT / "dev", ROOT / ".ci" / "run"):
        assert script.stat().st_mode & 0o111, script


def test_no_large_file_is_tracked() -> None:
    assert [shown(path) for path in tracked_files() if path.stat().st_size > 5_000_000] == []
