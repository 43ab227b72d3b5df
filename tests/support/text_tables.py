"""The shipped text tables, read once for tests."""

from functools import cache
from pathlib import Path

from interceptor.context.text_matcher import TextMatcher, parse_text_tables

TEXT_FOLDER = Path(__file__).resolve().parents[2] / "mappings" / "text"


@cache
def text_files() -> dict[str, str]:
    """Return name and content of every file of mappings/text."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(TEXT_FOLDER.glob("*.csv"))}


@cache
def shipped_matcher() -> TextMatcher:
    """Return the matcher over the shipped tables."""
    return parse_text_tables(text_files())
