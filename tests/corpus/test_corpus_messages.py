"""Every message of the corpus: nothing is lost in reading, and python-hl7 reads the same fields."""

import re
from collections.abc import Iterator

import hl7
import pytest

from interceptor.message.acknowledgment import read_acknowledgment
from interceptor.message.group import header_segments, order_groups
from interceptor.message.header import NotHl7, NotHl7Reason, peek_header
from interceptor.message.placement import next_set_id, note_offset, observation_offset
from interceptor.message.splice import Insertion, splice
from interceptor.message.split import split
from interceptor.message.view import MessageView, Segment
from tests.support.corpus import corpus_messages, needs_corpus

pytestmark = needs_corpus

# The files whose bytes are not a message that can be read, and what we call it.
NOT_MESSAGES = {
    "mllp-framing-stripped.hl7": NotHl7Reason.NO_HEADER,  # Carries the VT that the wire takes off.
    "msh_present_but_missing_msh-2.hl7": NotHl7Reason.BAD_DELIMITERS,  # MSH||...: no delimiters are stated.
}

# Where python-hl7 reads a field otherwise, and why ours is right. Key: file name, segment, field numbers.
DISAGREEMENTS = {
    "malformed-mid-batch.hl7": ("MSH", {2, 3, 4}, "python-hl7 splits the delimiters of a later, cut-off MSH"),
    "malformed-mid-stream.hl7": ("MSH", {2, 3, 4}, "python-hl7 splits the delimiters of a later, cut-off MSH"),
    "PC1-Problem-Add-v2.3.1.hl7": ("PRB", {16}, "python-hl7 strips the blank at the end of the message"),
    "PC1-Problem-Update-v2.3.1.hl7": ("PRB", {16}, "python-hl7 strips the blank at the end of the message"),
    "211.104.o01.hl7": ("OBR", set(range(31, 43)), "a byte of a kanji (ESC $ B) is no delimiter; python-hl7 cuts it"),
}


@pytest.fixture(scope="module")
def views() -> dict[str, MessageView]:
    """The corpus as views, without the files that are no messages."""
    read = {}
    for name, raw in corpus_messages():
        try:
            read[name] = MessageView(raw)
        except NotHl7:
            continue
    return read


