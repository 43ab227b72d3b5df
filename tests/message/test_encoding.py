"""Delimiters from MSH-1 and MSH-2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.message.encoding import EncodingCharacters, parse_encoding


def test_the_usual_delimiters_read_by_their_places() -> None:
    assert parse_encoding(b"|", b"^~\\&") == EncodingCharacters(0x7C, 0x5E, 0x7E, 0x5C, 0x26, None)


def test_a_fifth_character_is_the_truncation_character() -> None:
    encoding = parse_encoding(b"|", b"^~\\&#")
    assert encoding is not None
    assert encoding.truncation == ord("#")
    assert encoding.is_safe


@pytest.mark.parametrize(("separator", "characters"), [(b"#", b"!@%*"), (b"@", b"~&#\\")])
def test_odd_delimiters_are_safe_when_no_two_are_alike(separator: bytes, characters: bytes) -> None:
    encoding = parse_encoding(separator, characters)
    assert encoding is not None
    assert encoding.is_safe
    assert encoding.raw == separator + characters


@pytest.mark.parametrize("characters", [b"^~\\", b"^~", b"^", b"^~\\^", b"^~|&", b"^^\\&", b"^~\\&&"])
def test_missing_or_doubled_delimiters_read_but_are_not_safe(characters: bytes) -> None:
    encoding = parse_encoding(b"|", characters)
    assert encoding is not None
    assert not encoding.is_safe


@pytest.mark.parametrize(
    ("separator", "characters"),
    [(b"A", b"^~\\&"), (b"|", b""), (b"|", b"LAB"), (b"|", b"^~\\&#!"), (b" ", b"^~\\&"), (b"|", b"^~ &"),
     (b"|", b"^\x00\\&"), (b"\xa6", b"^~\\&"), (b"", b"^~\\&"), (b"||", b"^~\\&"), (b"|", b"^~\x7f&")],
)  # fmt: skip
def test_what_cannot_be_a_delimiter_is_refused(separator: bytes, characters: bytes) -> None:
    assert parse_encoding(separator, characters) is None


@given(st.binary(max_size=2), st.binary(max_size=7))
def test_whatever_reads_is_printable_and_gives_itself_back(separator: bytes, characters: bytes) -> None:
    encoding = parse_encoding(separator, characters)
    if encoding is not None:
        assert encoding.raw == separator + characters
        assert encoding.raw.decode("ascii").isprintable()
