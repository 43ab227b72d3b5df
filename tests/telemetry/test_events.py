"""Log events: the catalogue, the refusal of everything else, and the lines that come out."""

import io
import json
import logging
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from interceptor.telemetry.event import Event, Level
from interceptor.telemetry.events import (
    CATALOGUE,
    CONNECTION_REFUSED,
    ORDER_HELD,
    ORDER_RELEASED_UNREVIEWED,
    EventError,
    EventLog,
)
from interceptor.telemetry.log import LineWriter, LogStyle, build_event_log, capture_library_logs
from interceptor.telemetry.redaction import Phi

Line = tuple[str, str, Mapping[str, object]]


class Lines(list[Line]):
    """Collects what was written."""

    def write(self, level: str, name: str, fields: Mapping[str, object], /) -> None:
        self.append((level, name, fields))


@pytest.fixture
def lines() -> Lines:
    return Lines()


def test_an_event_is_written_with_its_level_and_fields(lines: Lines) -> None:
    EventLog(lines.write, strict=True).event(ORDER_HELD, entry=17, reason="H-REGIONAL", deadline_seconds=3600.0)
    assert lines == [("info", "order_held", {"entry": 17, "reason": "H-REGIONAL", "deadline_seconds": 3600.0})]


@pytest.mark.hazard("H14")
def test_an_unknown_field_raises_in_tests_and_is_dropped_in_production(lines: Lines) -> None:
    with pytest.raises(EventError, match="no field patient_name"):
        EventLog(lines.write, strict=True).event(ORDER_HELD, entry=1, patient_name="DOE")
    EventLog(lines.write).event(ORDER_HELD, entry=1, patient_name="DOE")
    assert lines == [("info", "order_held", {"entry": 1})]


def test_an_unknown_event_raises_in_tests_and_is_dropped_in_production(lines: Lines) -> None:
    unknown = replace(ORDER_HELD, name="order_lost")
    with pytest.raises(EventError, match="not in the catalogue"):
        EventLog(lines.write, strict=True).event(unknown)
    EventLog(lines.write).event(unknown)
    assert lines == []


@pytest.mark.hazard("H14")
@pytest.mark.parametrize(
    "value", [b"PID|1", Phi("DOE"), {"a": 1}, object(), [b"x"]], ids=lambda value: type(value).__name__
)
def test_a_value_that_is_no_number_or_word_never_gets_through(lines: Lines, value: object) -> None:
    with pytest.raises(EventError) as raised:
        EventLog(lines.write, strict=True).event(ORDER_HELD, reason=value)
    assert "DOE" not in str(raised.value)
    EventLog(lines.write).event(ORDER_HELD, reason=value)
    assert lines == [("info", "order_held", {})]


def test_long_texts_and_lists_are_cut(lines: Lines) -> None:
    EventLog(lines.write).event(ORDER_HELD, reason="x" * 3000, priority=["y"] * 80)
    fields = lines[0][2]
    assert fields["reason"] == "x" * 2000
    assert fields["priority"] == ["y"] * 50


def test_a_repeated_event_is_thinned_out_and_the_next_one_tells_how_many(lines: Lines) -> None:
    now = [0.0]
    log = EventLog(lines.write, strict=True, monotonic=lambda: now[0])
    for _ in range(CONNECTION_REFUSED.per_minute_max + 7):
        log.event(CONNECTION_REFUSED, route="imaging", reason="refused_limit")
    assert len(lines) == CONNECTION_REFUSED.per_minute_max
    now[0] = 60.0
    for _ in range(2):
        log.event(CONNECTION_REFUSED, route="imaging", reason="refused_limit")
    told = {"route": "imaging", "reason": "refused_limit"}
    assert lines[-2][2] == {**told, "suppressed": 7}
    assert lines[-1][2] == told


def test_a_flood_on_one_route_does_not_hide_what_happens_on_another(lines: Lines) -> None:
    log = EventLog(lines.write, strict=True, monotonic=lambda: 0.0)
    for _ in range(100):
        log.event(CONNECTION_REFUSED, route="noisy", peer="10.0.0.9", reason="limit")
    log.event(CONNECTION_REFUSED, route="quiet", peer="10.0.0.9", reason="limit")
    log.event(CONNECTION_REFUSED, route="noisy", peer="10.0.0.9", reason="address_not_allowed")
    told = [(fields["route"], fields["reason"]) for _, _, fields in lines]
    assert told == [("noisy", "limit")] * 30 + [("quiet", "limit"), ("noisy", "address_not_allowed")]


