"""The view: fields by number, every terminator, and nothing but NotHl7 for bytes that are no message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.message.header import MessageType, NotHl7, NotHl7Reason, peek_header
from interceptor.message.view import LINE_COUNT_MAX, MessageView, Segment, is_null

ORDER = (
    rb"MSH|^~\&|EHR|HOSP|RIS|RAD|20260105101502||ORM^O01^ORM_O01|MSG-1|P|2.5.1|||AL|NE||8859/1" + b"\r"
    rb"PID|1||4711^^^HOSP&1.2.3&ISO^MR~99^^^NAT||DOE^JANE^^^^^L" + b"\r"
    rb"ORC|NW|A1^EHR||G1" + b"\r"
    rb"OBR|1|A1^EHR||72157^MRI T-SPINE W/O \T\ W^C4|||||||||||||||||||||||||||"
    + b'""|back pain & weakness^\\S\\'
    + b"\r"
)


def first(view: MessageView, name: str) -> Segment:
    segment = view.first(name)
    assert segment is not None
    return segment


def test_fields_read_by_the_numbers_of_the_standard() -> None:
    view = MessageView(ORDER)
    assert view.message_type == MessageType("ORM", "O01", "ORM_O01")
    assert view.control_id == b"MSG-1"
    assert view.version == "2.5.1"
    assert view.charset.codec == "iso8859_1"
    assert first(view, "PID").text(5, 2) == "JANE"
    assert first(view, "PID").raw(3, 1, 4, 2) == b"1.2.3"
    assert first(view, "PID").text(3, repetition=2) == "99"
    assert first(view, "PID").text(3, 4, repetition=2) == "NAT"
    assert first(view, "OBR").text(4, 2) == "MRI T-SPINE W/O & W"


def test_the_separator_and_the_delimiters_are_the_first_two_fields_of_the_header() -> None:
    header = first(MessageView(ORDER), "MSH")
    assert header.raw_field(1) == b"|"
    assert header.raw_field(2) == rb"^~\&"
    assert header.text(2) == r"^~\&"
    assert header.raw(2, 1, 2) == b""
    assert header.repetition_count(2) == 1
    assert header.text(3) == "EHR"
    assert header.field_count == 18
    assert header.span(1) is None
    assert header.span(2) == (4, 8)
    assert header.span(2, 1) is None


@pytest.mark.parametrize("number", [0, -1, 40])
def test_a_field_that_is_not_there_is_empty(number: int) -> None:
    for segment in MessageView(ORDER).segments:
        assert segment.raw_field(number) == b""
        assert segment.text(number) == ""
        assert segment.repetition_count(number) == 0
        assert segment.span(number) is None


@pytest.mark.parametrize("place", [(0, 1, 1), (3, 1, 1), (1, 0, 1), (1, 8, 1), (1, 1, 0), (1, 1, 2)])
def test_a_part_that_is_not_there_is_empty(place: tuple[int, int, int]) -> None:
    pid = first(MessageView(ORDER), "PID")
    assert pid.raw(3, *place) == b""
    assert pid.span(3, *place) is None


def test_null_reads_as_no_text_but_stays_in_the_bytes() -> None:
    obr = first(MessageView(ORDER), "OBR")
    number = next(number for number in range(1, 40) if is_null(obr.raw_field(number)))
    assert obr.text(number) == ""
    assert obr.raw_field(number) == b'""'


def test_text_with_a_stray_subcomponent_separator_can_be_read_whole() -> None:
    view = MessageView(ORDER)
    obr = first(view, "OBR")
    number = obr.field_count
    assert obr.text(number) == "back pain "
    assert obr.text(number, subcomponent=None) == "back pain & weakness"
    assert obr.text(number, component=None) == "back pain & weakness^^"


def test_paths_read_bytes_and_text() -> None:
    view = MessageView(ORDER)
    assert view.raw_value("PID-3") == b"4711^^^HOSP&1.2.3&ISO^MR~99^^^NAT"
    assert view.raw_value("PID-3[1]") == b"4711^^^HOSP&1.2.3&ISO^MR"
    assert view.raw_value("PID-3.4") == b"HOSP&1.2.3&ISO"
    assert view.raw_value("PID-3[2].4") == b"NAT"
    assert view.raw_value("MSH-1") == b"|"
    assert view.raw_value("MSH-2") == rb"^~\&"
    assert view.raw_value("ORC") == b"ORC|NW|A1^EHR||G1"
    assert view.raw_value("ORC-3") == b""
    assert view.raw_value("ORC-9") is None
    assert view.raw_value("ORC[2]-1") is None
    assert view.raw_value("ZZZ-1") is None
    assert view.text("PID-5") == "DOE"
    assert view.text("PID-3[2].4") == "NAT"
    assert view.text("ZZZ-1") == ""
    assert view.text("ORC") == ""


def test_occurrences_count_from_one_and_indexes_from_zero() -> None:
    view = MessageView(ORDER + b"NTE|1\rNTE|2\r")
    assert [(note.occurrence, note.index) for note in view.segments_named("NTE")] == [(1, 4), (2, 5)]
    assert view.text("NTE[2]-1") == "2"


@pytest.mark.parametrize("terminator", [b"\r", b"\n", b"\r\n"])
def test_every_terminator_gives_the_same_fields(terminator: bytes) -> None:
    view = MessageView(ORDER.replace(b"\r", terminator))
    usual = MessageView(ORDER)
    assert [segment.raw_bytes for segment in view.segments] == [segment.raw_bytes for segment in usual.segments]
    assert view.segment_terminator == terminator
    assert all(view.raw[s.end : s.end_with_terminator] == terminator for s in view.segments)


def test_mixed_terminators_read_and_the_most_used_is_known() -> None:
    view = MessageView(b"MSH|^~\\&|A\rPID|1\nPV1|1\r\nORC|NW\nOBR|1")
    assert [segment.name for segment in view.segments] == ["MSH", "PID", "PV1", "ORC", "OBR"]
    assert view.segment_terminator == b"\n"
    assert view.segments[-1].end == view.segments[-1].end_with_terminator == len(view.raw)


def test_a_line_feed_inside_a_text_does_not_end_the_segment() -> None:
    view = MessageView(b"MSH|^~\\&|A\rNTE|1||first line\nand more|x\rORC|NW\r")
    assert [segment.name for segment in view.segments] == ["MSH", "NTE", "ORC"]
    assert view.text("NTE-3") == "first line\nand more"


@pytest.mark.parametrize(
    "before", [b"", b"\xef\xbb\xbf", b"\r\n\r\n", b"  \r\n", b"\n", b"\xef\xbb\xbf\r\n", b"\r\n\xef\xbb\xbf"]
)
def test_a_byte_order_mark_and_blank_lines_before_the_header_are_stepped_over(before: bytes) -> None:
    view = MessageView(before + ORDER)
    assert view.control_id == b"MSG-1"
    assert view.segments[0].name == "MSH"
    assert view.segments[0].start == len(before)
    assert view.header.start == len(before)


@pytest.mark.parametrize(
    ("raw", "reason", "offset"),
    [
        (b"", NotHl7Reason.EMPTY, 0),
        (b"\r\n \t", NotHl7Reason.EMPTY, 0),
        (b"\xef\xbb\xbf", NotHl7Reason.EMPTY, 0),
        (b"INVALID PAYLOAD", NotHl7Reason.NO_HEADER, 0),
        (b"\r\nMSA|AA|1\r", NotHl7Reason.NO_HEADER, 2),
        (b"PID|1\rMSH|^~\\&|A\r", NotHl7Reason.NO_HEADER, 0),
        (b"BHS|^~\\&|A\rBTS|0\r", NotHl7Reason.NO_HEADER, 0),
        (b"MSH", NotHl7Reason.BAD_DELIMITERS, 3),
        (b"MSH|", NotHl7Reason.BAD_DELIMITERS, 3),
        (b"MSH||EHR|", NotHl7Reason.BAD_DELIMITERS, 3),
        (b"MSH|EHR|HOSP|", NotHl7Reason.BAD_DELIMITERS, 3),
        (b"MSHA^~\\&A", NotHl7Reason.BAD_DELIMITERS, 3),
        (b" MSH\r|^~\\&", NotHl7Reason.BAD_DELIMITERS, 4),
        (ORDER.decode("latin-1").encode("utf-16"), NotHl7Reason.WIDE_CHARACTERS, 0),
        (ORDER.decode("latin-1").encode("utf-16-le"), NotHl7Reason.WIDE_CHARACTERS, 0),
        (ORDER.decode("latin-1").encode("utf-16-be"), NotHl7Reason.WIDE_CHARACTERS, 0),
    ],
)
def test_bytes_that_are_no_message_are_refused_with_reason_and_place(
    raw: bytes, reason: NotHl7Reason, offset: int
) -> None:
    with pytest.raises(NotHl7) as caught:
        MessageView(raw)
    assert (caught.value.reason, caught.value.offset) == (reason, offset)
    assert peek_header(raw) is None


@pytest.mark.parametrize("line_end", [b"\r", b"\n"])
def test_a_message_of_countless_lines_is_refused(line_end: bytes) -> None:
    most = ORDER.replace(b"\r", line_end) + line_end * (LINE_COUNT_MAX - 4)
    assert len(MessageView(most).segments) == 4
    with pytest.raises(NotHl7) as caught:
        MessageView(most + line_end)
    assert caught.value.reason is NotHl7Reason.TOO_MANY_SEGMENTS


def test_a_second_header_is_found_even_with_other_delimiters() -> None:
    assert MessageView(ORDER).second_header_offset is None
    assert MessageView(ORDER + ORDER).second_header_offset == len(ORDER)
    assert MessageView(ORDER + b"MSH#!@%*#B\r").second_header_offset == len(ORDER)


def test_a_batch_is_known_by_its_wrappers() -> None:
    assert not MessageView(ORDER).is_batch
    batch = MessageView(b"FHS|^~\\&|A\rBHS|^~\\&|B\r" + ORDER + b"BTS|1\rFTS|1\r")
    assert batch.is_batch
    assert batch.control_id == b"MSG-1"
    assert batch.text("BHS-3") == "B"
    assert MessageView(ORDER + b"BTS|1\r").is_batch


def test_an_empty_control_id_reads_as_empty() -> None:
    assert MessageView(b"MSH|^~\\&|A||||||ORM^O01||P\r").control_id == b""
    assert MessageView(b"MSH|^~\\&|A\r").control_id == b""


def test_odd_delimiters_read_by_their_places() -> None:
    view = MessageView(b"MSH#!@%*#EHR#HOSP#RIS#RAD#2026##ORM!O01#M7#P#2.5\rPID#1##12!!!A*B@34##DOE%S%X!J|^~&\r")
    assert view.message_type == MessageType("ORM", "O01")
    assert view.text("PID-3.4.2") == "B"
    assert view.text("PID-3[2]") == "34"
    assert view.text("PID-5") == "DOE!X"
    assert view.text("PID-5.2") == "J|^~&"


def test_a_missing_subcomponent_delimiter_leaves_components_whole() -> None:
    view = MessageView(b"MSH|^~|EHR\rPID|1||a&b^c\\F\\d\r")
    assert view.text("PID-3") == "a&b"
    assert view.text("PID-3.2") == "c\\F\\d"
    assert view.raw_value("PID-3.1.2") is None


def test_kanji_that_hold_delimiter_bytes_stay_whole() -> None:
    name = "除移".encode("iso2022_jp")
    view = MessageView(b"MSH|^~\\&|A||||||ORM^O01|1|P|2.5||||||ISO IR6~ISO IR87\rPID|1||" + name + b"^B|C\r")
    assert view.text("PID-3") == "除移"
    assert view.text("PID-3.2") == "B"
    assert view.text("PID-4") == "C"
    assert view.raw_value("PID-3.1") == name
    assert view.raw_value("PID-4") == b"C"


def test_a_peek_reads_what_routing_needs() -> None:
    header = peek_header(ORDER)
    assert header is not None
    assert str(header.message_type) == "ORM^O01"
    assert (header.control_id, header.version) == (b"MSG-1", "2.5.1")
    assert (header.sending_application, header.sending_facility) == (b"EHR", b"HOSP")
    assert (header.accept_ack, header.application_ack) == (b"AL", b"NE")
    assert header.charset_names == [b"8859/1"]


@given(st.binary(max_size=200))
def test_garbage_is_a_message_or_not_hl7(raw: bytes) -> None:
    try:
        view = MessageView(raw)
    except NotHl7:
        return
    assert view.raw is raw


@given(st.binary(max_size=150), st.sampled_from([b"|^~\\&", b"#!@%*", b"|^~\\&#", b"|^", b"|^^^^"]))
def test_whatever_follows_a_header_reads_without_an_error(raw: bytes, delimiters: bytes) -> None:
    view = MessageView(b"MSH" + delimiters + delimiters[:1] + raw)
    for segment in view.segments:
        for number in range(1, segment.field_count + 1):
            segment.text(number, component=None)
            segment.text(number, 2, repetition=2, subcomponent=2)
            span = segment.span(number)
            if span is not None:
                assert view.raw[slice(*span)] == segment.raw_field(number)
    assert view.is_batch in (True, False)
    assert view.segment_terminator in (b"\r", b"\n", b"\r\n")


LINES = st.lists(st.text("ABCDZ|^~ 1é", max_size=12).map(str.encode), max_size=6)


@given(LINES, st.lists(st.sampled_from([b"\r", b"\n", b"\r\n"]), min_size=7, max_size=7))
def test_segments_and_terminators_cover_the_message(lines: list[bytes], terminators: list[bytes]) -> None:
    """What belongs to no segment and no terminator is blank."""
    pieces = [b"MSH|^~\\&|A", *lines]
    raw = b"".join(piece + end for piece, end in zip(pieces, terminators, strict=False))
    offset = 0
    for segment in MessageView(raw).segments:
        assert raw[offset : segment.start].strip(b" \r\n") == b""
        assert segment.start < segment.end <= segment.end_with_terminator
        assert raw[segment.end : segment.end_with_terminator] in (b"\r", b"\n", b"\r\n", b"")
        offset = segment.end_with_terminator
    assert raw[offset:].strip(b" \r\n") == b""


def test_the_field_behind_the_last_is_empty_and_the_last_is_not() -> None:
    view = MessageView(b"MSH|^~\\&|A|B\rPID|1|2\r")
    msh, pid = view.segments
    assert (msh.field_count, pid.field_count) == (4, 2)
    assert [msh.raw_field(number) for number in (3, 4, 5)] == [b"A", b"B", b""]
    assert [pid.raw_field(number) for number in (1, 2, 3)] == [b"1", b"2", b""]
    assert [view.header.raw_field(number) for number in range(6)] == [b"", b"|", b"^~\\&", b"A", b"B", b""]


@pytest.mark.parametrize(
    ("line", "name"),
    [(b"A-|x", "A-"), (b"MSHX|1", "MSHX"), (b"some text", "some text"), (b"ZZ", "ZZ"), (b"PID", "PID")],
)
def test_a_line_that_is_no_segment_is_named_by_what_stands_before_the_separator(line: bytes, name: str) -> None:
    view = MessageView(b"MSH|^~\\&|A\r" + line + b"\r")
    assert [segment.name for segment in view.segments] == ["MSH", name]
    assert view.second_header_offset is None


@pytest.mark.parametrize(
    ("raw", "terminator"),
    [
        (b"MSH|^~\\&|A\rPID|1\nPV1|1\rORC|1\n", b"\r"),
        (b"MSH|^~\\&|A\r\nPID|1\nPV1|1\r\nORC|1\n", b"\r\n"),
        (b"MSH|^~\\&|A\r\nPID|1\r", b"\r"),
        (b"MSH|^~\\&|A", b"\r"),
    ],
)
def test_of_two_terminators_used_alike_the_standard_s_is_taken(raw: bytes, terminator: bytes) -> None:
    assert MessageView(raw).segment_terminator == terminator


def test_a_header_that_ends_with_a_line_feed_or_with_nothing_reads_alike() -> None:
    line = ORDER.partition(b"\r")[0]
    for raw in (line, line + b"\r", line + b"\n", line + b"\r\n", line + b"\nPID|1\r", line + b"\rPID|1\n"):
        header = peek_header(raw)
        assert header is not None
        assert header.raw_field(18) == b"8859/1"
        assert header.end == len(line)


def test_kanji_in_the_header_hide_no_field() -> None:
    name = "除移".encode("iso2022_jp")
    header = peek_header(b"MSH|^~\\&|" + name + b"|B||||||7|1||||||||ISO IR87\r")
    assert header is not None
    assert (header.sending_application, header.sending_facility) == (name, b"B")
    chinese = "亅".encode("gb18030")
    header = peek_header(b"MSH|^~\\&|" + chinese + b"|B||||||||||||||GB 18030\r")
    assert header is not None
    assert (header.sending_application, header.sending_facility) == (chinese, b"B")


def test_the_type_has_three_components_at_most() -> None:
    view = MessageView(b"MSH|^~\\&|A||||||ORM^O01^ORM_O01^X^Y|1\r")
    assert view.message_type == MessageType("ORM", "O01", "ORM_O01")


@pytest.mark.parametrize("number", range(1, 40))
def test_the_components_of_a_field_are_the_texts_of_its_components(number: int) -> None:
    lines = (
        b'OBR|1|P^EHR&ISO|a\\S\\b^c~d^e&f|""^x|^^|\xe4^\xf6|one',
        b'OBR|2|\x1b$B4A^B;z\x1b(B^x|^""',
    )
    view = MessageView(b"MSH|^~\\&|A|B\r" + b"\r".join(lines) + b"\r")
    for segment in view.segments:
        for repetition in (1, 2, 3):
            for subcomponent in (None, 1, 2):
                found = segment.components(number, repetition=repetition, subcomponent=subcomponent)
                read = [
                    segment.text(number, component, repetition=repetition, subcomponent=subcomponent)
                    for component in range(1, len(found) + 2)
                ]
                assert [*found, ""] == read


@given(st.binary(max_size=60).map(lambda rest: b"MSH|^~\\&|A\r" + rest))
def test_one_segment_alone_is_the_same_as_among_all(raw: bytes) -> None:
    names = [segment.name for segment in MessageView(raw).segments]
    for index, name in enumerate(names):
        alone, among = MessageView(raw).lines.at(index), MessageView(raw).segments[index]
        assert alone.name == name
        for place in ("index", "occurrence", "start", "end", "end_with_terminator", "raw_bytes"):
            assert getattr(alone, place) == getattr(among, place)


@given(st.lists(st.sampled_from([b"NTE|1", b"OBX|2|x", b"ZZ1|", b"NTE|", b"AB", b"", b" OBR|1", b"nte|3", b"N|E|1"])))
def test_lines_of_any_shape_are_found_alike_with_either_terminator(lines: list[bytes]) -> None:
    """The short way for messages of plain lines agrees with the long way, which a message with LF takes."""
    short = MessageView(b"\r".join([b"MSH|^~\\&|A", *lines]) + b"\r")
    long = MessageView(b"\n".join([b"MSH|^~\\&|A", *lines]) + b"\n")
    assert [(s.name, s.occurrence, s.start, s.end) for s in short.segments] == [
        (s.name, s.occurrence, s.start, s.end) for s in long.segments
    ]
