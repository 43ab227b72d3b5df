"""Notes and observations: where they stand, how they are numbered and spelled, and that nothing else moves."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.action.annotate import LINES_MAX, Annotation, Rating, annotate, can_annotate, wrap_lines
from interceptor.message.group import order_groups
from interceptor.message.view import MessageView

HEAD = "MSH|^~\\&|EHR|H|RIS|R|20260302||ORM^O01|7|T|2.3.1\rPID|1||1^^^H^MR\r"
ORDER = "ORC|NW|A1^EHR\rOBR|1|A1^EHR||X\r"
NOTED = Annotation(group_number=1, lines=("first line",), rating=Rating.UNDETERMINED, summary="in short")


def view_of(*lines: str) -> MessageView:
    return MessageView("".join(lines).encode())


def annotated(view: MessageView, *annotations: Annotation, note_length: int = 100) -> list[str]:
    """The lines of the annotated message."""
    return annotate(view, order_groups(view), annotations, note_length=note_length).decode().split("\r")[:-1]


def test_the_note_follows_the_obr_and_its_notes_and_the_observation_the_diagnoses() -> None:
    view = view_of(HEAD, ORDER, "NTE|1||by the orderer\rDG1|1||C50\rZDS|9\rFT1|1\r")
    assert annotated(view, NOTED)[2:] == [
        "ORC|NW|A1^EHR",
        "OBR|1|A1^EHR||X",
        "NTE|1||by the orderer",
        "NTE|2|O|first line",
        "DG1|1||C50",
        "OBX|1|CE|76515-6^Requested Procedure is Appropriate to Indication^LN|1|undetermined^Could not be determined^99INT||||||F",
        "NTE|1|O|in short",
        "ZDS|9",
        "FT1|1",
    ]


def test_an_order_without_diagnoses_has_the_note_before_the_observation() -> None:
    lines = annotated(view_of(HEAD, ORDER), NOTED)
    assert [line[:5] for line in lines[3:]] == ["OBR|1", "NTE|1", "OBX|1", "NTE|1"]
    assert lines[4] == "NTE|1|O|first line"


def test_an_observation_counts_on_from_those_of_the_order() -> None:
    lines = annotated(view_of(HEAD, ORDER, "OBX|1|ST|A||x\rOBX|2|ST|B||y\rNTE|1||on B\r"), NOTED)
    assert [line[:6] for line in lines[-2:]] == ["OBX|3|", "NTE|1|"]


def test_each_order_gets_its_own_note() -> None:
    view = view_of(HEAD, ORDER, "ORC|NW|A2^EHR\rOBR|2|A2^EHR||Y\rDG1|1||C61\r")
    second = Annotation(group_number=2, lines=("for the second",))
    lines = annotated(view, NOTED, second)
    assert lines.index("NTE|1|O|for the second") == lines.index("OBR|2|A2^EHR||Y") + 1
    assert sum(line.startswith("OBX") for line in lines) == 1


def test_without_a_rating_no_observation_is_added() -> None:
    lines = annotated(view_of(HEAD, ORDER), Annotation(group_number=1, lines=("only a note",)))
    assert not any(line.startswith("OBX") for line in lines)


def test_the_observations_note_falls_back_to_the_first_line() -> None:
    lines = annotated(view_of(HEAD, ORDER), Annotation(group_number=1, lines=("a", "b"), rating=Rating.REVIEWED))
    assert lines[-1] == "NTE|1|O|a"


def test_the_messages_own_delimiters_are_used_and_escaped() -> None:
    raw = b"MSH$!~@%$EHR$H$RIS$R$20260302$$ORM!O01$7$T$2.3.1\nORC$NW$A1!EHR\nOBR$1$A1!EHR$$X\n"
    view = MessageView(raw)
    note = Annotation(group_number=1, lines=("a $ b ! c @ d",), rating=Rating.UNDETERMINED)
    result = annotate(view, order_groups(view), [note], note_length=100)
    assert b"\nNTE$1$O$a @F@ b @S@ c @E@ d\n" in result
    assert b"\nOBX$1$CE$76515-6!Requested" in result
    assert b"\r" not in result


@pytest.mark.hazard("H12")
@given(st.text(max_size=300), st.integers(min_value=-5, max_value=200))
@settings(max_examples=150, deadline=None)
def test_no_text_can_add_a_field_a_segment_or_anything_but_ascii(text: str, note_length: int) -> None:
    """Whatever the words of a note are, they stand in NTE-3, and every other line is the received one."""
    view = view_of(HEAD, ORDER, "DG1|1||C50\r")
    note = Annotation(group_number=1, lines=("kept", text), rating=Rating.UNDETERMINED, summary=text)
    result = annotate(view, order_groups(view), [note], note_length=note_length)
    added = [line for line in result.split(b"\r") if line.startswith((b"NTE|", b"OBX|"))]
    assert all(line.count(b"|") == (3 if line.startswith(b"NTE") else 11) for line in added)
    assert all(32 <= value < 127 for line in added for value in line)
    rest = b"\r".join(line for line in result.split(b"\r") if not line.startswith((b"NTE|", b"OBX|")))
    assert rest == view.raw


@given(st.lists(st.text(max_size=400), max_size=30), st.integers(min_value=1, max_value=150))
@settings(max_examples=100, deadline=None)
def test_lines_are_short_and_few(lines: list[str], length: int) -> None:
    """No line is longer than asked for (40 at least), none is empty, and a note never hides the order."""
    wrapped = wrap_lines(lines, length=length)
    assert len(wrapped) <= LINES_MAX
    assert all(0 < len(line) <= max(length, 40) for line in wrapped)


def test_long_words_are_cut_not_dropped() -> None:
    assert "".join(wrap_lines(["x" * 95], length=40)) == "x" * 95


@pytest.mark.parametrize("delimiters", [b"|^~^&", b"|^~", b"|^~&&"])
def test_a_message_that_cannot_be_written_into_safely_is_not(delimiters: bytes) -> None:
    raw = b"MSH" + delimiters + b"|EHR|H|RIS|R|20260302||ORM^O01|7|T|2.3.1\rORC|NW|A1\rOBR|1|A1||X\r"
    assert not can_annotate(MessageView(raw))
