"""A message as spans over the bytes that were received.

    MessageView(raw) > Segment > field > repetition > component > subcomponent

Nothing is copied or decoded before it is read, and nothing that is read can change the bytes. Every number counts from
1, as in the standard's text. `segment.py` reads one segment, `segment_lines.py` finds them.

Source: HL7 v2.9 chapter 2, 2.5 message framework, 2.6 message construction rules.
"""

from interceptor.message.charset import Charset
from interceptor.message.encoding import EncodingCharacters
from interceptor.message.header import HEADER_SEGMENTS, Header, MessageType, NotHl7, NotHl7Reason, read_header
from interceptor.message.path import FieldPath, parse_path
from interceptor.message.segment import HL7_NULL, Segment, SegmentReader, is_null
from interceptor.message.segment_lines import SegmentLines

__all__ = ["HL7_NULL", "LINE_COUNT_MAX", "Header", "MessageView", "NotHl7", "NotHl7Reason", "Segment", "is_null"]

LINE_COUNT_MAX = 50_000
"""Most line ends in a message that is read: 16 MiB of them would take seconds and gigabytes as segments. The longest
message of the corpus has 346."""

_BATCH_SEGMENTS = frozenset({"FHS", "BHS", "BTS", "FTS"})


class MessageView:
    """One message over its received bytes.

    Args:
        raw: The content of one frame. A byte order mark, blank lines and batch headers before MSH are accepted.

    Attributes:
        raw: The very object that came in.
        header: The MSH segment, split.
        encoding: The delimiters.
        lines: The segments by place, each built when it is asked for.

    Raises:
        NotHl7: There is no MSH, its delimiters are not delimiters, or there are more than LINE_COUNT_MAX line ends.
    """

    __slots__ = ("_reader", "encoding", "header", "lines", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.header = read_header(raw)
        if len(raw) > LINE_COUNT_MAX and max(raw.count(b"\r"), raw.count(b"\n")) > LINE_COUNT_MAX:
            raise NotHl7(NotHl7Reason.TOO_MANY_SEGMENTS, self.header.end)
        self.encoding: EncodingCharacters = self.header.encoding
        self._reader = SegmentReader(raw, self.header)
        self.lines = SegmentLines(self._reader)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All segments in the order of the message; blank lines are not segments."""
        return self.lines.all()

    def segments_named(self, name: str) -> tuple[Segment, ...]:
        """All segments of this name."""
        lines = self.lines
        return tuple([lines.at(index) for index, found in enumerate(lines.names) if found == name])

    def first(self, name: str) -> Segment | None:
        """The first segment of this name, None when there is none."""
        lines = self.lines
        return lines.at(lines.names.index(name)) if name in lines.names else None

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
