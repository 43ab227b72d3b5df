"""The MLLP block: its three bytes, what we tolerate in one, what is wrong with one, and how to build one.

    <VT> message <FS><CR>          VT = 0x0B, FS = 0x1C, CR = 0x0D

Nothing here reads a stream; `decoder.py` does, in these words.

Source: HL7 v2 Transport Specification: MLLP, Release 1, block format.
"""

from dataclasses import dataclass, field
from enum import StrEnum

START_BLOCK = 0x0B
END_BLOCK = 0x1C
CARRIAGE_RETURN = 0x0D

_START = bytes((START_BLOCK,))
_END = bytes((END_BLOCK,))
_END_AND_RETURN = bytes((END_BLOCK, CARRIAGE_RETURN))

BLOCK_SIZE = 3
"""Bytes of a block that are not its content: VT, FS and CR."""

FRAME_SIZE_MAX = 16 * 1024 * 1024
"""Default limit of one message, bytes. The largest frame in the corpus is 66 KB; scanned PDFs in ORU reach 10 MiB."""

SKIPPED_SIZE_MAX = 64 * 1024
"""Default limit of bytes that belong to no frame, between two frames. More than that is not an MLLP peer."""

HEAD_SIZE_MAX = 4096
"""How much of a refused frame is kept: MSH-10 stands within the first few hundred bytes."""


class Tolerance(StrEnum):
    """A departure from the block format that real senders make and that we can read without guessing."""

    MISSING_FINAL_CR = "missing_final_cr"
    """FS without CR: the frame ends at VT, at LF or at silence."""
    BYTES_BETWEEN_FRAMES = "bytes_between_frames"
    """Bytes between two frames. LF, CR and NUL are free, others count towards `skipped_size_max`."""
    START_INSIDE_FRAME = "start_inside_frame"
    """VT in an open frame: what came before it is a truncated frame of its own."""
    EMPTY_FRAME = "empty_frame"
    """VT FS CR with nothing between: skipped."""
    DOUBLED_ENVELOPE = "doubled_envelope"
    """VT VT message FS CR FS CR: the sender wrapped a wrapped message."""
    BARE_LF_SEGMENTS = "bare_lf_segments"
    """Segments end with LF. The bytes stay as they are."""
    CRLF_SEGMENTS = "crlf_segments"
    """Segments end with CR LF. The bytes stay as they are."""
    UTF8_BOM = "utf8_bom"
    """The content begins with EF BB BF. The bytes stay as they are."""


class FramingReason(StrEnum):
    """Why a stream was given up. Those named like a tolerance mean: it happened, and it is switched off here."""

    TOO_LARGE = "too_large"
    """The frame's content is above `frame_size_max`."""
    GARBAGE_TOO_LONG = "garbage_too_long"
    """More than `skipped_size_max` bytes that belong to no frame."""
    BYTES_BETWEEN_FRAMES = "bytes_between_frames"
    START_INSIDE_FRAME = "start_inside_frame"
    EMPTY_FRAME = "empty_frame"
    DOUBLED_ENVELOPE = "doubled_envelope"
    BARE_LF_SEGMENTS = "bare_lf_segments"
    CRLF_SEGMENTS = "crlf_segments"
    UTF8_BOM = "utf8_bom"


class FramingError(ValueError):
    """The peer sent bytes that are not an MLLP frame, or a frame that this listener does not take.

    Attributes:
        reason: A stable word for logs and metrics.
        offset: Position of the first wrong byte, from 0 at the start of the connection.
        head: The first bytes of the refused frame's content (at most 4 KiB), so that its MSH-10 can be
            answered; empty when what failed is not a frame. Never part of the error's text.
    """

    def __init__(self, reason: FramingReason, offset: int, head: bytes = b"") -> None:
        super().__init__(f"{reason} at byte {offset}")
        self.reason = reason
        self.offset = offset
        self.head = head


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameOptions:
    """What one listener tolerates, and its limits. Sizes in bytes.

    A tolerance that is switched off turns what it names into a FramingError of the same name, with one
    exception: without `missing_final_cr` an FS that no CR follows is content like any other byte.
    """

    missing_final_cr: bool = True
    bytes_between_frames: bool = True
    start_inside_frame: bool = True
    empty_frame: bool = True
    doubled_envelope: bool = True
    bare_lf_segments: bool = True
    crlf_segments: bool = True
    utf8_bom: bool = True
    frame_size_max: int = FRAME_SIZE_MAX
    skipped_size_max: int = SKIPPED_SIZE_MAX

    def __post_init__(self) -> None:
        """Refuse limits that no frame could meet."""
        if self.frame_size_max < 1 or self.skipped_size_max < 0:
            raise ValueError("frame_size_max must be at least 1 and skipped_size_max at least 0")


@dataclass(slots=True, unsafe_hash=True)
class Frame:
    """One MLLP block, as received. A value: nobody changes it (a frozen class costs twice the time to make one).

    Attributes:
        content: The bytes between VT and FS, unchanged.
        tolerated: What was tolerated to read it, in the order met. START_INSIDE_FRAME on a frame that is
            not truncated means: it began inside another frame, so it may be the second half of a message.
        truncated: A VT ended it. For quarantine; never acknowledged positively, never joined with the next.
        block: The very bytes that were received, VT and FS CR included, where the frame came whole and alone in one
            read: they can be sent on as they are. None otherwise.
    """

    content: bytes
    tolerated: tuple[Tolerance, ...] = ()
    truncated: bool = False
    block: bytes | None = field(default=None, compare=False, repr=False)


def encode_frame(content: bytes) -> bytes:
    """Wrap *content* as one MLLP block.

    Whatever a FrameDecoder gave out can be wrapped again and reads back as the same content.

    Raises:
        ValueError: The content holds VT or FS CR: a receiver would see two messages, or half of one.
    """
    if _START in content or (_END in content and _END_AND_RETURN in content):
        raise ValueError("content holds MLLP block characters and cannot be framed")
    return b"".join((_START, content, _END_AND_RETURN))
