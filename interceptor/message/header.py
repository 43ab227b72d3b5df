r"""The first segment alone: what kind of message it is, who sent it, how it is to be acknowledged.

`peek_header` is the cheapest read there is, for messages that are not orders. It splits one segment.

MSH-1 is the field separator itself, so the text after "MSH|" is MSH-2 and not MSH-1; `field_index` is the one
place that knows.

Source: HL7 v2.9 chapter 2, 2.14.9 MSH.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from interceptor.message.charset import TWO_BYTE_CHARACTERS, masking_for, read_charset, split_outside
from interceptor.message.encoding import EncodingCharacters, parse_encoding

HEADER_SEGMENTS = frozenset({"MSH", "FHS", "BHS"})
"""Segments whose first field is the field separator itself."""

_UTF_8_BOM = b"\xef\xbb\xbf"
_WIDE_STARTS = (b"\xff\xfe", b"\xfe\xff", b"M\x00S\x00", b"\x00M\x00S")
_USUAL_START = b"MSH|^~\\&|"
_BLANK = b" \t\r\n"
_HEADER_START = re.compile(rb"(?:\A|[\r\n])[ \t]*(MSH[^A-Za-z0-9\r\n])")
_NO_FIELD = b""
_ESCAPE = 0x1B


class NotHl7Reason(StrEnum):
    """Why bytes are not an HL7 v2 message."""

    EMPTY = "empty"
    NO_HEADER = "no_header"
    WIDE_CHARACTERS = "wide_characters"
    BAD_DELIMITERS = "bad_delimiters"
    TOO_MANY_SEGMENTS = "too_many_segments"


class NotHl7(ValueError):  # noqa: N818 - a statement about the peer's bytes, as the standard's "not HL7"
    """The bytes are not an HL7 v2 message: they cannot be read at all.

    Attributes:
        reason: A stable word for logs and metrics.
        offset: Where the wrong byte stands, from the start of the frame's content.
    """

    def __init__(self, reason: NotHl7Reason, offset: int) -> None:
        super().__init__(f"{reason} at byte {offset}")
        self.reason = reason
        self.offset = offset


@dataclass(frozen=True, slots=True)
class MessageType:
    """MSH-9 as text: code "ORM", trigger "O01", structure "ORM_O01"; "" for what is absent."""

    code: str
    trigger: str = ""
    structure: str = ""

    def __str__(self) -> str:
        return f"{self.code}^{self.trigger}" if self.trigger else self.code


@lru_cache(maxsize=64)
def _read_message_type(raw: bytes, component: int) -> MessageType:
    parts = raw.split(bytes((component,)), 3)[:3]
    return MessageType(*[part.decode("latin-1").strip() for part in parts])


class HeaderPlace(NamedTuple):
    """Where the header stands: offsets of "MSH" and of the byte after its last field."""

    start: int
    end: int


def field_index(segment_name: str, number: int) -> int:
    """Index, in a segment split at the separator, of the field with this number (counted from 1).

    For MSH, FHS and BHS field 1 is the separator, which no split returns: it gives index 0, the name, which the
    caller must not read as a field.
    """
    return number - 1 if segment_name in HEADER_SEGMENTS else number


class Header:
    """The MSH segment, split into fields.

    Attributes:
        encoding: The delimiters.
        start, end: Byte offsets of the segment; `end` excludes its terminator.
    """

    __slots__ = ("_fields", "_message_type", "encoding", "end", "start")

    def __init__(self, fields: list[bytes], encoding: EncodingCharacters, start: int, end: int) -> None:
        self._fields = fields
        self._message_type: MessageType | None = None
        self.encoding = encoding
        self.start = start
        self.end = end

    def raw_field(self, number: int) -> bytes:
        """MSH-`number` exactly as received, b"" when absent."""
        if number == 1:
            return bytes((self.encoding.field,))
        index = number - 1
        return self._fields[index] if 0 < index < len(self._fields) else _NO_FIELD

    @property
    def message_type(self) -> MessageType:
        """MSH-9."""
        if self._message_type is None:
            self._message_type = _read_message_type(self.raw_field(9), self.encoding.component)
        return self._message_type

    @property
    def control_id(self) -> bytes:
        """MSH-10 exactly as received; b"" when empty."""
        return self.raw_field(10)

    @property
    def sending_application(self) -> bytes:
        """MSH-3 as received."""
        return self.raw_field(3)

    @property
    def sending_facility(self) -> bytes:
        """MSH-4 as received."""
        return self.raw_field(4)

    @property
    def version(self) -> str:
        """First component of MSH-12, e.g. "2.5.1"; "" when empty."""
        return self.raw_field(12).partition(bytes((self.encoding.component,)))[0].decode("latin-1").strip()

    @property
    def accept_ack(self) -> bytes:
        """MSH-15 as received: when an accept acknowledgment is asked for."""
        return self.raw_field(15)

    @property
    def application_ack(self) -> bytes:
        """MSH-16 as received: when an application acknowledgment is asked for."""
        return self.raw_field(16)

    @property
    def charset_names(self) -> list[bytes]:
        """MSH-18, one for each repetition."""
        return split_repetitions(self.raw_field(18), self.encoding.repetition)


def split_repetitions(raw: bytes, repetition: int | None) -> list[bytes]:
    """The repetitions of a field of plain bytes; one where the message has no such delimiter."""
    return [raw] if repetition is None else raw.split(bytes((repetition,)))


def _line_end(raw: bytes, start: int) -> int:
    """Offset of the CR or LF that ends the line, or the end of the bytes."""
    end = raw.find(b"\r", start)
    if end < 0:
        end = len(raw)
    # Looked for only up to the CR: a message may be large and have no LF at all.
    line_feed = raw.find(b"\n", start, end)
    return end if line_feed < 0 else line_feed


def _find_start(raw: bytes) -> int:
    """Offset of the first "MSH", behind a byte order mark, blank lines and batch headers.

    Raises:
        NotHl7: There is none.
    """
    content = raw.lstrip(_BLANK).removeprefix(_UTF_8_BOM).lstrip(_BLANK)
    if content.startswith(b"MSH"):
        return len(raw) - len(content)
    if not content:
        raise NotHl7(NotHl7Reason.EMPTY, 0)
    if raw.startswith(_WIDE_STARTS):
        raise NotHl7(NotHl7Reason.WIDE_CHARACTERS, 0)
    if content.startswith((b"FHS", b"BHS")):
        match = _HEADER_START.search(raw)
        if match is not None:
            return match.start(1)
    raise NotHl7(NotHl7Reason.NO_HEADER, len(raw) - len(content))


def read_header(raw: bytes) -> Header:
    """Read the first MSH of a message.

    Raises:
        NotHl7: There is none, or its delimiters are not delimiters.
    """
    start = 0 if raw.startswith(b"MSH") else _find_start(raw)
    end = _line_end(raw, start)
    line = raw[start:end]
    separator = line[3:4]
    fields = line.split(separator) if separator else []
    encoding = parse_encoding(separator, fields[1]) if len(fields) > 1 else None
    if encoding is None:
        raise NotHl7(NotHl7Reason.BAD_DELIMITERS, start + 3)
    header = Header(fields, encoding, start, end)
    if line.isascii() and _ESCAPE not in line:
        return header
    # The character set stands behind fields that it may hide delimiters in, so MSH-18 is looked for both ways.
    apart = Header(split_outside(line, separator, TWO_BYTE_CHARACTERS), encoding, start, end)
    if masking_for(line, read_charset(apart.charset_names)) is TWO_BYTE_CHARACTERS:
        return apart
    masking = masking_for(line, read_charset(header.charset_names))
    return Header(split_outside(line, separator, masking), encoding, start, end)


def peek_usual_fields(raw: bytes) -> list[bytes] | None:
    r"""The fields of a usual MSH: it comes first, has the delimiters `|^~\&`, ends with CR and is plain ASCII.

    Indexed as a split gives them: MSH-n at n - 1. None for any other, which `read_header` may read all the same. About
    one microsecond.
    """
    if not raw.startswith(_USUAL_START):
        return None
    line = raw[: raw.find(b"\r")]
    if len(line) == len(raw) - 1 or not line.isascii() or _ESCAPE in line or b"\n" in line:
        return None
    return line.split(b"|")


def usual_header(fields: list[bytes]) -> Header:
    """The header that `peek_usual_fields` found."""
    encoding = parse_encoding(b"|", fields[1])
    assert encoding is not None
    return Header(fields, encoding, 0, sum(map(len, fields)) + len(fields) - 1)


def peek_header(raw: bytes) -> Header | None:
    """Read the first MSH of a message; None when the bytes are not HL7. A few microseconds."""
    try:
        return read_header(raw)
    except NotHl7:
        return None
