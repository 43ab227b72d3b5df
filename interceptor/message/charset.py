r"""Which characters the bytes of a message are: MSH-18, and decoding that never fails.

Text is decoded for reading only, when a field is read; what passes on is never re-encoded.

Some encodings use delimiter bytes inside a character: ISO 2022 (ESC $ B ... ESC ( B, where 0x5C is half of a
kanji), GB 18030 and BIG-5 (second byte 0x40-0x7E). `masking_for` finds those, so that splitting can step over.

Source: HL7 v2.9 chapter 2, 2.14.9.18 and 2.14.9.20; table 0211.
"""

import re
from dataclasses import dataclass

_ESCAPE = 0x1B
_FALLBACK = "latin-1"
_PLAIN_NAMES = frozenset({"", "ASCII", "ISO IR6", "UNICODE"})
_UTF_8_NAMES = frozenset({"UNICODE UTF-8", "UTF-8", "UTF8"})
_JAPANESE_NAMES = frozenset({"ISO IR13", "ISO IR14", "ISO IR87", "ISO IR159"})
_TWO_BYTE_CODECS = {"GB 18030": "gb18030", "GB 18030-2000": "gb18030", "BIG-5": "big5", "BIG5": "big5"}
_KOREAN_NAMES = frozenset({"KS X 1001"})
_ISO_8859_PARTS = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16}  # There is no ISO 8859-12.

# ESC $ ... designates a two-byte set until the next ESC; ESC ( ... returns to a one-byte set. HL7 asks senders to
# return before a delimiter or a segment's end, and a segment's end is the last place where we let it count.
# Every set in use ends its sequence with a letter or digit; a delimiter there is a delimiter.
_ISO_2022 = re.compile(rb"\x1b(?:\$[(-/]?[@-Za-z][^\x1b\r\n]*|[ -/]+[0-9@-Za-z])")
TWO_BYTE_CHARACTERS = re.compile(rb"[\x81-\xfe][\x40-\x7e\x80-\xfe]")
"""Characters of GB 18030 and BIG-5 whose second byte may equal a delimiter."""


@dataclass(frozen=True, slots=True)
class Charset:
    """How to read the text of one message.

    Attributes:
        name: First repetition of MSH-18 as received, "" when empty.
        codec: Python's name of the codec; None to try UTF-8 and then ISO 8859-1.
        is_known: False when MSH-18 names something that we cannot read as named; it is then read as ISO 8859-1
            (UTF-16 and UTF-32: as UTF-8, then ISO 8859-1, for such a message could not have come this far).
    """

    name: str
    codec: str | None
    is_known: bool = True

    def decode(self, raw: bytes) -> str:
        """Decode bytes; never raises. What the codec cannot read becomes U+FFFD."""
        if raw.isascii() and _ESCAPE not in raw:
            return raw.decode("ascii")
        if self.codec == "euc_kr" and _ESCAPE in raw:
            return raw.decode("iso2022_kr", "replace")
        if self.codec is not None:
            return raw.decode(self.codec, "replace")
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            return raw.decode(_FALLBACK)


_UNSTATED = Charset("", None)


def _normalise(raw: bytes) -> str:
    return " ".join(raw.decode(_FALLBACK).upper().replace("_", " ").split())


def _read_8859(name: str) -> str | None:
    """Python's codec for "8859/1", "ISO 8859-1", "ISO-8859-15" ...; None for another name."""
    match = re.fullmatch(r"(?:ISO[ -]?)?8859[/-](\d{1,2})", name)
    if match is None or int(match[1]) not in _ISO_8859_PARTS:
        return None
    return f"iso8859_{int(match[1])}"


def read_charset(repetitions: list[bytes]) -> Charset:
    """Read MSH-18, already split into its repetitions; the first is the default, others are switched to by escapes.

    Never raises; an unknown name is read as ISO 8859-1 and flagged.
    """
    if not repetitions or repetitions == [b""]:
        return _UNSTATED
    names = [_normalise(repetition) for repetition in repetitions]
    stated = repetitions[0].decode(_FALLBACK)
    first = names[0]
    if any(name in _JAPANESE_NAMES for name in names):
        return Charset(stated, "iso2022_jp_ext")
    if first in _PLAIN_NAMES or first in _UTF_8_NAMES:
        return Charset(stated, None)
    if first.startswith(("UNICODE UTF-16", "UNICODE UTF-32", "UTF-16", "UTF-32")):
        return Charset(stated, None, is_known=False)
    codec = _TWO_BYTE_CODECS.get(first) or ("euc_kr" if first in _KOREAN_NAMES else _read_8859(first))
    return Charset(stated, _FALLBACK, is_known=False) if codec is None else Charset(stated, codec)


def masking_for(raw: bytes, charset: Charset) -> re.Pattern[bytes] | None:
    """The pattern of characters that may hide delimiter bytes; None when these bytes have none.

    `raw` is the message or any part of it.
    """
    if _ESCAPE in raw:
        return _ISO_2022
    if charset.codec in ("gb18030", "big5") and not raw.isascii():
        return TWO_BYTE_CHARACTERS
    return None


def split_outside(raw: bytes, separator: bytes, masking: re.Pattern[bytes] | None) -> list[bytes]:
    """Split at a delimiter, but not inside a multi-byte character."""
    if masking is None:
        return raw.split(separator)
    masked = masking.sub(lambda match: b"\x00" * len(match[0]), raw)
    parts = []
    offset = 0
    for part in masked.split(separator):
        parts.append(raw[offset : offset + len(part)])
        offset += len(part) + 1
    return parts
