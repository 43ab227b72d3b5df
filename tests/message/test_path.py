"""Paths: one spelling, one to one with ERL."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.message.encoding import USUAL_ENCODING
from interceptor.message.path import FieldPath, PathError, from_erl, parse_path

numbers = st.integers(min_value=1, max_value=999_999)
names = st.from_regex(r"[A-Z][A-Z0-9]{2}", fullmatch=True)


@st.composite
def paths(draw: st.DrawFn) -> FieldPath:
    """Any path that can be spelled: a part only below one that is stated."""
    segment, occurrence = draw(names), draw(numbers)
    if not draw(st.booleans()):
        return FieldPath(segment, occurrence)
    field, repetition = draw(numbers), draw(st.none() | numbers)
    component = draw(st.none() | numbers)
    subcomponent = draw(st.none() | numbers) if component is not None else None
    return FieldPath(segment, occurrence, field, repetition, component, subcomponent)


@given(paths())
def test_a_path_reads_back_from_its_text(path: FieldPath) -> None:
    assert parse_path(str(path)) == path


@given(paths())
def test_a_path_reads_back_from_its_erl(path: FieldPath) -> None:
    assert from_erl(path.to_erl(USUAL_ENCODING), USUAL_ENCODING) == path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("OBR-4.1", FieldPath("OBR", 1, 4, None, 1)),
        ("PID-3[2].4.2", FieldPath("PID", 1, 3, 2, 4, 2)),
        ("OBX[3]-5", FieldPath("OBX", 3, 5)),
        ("ZDS", FieldPath("ZDS")),
        ("PV1[2]", FieldPath("PV1", 2)),
    ],
)
def test_paths_of_the_style_guide_read(text: str, path: FieldPath) -> None:
    assert parse_path(text) == path
    assert str(path) == text


@pytest.mark.parametrize(
    "text",
    ["", "OBR.4.1", "OBR-4-1", "PID-3[0].1", "PID-0", "OBX[0]-5", "obr-4", "OBR-4.", "OBR-4.1.1.1", "OBRX-4", "OB-4",
     "OBR-04", "OBR -4", "OBR-4 ", "OBR-4\n", "1BR-4", "OBR-4[]", "OBR-٤"],
)  # fmt: skip
def test_every_other_spelling_is_refused_with_the_grammar(text: str) -> None:
    with pytest.raises(PathError, match=r"SEG\[occurrence\]-field\[repetition\]\.component\.subcomponent"):
        parse_path(text)


def test_an_erl_without_sequence_means_the_first() -> None:
    assert from_erl(b"PID^^5", USUAL_ENCODING) == FieldPath("PID", 1, 5)


@pytest.mark.parametrize(
    "erl", [b"", b"^1^5", b"PID^0^5", b"PID^1^x", b"PID^1^^2", b"PID^1^5^1^^2", b"pid^1", b"PID^1.5"]
)
def test_an_erl_that_names_no_place_is_refused(erl: bytes) -> None:
    with pytest.raises(PathError):
        from_erl(erl, USUAL_ENCODING)


def test_an_erl_leaves_out_what_was_not_stated() -> None:
    assert parse_path("OBR-4").to_erl(USUAL_ENCODING) == b"OBR^1^4"
    assert parse_path("OBX[3]-5[2].1").to_erl(USUAL_ENCODING) == b"OBX^3^5^2^1"
    assert parse_path("OBX-5.2").to_erl(USUAL_ENCODING) == b"OBX^1^5^^2"
