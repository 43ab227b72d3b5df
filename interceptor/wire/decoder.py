"""Find HL7 messages in an MLLP byte stream, however the network cut it.

This module sees bytes only. It opens no socket, keeps no clock and does not know what is inside a message.
A peer's mistake becomes a named tolerance or a FramingError, never a guess: a wrong guess here would join
two patients' orders.

How a frame ends, in order of what comes first in the stream:

    FS CR                   the end, as the standard has it
    FS LF, FS VT            the end, `missing_final_cr`
    FS, then silence        the end, `missing_final_cr`; the shell measures the silence
    VT                      the end of a truncated frame, `start_inside_frame`
    FS and any other byte   content (an FS inside a segment)

Cost: every byte is copied at most once when its frame came in one read, at most three times otherwise, and
looked at a fixed number of times, so work is linear in bytes received whatever the chunks.

Source: HL7 v2 Transport Specification: MLLP, Release 1.
"""

import re
from typing import Final

from interceptor.wire.frame import (
    BLOCK_SIZE,
    CARRIAGE_RETURN,
    END_BLOCK,
    HEAD_SIZE_MAX,
    START_BLOCK,
    Frame,
    FrameOptions,
    FramingError,
    FramingReason,
    Tolerance,
)
from interceptor.wire.gap import Gap

_START: Final = bytes((START_BLOCK,))
_END: Final = bytes((END_BLOCK,))
_LINE_FEED: Final = b"\n"
_UTF8_BOM: Final = b"\xef\xbb\xbf"
_START_RUN: Final = re.compile(rb"\x0b*")
_DEFAULT_OPTIONS: Final = FrameOptions()


