"""Messages are found in files as people and captures make them, and keep their bytes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.replay.reader import MessageFileError, split_messages
from interceptor.wire.frame import encode_frame

ONE = b"MSH|^~\\&|A|B|C|D|20260101||ADT^A08|1|T|2.3.1\rPID|1||1\r"
TWO = ONE.replace(b"|1|T", b"|2|T")


def with_ends(raw: bytes, end: bytes) -> bytes:
    return raw.replace(b"\r", end)


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
@pytest.mark.parametrize("gap", [b"", b"\n", b"\r\n\r\n", b"\n \n\t\n"])
def test_plain_messages_keep_their_line_ends_and_lose_the_blank_lines_between(end: bytes, gap: bytes) -> None:
    one, two = with_ends(ONE, end), with_ends(TWO, end)
    assert split_messages(one + gap + two + gap) == [one, two]


def test_a_message_without_a_final_line_end_keeps_not_having_one() -> None:
    assert split_messages(ONE[:-1]) == [ONE[:-1]]


def test_framed_messages_are_what_stands_in_the_frames_whatever_it_is() -> None:
    contents = [ONE, b"not HL7 at all", ONE + TWO, with_ends(TWO, b"\n")]
    framed = b"".join(encode_frame(content) for content in contents)
    assert split_messages(b"\r\n" + framed) == contents


def test_a_frame_without_its_last_byte_counts_at_the_end_of_a_file() -> None:
    assert split_messages(encode_frame(ONE) + encode_frame(TWO)[:-1]) == [ONE, TWO]


def test_a_capture_that_ends_inside_a_frame_says_so_and_gives_what_came_before() -> None:
    with pytest.raises(MessageFileError, match="ends inside a frame") as caught:
        split_messages(encode_frame(ONE) + encode_frame(TWO)[:-10])
    assert caught.value.messages == (ONE,)


def test_batch_wrappers_belong_to_no_message() -> None:
    batch = b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + ONE + TWO + b"BTS|2\rFTS|1\r"
    assert split_messages(batch) == [ONE, TWO]


def test_a_byte_order_mark_belongs_to_its_message() -> None:
    assert split_messages(b"\xef\xbb\xbf" + ONE) == [b"\xef\xbb\xbf" + ONE]


def test_what_is_not_hl7_is_shown_and_not_swallowed() -> None:
    assert split_messages(b"PID|1\r") == [b"PID|1\r"]
    assert split_messages(b"hello\r" + ONE) == [b"hello\r", ONE]
    assert split_messages(b" \r\n") == []


def test_a_word_that_begins_like_a_header_begins_no_message() -> None:
    text = ONE + b"NTE|1||\rMSHX|1\r"
    assert split_messages(text) == [text]


@settings(max_examples=60)
@given(st.binary(max_size=300))
def test_any_bytes_give_messages_or_one_named_error(data: bytes) -> None:
    try:
        messages = split_messages(data)
    except MessageFileError:
        return
    assert all(message in data or b"\x0b" in data or b"FHS" in data or b"BHS" in data for message in messages)
