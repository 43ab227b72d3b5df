"""Segments that we author: ASCII, escaped, one segment each."""

# ruff: noqa: RUF001 - characters that look like others are what is spelled.

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.message.build import BuildError, ascii_text, build_segment
from interceptor.message.encoding import USUAL_ENCODING, parse_encoding
from interceptor.message.view import MessageView

HL7_NULL = '""'


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("Müller ß æ Łódź", "Muller ss ae Lodz"),
        ("“quoted” – it’s", '"quoted" - it\'s'),
        ("eGFR ≥ 30 µl", "eGFR >= 30 ul"),
        ("a\tb\r\nc\x0bd\x1ce\x00f\x7fg\x85h\x9bi", "a b  cdefg hi"),
        ("患者", "??"),
        ("a\u202eb\ufeffc\u00add", "abcd"),
        ("½", "1?2"),
    ],
)
def test_a_text_is_spelled_in_printable_ascii(text: str, spelled: str) -> None:
    assert ascii_text(text) == spelled


@given(st.text(), st.none() | st.integers(min_value=0, max_value=20))
def test_ascii_text_is_printable_ascii_within_its_size(text: str, size_max: int | None) -> None:
    spelled = ascii_text(text, size_max=size_max)
    assert all(0x20 <= ord(character) <= 0x7E for character in spelled)
    assert size_max is None or len(spelled) <= size_max


def test_fields_components_and_copied_bytes() -> None:
    segment = build_segment(USUAL_ENCODING, "OBX", ["1", "CE", ("7^5", b"x&y", "LN"), "", b"A^B"])
    assert segment == rb"OBX|1|CE|7\S\5^x&y^LN||A^B"


@given(
    st.lists(st.text().filter(lambda text: text != HL7_NULL), max_size=5),
    st.sampled_from([b"|^~\\&", b"#!@%*", b"@~&#\\", b"|^~\\&#"]),
)
def test_a_built_segment_reads_back_whatever_the_text(texts: list[str], delimiters: bytes) -> None:
    """Nothing in a text can begin a segment, a field or a component."""
    encoding = parse_encoding(delimiters[:1], delimiters[1:])
    assert encoding is not None
    spelled = [ascii_text(text) for text in texts]
    segment = build_segment(encoding, "NTE", list(spelled))
    view = MessageView(b"MSH" + delimiters + delimiters[:1] + b"A\r" + segment + b"\rZZZ\r")
    assert [s.name for s in view.segments] == ["MSH", "NTE", "ZZZ"]
    assert [view.segments[1].text(number) for number in range(1, len(texts) + 1)] == spelled


@pytest.mark.parametrize("name", ["", "NT", "NTEX", "nte", "N|E", "1TE", "MSH", "BHS", "NTE\r"])
def test_only_a_segment_s_name_is_built(name: str) -> None:
    with pytest.raises(BuildError):
        build_segment(USUAL_ENCODING, name, ["1"])


@pytest.mark.parametrize("copied", [b"a|b", b"a\rb", b"a\nb"])
def test_copied_bytes_that_would_break_the_segment_are_refused(copied: bytes) -> None:
    with pytest.raises(BuildError):
        build_segment(USUAL_ENCODING, "NTE", ["1", copied])
    with pytest.raises(BuildError):
        build_segment(USUAL_ENCODING, "NTE", ["1", ("a", copied)])
