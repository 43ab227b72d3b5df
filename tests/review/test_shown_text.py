"""Text from outside as pages and files show it."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.review.shown_text import short, shown, spreadsheet_text, with_visible_controls

FORMULA_SIGNS = ("=", "+", "-", "@")


@given(st.text(), st.integers(1, 50))
def test_nothing_shown_moves_the_cursor_or_turns_the_text(text: str, length_max: int) -> None:
    found = shown(text, length_max)
    assert len(found) <= length_max + 1
    for character in found:
        kind = unicodedata.category(character)
        assert kind not in ("Cc", "Cs") or character in "\t\n"
        assert unicodedata.bidirectional(character) not in (
            "LRE",
            "RLE",
            "LRO",
            "RLO",
            "PDF",
            "LRI",
            "RLI",
            "FSI",
            "PDI",
        )


@given(st.text())
def test_no_cell_is_a_formula(text: str) -> None:
    found = spreadsheet_text(text)
    assert not found.startswith((*FORMULA_SIGNS, "\t", "\r", "\n"))
    assert "\r" not in found
    assert "\n" not in found


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@A1", "\t=1", " =1", "\uff1d1", "\u200e=1"])
def test_a_formula_becomes_text(text: str) -> None:
    assert spreadsheet_text(text).startswith("'")


def test_what_was_cut_says_so() -> None:
    assert short("x" * 200, 10) == "x" * 10 + "…"
    assert shown("\x00" * 100 + "y", 10).endswith("…")


@given(st.text(max_size=200))
def test_the_raw_view_has_a_picture_for_every_control(text: str) -> None:
    assert not [one for one in with_visible_controls(text) if unicodedata.category(one) == "Cc"]
