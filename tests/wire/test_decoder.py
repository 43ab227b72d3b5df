"""One behaviour of the decoder each: how frames end, what is tolerated, what is refused, and at which byte."""

from collections.abc import Iterable

import pytest

from interceptor.wire.decoder import FrameDecoder
from interceptor.wire.frame import (
    HEAD_SIZE_MAX,
    Frame,
    FrameOptions,
    FramingError,
    FramingReason,
    Tolerance,
    encode_frame,
)

ORDER = b"MSH|^~\\&|EHR|HOSP|RIS|RAD|20260105101500||ORM^O01|C1|P|2.5.1\rPID|1||1\r"
OTHER = b"MSH|^~\\&|EHR|HOSP|RIS|RAD|20260105101501||ORM^O01|C2|P|2.5.1\rPID|1||2\r"


def take_all(decoder: FrameDecoder) -> list[Frame]:
    frames: list[Frame] = []
    while (frame := decoder.next_frame()) is not None:
        frames.append(frame)
    return frames


def decode(chunks: Iterable[bytes], options: FrameOptions | None = None) -> list[Frame]:
    decoder = FrameDecoder(options or FrameOptions())
    frames: list[Frame] = []
    for chunk in chunks:
        decoder.receive_data(chunk)
        frames += take_all(decoder)
    return frames


def each_byte(stream: bytes) -> list[bytes]:
    return [stream[offset : offset + 1] for offset in range(len(stream))]


def decode_to_error(chunks: Iterable[bytes], options: FrameOptions) -> tuple[list[Frame], FramingError]:
    decoder = FrameDecoder(options)
    frames: list[Frame] = []
    for chunk in chunks:
        decoder.receive_data(chunk)
        try:
            frames += iter(decoder.next_frame, None)
        except FramingError as error:
            return frames, error
    pytest.fail("no FramingError")


def fail(stream: bytes, options: FrameOptions | None = None) -> tuple[list[Frame], FramingError]:
    """The frames before the error, and the error: the same for the whole stream at once and byte by byte."""
    frames, error = decode_to_error([stream], options or FrameOptions())
    other_frames, other = decode_to_error(each_byte(stream), options or FrameOptions())
    assert frames == other_frames
    assert (error.reason, error.offset, error.head) == (other.reason, other.offset, other.head)
    return frames, error


