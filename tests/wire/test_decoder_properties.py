"""What holds for every stream and every way of cutting it."""

import random
from collections.abc import Iterable, Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.wire.decoder import FrameDecoder
from interceptor.wire.frame import Frame, FrameOptions, FramingError, encode_frame

# The bytes that mean something to the decoder, and two that do not.
ODD_STREAMS = st.lists(
    st.sampled_from([b"\x0b", b"\x1c", b"\r", b"\n", b"\x00", b"a", b"M", b"\xef\xbb\xbf", b"\x1c\r"]), max_size=40
).map(b"".join)
STREAMS = ODD_STREAMS | st.binary(max_size=60)
OPTIONS = st.builds(
    FrameOptions,
    missing_final_cr=st.booleans(),
    bytes_between_frames=st.booleans(),
    start_inside_frame=st.booleans(),
    empty_frame=st.booleans(),
    doubled_envelope=st.booleans(),
    bare_lf_segments=st.booleans(),
    crlf_segments=st.booleans(),
    utf8_bom=st.booleans(),
    frame_size_max=st.integers(1, 12),
    skipped_size_max=st.integers(0, 4),
) | st.just(FrameOptions())

Outcome = tuple[list[Frame], tuple[str, int, bytes] | None, dict[Any, int]]


def cut(stream: bytes, places: Iterable[int]) -> Iterator[bytes]:
    start = 0
    for place in sorted({place % (len(stream) + 1) for place in places}):
        yield stream[start:place]
        start = place
    yield stream[start:]


def run(chunks: Iterable[bytes], options: FrameOptions, *, silence: bool = False) -> Outcome:
    decoder = FrameDecoder(options)
    frames: list[Frame] = []
    try:
        for chunk in chunks:
            decoder.receive_data(chunk)
            while (frame := decoder.next_frame()) is not None:
                frames.append(frame)
        if silence:
            decoder.receive_silence()
            while (frame := decoder.next_frame()) is not None:
                frames.append(frame)
    except FramingError as error:
        return frames, (error.reason, error.offset, error.head), {}
    return frames, None, decoder.tolerated_counts


@given(stream=STREAMS, places=st.lists(st.integers(min_value=0), max_size=12), options=OPTIONS)
@settings(max_examples=500, deadline=None)
def test_where_the_network_cuts_the_stream_does_not_matter(
    stream: bytes, places: list[int], options: FrameOptions
) -> None:
    """The same frames, the same counts and the same error at the same byte; nothing but FramingError is raised."""
    whole = run([stream], options, silence=True)
    assert run(cut(stream, places), options, silence=True) == whole
    assert run(cut(stream, range(len(stream))), options, silence=True) == whole


@given(stream=STREAMS, options=OPTIONS)
@settings(max_examples=300, deadline=None)
def test_whatever_is_read_can_be_sent_and_reads_back(stream: bytes, options: FrameOptions) -> None:
    frames, _, _ = run([stream], options, silence=True)
    for frame in frames:
        assert 0 < len(frame.content) <= options.frame_size_max
        assert run([encode_frame(frame.content)], FrameOptions())[0][0].content == frame.content


@given(stream=STREAMS)
@settings(max_examples=300, deadline=None)
def test_every_content_is_a_run_of_the_stream_and_none_overlap(stream: bytes) -> None:
    """No byte is invented, joined over a gap, or given twice."""
    offset = 0
    for frame in run([stream], FrameOptions(), silence=True)[0]:
        found = stream.find(b"\x0b" + frame.content, offset)
        assert found >= 0
        offset = found + 1 + len(frame.content)


@given(
    frames=st.lists(st.binary(max_size=8) | st.just(b"MSH|A\r"), max_size=6),
    noise=ODD_STREAMS,
    places=st.lists(st.integers(min_value=0), max_size=8),
    options=OPTIONS,
)
@settings(max_examples=400)
def test_a_read_that_is_one_frame_gives_what_the_general_way_gives(
    frames: list[bytes], noise: bytes, places: list[int], options: FrameOptions
) -> None:
    blocks = [b"\x0b" + content + b"\x1c\r" for content in frames]
    chunks = [*blocks, *cut(noise, places), *blocks]
    plain, fast = FrameDecoder(options), FrameDecoder(options)
    for chunk in chunks:
        expected, expected_error = take(plain, chunk)
        whole = fast.take_whole(chunk)
        if whole is None:
            found, error = take(fast, chunk)
        else:
            found, error = [whole], None
            assert whole.block is chunk
        assert (found, error) == (expected, expected_error)
        assert (fast.open_offset, fast.open_size) == (plain.open_offset, plain.open_size)
    assert fast.tolerated_counts == plain.tolerated_counts


def take(decoder: FrameDecoder, chunk: bytes) -> tuple[list[Frame], tuple[str, int] | None]:
    decoder.receive_data(chunk)
    frames: list[Frame] = []
    try:
        while (frame := decoder.next_frame()) is not None:
            frames.append(frame)
    except FramingError as error:
        return frames, (error.reason, error.offset)
    return frames, None


def build_long_stream() -> tuple[bytes, list[bytes]]:
    """1,000 messages of 20 to 3,000 bytes, with every tolerated oddity among them."""
    chooser = random.Random(20260105)
    contents = [
        b"MSH|^~\\&|EHR|HOSP|RIS|RAD|20260105||ORM^O01|%d|P|2.5.1\rNTE|1||%b\r"
        % (number, chooser.choice([b"x", b"\x1c|", b"y\n"]) * chooser.randrange(1, 1000))
        for number in range(1000)
    ]
    stream = bytearray()
    for content in contents:
        framed = encode_frame(content)
        shape = chooser.randrange(12)
        if shape == 0:
            framed = b"\r\n\x00noise" + framed
        elif shape == 1:
            framed = framed[:-1] + b"\n"
        elif shape == 2:
            framed = b"\x0b" + framed + b"\x1c\r"
        elif shape == 3:
            framed = b"\x0b\x1c\r" + framed
        stream += framed
    return bytes(stream), contents


LONG_STREAM, LONG_CONTENTS = build_long_stream()


@given(seed=st.integers(min_value=0), size_max=st.sampled_from([3, 50, 700, 1460, 9000, 65536, 262144]))
@settings(max_examples=200, deadline=None)
def test_a_thousand_messages_come_out_of_any_chunking(seed: int, size_max: int) -> None:
    chooser = random.Random(seed)
    decoder = FrameDecoder()
    contents: list[bytes] = []
    offset = 0
    # Small chunks everywhere would take minutes; they matter at the borders, so they come in bursts.
    while offset < len(LONG_STREAM):
        size = chooser.randrange(1, size_max + 1) if chooser.random() < 0.5 else chooser.randrange(1, 65536)
        decoder.receive_data(LONG_STREAM[offset : offset + size])
        offset += size
        while (frame := decoder.next_frame()) is not None:
            contents.append(frame.content)
    assert contents == LONG_CONTENTS
