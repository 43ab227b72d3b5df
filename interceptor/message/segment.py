"""One segment as a span over the bytes that were received.

    Segment > field > repetition > component > subcomponent

Nothing is copied or decoded before it is read, and nothing that is read can change the bytes. Fields are split when the
first one is asked for. Every number counts from 1, as in the standard's text.

Source: HL7 v2.9 chapter 2, 2.5 message framework, 2.6 message construction rules.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from interceptor.message.charset import Charset, masking_for, read_charset, split_outside
from interceptor.message.encoding import USUAL_ENCODING, EncodingCharacters
from interceptor.message.escape import unescape
from interceptor.message.header import HEADER_SEGMENTS, Header, field_index, split_repetitions

HL7_NULL = b'""'
"""A field with this value says: delete what you have. It is not the same as an empty field."""
_QUOTE = 0x22


def is_null(raw: bytes) -> bool:
    """Whether a value is HL7's null, the instruction to delete."""
    return raw == HL7_NULL


class _Delimiters(NamedTuple):
    """The byte values of the delimiters; for one that the message lacks the field separator.

    No field contains the field separator, so looking for it there finds nothing, as it should.
    """

    field: bytes
    repetition: int
    component: int
    subcomponent: int
    escape: int


def _delimiters(encoding: EncodingCharacters) -> _Delimiters:
    wanted = (encoding.repetition, encoding.component, encoding.subcomponent, encoding.escape)
    values = [encoding.field if value is None else value for value in wanted]
    return _Delimiters(bytes((encoding.field,)), *values)


_USUAL_DELIMITERS = _delimiters(USUAL_ENCODING)


@lru_cache(maxsize=64)
def _read_charset_field(raw: bytes, repetition: int | None) -> Charset:
    return read_charset(split_repetitions(raw, repetition))


class SegmentReader:
    """What every segment of one message shares: the bytes, the delimiters and how to read text.

    Attributes:
        masking: What may hide delimiters; None in almost every message, and then the separators can be used.
        is_ascii: Whether every value without escape sequences is ASCII text as it stands.
    """

    __slots__ = ("charset", "component", "encoding", "escape", "field", "is_ascii", "masking", "raw", "repetition",
                 "subcomponent")  # fmt: skip

    def __init__(self, raw: bytes, header: Header) -> None:
        self.raw = raw
        encoding = self.encoding = header.encoding
        self.charset = _read_charset_field(header.raw_field(18), encoding.repetition)
        self.masking = masking_for(raw, self.charset)
        self.is_ascii = self.masking is None and raw.isascii()
        self.field, self.repetition, self.component, self.subcomponent, self.escape = (
            _USUAL_DELIMITERS if encoding is USUAL_ENCODING else _delimiters(encoding)
        )

    def split(self, raw: bytes, delimiter: int | None) -> list[bytes]:
        """The parts of a value; the whole value where the message has no such delimiter."""
        if delimiter is None:
            return [raw]
        return split_outside(raw, bytes((delimiter,)), self.masking)


_BYTES = tuple(bytes((value,)) for value in range(256))
_NOT_PLAIN = re.compile(rb'[~^&\\"]')


def _pick(raw: bytes, delimiter: int, number: int) -> bytes:
    """Part `number` of a value, counted from 1; b"" when it has fewer."""
    parts = raw.split(_BYTES[delimiter])
    return parts[number - 1] if 0 < number <= len(parts) else b""


