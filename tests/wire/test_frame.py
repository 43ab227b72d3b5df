"""Building frames and commit blocks."""

import pytest

from interceptor.wire.commit_block import COMMIT_ACK, COMMIT_NAK, MllpCommitAck, read_commit_block
from interceptor.wire.decoder import FrameDecoder
from interceptor.wire.frame import Frame, FramingError, FramingReason, encode_frame


def test_a_frame_is_vt_content_fs_cr() -> None:
    assert encode_frame(b"MSH|") == b"\x0bMSH|\x1c\r"


@pytest.mark.parametrize("content", [b"A\x0bB", b"\x0b", b"A\x1c\rB", b"\x1c\r"])
def test_content_that_a_receiver_would_cut_is_not_framed(content: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be framed") as caught:
        encode_frame(content)
    assert not isinstance(caught.value, FramingError)


@pytest.mark.parametrize("content", [b"", b"A\x1cB", b"\x1c", b"A\r\x1c\n"])
def test_a_lone_fs_may_be_framed(content: bytes) -> None:
    assert encode_frame(content) == b"\x0b" + content + b"\x1c\r"


@pytest.mark.parametrize(
    ("block", "commit"),
    [(b"\x0b\x06\x1c\r", MllpCommitAck.ACK), (b"\x0b\x15\x1c\r", MllpCommitAck.NAK)],
)
def test_a_commit_block_is_one_byte_in_a_frame(block: bytes, commit: MllpCommitAck) -> None:
    assert block in {COMMIT_ACK, COMMIT_NAK}
    decoder = FrameDecoder()
    decoder.receive_data(block)
    frame = decoder.next_frame()
    assert frame is not None
    assert read_commit_block(frame.content) is commit


@pytest.mark.parametrize("content", [b"", b"\x06\x06", b"\x06\r", b"MSH|", b"\x05"])
def test_other_content_is_no_commit_block(content: bytes) -> None:
    assert read_commit_block(content) is None


def test_a_frame_says_nothing_it_was_not_told() -> None:
    assert Frame(b"A") == Frame(b"A", (), truncated=False)


def test_a_framing_error_tells_reason_and_place_only() -> None:
    error = FramingError(FramingReason.TOO_LARGE, 7, b"MSH|DOE^JANE")
    assert str(error) == "too_large at byte 7"