def test_however_many_words_there_are_the_limits_stay_in_bounded_memory(lines: Lines) -> None:
    log = EventLog(lines.write, strict=True, monotonic=lambda: 0.0)
    for number in range(5000):
        log.event(CONNECTION_REFUSED, route=f"r{number}", reason="limit")
    assert len(log._windows) == 2001
    assert len(lines) == 2000 + 30


@pytest.mark.parametrize(("level", "written"), [(Level.INFO, 2), (Level.WARNING, 1), (Level.ERROR, 0)])
def test_lesser_levels_than_the_configured_one_are_left_out(lines: Lines, level: Level, written: int) -> None:
    log = EventLog(lines.write, strict=True, level=level)
    log.event(ORDER_HELD, entry=1)
    log.event(ORDER_RELEASED_UNREVIEWED, entry=1)
    assert len(lines) == written


@pytest.mark.hazard("H2")
def test_an_order_released_unreviewed_is_never_thinned_out(lines: Lines) -> None:
    log = EventLog(lines.write, strict=True)
    for entry in range(500):
        log.event(ORDER_RELEASED_UNREVIEWED, entry=entry)
    assert len(lines) == 500


@pytest.mark.parametrize("event", CATALOGUE, ids=lambda event: event.name)
def test_an_event_is_named_and_explained_by_the_rules(event: Event) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", event.name)
    assert event.sentence.endswith(".")
    assert len(set(event.fields)) == len(event.fields)
    assert "suppressed" not in event.fields
    assert not {"control_id", "placer_order_number", "patient", "name", "message", "text", "raw"} & set(event.fields)


def test_event_names_are_used_once() -> None:
    names = [event.name for event in CATALOGUE]
    assert len(names) == len(set(names))
    assert {event.level for event in CATALOGUE} == set(Level)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def writer(stream: io.StringIO) -> Iterator[LineWriter]:
    writer = LineWriter(stream)
    yield writer
    writer.close()


def test_a_json_line_has_time_level_name_and_fields(writer: LineWriter, stream: io.StringIO) -> None:
    build_event_log(writer, strict=True).event(ORDER_HELD, entry=17)
    writer.close()
    line = json.loads(stream.getvalue())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line.pop("at"))
    assert line == {"level": "info", "event": "order_held", "entry": 17}


def test_a_console_line_can_be_read_by_a_person(writer: LineWriter, stream: io.StringIO) -> None:
    build_event_log(writer, style=LogStyle.CONSOLE, strict=True).event(ORDER_HELD, entry=17)
    writer.close()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert "order_held" in plain
    assert "entry=17" in plain


class StuckStream(io.StringIO):
    """A pipe whose reader hangs."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = threading.Event()

    def write(self, text: str) -> int:
        self.may_go_on.wait(30)
        return super().write(text)


def test_a_hanging_log_reader_costs_lines_and_never_the_caller() -> None:
    stream = StuckStream()
    writer = LineWriter(stream)
    for _ in range(10_100):
        writer.write_line("x")
    assert 98 <= writer.dropped_count <= 100
    stream.may_go_on.set()
    writer.close()
    assert stream.getvalue().count("x\n") == 10_100 - writer.dropped_count


def test_a_closed_stream_does_not_end_the_writer(stream: io.StringIO) -> None:
    stream.close()
    writer = LineWriter(stream)
    writer.write_line("one")
    writer.write_line("two")
    writer.close()
    assert writer.dropped_count == 2


@pytest.fixture
def _root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.hazard("H14")
@pytest.mark.usefixtures("_root_logger")
def test_what_a_library_logs_arrives_without_its_text(lines: Lines) -> None:
    capture_library_logs(EventLog(lines.write, strict=True))
    try:
        raise ValueError("PID|1||CANARY")
    except ValueError:
        logging.getLogger("asyncio").exception("Exception in callback with CANARY")
    logging.getLogger("asyncio").info("CANARY below the level")
    assert [(level, name) for level, name, _ in lines] == [("warning", "library_warned")]
    fields = lines[0][2]
    assert fields["library"] == "asyncio"
    assert fields["error"] == "ValueError"
    assert "CANARY" not in str(fields)
