"""The one text that says what a release changes: segments, named fields, a sentence, and a count of what stays."""

from hypothesis import given
from hypothesis import strategies as st

from interceptor.review.byte_diff import message_diff
from tests.support.orders import order

ORDER = order("A1")
NOTE = b"NTE|1|O|Released as ordered\r"


def fields_of(raw: bytes) -> int:
    """Fields that are not empty; MSH-1, the separator itself, is one."""
    return 1 + sum(1 for line in raw.split(b"\r") for field in line.split(b"|")[1:] if field)


def test_two_that_are_the_same_differ_in_nothing() -> None:
    diff = message_diff(ORDER, ORDER)
    assert (diff.changes, diff.is_same, diff.same_count) == ((), True, fields_of(ORDER))
    assert diff.sentence == f"Nothing is changed: {fields_of(ORDER)} fields, byte for byte as received."


def test_a_note_is_added_and_every_field_stays() -> None:
    diff = message_diff(ORDER, ORDER + NOTE)
    (change,) = diff.changes
    assert (change.path, change.name, change.before, change.after) == ("NTE", "added", "", "Released as ordered")
    assert diff.sentence == f"1 segment added. Unchanged: {fields_of(ORDER)} fields, byte for byte."


def test_a_changed_procedure_is_one_named_field_and_one_changed_segment() -> None:
    diff = message_diff(ORDER, ORDER.replace(b"72148^MRI L SPINE WO^C4", b"SPINE^MRI COMPLETE SPINE^L") + NOTE)
    changed, added = diff.changes
    assert (changed.path, changed.name) == ("OBR-4", "Universal service id")
    assert (changed.before, changed.after) == ("72148^MRI L SPINE WO^C4", "SPINE^MRI COMPLETE SPINE^L")
    assert added.name == "added"
    assert diff.sentence == f"1 segment added, 1 changed. Unchanged: {fields_of(ORDER) - 1} fields, byte for byte."


def test_a_removed_segment_is_told() -> None:
    diff = message_diff(ORDER + NOTE, ORDER)
    assert diff.sentence.startswith("1 removed. ")


@given(st.integers(0, 4), st.binary(min_size=1, max_size=8).filter(lambda raw: not set(raw) & set(b"\r\n|^~\\&")))
def test_what_is_not_listed_is_the_same(place: int, word: bytes) -> None:
    """Lines that are the same or removed give the one message, those that are the same or added the other."""
    lines = ORDER.rstrip(b"\r").split(b"\r")
    lines.insert(place + 1, b"ZZZ|" + word)
    after = b"\r".join(lines) + b"\r"
    diff = message_diff(ORDER, after)
    kinds = [line.kind for line in diff.lines]
    assert kinds.count("same") == len(ORDER.rstrip(b"\r").split(b"\r"))
    assert (kinds.count("added"), kinds.count("removed"), diff.same_count) == (1, 0, fields_of(ORDER))