class TestEndOfFrame:
    def test_fs_cr_ends_a_frame(self) -> None:
        assert decode([encode_frame(ORDER)]) == [Frame(ORDER)]

    def test_several_frames_in_one_read_come_in_order(self) -> None:
        assert decode([encode_frame(ORDER) + encode_frame(OTHER)]) == [Frame(ORDER), Frame(OTHER)]

    def test_a_frame_comes_with_its_last_byte_and_not_before(self) -> None:
        stream = encode_frame(ORDER)
        decoder = FrameDecoder()
        for byte in each_byte(stream)[:-1]:
            decoder.receive_data(byte)
            assert decoder.next_frame() is None
        decoder.receive_data(stream[-1:])
        assert decoder.next_frame() == Frame(ORDER)

    def test_fs_followed_by_another_byte_is_content(self) -> None:
        content = b"MSH|^~\\&|\x1cX|\x1c\x1c\r"[:-1]
        assert decode([b"\x0b" + content + b"\x1c\r"]) == [Frame(content)]

    @pytest.mark.parametrize("chunks", [1, 2])
    def test_two_fs_before_cr_leave_one_in_the_content(self, chunks: int) -> None:
        stream = b"\x0bA\x1c\x1c\r"
        pieces = [stream] if chunks == 1 else each_byte(stream)
        assert decode(pieces) == [Frame(b"A\x1c")]

    @pytest.mark.parametrize("follower", [b"\n", b""])
    def test_fs_followed_by_lf_or_by_the_next_start_ends_a_frame(self, follower: bytes) -> None:
        stream = b"\x0b" + ORDER + b"\x1c" + follower + encode_frame(OTHER)
        expected = [Frame(ORDER, (Tolerance.MISSING_FINAL_CR,)), Frame(OTHER)]
        assert decode([stream]) == expected
        assert decode(each_byte(stream)) == expected

    def test_fs_as_content_before_fs_lf_does_not_hide_the_end(self) -> None:
        stream = b"\x0bA\x1cB\x1c\n" + encode_frame(OTHER)
        assert decode([stream]) == [Frame(b"A\x1cB", (Tolerance.MISSING_FINAL_CR,)), Frame(OTHER)]

    def test_fs_cr_before_fs_lf_is_the_end(self) -> None:
        stream = b"\x0bA\x1cB\x1c\r\x0bC\x1c\n"
        assert [frame.content for frame in decode([stream])] == [b"A\x1cB", b"C"]

    def test_silence_after_fs_ends_a_frame(self) -> None:
        decoder = FrameDecoder()
        decoder.receive_data(b"\x0b" + ORDER + b"\x1c")
        assert decoder.next_frame() is None
        assert decoder.needs_silence_timer is True
        decoder.receive_silence()
        assert decoder.next_frame() == Frame(ORDER, (Tolerance.MISSING_FINAL_CR,))
        decoder.receive_data(b"\r" + encode_frame(OTHER))
        assert [frame.content for frame in take_all(decoder)] == [OTHER]

    def test_silence_elsewhere_changes_nothing(self) -> None:
        decoder = FrameDecoder()
        decoder.receive_silence()
        decoder.receive_data(b"\x0b" + ORDER)
        assert decoder.next_frame() is None
        assert not decoder.needs_silence_timer
        decoder.receive_silence()
        decoder.receive_data(b"PID|2\x1c")
        assert decoder.next_frame() is None
        decoder.receive_data(b"\r")
        assert decoder.next_frame() == Frame(ORDER + b"PID|2")

    def test_bytes_after_the_silence_was_announced_take_it_back(self) -> None:
        decoder = FrameDecoder()
        decoder.receive_data(b"\x0bA\x1c")
        assert decoder.next_frame() is None
        decoder.receive_silence()
        decoder.receive_data(b"B\x1c")
        assert decoder.next_frame() is None
        decoder.receive_data(b"\r")
        assert decoder.next_frame() == Frame(b"A\x1cB")

    def test_without_the_tolerance_only_fs_cr_ends_a_frame(self) -> None:
        options = FrameOptions(missing_final_cr=False)
        stream = b"\x0bA\x1c\nB\x1c\r"
        assert decode([stream], options) == [Frame(b"A\x1c\nB", (Tolerance.BARE_LF_SEGMENTS,))]
        decoder = FrameDecoder(options)
        decoder.receive_data(b"\x0bA\x1c")
        assert decoder.next_frame() is None
        assert not decoder.needs_silence_timer
        decoder.receive_silence()
        assert decoder.next_frame() is None
        decoder.receive_data(b"\r")
        assert decoder.next_frame() == Frame(b"A")


class TestStartInsideFrame:
    def test_the_open_frame_ends_truncated_and_is_not_merged(self) -> None:
        stream = b"\x0bMSH|^~\\&|half" + encode_frame(OTHER)
        expected = [
            Frame(b"MSH|^~\\&|half", (Tolerance.START_INSIDE_FRAME,), truncated=True),
            Frame(OTHER, (Tolerance.START_INSIDE_FRAME,)),
        ]
        assert decode([stream]) == expected
        assert decode(each_byte(stream)) == expected

    def test_it_is_counted_once(self) -> None:
        decoder = FrameDecoder()
        decoder.receive_data(b"\x0bA" + encode_frame(OTHER))
        take_all(decoder)
        assert decoder.tolerated_counts[Tolerance.START_INSIDE_FRAME] == 1

    def test_every_start_cuts_again(self) -> None:
        frames = decode([b"\x0bA\x0bB\x0bC\x1c\r"])
        assert [(frame.content, frame.truncated) for frame in frames] == [(b"A", True), (b"B", True), (b"C", False)]

    def test_without_missing_final_cr_fs_before_the_start_stays_content(self) -> None:
        frames = decode([b"\x0bA\x1c\x0bB\x1c\r"], FrameOptions(missing_final_cr=False))
        assert [(frame.content, frame.truncated) for frame in frames] == [(b"A\x1c", True), (b"B", False)]

    def test_the_frame_after_the_cut_one_is_clean(self) -> None:
        assert decode([b"\x0bA" + encode_frame(OTHER) + encode_frame(ORDER)])[2] == Frame(ORDER)


