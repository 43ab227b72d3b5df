"""Splices: only the edited spans change, and they read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.message import splice as splice_module
from interceptor.message.splice import Edit, Insertion, Replacement, SpliceError, SpliceReason, splice
from interceptor.message.view import MessageView

LINES = [
    rb"MSH|^~\&|EHR|HOSP|RIS|RAD|2026||ORM^O01|M1|P|2.5.1",
    b"PID|1||4711||DOE^J\xc3\xb6RG",
    b"ORC|XO|A1^EHR",
    b"OBR|1|A1^EHR||72148^MRI L SPINE^C4",
    b"DG1|1||C79.51^Bone mets^I10",
]
ORDER = b"".join(line + b"\r" for line in LINES)
NOTE = b"NTE|1|O|checked"


def refused(view: MessageView, edits: list[Edit]) -> SpliceReason:
    with pytest.raises(SpliceError) as caught:
        splice(view, edits)
    return caught.value.reason


def test_without_edits_the_very_object_comes_back() -> None:
    view = MessageView(ORDER)
    assert splice(view, []) is ORDER


def test_new_segments_stand_where_they_were_put() -> None:
    view = MessageView(ORDER)
    result = splice(view, [Insertion(view.segments[3].end_with_terminator, (NOTE, b"NTE|2|O|more"))])
    assert result == b"\r".join([*LINES[:4], NOTE, b"NTE|2|O|more", LINES[4], b""])


def test_a_field_is_replaced_within_its_span() -> None:
    view = MessageView(ORDER)
    span = view.segments[2].span(1)
    assert span is not None
    result = splice(view, [Replacement(*span, b"NW")])
    assert result == ORDER.replace(b"ORC|XO|", b"ORC|NW|")


def test_an_empty_field_is_filled_and_a_full_one_emptied() -> None:
    view = MessageView(ORDER)
    empty, full = view.segments[3].span(3), view.segments[3].span(4)
    assert empty is not None
    assert full is not None
    result = splice(view, [Replacement(*full, b""), Replacement(*empty, b"F9")])
    assert b"OBR|1|A1^EHR|F9|\r" in result


@pytest.mark.parametrize("terminator", [b"\n", b"\r\n"])
def test_new_segments_end_as_the_message_s_own(terminator: bytes) -> None:
    raw = ORDER.replace(b"\r", terminator)
    view = MessageView(raw)
    result = splice(view, [Insertion(view.segments[3].end_with_terminator, (NOTE,))])
    assert result == terminator.join([*LINES[:4], NOTE, LINES[4], b""])


def test_a_message_that_stops_without_terminator_still_does() -> None:
    raw = ORDER.removesuffix(b"\r")
    result = splice(MessageView(raw), [Insertion(len(raw), (NOTE, NOTE))])
    assert result == raw + b"\r" + NOTE + b"\r" + NOTE


def test_insertions_at_one_place_keep_the_order_given() -> None:
    view = MessageView(ORDER)
    offset = view.segments[3].end_with_terminator
    result = splice(view, [Insertion(offset, (b"NTE|1",)), Insertion(offset, (b"NTE|2",))])
    assert b"\rNTE|1\rNTE|2\rDG1" in result


@pytest.mark.parametrize("offset", [0, 1, 60, len(ORDER) + 1, -1])
def test_a_segment_goes_only_between_segments_and_never_before_the_header(offset: int) -> None:
    assert refused(MessageView(ORDER), [Insertion(offset, (NOTE,))]) is SpliceReason.NOT_A_BOUNDARY


@pytest.mark.parametrize(
    "segment", [b"", b"NT|1", b"NTE|1\rORC|NW", b"NTE|1\n", b"NTEX|1", b"N-E|1", b"MSH|^~\\&|X", b"1TE|1", b"|NTE"]
)
def test_only_one_whole_segment_is_a_segment(segment: bytes) -> None:
    view = MessageView(ORDER)
    edit = Insertion(view.segments[3].end_with_terminator, (NOTE, segment))
    assert refused(view, [edit]) is SpliceReason.NOT_A_SEGMENT


def test_a_site_segment_with_digits_in_its_name_is_a_segment() -> None:
    view = MessageView(ORDER)
    assert splice(view, [Insertion(len(ORDER), (b"Z12|1",))]) == ORDER + b"Z12|1\r"


@pytest.mark.parametrize("content", [b"A\rORC|NW", b"A\n"])
def test_a_replacement_cannot_begin_a_segment(content: bytes) -> None:
    view = MessageView(ORDER)
    span = view.segments[3].span(3)
    assert span is not None
    assert refused(view, [Replacement(*span, content)]) is SpliceReason.NOT_IN_ONE_SEGMENT


def test_a_replacement_stays_within_one_segment_and_off_its_name() -> None:
    view = MessageView(ORDER)
    orc, obr = view.segments[2], view.segments[3]
    assert refused(view, [Replacement(orc.start + 3, orc.start + 6, b"|NW")]) is SpliceReason.NOT_IN_ONE_SEGMENT
    for start, end in ((orc.end - 1, obr.start + 1), (orc.start, orc.start + 3), (orc.end + 1, orc.end), (9999, 9999)):
        assert refused(view, [Replacement(start, end, b"X")]) is SpliceReason.NOT_IN_ONE_SEGMENT


def test_a_replacement_keeps_the_number_of_fields() -> None:
    view = MessageView(ORDER)
    span = view.segments[3].span(4)
    assert span is not None
    assert refused(view, [Replacement(*span, b"A|B")]) is SpliceReason.FIELD_COUNT_CHANGED
    assert refused(view, [Replacement(span[0] - 1, span[1], b"A")]) is SpliceReason.FIELD_COUNT_CHANGED


def test_edits_that_overlap_are_refused() -> None:
    view = MessageView(ORDER)
    span = view.segments[3].span(4)
    assert span is not None
    edits: list[Edit] = [Replacement(*span, b"A"), Replacement(span[0] + 1, span[1], b"B")]
    assert refused(view, edits) is SpliceReason.OVERLAP


def test_the_delimiters_cannot_be_replaced() -> None:
    view = MessageView(ORDER)
    assert refused(view, [Replacement(4, 8, b"!@%*")]) is SpliceReason.SEGMENTS_DIFFER
    assert refused(view, [Replacement(4, 8, b"")]) is SpliceReason.UNREADABLE


@pytest.mark.parametrize("characters", [b"^~\\", b"^^\\&", b"^~"])
def test_a_message_with_unsafe_delimiters_is_left_alone(characters: bytes) -> None:
    view = MessageView(ORDER.replace(b"^~\\&", characters, 1))
    edit = Insertion(view.segments[3].end_with_terminator, (NOTE,))
    assert refused(view, [edit]) is SpliceReason.UNSAFE_ENCODING
    assert splice(view, []) is view.raw


def test_a_line_feed_that_is_text_stays_text_beside_a_new_segment() -> None:
    raw = b"MSH|^~\\&|A\rOBR|1\rNTE|1||text\nmore\rORC|"
    view = MessageView(raw)
    result = splice(view, [Insertion(view.segments[3].start, (NOTE,))])
    assert result == b"MSH|^~\\&|A\rOBR|1\rNTE|1||text\nmore\r" + NOTE + b"\rORC|"


def test_a_segment_that_would_cut_a_text_in_two_is_refused() -> None:
    """Behind a lone line feed a new segment would turn the rest of a text into a line of its own."""
    view = MessageView(b"MSH|^~\\&|A\rNTE|1||text\nmore|x\rORC|NW\r")
    offset = view.raw.index(b"more")
    assert refused(view, [Insertion(offset, (NOTE,))]) is SpliceReason.NOT_A_BOUNDARY


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (lambda result: result + b"\r", SpliceReason.LENGTH_DIFFERS),
        (lambda result: result[:-1], SpliceReason.LENGTH_DIFFERS),
        (lambda result: result.replace(b"4711", b"4712"), SpliceReason.BYTES_DIFFER),
        (lambda result: result.replace(b"C79.51", b"C79.52"), SpliceReason.BYTES_DIFFER),
        (lambda result: result.replace(b"checked", b"chucked"), SpliceReason.BYTES_DIFFER),
    ],
)
def test_the_proof_finds_what_the_splice_did_wrong(broken: object, reason: SpliceReason) -> None:
    """The proof is called with a damaged result, for a sound splice can never show that it works."""
    assert callable(broken)
    view = MessageView(ORDER)
    edits: list[Edit] = [Insertion(view.segments[3].end_with_terminator, (NOTE,))]
    changes = splice_module._ordered_changes(view, edits)
    result = splice(view, edits)
    splice_module._prove(view, changes, result, [NOTE])
    with pytest.raises(SpliceError) as caught:
        splice_module._prove(view, changes, broken(result), [NOTE])
    assert caught.value.reason is reason


def test_the_proof_finds_a_segment_that_does_not_read_back() -> None:
    view = MessageView(ORDER)
    changes = splice_module._ordered_changes(view, [Insertion(view.segments[3].end_with_terminator, (NOTE,))])
    result = splice(view, [Insertion(view.segments[3].end_with_terminator, (NOTE,))])
    for added in ([NOTE, NOTE], [b"NTE|1|O|other"], []):
        with pytest.raises(SpliceError) as caught:
            splice_module._prove(view, changes, result, added)
        assert caught.value.reason is SpliceReason.SEGMENTS_DIFFER


NOTES = st.lists(st.text("abc XYZ&^~1", max_size=10).map(lambda text: b"NTE|1||" + text.encode()), max_size=3)


@given(
    st.lists(st.tuples(st.integers(min_value=1, max_value=5), NOTES), max_size=4),
    st.sampled_from([b"\r", b"\n", b"\r\n"]),
    st.booleans(),
)
def test_only_what_was_added_is_new(
    places: list[tuple[int, list[bytes]]], terminator: bytes, ends_with_terminator: bool
) -> None:
    raw = terminator.join(LINES) + (terminator if ends_with_terminator else b"")
    view = MessageView(raw)
    edits: list[Edit] = [
        Insertion(view.segments[place - 1].end_with_terminator, tuple(notes)) for place, notes in places
    ]
    result = splice(view, edits)
    expected = []
    for number, line in enumerate(LINES, start=1):
        expected += [line, *(note for place, notes in places if place == number for note in notes)]
    assert result == terminator.join(expected) + (terminator if ends_with_terminator else b"")
