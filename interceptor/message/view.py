"""A message as spans over the bytes that were received.

    MessageView(raw) > Segment > field > repetition > component > subcomponent

Nothing is copied or decoded before it is read, and nothing that is read can change the bytes. Segments end at
CR; LF and CRLF are read too. Every number counts from 1, as in the standard's text.

Source: HL7 v2.9 chapter 2, 2.5 message framework, 2.6 message construction rules.
"""

import re
from functools import lru_cache

from interceptor.message.charset import Charset, masking_for, read_charset, split_outside
from interceptor.message.encoding import EncodingCharacters
from interceptor.message.escape import unescape
from interceptor.message.header import (
    HEADER_SEGMENTS,
    Header,
    MessageType,
    NotHl7,
    NotHl7Reason,
    field_index,
    read_header,
)
from interceptor.message.path import FieldPath, parse_path

HL7_NULL = b'""'
"""A field with this value says: delete what you have. It is not the same as an empty field."""

LINE_COUNT_MAX = 50_000
"""Most line ends in a message that is read: 16 MiB of them would take seconds and gigabytes as segments. The longest
message of the corpus has 346."""

_BATCH_SEGMENTS = frozenset({"FHS", "BHS", "BTS", "FTS"})
_NAME_SIZE = 3
_UTF_8_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\n"


def is_null(raw: bytes) -> bool:
    """Whether a value is HL7's null, the instruction to delete."""
    return raw == HL7_NULL


class _Reader:
    """What every segment of one message shares: the bytes, the delimiters and how to read text."""

    __slots__ = ("charset", "encoding", "masking", "raw")

    def __init__(self, raw: bytes, header: Header) -> None:
        self.raw = raw
        self.encoding = header.encoding
        self.charset = read_charset(header.charset_names)
        self.masking = masking_for(raw, self.charset)

    def split(self, raw: bytes, delimiter: int | None) -> list[bytes]:
        if delimiter is None:
            return [raw]
        return split_outside(raw, bytes((delimiter,)), self.masking)


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

    __slots__ = ("_fields", "_reader", "end", "end_with_terminator", "index", "name", "occurrence", "start")

    def __init__(self, reader: _Reader, name: str, index: int, occurrence: int, span: tuple[int, int, int]) -> None:
        self._reader = reader
        self._fields: list[bytes] | None = None
        self.name = name
        self.index = index
        self.occurrence = occurrence
        self.start, self.end, self.end_with_terminator = span

    @property
    def raw_bytes(self) -> bytes:
        """The segment as received, without its terminator."""
        return self._reader.raw[self.start : self.end]

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
        return len(self._split()) - 1 + (self.name in HEADER_SEGMENTS)

    def _split(self) -> list[bytes]:
        fields = self._fields
        if fields is None:
            reader = self._reader
            fields = self._fields = reader.split(reader.raw[self.start : self.end], reader.encoding.field)
        return fields

    def raw_field(self, number: int) -> bytes:
        """Field `number` with all its repetitions, exactly as received; b"" when absent."""
        fields = self._split()
        index = field_index(self.name, number)
        if index <= 0:
            return bytes((self._reader.encoding.field,)) if number == 1 and not self.is_absent else b""
        return fields[index] if index < len(fields) else b""

    def _is_delimiter_field(self, number: int) -> bool:
        """Whether the field holds the delimiters themselves (MSH-1, MSH-2), which nothing splits."""
        return number <= 2 and self.name in HEADER_SEGMENTS

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
        raw = self.raw_field(number)
        if not raw:
            return raw
        if self._is_delimiter_field(number):
            return raw if (repetition, component or 1, subcomponent or 1) == (1, 1, 1) else b""
        encoding = self._reader.encoding
        raw = self._part(raw, encoding.repetition, repetition)
        if component is not None:
            raw = self._part(raw, encoding.component, component)
            if subcomponent is not None:
                raw = self._part(raw, encoding.subcomponent, subcomponent)
        return raw

    def _part(self, raw: bytes, delimiter: int | None, number: int) -> bytes:
        # The test for the byte is far cheaper than the split, and most fields have one part.
        if delimiter is None or delimiter not in raw:
            return raw if number == 1 else b""
        parts = self._reader.split(raw, delimiter)
        return parts[number - 1] if 0 < number <= len(parts) else b""

    def text(self, number: int, component: int | None = 1, *, repetition: int = 1, subcomponent: int | None = 1) -> str:
        r"""One value as text: decoded, escape sequences replaced; "" when absent or null (`""`).

        `component` None means the whole repetition with its delimiters, `subcomponent` None the whole component:
        for free text in which a sender left "&" or "^" unescaped.
        """
        raw = self.raw(number, repetition, component, subcomponent)
        if not raw or raw == HL7_NULL:
            return ""
        if self._is_delimiter_field(number):
            return raw.decode("ascii")
        return unescape(raw, self._reader.encoding, self._reader.charset)

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