class FrameDecoder:
    """The frames of one connection, in order.

    Give it bytes with `receive_data`, then take frames with `next_frame` until there are none. Frames come
    one at a time so that those before a bad byte are not lost with it.
    """

    def __init__(self, options: FrameOptions = _DEFAULT_OPTIONS) -> None:
        self._options = options
        self._size_max = options.frame_size_max + BLOCK_SIZE
        self._buffer: bytes | bytearray = b""
        # Where the unread part begins: the next byte between frames, the first content byte in one.
        # `_scanned`: in an open frame no byte before this one ends it.
        self._position = self._scanned = 0
        # Position in the stream of the buffer's first byte.
        self._stream_offset = 0
        self._is_open = False
        # Whether the open frame began with more than one VT.
        self._is_doubled = False
        self._silence = False
        self._gap = Gap(options)
        # Tolerances met on the way to the next frame.
        self._notes: list[Tolerance] = []
        self._counts: dict[Tolerance, int] = dict.fromkeys(Tolerance, 0)
        self.tolerated_total = 0
        """The sum of `tolerated_counts`: cheap to ask whether anything was tolerated since the last look."""
        self._failure: FramingError | None = None

    @property
    def open_size(self) -> int:
        """Bytes waiting in a frame that has begun and not ended; 0 between frames."""
        return len(self._buffer) - self._position if self._is_open else 0

    @property
    def open_offset(self) -> int | None:
        """Stream position of the open frame's first content byte, None between frames. Names the frame for timers."""
        return self._stream_offset + self._position if self._is_open else None

    @property
    def needs_silence_timer(self) -> bool:
        """Whether the last byte received is an FS that silence would make the end of the frame."""
        return self._is_open and self._options.missing_final_cr and self._buffer.endswith(_END)

    @property
    def tolerated_counts(self) -> dict[Tolerance, int]:
        """How often each tolerance was used so far; a copy."""
        return dict(self._counts)

    def receive_data(self, data: bytes) -> None:
        """Store *data*, the next bytes of the stream. Finds nothing yet; after a FramingError it keeps nothing."""
        if self._failure is not None or not data:
            return
        position = self._position
        self._stream_offset += position
        self._position = 0
        self._silence = False
        if position == len(self._buffer):
            # The read's own bytes object: a frame that came whole is copied once, out of it.
            self._buffer = data
            self._scanned = 0
            return
        self._scanned -= position
        if isinstance(self._buffer, bytearray):
            del self._buffer[:position]
        else:
            self._buffer = bytearray(memoryview(self._buffer)[position:])
        self._buffer += data

    def take_whole(self, data: bytes) -> Frame | None:
        """`receive_data` and `next_frame` in one, for the read that is one regular frame and nothing else.

        None for any other, with nothing changed: then the two decide.
        """
        if self._buffer or self._notes or self._is_doubled or self._failure or not _is_regular(data, self._size_max):
            return None
        self._stream_offset += len(data)
        return Frame(data[1:-2], (), False, data)  # noqa: FBT003 - by name costs half as much again

    def receive_silence(self) -> None:
        """Say that the peer sent nothing for the silence time (500 ms), or closed its side.

        Ends the open frame when its last byte is FS; otherwise does nothing. The frame comes from `next_frame`,
        unless more bytes come first: then there was no silence.
        """
        self._silence = self.needs_silence_timer

    def next_frame(self) -> Frame | None:
        """Return the next frame, or None when more bytes are needed.

        Raises:
            FramingError: What follows cannot be taken as a frame. The stream cannot be trusted any more: drop
                the decoder with its connection. Every further call raises the same error.
        """
        if self._failure is not None:
            raise self._failure
        try:
            while self._is_open or self._begin_frame():
                frame = self._end_frame()
                if frame is not None:
                    return frame
                if self._is_open:
                    return None
        except FramingError as error:
            self._failure = error
            self._buffer, self._position, self._is_open = b"", 0, False
            raise
        return None

    def _begin_frame(self) -> bool:
        """Skip to the content of the next frame; False when its VT has not come."""
        buffer = self._buffer
        position = self._position
        if position == len(buffer):
            return False
        if buffer[position] != START_BLOCK:
            was_noted = self._gap.has_bytes
            position = self._position = self._gap.skip(buffer, position, self._stream_offset)
            if self._gap.has_bytes and not was_noted:
                self._note(Tolerance.BYTES_BETWEEN_FRAMES)
            if position == len(buffer):
                return False
        self._is_doubled = False
        self._position = self._scanned = position + 1
        self._is_open = True
        return True

    def _end_frame(self) -> Frame | None:
        """Take the open frame out of the buffer.

        Returns:
            The frame. None with the frame still open: its end has not come. None with the frame closed: it
            was skipped, look for the next.
        """
        buffer = self._buffer
        size = len(buffer)
        start = self._position
        if start < size and buffer[start] == START_BLOCK:
            start = self._skip_doubled_start()
        # VT first: it bounds every other search to this frame, so that many frames in one read cost no more than one.
        inner_start = buffer.find(START_BLOCK, self._scanned)
        limit = inner_start if inner_start >= 0 else size
        end = buffer.find(END_BLOCK, self._scanned, limit)
        if 0 <= end < size - 1 and buffer[end + 1] == CARRIAGE_RETURN:
            return self._take(start, end, after=end + 2)
        if end >= 0:
            return self._end_irregular_frame(start, limit)
        if inner_start >= 0:
            return self._truncate(start, inner_start)
        self._scanned = size
        self._check_size(size)
        return None

    def _end_irregular_frame(self, start: int, limit: int) -> Frame | None:
        """`_end_frame` where the first FS before *limit* is not followed by CR.

        Two-byte searches instead of a loop over every FS, so that a stream full of FS costs no more than another.
        """
        buffer = self._buffer
        scanned = self._scanned
        tolerates = self._options.missing_final_cr
        regular = buffer.find(b"\x1c\r", scanned, limit)
        line_feed = buffer.find(b"\x1c\n", scanned, regular if regular >= 0 else limit) if tolerates else -1
        if line_feed >= 0:
            self._note(Tolerance.MISSING_FINAL_CR)
            return self._take(start, line_feed, after=line_feed + 2)
        if regular >= 0:
            return self._take(start, regular, after=regular + 2)
        ends_in_fs = buffer[limit - 1] == END_BLOCK
        is_cut_short = limit < len(buffer)
        if ends_in_fs and tolerates and (is_cut_short or self._silence):
            self._note(Tolerance.MISSING_FINAL_CR)
            return self._take(start, limit - 1, after=limit)
        if is_cut_short:
            return self._truncate(start, limit)
        self._scanned = limit - ends_in_fs
        self._check_size(self._scanned)
        return None

    def _skip_doubled_start(self) -> int:
        """Step over the further VTs of a doubled envelope; return where the content begins."""
        start = self._position
        if not self._options.doubled_envelope:
            raise FramingError(FramingReason.DOUBLED_ENVELOPE, self._stream_offset + start)
        match = _START_RUN.match(self._buffer, start)
        assert match is not None
        if not self._is_doubled:
            self._is_doubled = True
            self._note(Tolerance.DOUBLED_ENVELOPE)
        self._position = self._scanned = match.end()
        return match.end()

    def _take(self, start: int, end: int, *, after: int) -> Frame | None:
        """Close the open frame with the content from *start* to *end*; the next byte to read is *after*."""
        self._check_size(end)
        self._silence = False
        buffer = self._buffer
        content = buffer[start:end] if isinstance(buffer, bytes) else bytes(memoryview(buffer)[start:end])
        if not content:
            self._require(Tolerance.EMPTY_FRAME, start, b"")
        elif b"\n" in content or content.startswith(_UTF8_BOM):
            for tolerance, offset in _read_forms(content):
                self._require(tolerance, start + offset, content)
        self._close_at(after)
        tolerated = tuple(self._notes)
        self._notes.clear()
        return Frame(content, tolerated) if content else None

    def _truncate(self, start: int, inner_start: int) -> Frame:
        """Close the open frame as truncated; the VT at *inner_start* opens the next."""
        self._check_size(inner_start)
        content = bytes(memoryview(self._buffer)[start:inner_start])
        self._require(Tolerance.START_INSIDE_FRAME, inner_start, content)
        tolerated = tuple(self._notes)
        self._notes = [Tolerance.START_INSIDE_FRAME]
        self._close_at(inner_start)
        return Frame(content, tolerated, truncated=True)

    def _close_at(self, position: int) -> None:
        """Go on between frames at *position*."""
        self._is_open = False
        self._gap.begin(after_doubled_envelope=self._is_doubled)
        self._move_to(position)

    def _move_to(self, position: int) -> None:
        """Let the unread part begin at *position*."""
        self._position = self._scanned = position
        if position == len(self._buffer):
            # Lets a large buffer go now, not with the next read.
            self._stream_offset += position
            self._buffer = b""
            self._position = self._scanned = 0

    def _check_size(self, end: int) -> None:
        """Refuse the open frame when its content up to *end* is above the limit."""
        start = self._position
        limit = self._options.frame_size_max
        if end - start > limit:
            head = bytes(memoryview(self._buffer)[start : start + min(limit, HEAD_SIZE_MAX)])
            raise FramingError(FramingReason.TOO_LARGE, self._stream_offset + start + limit, head)

    def _require(self, tolerance: Tolerance, position: int, content: bytes) -> None:
        """Note *tolerance*, or fail with its name where it is switched off."""
        if not getattr(self._options, tolerance.value):
            raise FramingError(FramingReason(tolerance.value), self._stream_offset + position, content[:HEAD_SIZE_MAX])
        self._note(tolerance)

    def _note(self, tolerance: Tolerance) -> None:
        self._counts[tolerance] += 1
        self.tolerated_total += 1
        self._notes.append(tolerance)


def _is_regular(data: bytes, size_max: int) -> bool:
    """Whether bytes are one whole frame of at most *size_max* bytes that needs no tolerance, as nearly every read is.

    Few calls, each of which looks at the bytes at the speed of memory.
    """
    size = len(data)
    return (
        BLOCK_SIZE < size <= size_max
        and data.rfind(_START) == 0
        and data.find(_END) == size - 2
        and data[-1] == CARRIAGE_RETURN
        and data.find(_LINE_FEED) < 0
        and data[1] != _UTF8_BOM[0]
    )


def _read_forms(content: bytes) -> list[tuple[Tolerance, int]]:
    """The forms of *content* that are tolerated, each with the offset of its first byte that shows it."""
    forms: list[tuple[Tolerance, int]] = []
    if b"\r\n" in content:
        forms.append((Tolerance.CRLF_SEGMENTS, content.index(b"\n")))
    elif b"\n" in content and b"\r" not in content:
        forms.append((Tolerance.BARE_LF_SEGMENTS, content.index(b"\n")))
    if content.startswith(_UTF8_BOM):
        forms.append((Tolerance.UTF8_BOM, 0))
    return forms
