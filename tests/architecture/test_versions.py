"""The versions that are said in several places are the same ones."""

import re
import tomllib

import interceptor
from tests.support.source_tree import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_version_is_a_release_number() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+(rc\d+)?", interceptor.__version__)


def test_the_oldest_python_is_the_same_everywhere() -> None:
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert PROJECT["tool"]["mypy"]["python_version"] == oldest
    assert PROJECT["tool"]["ruff"]["target-version"] == "py" + oldest.replace(".", "")
    assert f"Programming Language :: Python :: {oldest}" in PROJECT["project"]["classifiers"]
    dev = (ROOT / "dev").read_text(encoding="utf-8")
    assert f"sys.version_info < ({oldest.replace('.', ', ')})" in dev
    assert f"--python-version {oldest}" in dev


def test_every_dependency_is_in_the_lock() -> None:
    lock = (ROOT / "requirements" / "run.txt").read_text(encoding="ascii")
    for requirement in PROJECT["project"]["dependencies"]:
        name = re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower()
        assert re.search(rf"^{re.escape(name)}==", lock, re.MULTILINE), f"{name}: run ./dev lock"
