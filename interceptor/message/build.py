r"""Segments that we author, in the delimiters of the message they go into.

Everything that we add is ASCII, so that it reads the same in whatever character set the message states, with
delimiters escaped and control characters removed.

Source: HL7 v2.9 chapter 2, 2.6 message construction rules.
"""

# ruff: noqa: RUF001 - the table of spellings holds the very characters that look like others.

import re
import unicodedata
from collections.abc import Sequence
from typing import TypeAlias

from interceptor.message.encoding import EncodingCharacters
from interceptor.message.escape import escape
from interceptor.message.header import HEADER_SEGMENTS

Field: TypeAlias = "str | bytes | tuple[str | bytes, ...]"
"""One field to build: text (escaped), bytes (copied as they are), or a tuple of components of either kind."""

_NAME = re.compile(r"[A-Z][A-Z0-9]{2}")
# What Unicode's decomposition leaves whole, and what people's keyboards put into a text.
_SPELLINGS = str.maketrans(
    {
        "ß": "ss", "æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O", "œ": "oe", "Œ": "OE", "ł": "l", "Ł": "L", "đ": "d",
        "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ı": "i", "µ": "u", "μ": "u",
        "‘": "'", "’": "'", "‚": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"',
        "–": "-", "—": "-", "‐": "-", "‑": "-", "−": "-", "•": "*", "×": "x", "≥": ">=", "≤": "<=",
        "\t": " ", "\n": " ", "\r": " ", "\u2028": " ", "\u2029": " ", "\u0085": " ",
    }
)  # fmt: skip


class BuildError(ValueError):
    """A segment cannot be built as asked: our own mistake, not the peer's."""


def ascii_text(text: str, *, size_max: int | None = None) -> str:
    """Spell a text in printable ASCII: accents dropped, line ends and tabs as blanks, other controls removed.

    A character that has no ASCII spelling becomes "?". `size_max` caps the number of characters.
    """
    spelled = unicodedata.normalize("NFKD", text.translate(_SPELLINGS))
    kept = (
        "?" if ord(character) > 0x7E else character
        for character in spelled
        if not unicodedata.combining(character) and unicodedata.category(character) not in ("Cc", "Cf", "Cs")
    )
    return "".join(kept)[:size_max]


def _build_component(value: str | bytes, encoding: EncodingCharacters) -> bytes:
    return value if isinstance(value, bytes) else escape(value, encoding)


def build_field(value: Field, encoding: EncodingCharacters) -> bytes:
    """Build one field: text escaped, components joined with the message's separator, bytes copied."""
    if isinstance(value, tuple):
        return bytes((encoding.component,)).join([_build_component(part, encoding) for part in value])
    return _build_component(value, encoding)


def build_segment(encoding: EncodingCharacters, name: str, fields: Sequence[Field]) -> bytes:
    """Build one segment without its terminator; `fields` begins with field 1.

    Text should have gone through `ascii_text`: a line end in it becomes an escape, a non-ASCII character "?".

    Raises:
        BuildError: The name is none, or bytes given to be copied would break the segment.
    """
    if _NAME.fullmatch(name) is None or name in HEADER_SEGMENTS:
        msg = "not the name of a segment that can be built"
        raise BuildError(msg)
    separator = bytes((encoding.field,))
    built = [build_field(field, encoding) for field in fields]
    if any(separator in field or b"\r" in field or b"\n" in field for field in built):
        msg = f"{name}: copied bytes contain a separator or a line end"
        raise BuildError(msg)
    return separator.join([name.encode("ascii"), *built])
