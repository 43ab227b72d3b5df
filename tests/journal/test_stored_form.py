"""What is stored reads back as it was, and the chain notices any change."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.journal.migration import Migration, pending_migrations
from interceptor.journal.port import JournalRefused
from interceptor.journal.stored_form import (
    CHAIN_START,
    canonical_json,
    chain_link,
    instant_text,
    optional_instant_text,
    read_instant,
    read_json_object,
    read_optional_instant,
    storable_text,
)

OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2200, 1, 1), timezones=OFFSETS)  # noqa: DTZ001 - bounds


@given(TIMES)
def test_a_time_reads_back_as_the_same_moment(at: datetime) -> None:
    assert read_instant(instant_text(at)) == at


@given(TIMES, TIMES)
def test_the_order_of_stored_times_is_the_order_of_the_moments(one: datetime, other: datetime) -> None:
    assert (instant_text(one) < instant_text(other)) == (one < other)


def test_a_time_is_written_in_utc_with_microseconds() -> None:
    at = datetime(2026, 3, 1, 8, 30, tzinfo=timezone(timedelta(hours=1)))
    assert instant_text(at) == "2026-03-01T07:30:00.000000Z"
    assert optional_instant_text(None) is None
    assert read_optional_instant(None) is None
    assert read_optional_instant("2026-03-01T07:30:00.000000Z") == at


@given(st.dictionaries(st.text(), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)))
def test_json_reads_back_as_it_was_and_is_ascii(value: dict[str, object]) -> None:
    text = canonical_json(value)
    assert text.isascii()
    assert read_json_object(text) == value


def test_json_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical_json({"b": (1, 2), "a": datetime(2026, 1, 1, tzinfo=UTC)}) == (
        '{"a":"2026-01-01T00:00:00.000000Z","b":[1,2]}'
    )


def test_what_json_has_no_word_for_is_refused() -> None:
    with pytest.raises(TypeError, match="bytes"):
        canonical_json({"raw": b"x"})


@given(st.text(st.characters()))
def test_any_text_can_be_stored(text: str) -> None:
    storable_text(text).encode("utf-8")


LINK = {"number": 1, "at": "t", "actor": "a", "action": "x", "entry_id": 1, "detail": "{}", "previous": CHAIN_START}
CHANGES = {"number": 2, "at": "u", "actor": "b", "action": "y", "entry_id": None, "detail": "[]", "previous": "1" * 64}


@pytest.mark.hazard("H26")
@pytest.mark.parametrize("name", CHANGES)
def test_every_value_of_a_link_is_under_its_hash(name: str) -> None:
    assert chain_link(**(LINK | {name: CHANGES[name]})) != chain_link(**LINK)  # type: ignore[arg-type]  # one dict of all types


def migration(number: int) -> Migration:
    return Migration(number=number, name="n", sql="", sha256=f"hash{number}")


def test_only_migrations_that_did_not_run_are_pending() -> None:
    known = (migration(1), migration(2), migration(3))
    assert pending_migrations(known, {1: "hash1", 2: "hash2"}) == (migration(3),)


@pytest.mark.fault(48)
@pytest.mark.parametrize("applied", [{1: "hash1", 2: "hash2"}, {1: "other"}])
def test_a_newer_or_a_changed_schema_is_refused(applied: dict[int, str]) -> None:
    with pytest.raises(JournalRefused):
        pending_migrations((migration(1),), applied)