class MessageView:
    """One message over its received bytes.

    Args:
        raw: The content of one frame. A byte order mark, blank lines and batch headers before MSH are accepted.

    Attributes:
        raw: The very object that came in.
        header: The MSH segment, split.
        encoding: The delimiters.

    Raises:
        NotHl7: There is no MSH, its delimiters are not delimiters, or there are more than LINE_COUNT_MAX line ends.
    """

    __slots__ = ("_reader", "_segments", "encoding", "header", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.header = read_header(raw)
        if raw.count(b"\r") > LINE_COUNT_MAX or raw.count(b"\n") > LINE_COUNT_MAX:
            raise NotHl7(NotHl7Reason.TOO_MANY_SEGMENTS, self.header.end)
        self.encoding: EncodingCharacters = self.header.encoding
        self._reader = _Reader(raw, self.header)
        self._segments: tuple[Segment, ...] | None = None

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All segments in the order of the message; blank lines are not segments."""
        segments = self._segments
        if segments is None:
            segments = self._segments = _read_segments(self._reader)
        return segments

    def segments_named(self, name: str) -> tuple[Segment, ...]:
        """All segments of this name."""
        return tuple([segment for segment in self.segments if segment.name == name])

    def first(self, name: str) -> Segment | None:
        """The first segment of this name, None when there is none."""
        for segment in self.segments:
            if segment.name == name:
                return segment
        return None

    @property
    def message_type(self) -> MessageType:
        """MSH-9."""
        return self.header.message_type

    @property
    def control_id(self) -> bytes:
        """MSH-10 exactly as received; b"" when empty."""
        return self.header.control_id

    @property
    def version(self) -> str:
        """MSH-12, first component; "" when empty."""
        return self.header.version

    @property
    def charset(self) -> Charset:
        """MSH-18."""
        return self._reader.charset

    def _segment_at(self, path: FieldPath) -> Segment | None:
        for segment in self.segments:
            if segment.name == path.segment and segment.occurrence == path.occurrence:
                return segment
        return None

    def raw_value(self, path: FieldPath | str) -> bytes | None:
        """The bytes at a path, exactly as received; None when the message has no such place.

        A part that the path does not state means the whole of what is above it ("PID-3": all repetitions).
        """
        path = parse_path(path) if isinstance(path, str) else path
        segment = self._segment_at(path)
        if segment is None:
            return None
        if path.field is None:
            return segment.raw_bytes
        if path.field == 1 and segment.name in HEADER_SEGMENTS:
            return segment.raw_field(1)
        span = segment.span(path.field, path.repetition, path.component, path.subcomponent)
        return None if span is None else self.raw[span[0] : span[1]]

    def text(self, path: FieldPath | str) -> str:
        """The text at a path: decoded, unescaped; "" when absent or null.

        A part that the path does not state means the first ("PID-5" is the text of PID-5[1].1.1).
        """
        path = parse_path(path) if isinstance(path, str) else path
        segment = self._segment_at(path)
        if segment is None or path.field is None:
            return ""
        return segment.text(
            path.field, path.component or 1, repetition=path.repetition or 1, subcomponent=path.subcomponent or 1
        )

    @property
    def segment_terminator(self) -> bytes:
        r"""The terminator that the message uses most: b"\\r", b"\\n" or b"\\r\\n"; b"\\r" when it has none."""
        carriage_return, line_feed, both = 0, 0, 0
        raw = self.raw
        if b"\n" not in raw:
            return b"\r"
        for segment in self.segments:
            terminator = raw[segment.end : segment.end_with_terminator]
            carriage_return += terminator == b"\r"
            line_feed += terminator == b"\n"
            both += terminator == b"\r\n"
        if line_feed > max(carriage_return, both):
            return b"\n"
        return b"\r\n" if both > carriage_return else b"\r"

    @property
    def is_batch(self) -> bool:
        """Whether the bytes carry a batch or file wrapper (FHS, BHS, BTS, FTS): never ours to acknowledge."""
        return any(segment.name in _BATCH_SEGMENTS for segment in self.segments)

    @property
    def second_header_offset(self) -> int | None:
        """Byte offset of a second MSH segment, None when there is one only."""
        headers = self.segments_named("MSH")
        return headers[1].start if len(headers) > 1 else None


@lru_cache(maxsize=32)
def _terminator_pattern(separator: int) -> re.Pattern[bytes]:
    r"""Where segments end when the message has both CR and LF.

    CR and CRLF always end one. A lone LF ends one only where a segment or a blank line follows, or nothing: else it
    is a line break inside a text, and cutting there would lose the rest of the text.
    """
    mark = re.escape(bytes((separator,)))
    return re.compile(
        rb"\r\n?|\n(?=[A-Z][A-Z0-9]{2}(?:" + mark + rb"|[\r\n]|\Z)|(?:MSH|FHS|BHS)[^A-Za-z0-9]|[ \t]*(?:[\r\n]|\Z))"
    )


def _line_spans(reader: _Reader) -> list[tuple[int, int, int]]:
    """Every line as (start, end, end with terminator), blank ones too."""
    raw = reader.raw
    spans = []
    start = 0
    if b"\n" in raw and b"\r" in raw:
        for match in _terminator_pattern(reader.encoding.field).finditer(raw):
            spans.append((start, match.start(), match.end()))
            start = match.end()
        spans.append((start, len(raw), len(raw)))
        return spans
    for line in raw.split(b"\n" if b"\n" in raw else b"\r"):
        end = start + len(line)
        spans.append((start, end, end + 1))
        start = end + 1
    last_start, last_end, _ = spans[-1]
    spans[-1] = (last_start, last_end, last_end)
    return spans


def _unusual_name(reader: _Reader, start: int, end: int) -> tuple[int, str]:
    """Start and name of a line that does not begin with a three-character name and the separator; "" when blank."""
    line = reader.raw[start:end]
    content = line.lstrip(_BLANK).removeprefix(_UTF_8_BOM).lstrip(_BLANK)
    start = end - len(content)
    name = content[:_NAME_SIZE].decode("latin-1")
    # A header inside the message may state other delimiters; it must not hide as a line of no known kind.
    if name in HEADER_SEGMENTS and not content[_NAME_SIZE : _NAME_SIZE + 1].isalnum():
        return start, name
    return start, content.partition(bytes((reader.encoding.field,)))[0].decode("latin-1")


def _read_segments(reader: _Reader) -> tuple[Segment, ...]:
    raw = reader.raw
    separator = reader.encoding.field
    segments: list[Segment] = []
    occurrences: dict[str, int] = {}
    for line_start, end, end_with_terminator in _line_spans(reader):
        start = line_start
        if end - start > _NAME_SIZE and raw[start + _NAME_SIZE] == separator and raw[start : start + 3].isalnum():
            name = raw[start : start + _NAME_SIZE].decode("latin-1")
        elif start == end:
            continue
        else:
            start, name = _unusual_name(reader, start, end)
            if start == end:
                continue
        occurrence = occurrences[name] = occurrences.get(name, 0) + 1
        segments.append(Segment(reader, name, len(segments), occurrence, (start, end, end_with_terminator)))
    return tuple(segments)