class TestBetweenFrames:
    def test_blanks_are_skipped_and_noted_on_the_next_frame(self) -> None:
        stream = b"\r\n" + encode_frame(ORDER) + b"\n\x00\x00" + encode_frame(OTHER) + b"\r\n"
        decoder = FrameDecoder()
        decoder.receive_data(stream)
        noted = (Tolerance.BYTES_BETWEEN_FRAMES,)
        assert take_all(decoder) == [Frame(ORDER, noted), Frame(OTHER, noted)]
        assert decoder.tolerated_counts[Tolerance.BYTES_BETWEEN_FRAMES] == 3

    def test_a_gap_counts_once_however_it_is_cut(self) -> None:
        decoder = FrameDecoder()
        for byte in each_byte(b"\r\nxx\r\n" + encode_frame(ORDER)):
            decoder.receive_data(byte)
            take_all(decoder)
        assert decoder.tolerated_counts[Tolerance.BYTES_BETWEEN_FRAMES] == 1

    def test_other_bytes_are_skipped_up_to_the_limit(self) -> None:
        options = FrameOptions(skipped_size_max=5)
        assert decode([b"ab\rcd\n\x00e" + encode_frame(ORDER)], options)[0].content == ORDER

    def test_one_byte_above_the_limit_fails_there(self) -> None:
        frames, error = fail(encode_frame(ORDER) + b"ab\rcd\n\x00ef", FrameOptions(skipped_size_max=5))
        assert frames == [Frame(ORDER)]
        assert error.reason is FramingReason.GARBAGE_TOO_LONG
        assert error.offset == len(encode_frame(ORDER)) + 8
        assert error.head == b""

    def test_each_gap_has_the_whole_limit(self) -> None:
        options = FrameOptions(skipped_size_max=3)
        assert len(decode([b"abc" + encode_frame(ORDER) + b"def" + encode_frame(OTHER)], options)) == 2

    def test_the_default_limit_is_64_kib(self) -> None:
        assert decode([b"x" * 65536 + encode_frame(ORDER)])[0].content == ORDER
        decoder = FrameDecoder()
        decoder.receive_data(b"x" * 65537)
        with pytest.raises(FramingError, match="garbage_too_long"):
            decoder.next_frame()

    def test_blanks_have_no_limit(self) -> None:
        assert decode([b"\x00" * 70_000, encode_frame(ORDER)])[0].content == ORDER

    def test_an_unfinished_gap_waits_for_nothing(self) -> None:
        decoder = FrameDecoder()
        decoder.receive_data(b"xyz")
        assert decoder.next_frame() is None
        assert decoder.open_size == 0
        assert decoder.open_offset is None


class TestEmptyAndDoubled:
    def test_an_empty_frame_is_skipped_and_counted(self) -> None:
        decoder = FrameDecoder()
        decoder.receive_data(b"\x0b\x1c\r\x0b\x1c\n" + encode_frame(ORDER))
        assert take_all(decoder) == [Frame(ORDER)]
        assert decoder.tolerated_counts[Tolerance.EMPTY_FRAME] == 2

    def test_a_doubled_envelope_is_one_frame(self) -> None:
        stream = b"\x0b" + encode_frame(ORDER) + b"\x1c\r" + encode_frame(OTHER)
        expected = [Frame(ORDER, (Tolerance.DOUBLED_ENVELOPE,)), Frame(OTHER)]
        assert decode([stream]) == expected
        assert decode(each_byte(stream)) == expected

    def test_the_outer_end_of_a_doubled_envelope_is_not_counted_as_garbage(self) -> None:
        decoder = FrameDecoder(FrameOptions(bytes_between_frames=False))
        decoder.receive_data(b"\x0b" + encode_frame(ORDER) + b"\x1c\r" + encode_frame(OTHER))
        assert len(take_all(decoder)) == 2

    def test_a_doubled_start_alone_is_enough(self) -> None:
        assert [frame.content for frame in decode([b"\x0b" + encode_frame(ORDER) + encode_frame(OTHER)])] == [
            ORDER,
            OTHER,
        ]

    def test_an_outer_end_that_is_not_due_is_garbage(self) -> None:
        frames = decode([encode_frame(ORDER) + b"\x1c\r" + encode_frame(OTHER)])
        assert frames[1].tolerated == (Tolerance.BYTES_BETWEEN_FRAMES,)

    def test_half_an_outer_end_followed_by_garbage_leaves_nothing_due(self) -> None:
        options = FrameOptions(skipped_size_max=1)
        assert len(decode([b"\x0b" + encode_frame(ORDER) + b"\x1cx" + encode_frame(OTHER)], options)) == 2
        _, error = fail(b"\x0b" + encode_frame(ORDER) + b"\x1cx\x1c\r", options)
        assert error.offset == len(encode_frame(ORDER)) + 3

    def test_a_run_of_starts_is_one_doubled_envelope(self) -> None:
        decoder = FrameDecoder()
        for chunk in (b"\x0b\x0b", b"\x0b\x0b", encode_frame(ORDER)):
            decoder.receive_data(chunk)
        assert [frame.content for frame in take_all(decoder)] == [ORDER]
        assert decoder.tolerated_counts[Tolerance.DOUBLED_ENVELOPE] == 1


