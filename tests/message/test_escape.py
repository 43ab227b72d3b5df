"""Escape sequences, both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.message.charset import read_charset
from interceptor.message.encoding import USUAL_ENCODING, EncodingCharacters, parse_encoding
from interceptor.message.escape import escape, unescape

PLAIN = read_charset([])
DELIMITERS = st.permutations("|^~\\&#!@%*.$").map(
    lambda order: parse_encoding(order[0].encode(), "".join(order[1:5]).encode())
)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (rb"a\F\b\S\c\T\d\R\e\E\f", "a|b^c&d~e\\f"),
        (rb"pain \T\ weakness", "pain & weakness"),
        (rb"line\.br\line", "line\nline"),
        (rb"a\.sp\b\.sp3\c\.sk2\d", "a\nb\n\n\nc  d"),
        (rb"\H\new\N\ onset", "new onset"),
        (rb"\.in+4\a\.ti-2\b\.fi\c\.nf\d\.ce\e", "abcd\ne"),
        (rb"\X41\\X4243\\X0d0A\z", "ABC\r\nz"),
        (rb"\P\1", "#1"),
        (rb"C:\path\to", r"C:\path\to"),
        (rb"\Z01\ \Q\ \.xx\ \X4\ \XZZ\ ", r"\Z01\ \Q\ \.xx\ \X4\ \XZZ\ "),
        (rb"a\b\F\c", r"a\b|c"),
        (b"\\", "\\"),
        (b"\\\\", "\\\\"),
        (b"\\E\\F\\", "\\F\\"),
    ],
)
def test_known_sequences_become_text_and_unknown_ones_stay(raw: bytes, text: str) -> None:
    assert unescape(raw, USUAL_ENCODING, PLAIN) == text


def test_hexadecimal_is_read_in_the_message_s_character_set() -> None:
    assert unescape(rb"M\XFC\ller", USUAL_ENCODING, read_charset([b"8859/1"])) == "Müller"
    assert unescape(rb"M\XC3BC\ller", USUAL_ENCODING, read_charset([b"UNICODE UTF-8"])) == "Müller"


def test_a_switch_of_character_set_reads_as_its_escape_sequence() -> None:
    japanese = read_charset([b"ISO IR6", b"ISO IR87"])
    raw = rb"\M2442\;3ED\C2842\ TARO"
    assert unescape(raw, USUAL_ENCODING, japanese) == "山田 TARO"


def test_a_kanji_whose_byte_is_the_escape_character_stays_whole() -> None:
    japanese = read_charset([b"ISO IR87"])
    text = "ソ構表"
    assert unescape(text.encode("iso2022_jp"), USUAL_ENCODING, japanese) == text


def test_without_an_escape_character_nothing_is_a_sequence() -> None:
    assert unescape(rb"a\F\b", EncodingCharacters(0x7C, 0x5E, 0x7E), PLAIN) == r"a\F\b"


@given(st.text(st.characters(max_codepoint=0x7F)), DELIMITERS)
def test_any_ascii_text_reads_back_in_any_delimiters(text: str, encoding: EncodingCharacters) -> None:
    raw = escape(text, encoding)
    assert unescape(raw, encoding, PLAIN) == text


@given(st.text(), DELIMITERS)
def test_escaped_text_holds_no_delimiter_and_no_control_character(text: str, encoding: EncodingCharacters) -> None:
    raw = escape(text, encoding)
    delimiters = set(encoding.values) - {encoding.escape}
    assert not delimiters & set(raw)
    assert all(0x20 <= value < 0x7F for value in raw)


@given(st.text())
def test_without_an_escape_character_delimiters_become_blanks(text: str) -> None:
    raw = escape(text, EncodingCharacters(0x7C, 0x5E, 0x7E))
    assert not set(b"|^~\r\n\x0b\x1c") & set(raw)
    assert len(raw) == len(text)


@given(st.binary(max_size=80))
def test_unescaping_never_raises(raw: bytes) -> None:
    for name in (b"", b"8859/1", b"ISO IR87", b"GB 18030"):
        assert isinstance(unescape(raw, USUAL_ENCODING, read_charset([name])), str)


def test_a_line_end_is_hexadecimal_where_the_dot_is_a_delimiter() -> None:
    encoding = parse_encoding(b".", b"^~\\&")
    assert encoding is not None
    assert escape("a\nb.c", encoding) == rb"a\X0A\b\F\c"
