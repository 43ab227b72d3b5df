"""Text from messages as a page may show it: no control characters, no direction tricks, never without end.

Names come from outside and may hold anything: markup is the templates' matter (autoescape), this module takes what
escaping leaves: controls that move the cursor or end a line, marks that turn the direction of what follows, and
lengths that push everything else off the screen. For tables that open in a spreadsheet, `spreadsheet_text` takes
formulas their start.

Source: Unicode Technical Report 36 (bidirectional text), OWASP "CSV injection".
"""

import re
import unicodedata

TEXT_LENGTH_MAX = 4000
"""Longest text that a page shows of one value: longer than any reason for exam that is meant to be read."""
NAME_LENGTH_MAX = 120
"""Longest name, number or code in a list."""

_DIRECTION = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_REMOVED = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\ufffe\uffff{_DIRECTION}\ud800-\udfff]")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
_VISIBLE = {
    "\t": "␉",
    "\n": "␊",
    "\r": "␍",
    "\x1b": "␛",
    "\x00": "␀",
    "\x0b": "␋",
    "\x1c": "␜",
    "\x7f": "␡",
}


def shown(text: str, length_max: int = TEXT_LENGTH_MAX) -> str:
    """*text* without control and direction characters, at most *length_max* characters; what was cut is marked with "…"."""
    clean = _REMOVED.sub("", text[: length_max * 4])
    return clean if len(clean) <= length_max and len(text) <= length_max * 4 else clean[:length_max] + "…"


def short(text: object, length_max: int = NAME_LENGTH_MAX) -> str:
    """A name, number or code on one line."""
    return shown(" ".join(str(text).split()), length_max)


def with_visible_controls(text: str, length_max: int = TEXT_LENGTH_MAX) -> str:
    """*text* with a picture in place of each control and direction character, for the raw view."""
    pictures = []
    for character in text[:length_max]:
        if character in _VISIBLE:
            pictures.append(_VISIBLE[character])
        elif _REMOVED.match(character):
            pictures.append(f"⟨{ord(character):04X}⟩")
        else:
            pictures.append(character)
    return "".join(pictures) + ("…" if len(text) > length_max else "")


def spreadsheet_text(value: object) -> str:
    """*value* for a cell: what a spreadsheet would take for a formula begins with an apostrophe."""
    text = shown(str(value)).replace("\r", " ").replace("\n", " ")
    starts = text.lstrip(" '\u00a0")
    # Full-width signs are formulas to some spreadsheets too.
    is_formula = starts.startswith(_FORMULA_STARTS) or unicodedata.normalize("NFKC", starts[:1]) in ("=", "+", "-", "@")
    return f"'{text}" if is_formula or text.startswith("\t") else text