class TestContentForms:
    @pytest.mark.parametrize(
        ("content", "tolerated"),
        [
            (b"MSH|^~\\&|A\nPID|1\n", (Tolerance.BARE_LF_SEGMENTS,)),
            (b"MSH|^~\\&|A\r\nPID|1\r\n", (Tolerance.CRLF_SEGMENTS,)),
            (b"\xef\xbb\xbfMSH|^~\\&|A\r", (Tolerance.UTF8_BOM,)),
            (b"\xef\xbb\xbfMSH|^~\\&|A\n", (Tolerance.BARE_LF_SEGMENTS, Tolerance.UTF8_BOM)),
            (b"MSH|^~\\&|A\rNTE|1||one\ntwo\r", ()),
            (b"MSH|^~\\&|A\xef\xbb\xbf\r", ()),
        ],
    )
    def test_the_bytes_stay_and_the_form_is_named(self, content: bytes, tolerated: tuple[Tolerance, ...]) -> None:
        assert decode([encode_frame(content)]) == [Frame(content, tolerated)]


@pytest.mark.parametrize(
    ("switched_off", "stream", "offset", "head"),
    [
        (Tolerance.BYTES_BETWEEN_FRAMES, b"\n\x0bA\x1c\r", 0, b""),
        (Tolerance.START_INSIDE_FRAME, b"\x0bA\x0bB\x1c\r", 2, b"A"),
        (Tolerance.EMPTY_FRAME, b"\x0b\x1c\r", 1, b""),
        (Tolerance.DOUBLED_ENVELOPE, b"\x0b\x0bA\x1c\r", 1, b""),
        (Tolerance.BARE_LF_SEGMENTS, b"\x0bA\nB\x1c\r", 2, b"A\nB"),
        (Tolerance.CRLF_SEGMENTS, b"\x0bA\r\nB\x1c\r", 3, b"A\r\nB"),
        (Tolerance.UTF8_BOM, b"\x0b\xef\xbb\xbfA\x1c\r", 1, b"\xef\xbb\xbfA"),
    ],
)
def test_a_tolerance_switched_off_is_an_error_of_its_name(
    switched_off: Tolerance, stream: bytes, offset: int, head: bytes
) -> None:
    good = encode_frame(ORDER)
    frames, error = fail(good + stream, FrameOptions(**{switched_off.value: False}))
    assert frames == [Frame(ORDER)]
    assert (error.reason.value, error.offset, error.head) == (switched_off.value, len(good) + offset, head)


def test_every_tolerance_has_a_switch_that_is_on() -> None:
    assert all(getattr(FrameOptions(), tolerance.value) is True for tolerance in Tolerance)


