"""The commit acknowledgments of MLLP Release 2: a block whose whole content is ACK (0x06) or NAK (0x15).

They say "these bytes are stored" (or not) and nothing about the message; the HL7 acknowledgment still
follows. A listener sends them only where its route asks for MLLP Release 2.

Source: HL7 v2 Transport Specification: MLLP, Release 2, Commit Acknowledgement Block.
"""

from enum import Enum
from typing import Final

from interceptor.wire.frame import encode_frame


class MllpCommitAck(Enum):
    """What a commit block says; the value is its content byte."""

    ACK = b"\x06"
    NAK = b"\x15"


COMMIT_ACK: Final = encode_frame(MllpCommitAck.ACK.value)
"""VT 0x06 FS CR, ready to send."""

COMMIT_NAK: Final = encode_frame(MllpCommitAck.NAK.value)
"""VT 0x15 FS CR, ready to send."""


def read_commit_block(content: bytes) -> MllpCommitAck | None:
    """Return what the frame with this *content* commits to, or None when it is not a commit block."""
    if content == MllpCommitAck.ACK.value:
        return MllpCommitAck.ACK
    if content == MllpCommitAck.NAK.value:
        return MllpCommitAck.NAK
    return None