class Segment:
    """One segment, as a span.

    Attributes:
        name: Three characters, e.g. "OBR"; for a line that is no segment, what stands before the first separator.
        index: Place in the message, counted from 0.
        occurrence: Which segment of this name, counted from 1.
        start: Byte offset of the name.
        end: Byte offset after the last field, where the terminator begins.
        end_with_terminator: Byte offset after the terminator; equals `end` when the message stops without one.
    """

    __slots__ = (
        "_fields",
        "_is_header",
        "_reader",
        "end",
        "end_with_terminator",
        "index",
        "name",
        "occurrence",
        "start",
    )

    def __init__(
        self, reader: SegmentReader, name: str, index: int, occurrence: int, span: tuple[int, int, int]
    ) -> None:
        self._reader = reader
        self._fields: list[bytes] | None = None
        self._is_header = name in HEADER_SEGMENTS
        self.name = name
        self.index = index
        self.occurrence = occurrence
        self.start, self.end, self.end_with_terminator = span

    @property
    def raw_bytes(self) -> bytes:
        """The segment as received, without its terminator."""
        return self._reader.raw[self.start : self.end]

    @property
    def is_usual(self) -> bool:
        """Whether equal bytes are equal text: the message is ASCII and has the delimiters that everyone uses."""
        return self._reader.is_ascii and self._reader.encoding is USUAL_ENCODING

    @property
    def is_absent(self) -> bool:
        """True for the stand-in for a segment that the message does not have: all its fields are empty."""
        return self.start == self.end

    def stand_in(self, name: str) -> "Segment":
        """A stand-in for a segment that the message lacks before this one: every field is empty."""
        return Segment(self._reader, name, -1, 0, (self.start, self.start, self.start))

    @property
    def field_count(self) -> int:
        """Number of the last field that is present, which may be empty; 0 for a bare name."""
        return len(self._split()) - 1 + self._is_header

    def _split(self) -> list[bytes]:
        fields = self._fields
        if fields is None:
            reader = self._reader
            fields = self._fields = split_outside(reader.raw[self.start : self.end], reader.field, reader.masking)
        return fields

    def raw_field(self, number: int) -> bytes:
        """Field `number` with all its repetitions, exactly as received; b"" when absent."""
        fields = self._fields or self._split()
        index = number - self._is_header
        if index <= 0:
            return self._reader.field if number == 1 and not self.is_absent else b""
        return fields[index] if index < len(fields) else b""

    def _is_delimiter_field(self, number: int) -> bool:
        """Whether the field holds the delimiters themselves (MSH-1, MSH-2), which nothing splits."""
        return self._is_header and number <= 2

    def plain_text(self, number: int) -> str | None:
        r"""A field that is one plain value, as text: no delimiter, no escape sequence, nothing but ASCII. None for any other.

        For what nearly every field is: asking for its repetitions and components costs more.
        """
        raw = self.raw_field(number)
        if not self.is_usual or self._is_header or _NOT_PLAIN.search(raw) is not None:
            return None
        return raw.decode("ascii")

    def repetitions(self, number: int) -> list[bytes]:
        """The repetitions of a field, exactly as received; empty when the field is empty or absent."""
        raw = self.raw_field(number)
        if not raw:
            return []
        return [raw] if self._is_delimiter_field(number) else self._reader.split(raw, self._reader.encoding.repetition)

    def repetition_count(self, number: int) -> int:
        """How many repetitions a field has; 0 when it is empty or absent."""
        return len(self.repetitions(number))

    def raw(self, number: int, repetition: int = 1, component: int | None = 1, subcomponent: int | None = 1) -> bytes:
        """One value exactly as received; b"" when absent.

        `component` None means the whole repetition, `subcomponent` None the whole component.
        """
        fields = self._fields or self._split()
        is_plain = 0 < number < len(fields) and not self._is_header
        raw = fields[number] if is_plain else self.raw_field(number)
        if not raw:
            return raw
        if self._is_header and number <= 2:
            return raw if (repetition, component or 1, subcomponent or 1) == (1, 1, 1) else b""
        reader = self._reader
        if reader.masking is not None:
            return self._masked_part(raw, repetition, component, subcomponent)
        # The test for the byte is far cheaper than a split, and most fields have one part.
        if repetition != 1 or reader.repetition in raw:
            raw = _pick(raw, reader.repetition, repetition)
        if component is not None:
            if component != 1 or reader.component in raw:
                raw = _pick(raw, reader.component, component)
            if subcomponent is not None and (subcomponent != 1 or reader.subcomponent in raw):
                raw = _pick(raw, reader.subcomponent, subcomponent)
        return raw

    def _masked_part(self, raw: bytes, repetition: int, component: int | None, subcomponent: int | None) -> bytes:
        """The same where characters may hide delimiters."""
        encoding = self._reader.encoding
        wanted = [(encoding.repetition, repetition), (encoding.component, component)]
        if component is not None:
            wanted.append((encoding.subcomponent, subcomponent))
        for delimiter, number in wanted:
            if number is not None:
                parts = self._reader.split(raw, delimiter)
                raw = parts[number - 1] if 0 < number <= len(parts) else b""
        return raw

    def text(self, number: int, component: int | None = 1, *, repetition: int = 1, subcomponent: int | None = 1) -> str:
        r"""One value as text: decoded, escape sequences replaced; "" when absent or null (`""`).

        `component` None means the whole repetition with its delimiters, `subcomponent` None the whole component:
        for free text in which a sender left "&" or "^" unescaped.
        """
        raw = self.raw(number, repetition, component, subcomponent)
        if not raw or raw == HL7_NULL:
            return ""
        reader = self._reader
        if (reader.is_ascii and reader.escape not in raw) or (self._is_header and number <= 2):
            return raw.decode("ascii")
        return unescape(raw, reader.encoding, reader.charset)

    def components(self, number: int, *, repetition: int = 1, subcomponent: int | None = 1) -> list[str]:
        """The text of every component of one repetition, as `text` reads it; empty when the repetition is.

        `subcomponent` None: each component with all its subcomponents.
        """
        raw = self.raw(number, repetition, None)
        if not raw:
            return []
        reader = self._reader
        plain = reader.is_ascii and reader.escape not in raw and _QUOTE not in raw
        if plain and (subcomponent is None or (subcomponent == 1 and reader.subcomponent not in raw)):
            if self._is_delimiter_field(number):
                return [raw.decode("ascii")]
            return raw.decode("ascii").split(chr(reader.encoding.component))
        count = 1 if self._is_delimiter_field(number) else len(reader.split(raw, reader.encoding.component))
        return [
            self.text(number, component, repetition=repetition, subcomponent=subcomponent)
            for component in range(1, count + 1)
        ]

    def span(
        self,
        number: int,
        repetition: int | None = None,
        component: int | None = None,
        subcomponent: int | None = None,
    ) -> tuple[int, int] | None:
        """Byte offsets (start, end) of a value in the message; None when the message has no such place.

        None for a number means the whole of what is above it: `span(4)` is the whole field with all repetitions.
        An empty field that is present has an empty span.
        """
        fields = self._split()
        index = field_index(self.name, number)
        if not 0 < index < len(fields):
            return None
        start = self.start + sum(map(len, fields[:index])) + index
        raw = fields[index]
        if self._is_delimiter_field(number):
            return (start, start + len(raw)) if (repetition, component, subcomponent) == (None,) * 3 else None
        encoding = self._reader.encoding
        wanted = ((encoding.repetition, repetition), (encoding.component, component),
                  (encoding.subcomponent, subcomponent))  # fmt: skip
        for place, (delimiter, part_number) in enumerate(wanted):
            if part_number is None:
                if all(following is None for _, following in wanted[place:]):
                    break
                part_number = 1
            parts = self._reader.split(raw, delimiter)
            if not 0 < part_number <= len(parts):
                return None
            start += sum(map(len, parts[: part_number - 1])) + part_number - 1
            raw = parts[part_number - 1]
        return start, start + len(raw)