class TestSizeLimit:
    OPTIONS = FrameOptions(frame_size_max=10)

    @pytest.mark.parametrize("ending", [b"\x1c\r", b"\x1c\n", b"\x1c\x0bB\x1c\r", b"\x0bB\x1c\r"])
    def test_content_of_exactly_the_limit_passes(self, ending: bytes) -> None:
        stream = b"\x0b" + b"x" * 10 + ending
        assert decode([stream], self.OPTIONS)[0].content == b"x" * 10
        assert decode(each_byte(stream), self.OPTIONS)[0].content == b"x" * 10

    @pytest.mark.parametrize("ending", [b"", b"\x1c\r", b"\x1c\n", b"\x1c\x0bB", b"\x0bB", b"\x1c\x1c\r"])
    def test_one_byte_more_is_refused_at_that_byte(self, ending: bytes) -> None:
        good = encode_frame(b"ok")
        frames, error = fail(good + b"\x0b" + b"x" * 11 + ending, self.OPTIONS)
        assert frames == [Frame(b"ok")]
        assert (error.reason, error.offset) == (FramingReason.TOO_LARGE, len(good) + 11)
        assert error.head == b"x" * 10

    def test_a_final_fs_counts_only_once_it_is_content(self) -> None:
        decoder = FrameDecoder(self.OPTIONS)
        decoder.receive_data(b"\x0b" + b"x" * 10 + b"\x1c")
        assert decoder.next_frame() is None
        decoder.receive_data(b"y")
        with pytest.raises(FramingError, match="too_large"):
            decoder.next_frame()

    def test_the_head_is_enough_for_msh_10_and_no_more(self) -> None:
        _, error = fail(b"\x0b" + ORDER + b"x" * 9000, FrameOptions(frame_size_max=8000))
        assert error.head == (ORDER + b"x" * 9000)[:HEAD_SIZE_MAX]

    def test_nothing_of_an_oversize_frame_stays_in_memory(self) -> None:
        decoder = FrameDecoder(self.OPTIONS)
        decoder.receive_data(b"\x0b" + b"x" * 11)
        with pytest.raises(FramingError):
            decoder.next_frame()
        for _ in range(3):
            decoder.receive_data(b"x" * 1000)
        assert decoder.open_size == 0
        assert decoder.open_offset is None

    def test_an_error_is_final(self) -> None:
        decoder = FrameDecoder(self.OPTIONS)
        decoder.receive_data(b"\x0b" + b"x" * 11)
        with pytest.raises(FramingError) as first:
            decoder.next_frame()
        decoder.receive_data(encode_frame(b"ok"))
        with pytest.raises(FramingError) as second:
            decoder.next_frame()
        assert second.value is first.value

    def test_the_error_text_has_no_content(self) -> None:
        _, error = fail(b"\x0bDOE^JANE^TOO^LONG", self.OPTIONS)
        assert str(error) == "too_large at byte 11"

    @pytest.mark.parametrize("sizes", [(0, 0), (1, -1)])
    def test_senseless_limits_are_refused(self, sizes: tuple[int, int]) -> None:
        with pytest.raises(ValueError, match="frame_size_max"):
            FrameOptions(frame_size_max=sizes[0], skipped_size_max=sizes[1])


class TestOpenFrame:
    def test_its_size_and_offset_follow_the_bytes(self) -> None:
        decoder = FrameDecoder()
        good = encode_frame(ORDER)
        decoder.receive_data(good + b"\x0bMSH")
        assert decoder.next_frame() == Frame(ORDER)
        assert decoder.next_frame() is None
        assert (decoder.open_size, decoder.open_offset) == (3, len(good) + 1)
        decoder.receive_data(b"|^~")
        assert decoder.next_frame() is None
        assert (decoder.open_size, decoder.open_offset) == (6, len(good) + 1)
        decoder.receive_data(b"\x1c\r\x0b")
        assert decoder.next_frame() == Frame(b"MSH|^~")
        assert decoder.next_frame() is None
        assert (decoder.open_size, decoder.open_offset) == (0, len(good) + 1 + 6 + 3)

    def test_the_total_of_tolerances_is_their_sum(self) -> None:
        decoder = FrameDecoder()
        decoder.receive_data(b"\n" + encode_frame(b"A\nB") + b"\x0b\x1c\r")
        take_all(decoder)
        assert decoder.tolerated_total == sum(decoder.tolerated_counts.values()) == 3
