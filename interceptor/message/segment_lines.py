"""Where the segments of a message stand: the lines of its bytes.

Segments end at CR; LF and CRLF are read too. Names are found for all at once, and a segment is built when it is asked
for: a decision on an order reads three or four of a dozen.

Source: HL7 v2.9 chapter 2, 2.6 message construction rules.
"""

import re
from functools import lru_cache
from itertools import accumulate

from interceptor.message.header import HEADER_SEGMENTS
from interceptor.message.segment import Segment, SegmentReader

_NAME_SIZE = 3
_HEAD_SIZE = 4
_FEW_LINES = 100
_LINE_FEED = 0x0A
_UTF_8_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\n"


class SegmentLines:
    """The segments of one message, of which only those that are asked for are built.

    Attributes:
        names: The name of every segment, in the order of the message.
    """

    __slots__ = ("_all", "_built", "_reader", "_sizes", "names")

    def __init__(self, reader: SegmentReader) -> None:
        self._reader = reader
        self._all: tuple[Segment, ...] | None = None
        self._built: dict[int, Segment] = {}
        self._sizes: list[int] = []
        self.names: list[str] = []
        if not self._read_plain():
            self._all = _read_segments(reader)
            self.names = [segment.name for segment in self._all]

    def _read_plain(self) -> bool:
        """Find the names at once where every line is one segment, as in almost every message."""
        raw, separator = self._reader.raw, self._reader.field
        if _LINE_FEED in raw:
            return False
        lines = raw.split(b"\r")
        if not lines[-1]:
            lines.pop()
        heads = b"".join([line[:_HEAD_SIZE] for line in lines])
        count = len(lines)
        # A line that is shorter than a head leaves the size wrong; one that is no segment, the place of a separator.
        if len(heads) != count * _HEAD_SIZE or heads[_NAME_SIZE::_HEAD_SIZE] != separator * count:
            return False
        if not heads.isascii():
            return False
        names = heads[:-1].decode("ascii").split(separator.decode("ascii"))
        if len(names) != count or not "".join(names).isalnum():
            return False
        self.names = names
        self._sizes = list(accumulate(map(len, lines)))
        return True

    def at(self, index: int) -> Segment:
        """The segment at a place, counted from 0."""
        if self._all is not None:
            return self._all[index]
        segment = self._built.get(index)
        if segment is None:
            # Beyond this, counting the occurrences anew for each would cost more than building all.
            if len(self.names) > _FEW_LINES:
                return self.all()[index]
            name = self.names[index]
            segment = self._built[index] = self._build(name, index, self.names[:index].count(name) + 1)
        return segment

    def _build(self, name: str, index: int, occurrence: int) -> Segment:
        # Every line before has one terminator of one byte.
        end = self._sizes[index] + index
        start = self._sizes[index - 1] + index if index else 0
        return Segment(self._reader, name, index, occurrence, (start, end, min(end + 1, len(self._reader.raw))))

    def all(self) -> tuple[Segment, ...]:
        """Every segment."""
        if self._all is None:
            occurrences: dict[str, int] = {}
            segments = []
            for index, name in enumerate(self.names):
                occurrence = occurrences[name] = occurrences.get(name, 0) + 1
                segments.append(self._built.get(index) or self._build(name, index, occurrence))
            self._all = tuple(segments)
        return self._all


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


def _line_spans(reader: SegmentReader) -> list[tuple[int, int, int]]:
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


def _unusual_name(reader: SegmentReader, start: int, end: int) -> tuple[int, str]:
    """Start and name of a line that does not begin with a three-character name and the separator; "" when blank."""
    line = reader.raw[start:end]
    content = line.lstrip(_BLANK).removeprefix(_UTF_8_BOM).lstrip(_BLANK)
    start = end - len(content)
    name = content[:_NAME_SIZE].decode("latin-1")
    # A header inside the message may state other delimiters; it must not hide as a line of no known kind.
    if name in HEADER_SEGMENTS and not content[_NAME_SIZE : _NAME_SIZE + 1].isalnum():
        return start, name
    return start, content.partition(bytes((reader.encoding.field,)))[0].decode("latin-1")


def _read_segments(reader: SegmentReader) -> tuple[Segment, ...]:
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
