"""Character sets: the right text where MSH-18 says which, some text always."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.message.charset import masking_for, read_charset, split_outside


@pytest.mark.parametrize(
    ("name", "text", "codec"),
    [
        ("", "Müller", "utf-8"),
        ("", "Müller", "latin-1"),
        ("ASCII", "Müller", "utf-8"),
        ("ASCII", "Müller", "latin-1"),
        ("UNICODE UTF-8", "Ωμέγα 患者", "utf-8"),
        ("UTF-8", "Ωμέγα", "utf-8"),
        ("unicode_utf-8", "Ωμέγα", "utf-8"),
        ("8859/1", "Ã¼", "latin-1"),
        ("8859/2", "Łódź", "iso8859_2"),
        ("8859/5", "Иванов", "iso8859_5"),
        ("8859/7", "Ωμέγα", "iso8859_7"),
        ("8859/9", "Şahin", "iso8859_9"),
        ("8859/15", "Œuvre €", "iso8859_15"),
        ("ISO 8859-1", "Müller", "latin-1"),
        ("GB 18030-2000", "脊柱转移", "gb18030"),
        ("BIG-5", "功能", "big5"),
        ("KS X 1001", "환자", "euc_kr"),
        ("ISO IR87", "患者", "iso2022_jp"),
        ("ISO IR159", "患者", "iso2022_jp"),
    ],
)
def test_a_named_character_set_reads_its_text(name: str, text: str, codec: str) -> None:
    charset = read_charset([name.encode()])
    assert charset.is_known
    assert charset.decode(text.encode(codec)) == text


def test_any_8859_part_that_exists_is_known() -> None:
    known = [part for part in range(1, 17) if read_charset([b"8859/%d" % part]).is_known]
    assert known == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16]


@pytest.mark.parametrize(
    "name", [b"ISO IR 999", b"CNS 11643-1992", b"8859/12", b"8859/0", b"\xff\xfe", b"UNICODE UTF-16"]
)
def test_an_unknown_character_set_is_flagged_and_read_all_the_same(name: bytes) -> None:
    charset = read_charset([name])
    assert not charset.is_known
    assert charset.decode(b"M\xfcller") == "Müller"


def test_a_later_repetition_that_is_japanese_makes_escapes_readable() -> None:
    charset = read_charset([b"ISO IR6", b"ISO IR87"])
    assert charset.decode("山田^".encode("iso2022_jp")) == "山田^"


@given(st.binary(max_size=60), st.sampled_from(["", "ASCII", "8859/1", "8859/8", "UNICODE UTF-8", "UNICODE UTF-16",
       "GB 18030", "BIG-5", "KS X 1001", "ISO IR87", "ISO IR159", "whatever"]))  # fmt: skip
def test_decoding_never_raises(raw: bytes, name: str) -> None:
    assert isinstance(read_charset([name.encode()]).decode(raw), str)


@given(st.binary(max_size=40), st.lists(st.binary(max_size=10), max_size=3))
def test_reading_the_name_never_raises(raw: bytes, names: list[bytes]) -> None:
    assert isinstance(read_charset(names).decode(raw), str)


@pytest.mark.parametrize(
    ("name", "codec", "text", "hidden"),
    [
        ("ISO IR87", "iso2022_jp", "移", b"\\"),
        ("ISO IR87", "iso2022_jp", "除", b"|"),
        ("GB 18030", "gb18030", "亅", b"|"),
        ("BIG-5", "big5", "功", b"\\"),
    ],
)
def test_a_delimiter_byte_inside_a_character_is_not_a_delimiter(
    name: str, codec: str, text: str, hidden: bytes
) -> None:
    raw = text.encode(codec)
    assert hidden in raw, "the test would show nothing"
    masking = masking_for(raw, read_charset([name.encode()]))
    assert split_outside(raw + hidden + raw, hidden, masking) == [raw, raw]


@given(st.lists(st.text("山田太郎ゼヾab|^", max_size=6), max_size=5))
def test_splitting_iso_2022_text_at_real_delimiters_gives_the_parts_back(parts: list[str]) -> None:
    raws = [part.replace("|", "").encode("iso2022_jp") for part in parts]
    raw = b"|".join(raws)
    masking = masking_for(raw, read_charset([b"ISO IR87"]))
    assert split_outside(raw, b"|", masking) == (raws or [b""])


@pytest.mark.parametrize("delimiter", [b"|", b"^", b"~", b"\\"])
@pytest.mark.parametrize("escape", [b"\x1b ", b"\x1b(", b"\x1b$", b"\x1b$("])
def test_a_delimiter_after_an_unfinished_escape_is_a_delimiter(escape: bytes, delimiter: bytes) -> None:
    raw = b"A" + escape + delimiter + b"P"
    assert split_outside(raw, delimiter, masking_for(raw, read_charset([]))) == [b"A" + escape, b"P"]
