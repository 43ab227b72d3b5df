"""What lies between two frames: nothing, by the standard; blanks and noise, in practice.

Source: HL7 v2 Transport Specification: MLLP, Release 1, which leaves nothing between FS CR and the next VT.
"""

import re
from typing import Final

from interceptor.wire.frame import CARRIAGE_RETURN, END_BLOCK, START_BLOCK, FrameOptions, FramingError, FramingReason

_BLANKS: Final = b"\r\n\x00"
_BLANK_RUN: Final = re.compile(rb"[\r\n\x00]*")
_ENVELOPE_END: Final = bytes((END_BLOCK, CARRIAGE_RETURN))


class Gap:
    """The gap before the next frame of one stream; used again for each.

    Attributes:
        has_bytes: Whether anything was in it so far that no frame and no envelope explains.
    """

    __slots__ = ("_envelope_rest", "_options", "_skipped_size", "has_bytes")

    def __init__(self, options: FrameOptions) -> None:
        self._options = options
        # Skipped bytes that are not blank.
        self._skipped_size = 0
        # What is still due of the outer FS CR of a doubled envelope.
        self._envelope_rest = b""
        self.has_bytes = False

    def begin(self, *, after_doubled_envelope: bool) -> None:
        """Start again after a frame; one in a doubled envelope leaves the outer FS CR, which is no noise."""
        self._skipped_size = 0
        self._envelope_rest = _ENVELOPE_END if after_doubled_envelope else b""
        self.has_bytes = False

    def skip(self, buffer: bytes | bytearray, position: int, stream_offset: int) -> int:
        """Return the position of the next VT in *buffer* from *position* on, or its size when there is none.

        *stream_offset* is the stream position of the buffer's first byte.

        Raises:
            FramingError: The noise is above `skipped_size_max`, or none at all is tolerated.
        """
        if self._envelope_rest:
            position = self._skip_envelope_end(buffer, position)
        found = buffer.find(START_BLOCK, position)
        end = found if found >= 0 else len(buffer)
        if end == position:
            return end
        if not self._options.bytes_between_frames:
            raise FramingError(FramingReason.BYTES_BETWEEN_FRAMES, stream_offset + position)
        self.has_bytes = True
        allowed_size = self._options.skipped_size_max - self._skipped_size
        noise_size = len(bytes(memoryview(buffer)[position:end]).translate(None, _BLANKS))
        if noise_size > allowed_size:
            offset = stream_offset + _find_noise(buffer, position, end, allowed_size)
            raise FramingError(FramingReason.GARBAGE_TOO_LONG, offset)
        self._skipped_size += noise_size
        return end

    def _skip_envelope_end(self, buffer: bytes | bytearray, position: int) -> int:
        rest = self._envelope_rest
        while rest and position < len(buffer) and buffer[position] == rest[0]:
            position += 1
            rest = rest[1:]
        # Only at the end of the buffer may more of it come; any other byte means that it does not.
        self._envelope_rest = rest if position == len(buffer) else b""
        return position


def _find_noise(buffer: bytes | bytearray, position: int, end: int, index: int) -> int:
    """Position of the byte with this *index* among those from *position* to *end* that are not blank."""
    while True:
        blanks = _BLANK_RUN.match(buffer, position, end)
        assert blanks is not None
        position = blanks.end()
        if index == 0:
            return position
        index -= 1
        position += 1
