"""Splitting: header and chosen orders, every byte as received; control ids that name the part."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.message.group import order_groups
from interceptor.message.split import SplitError, derive_control_id, split
from interceptor.message.view import MessageView

HEADER = b"\xef\xbb\xbfMSH|^~\\&|EHR|HOSP|RIS|RAD|2026||ORM^O01|M1|P|2.5.1\r\nPID|1||4711\rPV1|1|O\r"
GROUPS = [b"ORC|NW|A\rOBR|1|A\rNTE|1\r\n", b"ORC|NW|B\rOBR|1|B\r\r", b"ORC|CA|C\r", b"ORC|NW|D\rOBR|1\rZXX|1"]
RAW = HEADER + b"".join(GROUPS)


@given(st.sets(st.integers(min_value=1, max_value=4), min_size=1))
def test_a_part_is_the_header_and_its_orders(keep: set[int]) -> None:
    assert split(MessageView(RAW), list(keep)) == HEADER + b"".join(GROUPS[number - 1] for number in sorted(keep))


@given(st.lists(st.integers(min_value=0, max_value=2), min_size=4, max_size=4))
def test_parts_together_hold_every_order_exactly_once(part_of: list[int]) -> None:
    view = MessageView(RAW)
    parts = [[number for number in range(1, 5) if part_of[number - 1] == part] for part in set(part_of)]
    kept = [group.orc.text(2) for keep in parts for group in order_groups(MessageView(split(view, keep)))]
    assert sorted(kept) == ["A", "B", "C", "D"]


def test_all_orders_and_no_new_id_is_the_very_object() -> None:
    assert split(MessageView(RAW), [4, 1, 2, 3, 1]) is RAW


def test_a_new_control_id_changes_nothing_else() -> None:
    part = split(MessageView(RAW), [2], control_id=b"M1P2")
    assert part == HEADER.replace(b"|M1|", b"|M1P2|") + GROUPS[1]
    assert MessageView(part).control_id == b"M1P2"


@pytest.mark.parametrize("keep", [[], [0], [5], [1, 9], [-1]])
def test_orders_that_are_not_there_are_refused(keep: list[int]) -> None:
    with pytest.raises(SplitError):
        split(MessageView(RAW), keep)


@pytest.mark.parametrize("control_id", [b"A|B", b"A\rB", b"A\n"])
def test_a_control_id_that_would_break_the_header_is_refused(control_id: bytes) -> None:
    with pytest.raises(SplitError):
        split(MessageView(RAW), [1], control_id=control_id)


def test_a_header_too_short_for_a_control_id_is_refused() -> None:
    with pytest.raises(SplitError):
        split(MessageView(b"MSH|^~\\&|A||||||ORM^O01\rORC|NW|A\rORC|NW|B\r"), [1], control_id=b"X")


def test_a_message_without_orders_is_not_split() -> None:
    with pytest.raises(SplitError):
        split(MessageView(HEADER), [1])


def test_a_derived_id_shows_where_it_is_from() -> None:
    assert derive_control_id(b"12345", 2) == b"12345P2"
    assert derive_control_id(b"", 2) == b"P2"
    assert derive_control_id(b"1" * 18, 9) == b"1" * 18 + b"P9"


def test_a_long_id_is_shortened_to_fit() -> None:
    derived = derive_control_id(b"HOSPITAL-2026-01-05-000123", 2)
    assert len(derived) == 20
    assert derived.endswith(b"05000123P2"[-12:])


def test_the_least_room_holds_the_digest_alone() -> None:
    derived = derive_control_id(b"1" * 30, 2, 10)
    assert len(derived) == 10
    assert derived.endswith(b"P2")
    assert derived != derive_control_id(b"2" * 30, 2, 10)


@given(st.binary(min_size=1, max_size=60).filter(lambda value: not set(value) & set(b"|\r\n")),
       st.integers(min_value=1, max_value=99), st.integers(min_value=12, max_value=199))  # fmt: skip
def test_a_derived_id_fits_is_stable_and_differs_by_part(control_id: bytes, part: int, maximum: int) -> None:
    derived = derive_control_id(control_id, part, maximum)
    assert len(derived) <= maximum
    assert derived == derive_control_id(control_id, part, maximum)
    assert derived != derive_control_id(control_id, part + 1, maximum)
    assert not set(derived) & set(b"|\r\n")


@given(st.sets(st.text("ABC123-", min_size=19, max_size=24), min_size=2, max_size=6))
def test_shortened_ids_of_different_messages_differ(control_ids: set[str]) -> None:
    assert len({derive_control_id(text.encode(), 2) for text in control_ids}) == len(control_ids)


@pytest.mark.parametrize(("part", "maximum"), [(0, 20), (-1, 20), (2, 9), (100, 11)])
def test_a_part_without_a_number_or_room_is_refused(part: int, maximum: int) -> None:
    with pytest.raises(SplitError):
        derive_control_id(b"12345", part, maximum)
