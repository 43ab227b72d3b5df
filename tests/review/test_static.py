"""Files that browsers load: ours, and one that is somebody else's, exactly as it was published."""

import hashlib
import re
import tomllib
from pathlib import Path

import pytest

from interceptor.review import rendering

FOLDER = Path(rendering.__file__).parent
STATIC = FOLDER / "static"
VENDORED = tomllib.loads((STATIC / "vendored.toml").read_text(encoding="utf-8"))


def test_every_vendored_file_is_the_one_that_was_published() -> None:
    for name, about in VENDORED.items():
        content = (STATIC / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == about["sha256"], name
        assert about["version"] in name


def test_every_script_is_ours_or_named_as_vendored() -> None:
    foreign = {file.name for file in STATIC.glob("*.min.js")}
    assert foreign == set(VENDORED)


@pytest.mark.parametrize("file", sorted(FOLDER.glob("templates/**/*.html")), ids=lambda file: file.name)
def test_no_template_has_script_or_style_of_its_own_or_trusts_a_value(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"<script(?! src=)|<style|\son[a-z]+=|\sstyle=|\|\s*safe|autoescape", text)


@pytest.mark.parametrize("file", sorted(STATIC.glob("*.[cj]s*")), ids=lambda file: file.name)
def test_nothing_is_loaded_from_elsewhere(file: Path) -> None:
    if file.name in VENDORED:
        return
    assert not re.search(r"https?://(?!www\.w3\.org/)|@import|eval\(|new Function", file.read_text(encoding="utf-8"))
