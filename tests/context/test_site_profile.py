"""Site profiles: what a site may say, and that a wrong profile names every mistake with its line."""

from datetime import UTC, datetime, time, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.context.business_calendar import BusinessCalendar
from interceptor.context.code_table import QuestionKind
from interceptor.context.site_profile import SiteProfile
from interceptor.context.site_profile_reading import SiteProfileError, parse_site_profile

SITES = Path(__file__).parents[2] / "mappings" / "sites"


def find_zone(name: str) -> tzinfo | None:
    return ZoneInfo(name) if name in ("UTC", "America/New_York") else None


def parse(text: str, **files: str) -> SiteProfile:
    named = {name.replace("_", "."): content for name, content in files.items()}
    return parse_site_profile("a.toml", {"a.toml": text, **named}, find_zone=find_zone)


def problems(text: str, **files: str) -> list[str]:
    with pytest.raises(SiteProfileError) as caught:
        parse(text, **files)
    return list(caught.value.problems)


HEADER = "code,coding_system,modality,regions,contrast,class,name\n"


def test_the_profiles_that_ship_are_right() -> None:
    files = {path.name: path.read_text(encoding="utf-8") for path in SITES.iterdir()}
    for name in ("default.toml", "example.toml"):
        assert parse_site_profile(name, files, find_zone=find_zone).site_id == name.removesuffix(".toml")


def test_the_default_profile_says_what_no_profile_says() -> None:
    text = (SITES / "default.toml").read_text(encoding="utf-8")
    assert parse(text) == SiteProfile(site_id="default", name="No site profile", calendar=parse(text).calendar)


def test_every_mistake_is_told_at_once() -> None:
    text = (
        '[site]\nid = "a"\ntime_zone = "Mars/Base"\ncolour = "red"\n[calendar]\ndays = ["mo"]\nopens = "8"\nholidays = ["x"]\n'
        '[priorities]\nroutine = ["R", "S"]\nstat = ["S"]\nimminent_hours = -1\n[paths]\nreason = ["OBR.31"]\n'
        '[procedures]\nmap = "b.csv"\n[notes]\nlength_max = 3\nquotes_text = "no"\n[questions.pain]\ncodes = ["A"]\n[rules]\na = 1\n'
    )
    rows = "A,L,CT,L,WO,,\nB,L,MR,X,WO,,\nC,L,MR,L,WITH,,\nD,L,MR,,WO,,\nE,L,MR,C,WO,regional_mr,\nF,L,MR\nG,L,MR,L,WO,,\ng,L,MR,L,W,,\n"
    told = problems(text, b_csv=HEADER + rows)
    assert [problem.split(" ")[0] for problem in told] == [
        "a.toml:4:", "a.toml:20:", "a.toml:22:", "a.toml:3:", "a.toml:6:", "a.toml:7:", "a.toml:8:",
        "b.csv:2:", "b.csv:3:", "b.csv:4:", "b.csv:5:", "b.csv:6:", "b.csv:7:", "b.csv:9:",
        "a.toml:11:", "a.toml:12:", "a.toml:14:", "a.toml:18:", "a.toml:19:",
    ]  # fmt: skip


def test_a_file_that_is_no_toml_says_where() -> None:
    assert problems("[site]\nid = \n")[0].startswith("a.toml:2: not TOML")


def test_a_code_map_that_is_not_there_is_a_mistake() -> None:
    assert problems('[site]\nid = "a"\n[procedures]\nmap = "b.csv"\n') == [
        "a.toml:4: procedures.map: no file 'b.csv' beside the profile"
    ]


def test_a_site_declares_a_code_that_the_tables_leave_open() -> None:
    profile = parse(
        '[site]\nid = "a"\n[procedures]\nmap = "b.csv"\n', b_csv=HEADER + "36400-0,LN,MR,C+T+L,WO+W,,MR SPINE\n"
    )
    assert profile.site_procedure("loinc", "36400-0") is not None
    assert profile.site_procedure("", "36400-0") is None


def test_a_row_without_a_system_meets_every_system() -> None:
    profile = parse(
        '[site]\nid = "a"\n[procedures]\nmap = "b.csv"\n', b_csv=HEADER + "SP1,,MR,L,WO,,\nSP2,99RAD,MR,L,WO,,\n"
    )
    assert profile.site_procedure("cpt", "sp1") is not None
    assert profile.site_procedure("99RAD", "SP2") is not None
    assert profile.site_procedure("local", "SP2") is None


def test_words_of_one_class_replace_the_default_words_of_that_class_only() -> None:
    profile = parse('[site]\nid = "a"\n[priorities]\nroutine = ["normal"]\n')
    assert profile.priorities.get("NORMAL") == "routine"
    assert "R" not in profile.priorities
    assert profile.priorities["S"] == "stat"


def test_questions_are_named_by_code_and_answer() -> None:
    profile = parse('[site]\nid = "a"\n[questions.override]\ncodes = ["ovr1"]\nanswers = ["Approved"]\n')
    assert profile.questions[QuestionKind.OVERRIDE].codes == {"OVR1"}
    assert profile.questions[QuestionKind.OVERRIDE].answers == {"APPROVED"}


NEW_YORK = ZoneInfo("America/New_York")
CALENDAR = BusinessCalendar(zone=NEW_YORK, holidays=frozenset({datetime(2026, 5, 25, tzinfo=UTC).date()}))


@pytest.mark.parametrize(
    ("start", "hours", "end"),
    [
        ("2026-03-02 10:15", 4, "2026-03-02 14:15"),
        ("2026-03-02 15:00", 4, "2026-03-03 10:00"),
        ("2026-03-02 13:00", 4, "2026-03-02 17:00"),
        ("2026-03-02 06:00", 4, "2026-03-02 12:00"),
        ("2026-03-06 16:00", 4, "2026-03-09 11:00"),
        ("2026-03-07 12:00", 4, "2026-03-09 12:00"),
        ("2026-05-22 16:00", 4, "2026-05-26 11:00"),
        ("2026-03-02 20:00", 0, "2026-03-02 20:00"),
    ],
)
def test_business_hours_skip_nights_weekends_and_holidays(start: str, hours: float, end: str) -> None:
    begin = datetime.fromisoformat(start).replace(tzinfo=NEW_YORK)
    found = CALENDAR.add_business_hours(begin, hours)
    assert found.astimezone(NEW_YORK).strftime("%Y-%m-%d %H:%M") == end


def test_a_shift_past_midnight_and_a_calendar_without_days() -> None:
    night = BusinessCalendar(
        zone=NEW_YORK,
        opens=time(8),
        closes=time(0),
    )
    late = datetime(2026, 3, 2, 23, tzinfo=NEW_YORK)
    assert night.is_open(late)
    assert not CALENDAR.is_open(late)
    never = BusinessCalendar(zone=NEW_YORK, days=frozenset())
    assert never.add_business_hours(late, 4).astimezone(NEW_YORK).hour == 3


@given(
    st.datetimes(min_value=datetime(2025, 1, 1), max_value=datetime(2027, 1, 1)),  # noqa: DTZ001 - hypothesis adds the zone
    st.floats(min_value=0, max_value=30),
    st.floats(min_value=0, max_value=30),
)
def test_more_hours_never_end_earlier(start: datetime, one: float, other: float) -> None:
    begin = start.replace(tzinfo=UTC)
    first, second = sorted((one, other))
    assert begin <= CALENDAR.add_business_hours(begin, first) <= CALENDAR.add_business_hours(begin, second)
