"""The decoder's work is linear in the bytes received: counted, not timed."""

from typing import SupportsIndex

import pytest

from interceptor.wire.decoder import FrameDecoder
from interceptor.wire.frame import Frame, FrameOptions, encode_frame


class CountingBytes(bytes):
    """Bytes that count how many of them were searched and how many copied out."""

    searched = 0
    copied = 0

    def find(self, needle: object, start: object = 0, end: object = None) -> int:
        assert isinstance(start, int)
        stop = len(self) if end is None else end
        assert isinstance(stop, int)
        found = super().find(needle, start, stop)  # type: ignore[arg-type]  # whatever the decoder searches for
        self.searched += (found if found >= 0 else stop) - start + 1
        return found

    def __getitem__(self, key: SupportsIndex | slice) -> int | bytes:  # type: ignore[override]  # counts only
        taken = super().__getitem__(key)
        if isinstance(taken, bytes):
            self.copied += len(taken)
        return taken


class MeasuredDecoder(FrameDecoder):
    """Adds up what each look for the end of a frame had before it."""

    __slots__ = ("looked",)

    def __init__(self, options: FrameOptions) -> None:
        super().__init__(options)
        self.looked = 0

    def _end_frame(self) -> Frame | None:
        self.looked += len(self._buffer) - self._scanned
        return super()._end_frame()


@pytest.mark.parametrize("content", [b"x", b"x\x1c", b"\x1c"], ids=["plain", "fs_within", "all_fs"])
def test_a_large_frame_in_small_chunks_is_looked_at_once(content: bytes) -> None:
    size = 1024 * 1024
    stream = encode_frame(content * (size // len(content)))
    decoder = MeasuredDecoder(FrameOptions())
    frames: list[Frame] = []
    chunk_size = 1024
    for offset in range(0, len(stream), chunk_size):
        decoder.receive_data(stream[offset : offset + chunk_size])
        while (frame := decoder.next_frame()) is not None:
            frames.append(frame)
    assert [len(frame.content) for frame in frames] == [size]
    # At most the last byte of a chunk, an FS whose follower is not known yet, is looked at twice.
    assert decoder.looked <= len(stream) + len(stream) // chunk_size + 1


@pytest.mark.parametrize(
    ("piece", "searches"),
    [
        (encode_frame(b"MSH|^~\\&|" + b"x" * 300), 2),
        (b"\x0b\x1c\r", 2),
        (b"\x0ba", 3),
        (b"\x0ba\x1cb\x1c\n", 5),
        (b"\x0ba\x1c", 5),
        (encode_frame(b"a\x1c" * 40), 4),
    ],
    ids=["frames", "empty_frames", "starts_only", "fs_lf", "fs_start", "fs_within"],
)
def test_many_frames_in_one_read_cost_no_more_than_few(piece: bytes, searches: int) -> None:
    """A search never runs past the frame it is for: else a read full of short frames costs its square."""
    costs: list[float] = []
    for count in (50, 2000):
        stream = CountingBytes(piece * count)
        decoder = FrameDecoder()
        decoder.receive_data(stream)
        while decoder.next_frame() is not None:
            pass
        costs.append(stream.searched / count)
    # Every byte at most this many times, and a constant for each search.
    assert costs[1] <= searches * (len(piece) + 2)
    assert costs[1] == pytest.approx(costs[0], rel=0.1)


def test_a_frame_that_came_in_one_read_is_copied_once() -> None:
    content = b"MSH|^~\\&|" + b"x" * 5000
    stream = CountingBytes(encode_frame(content) * 3)
    decoder = FrameDecoder()
    decoder.receive_data(stream)
    while decoder.next_frame() is not None:
        pass
    assert stream.copied == 3 * len(content)


def test_what_was_read_is_let_go() -> None:
    decoder = FrameDecoder()
    decoder.receive_data(encode_frame(b"x" * 100_000) + b"\x0bMSH")
    assert decoder.next_frame() is not None
    assert decoder.next_frame() is None
    decoder.receive_data(b"|")
    assert decoder.next_frame() is None
    assert len(decoder._buffer) == 4
