"""HL7 times: precision and offset as stated."""

# ruff: noqa: DTZ001 - a stated time without an offset has no zone, and that is what is tested.

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.message.timestamp import Precision, format_timestamp, parse_timestamp

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "first", "precision", "offset"),
    [
        ("2026", datetime(2026, 1, 1), Precision.YEAR, None),
        ("202602", datetime(2026, 2, 1), Precision.MONTH, None),
        ("20260203", datetime(2026, 2, 3), Precision.DAY, None),
        ("2026020304", datetime(2026, 2, 3, 4), Precision.HOUR, None),
        ("202602030405", datetime(2026, 2, 3, 4, 5), Precision.MINUTE, None),
        ("20260203040506", datetime(2026, 2, 3, 4, 5, 6), Precision.SECOND, None),
        ("20260203040506.7", datetime(2026, 2, 3, 4, 5, 6, 700_000), Precision.FRACTION, None),
        ("20260203040506.1234", datetime(2026, 2, 3, 4, 5, 6, 123_400), Precision.FRACTION, None),
        ("20260203040506.123456789", datetime(2026, 2, 3, 4, 5, 6, 123_400), Precision.FRACTION, None),
        ("202602030405-0500", datetime(2026, 2, 3, 4, 5), Precision.MINUTE, -300),
        ("20260203+0530", datetime(2026, 2, 3), Precision.DAY, 330),
        ("20260203040506.1+0000", datetime(2026, 2, 3, 4, 5, 6, 100_000), Precision.FRACTION, 0),
        (" 20260203 ", datetime(2026, 2, 3), Precision.DAY, None),
        ("20161231235960", datetime(2016, 12, 31, 23, 59, 59), Precision.SECOND, None),
        ("20240229", datetime(2024, 2, 29), Precision.DAY, None),
    ],
)
def test_a_time_reads_with_what_it_states(text: str, first: datetime, precision: Precision, offset: int | None) -> None:
    timestamp = parse_timestamp(text)
    assert timestamp is not None
    assert (timestamp.first, timestamp.precision, timestamp.offset_minutes) == (first, precision, offset)


@pytest.mark.parametrize(
    "text",
    ["", "26", "20261", "20261301", "20260230", "2026020324", "202602030460", "20260203040561", "0000", "unknown",
     "2026-02-03", "20260203 0405", "20260203040506.", "20260203+05", "20260203+1560", "20260203+2500", "\uff12\uff10\uff12\uff16",
     '""', "20230229"],
)  # fmt: skip
def test_what_is_no_time_is_none(text: str) -> None:
    assert parse_timestamp(text) is None


def test_a_time_without_offset_is_in_the_zone_the_caller_names() -> None:
    timestamp = parse_timestamp("202607011200")
    assert timestamp is not None
    assert timestamp.at(BERLIN) == datetime(2026, 7, 1, 10, 0, tzinfo=UTC)
    assert timestamp.date == date(2026, 7, 1)


def test_a_stated_offset_overrules_the_zone() -> None:
    timestamp = parse_timestamp("202607011200-0500")
    assert timestamp is not None
    assert timestamp.at(BERLIN) == datetime(2026, 7, 1, 17, 0, tzinfo=UTC)


def test_the_repeated_hour_reads_as_the_first_of_the_two() -> None:
    timestamp = parse_timestamp("202610250230")
    assert timestamp is not None
    assert timestamp.at(BERLIN).astimezone(UTC) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_a_naive_time_is_never_written() -> None:
    with pytest.raises(ValueError, match="offset"):
        format_timestamp(datetime(2026, 1, 1))


@given(
    st.datetimes(min_value=datetime(1000, 1, 2), max_value=datetime(9999, 12, 30)),
    st.integers(min_value=-14 * 60, max_value=14 * 60),
)
def test_a_written_time_reads_back_to_the_second(moment: datetime, minutes: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    timestamp = parse_timestamp(format_timestamp(aware))
    assert timestamp is not None
    assert timestamp.at(UTC) == aware.replace(microsecond=0)


@given(st.text(max_size=30))
def test_reading_a_time_never_raises(text: str) -> None:
    parse_timestamp(text)
