"""The header that nearly every message has, read by one split."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.message.header import peek_usual_fields, read_header, usual_header

USUAL = b"MSH|^~\\&|EHR^1.2^ISO|HOSP|RIS|RAD|20260105||ORM^O01|M1|P|2.5.1\rPID|1\r"
_PARTS = [
    b"MSH|^~\\&|",
    b"|",
    b"^",
    b"\r",
    b"\n",
    b"M1",
    b"\xc3\xa4",
    b"\x1b$B",
    b"\x1b(B",
    b"8859/1",
    b"GB 18030",
    b"PID",
]


@given(st.lists(st.sampled_from(_PARTS), max_size=30).map(b"".join))
def test_what_one_split_gives_is_what_reading_the_header_gives(rest: bytes) -> None:
    for raw in (rest, b"MSH|^~\\&|" + rest, b"MSH|^~\\&|" + rest + b"\rPID|1\r"):
        fields = peek_usual_fields(raw)
        if fields is None:
            continue
        expected, found = read_header(raw), usual_header(fields)
        assert (found.start, found.end, found.encoding) == (expected.start, expected.end, expected.encoding)
        assert [found.raw_field(number) for number in range(1, 40)] == [expected.raw_field(n) for n in range(1, 40)]
        assert fields[9:10] == ([expected.control_id] if len(fields) > 9 else [])


def test_a_usual_header_is_found() -> None:
    fields = peek_usual_fields(USUAL)
    assert fields is not None
    assert (fields[8], fields[9]) == (b"ORM^O01", b"M1")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"MSH",
        USUAL.replace(b"|", b"#"),
        USUAL.replace(b"^~\\&", b"^~\\&#"),
        USUAL.replace(b"HOSP", b"H\xc3\xb6SP"),
        USUAL.replace(b"HOSP", b"\x1b$B"),
        USUAL.replace(b"\r", b"\n"),
        b"\r" + USUAL,
        USUAL.partition(b"\r")[0],
    ],
)
def test_any_other_is_left_to_the_general_way(raw: bytes) -> None:
    assert peek_usual_fields(raw) is None