def short(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def test_only_the_known_files_are_not_messages() -> None:
    refused = {}
    for name, raw in corpus_messages():
        try:
            MessageView(raw)
        except NotHl7 as error:
            refused[short(name)] = error.reason
    assert refused == NOT_MESSAGES


def test_a_view_and_a_splice_without_edits_give_back_the_received_bytes(views: dict[str, MessageView]) -> None:
    for name, raw in corpus_messages():
        view = views.get(name)
        if view is not None:
            assert view.raw == raw, name
            assert splice(view, []) is view.raw, name


def rebuilt(view: MessageView) -> bytes:
    """The message joined from what lies between segments, and each segment from its fields and separators."""
    pieces = []
    offset = 0
    separator = bytes((view.encoding.field,))
    for segment in view.segments:
        pieces.append(view.raw[offset : segment.start])
        if segment.name in ("MSH", "FHS", "BHS"):
            fields = [segment.name.encode("latin-1"), *map(segment.raw_field, range(2, segment.field_count + 1))]
        else:
            fields = [segment.name.encode("latin-1"), *map(segment.raw_field, range(1, segment.field_count + 1))]
        pieces.append(separator.join(fields))
        offset = segment.end
    return b"".join([*pieces, view.raw[offset:]])


def test_fields_and_the_bytes_between_them_are_the_whole_message(views: dict[str, MessageView]) -> None:
    """No byte of a message belongs to no field, separator or terminator."""
    assert [name for name, view in views.items() if rebuilt(view) != view.raw] == []


def test_what_lies_between_segments_is_never_text(views: dict[str, MessageView]) -> None:
    for name, view in views.items():
        offset = 0
        for segment in view.segments:
            assert view.raw[offset : segment.start].strip(b" \t\r\n\xef\xbb\xbf") == b"", name
            offset = segment.end
        assert view.raw[offset:].strip(b" \t\r\n") == b"", name


def oracle_lines(raw: bytes) -> list[hl7.Segment]:
    """python-hl7's reading: it wants text, CR only, and no byte order mark; it takes blank lines for segments."""
    text = raw.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    return [segment for segment in hl7.parse(re.sub("\r\n|\n", "\r", text)) if str(segment).strip()]


def oracle_field(segment: hl7.Segment, number: int) -> str:
    return str(segment(number)) if number < len(segment) else ""


def differing_fields(oracle: hl7.Segment, segment: Segment) -> set[int]:
    last = max(len(oracle) - 1, segment.field_count)
    return {
        number
        for number in range(1, last + 1)
        if oracle_field(oracle, number) != segment.raw_field(number).decode("latin-1")
    }


def test_python_hl7_reads_every_field_the_same_but_for_the_named_ones(views: dict[str, MessageView]) -> None:
    found: dict[str, tuple[str, set[int]]] = {}
    compared = 0
    for name, view in views.items():
        oracle = oracle_lines(view.raw)
        assert len(oracle) == len(view.segments), name
        for theirs, ours in zip(oracle, view.segments, strict=True):
            compared += ours.field_count
            numbers = differing_fields(theirs, ours)
            if numbers:
                before = found.get(short(name), (ours.name, set()))[1]
                found[short(name)] = (ours.name, before | numbers)
    assert compared > 200_000
    unexplained = {
        name: (segment, numbers - DISAGREEMENTS.get(name, ("", set(), ""))[1])
        for name, (segment, numbers) in found.items()
        if name not in DISAGREEMENTS or DISAGREEMENTS[name][0] != segment or numbers - DISAGREEMENTS[name][1]
    }
    assert unexplained == {}
    assert set(found) == set(DISAGREEMENTS), "a disagreement that is no more must leave the table"


def component_pairs(oracle: hl7.Segment, segment: Segment) -> Iterator[tuple[tuple[int, int, int], str, str]]:
    """Field, repetition and component number of every component, with its text as python-hl7 and as we read it."""
    for number in range(1, segment.field_count + 1):
        if b"\x1b" in segment.raw_field(number):
            continue  # Bytes of a kanji (ESC $ B) are no delimiters; python-hl7 cuts them in 13 fields.
        count = segment.repetition_count(number)
        assert len(oracle(number)) == max(1, count), (segment.name, number)
        for repetition in range(1, count + 1):
            parts = oracle(number)(repetition)
            values = parts if isinstance(parts, hl7.Repetition) else [parts]
            for component, value in enumerate(values, start=1):
                ours = segment.raw(number, repetition, component, None).decode("latin-1")
                yield (number, repetition, component), str(value), ours


def test_python_hl7_reads_every_component_the_same(views: dict[str, MessageView]) -> None:
    """Repetitions, components and subcomponents of patients and orders, where the field itself agrees."""
    wrong: list[tuple[str | int, ...]] = []
    compared = 0
    for name, view in views.items():
        if short(name) in DISAGREEMENTS or view.encoding.subcomponent is None:
            continue
        for theirs, ours in zip(oracle_lines(view.raw), view.segments, strict=True):
            if ours.name not in ("PID", "ORC", "OBR", "DG1"):
                continue
            pairs = list(component_pairs(theirs, ours))
            compared += len(pairs)
            wrong.extend((name, ours.name, *place) for place, expected, found in pairs if expected != found)
    assert compared > 50_000
    assert wrong == []


def test_a_span_is_where_the_value_stands(views: dict[str, MessageView]) -> None:
    for name, view in views.items():
        for segment in view.segments:
            for number in range(2, segment.field_count + 1):
                span = segment.span(number)
                assert span is not None, name
                assert view.raw[slice(*span)] == segment.raw_field(number), name
            span = segment.span(3, 1, 1, 1)
            if span is not None:
                assert view.raw[slice(*span)] == segment.raw(3), name


def test_every_field_reads_as_text(views: dict[str, MessageView]) -> None:
    """Decoding and unescaping never raise, whatever MSH-18 says."""
    for view in views.values():
        for segment in view.segments:
            for number in range(1, segment.field_count + 1):
                assert isinstance(segment.text(number, component=None), str)


def test_a_peek_sees_what_the_view_sees(views: dict[str, MessageView]) -> None:
    for name, view in views.items():
        header = peek_header(view.raw)
        assert header is not None, name
        msh = view.first("MSH")
        assert msh is not None, name
        for number in range(1, msh.field_count + 1):
            assert header.raw_field(number) == msh.raw_field(number), (name, number)


def without_added_lines(spliced: bytes) -> bytes:
    """The message without our lines; those at an end without terminator lose the terminator before them."""
    line, end = rb"(?:NTE.\d+.O|OBX.1).ADDED", rb"(?:\r\n|\r|\n)"
    return re.sub(line + end, b"", re.sub(rb"(?:" + end + line + rb")+\Z", b"", spliced))


def test_every_order_can_be_annotated_and_nothing_else_changes(views: dict[str, MessageView]) -> None:
    """Taking the added lines out of the spliced message gives back the received bytes."""
    annotated = 0
    for name, view in views.items():
        groups = [group for group in order_groups(view) if group.obr is not None]
        if not groups or not view.encoding.is_safe:
            continue
        separator = bytes((view.encoding.field,))
        edits = []
        for group in groups:
            set_id = str(next_set_id(view, group, "NTE")).encode()
            edits.append(Insertion(note_offset(view, group), (separator.join((b"NTE", set_id, b"O", b"ADDED")),)))
            edits.append(Insertion(observation_offset(view, group), (separator.join((b"OBX", b"1", b"ADDED")),)))
        result = splice(view, edits)
        after = MessageView(result)
        kept = [segment for segment in after.segments if not segment.raw_bytes.endswith(b"ADDED")]
        assert [segment.raw_bytes for segment in kept] == [segment.raw_bytes for segment in view.segments], name
        assert without_added_lines(result) == view.raw, name
        assert len(order_groups(after)) == len(order_groups(view)), name
        annotated += 1
    assert annotated > 200


def test_splitting_keeps_every_order_exactly_once(views: dict[str, MessageView]) -> None:
    several = 0
    for name, view in views.items():
        groups = order_groups(view)
        if not groups:
            continue
        header = view.raw[: groups[0].start]
        parts = [split(view, [group.number]) for group in groups]
        assert all(part.startswith(header) for part in parts), name
        assert header + b"".join(part.removeprefix(header) for part in parts) == view.raw, name
        if view.second_header_offset is None:
            assert all(len(order_groups(MessageView(part))) == 1 for part in parts), name
            assert all(len(header_segments(MessageView(part))) == len(header_segments(view)) for part in parts), name
        several += len(groups) > 1
    assert several > 3


def test_only_messages_with_an_msa_read_as_acknowledgments(views: dict[str, MessageView]) -> None:
    acknowledgments = 0
    for name, view in views.items():
        read = read_acknowledgment(view.raw)
        msa = view.first("MSA")
        assert (read is None) == (msa is None or not msa.raw_field(1)), name
        if read is not None and msa is not None:
            acknowledgments += 1
            assert (read.code.value, read.control_id) == (msa.text(1), msa.raw_field(2)), name
    assert acknowledgments > 10
