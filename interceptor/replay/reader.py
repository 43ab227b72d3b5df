"""Find the messages in the bytes of an archive or a file that a person made.

    framed       one or many MLLP blocks, as captured from a connection
    plain        segments ended by CR, LF or CRLF; each MSH at the start of a line begins a message

Bytes in, the bytes of each message out, unchanged: line ends stay as they are. Batch wrapper lines (FHS,
BHS, BTS, FTS) and blank lines between messages belong to no message. Bytes without any MSH are one
"message" that nobody will be able to read: saying so is for the one who reads it.
"""

import re

from interceptor.wire.decoder import FrameDecoder
from interceptor.wire.frame import START_BLOCK, FrameOptions, FramingError

FILE_MESSAGE_SIZE_MAX = 256 * 1024 * 1024
"""A file is already here: the limit only keeps a wrong file from being held in memory many times over."""

_MESSAGE_START = re.compile(rb"(?:\A|(?<=[\r\n]))(?:\xef\xbb\xbf)?MSH(?=[^A-Za-z0-9\s])")
_WRAPPER_LINE = re.compile(rb"(?:\A|(?<=[\r\n]))(?:FHS|BHS|BTS|FTS)(?=[^A-Za-z0-9\s])[^\r\n]*(?:\r\n|\r|\n|\Z)")
_BLANK_LINES_AT_END = re.compile(rb"(\r\n|\r|\n)[ \t\r\n]*\Z")
_BLANK = b" \t\r\n"


class MessageFileError(ValueError):
    """The file is framed, but not to its end.

    Attributes:
        messages: The messages before the place where it goes wrong.
    """

    def __init__(self, what: str, messages: tuple[bytes, ...]) -> None:
        super().__init__(what)
        self.messages = messages


def split_messages(data: bytes) -> list[bytes]:
    """The messages of a file, in its order; empty for a file of blanks.

    Raises:
        MessageFileError: The file is framed and a frame is wrong or has no end.
    """
    content = data.lstrip(_BLANK)
    if not content:
        return []
    if content[0] == START_BLOCK:
        return _split_frames(content)
    return _split_plain(data)


def _split_frames(data: bytes) -> list[bytes]:
    decoder = FrameDecoder(FrameOptions(frame_size_max=FILE_MESSAGE_SIZE_MAX))
    messages: list[bytes] = []
    try:
        decoder.receive_data(data)
        while (frame := decoder.next_frame()) is not None:
            messages.append(frame.content)
        decoder.receive_silence()  # The end of the file ends a frame whose final CR is missing.
        while (frame := decoder.next_frame()) is not None:
            messages.append(frame.content)
    except FramingError as error:
        raise MessageFileError(f"not a frame at byte {error.offset} ({error.reason})", tuple(messages)) from None
    if decoder.open_size:
        raise MessageFileError("the file ends inside a frame", tuple(messages))
    return messages


def _split_plain(data: bytes) -> list[bytes]:
    starts = [match.start() for match in _MESSAGE_START.finditer(data)]
    if not starts:
        return [data]
    pieces = [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)], strict=True)]
    before = data[: starts[0]]
    if _WRAPPER_LINE.sub(b"", before).strip(_BLANK):
        pieces.insert(0, before)  # Something that is not HL7 comes first: shown, not swallowed.
    return [_trim(_WRAPPER_LINE.sub(b"", piece)) for piece in pieces]


def _trim(piece: bytes) -> bytes:
    """Without the blank lines at the end, but for the terminator of the last segment."""
    end = _BLANK_LINES_AT_END.search(piece)
    if end is None:
        return piece
    body, terminator = piece[: end.start()], end.group(1)
    if terminator == b"\r\n" and b"\r" in body and b"\r\n" not in body:
        terminator = b"\r"  # Segments end with CR: the LF is the line end that an editor added to the file.
    return body + terminator
