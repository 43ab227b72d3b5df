"""Build a site profile from its TOML file and code maps, with every problem at once.

Comes in: texts by file name, and a function that finds a time zone. Goes out: `SiteProfile`, or
`SiteProfileError` with one line for each problem ("file:line: key: what is wrong"). An unknown key is a problem: a misspelt
switch must not be silently off.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, time, tzinfo
from typing import Any

from interceptor.context import site_profile as site
from interceptor.context.business_calendar import BusinessCalendar
from interceptor.context.code import CPT, LOINC, normalise_code, normalise_system
from interceptor.context.code_table import OncologyCode, ProcedureCode, QuestionKind
from interceptor.context.code_table_reading import CodeTableError, parse_snomed_expansion, read_regions
from interceptor.context.table_reading import TableProblems, TableRow, read_table
from interceptor.context.vocabulary import Contrast, ProcedureClass, UrgencyClass

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MAP_COLUMNS = ("code", "coding_system", "modality", "regions", "contrast", "class", "name")
_PATH = re.compile(r"([A-Z][A-Z0-9]{2})-([1-9]\d?)(?:\.([1-9]\d?))?")
_MR_CLASSES = frozenset(
    {
        ProcedureClass.COMPLETE_WO_W,
        ProcedureClass.COMPLETE_WO,
        ProcedureClass.COMPLETE_W,
        ProcedureClass.THORACOLUMBAR_WO_W,
        ProcedureClass.REGIONAL_MR,
    }
)
_PRIORITY_KEYS = {
    "routine": UrgencyClass.ROUTINE,
    "asap": UrgencyClass.ASAP,
    "emergency": UrgencyClass.EMERGENCY,
    "stat": UrgencyClass.STAT,
}
_PATIENT_CLASS_KEYS = {
    "emergency_patient_classes": UrgencyClass.EMERGENCY,
    "inpatient_patient_classes": UrgencyClass.INPATIENT,
}
_KEYS: Mapping[str, tuple[str, ...]] = {
    "site": ("id", "name", "time_zone"),
    "calendar": ("days", "opens", "closes", "holidays"),
    "procedures": ("map",),
    "priorities": (*_PRIORITY_KEYS, *_PATIENT_CLASS_KEYS, "inpatient_is_urgent", "imminent_hours"),
    "paths": ("reason", "diagnosis", "priority", "start", "procedure"),
    "studies": ("recent_days",),
    "codes": ("snomed_expansion",),
    "notes": ("length_max", "quotes_text"),
    "questions": tuple(QuestionKind),
}
_NOTE_LENGTHS = (40, 65536)


class SiteProfileError(ValueError):
    """The profile is wrong. `problems` has one line for each, "file:line: key: what is wrong"."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class _Profile:
    """The parsed TOML with typed reading; every wrong value is noted and replaced by its default."""

    def __init__(self, file: str, text: str, problems: TableProblems) -> None:
        self.file = file
        self.lines = text.splitlines()
        self.problems = problems
        self.document: dict[str, Any] = {}
        try:
            self.document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"line (\d+)", str(error))
            problems.add(file, int(found.group(1)) if found else 1, f"not TOML: {error}")

    def wrong(self, table: str, key: str, what: str) -> None:
        self.problems.add(self.file, self._line(table, key), f"{table}.{key}: {what}" if key else f"{table}: {what}")

    def _line(self, table: str, key: str) -> int:
        """Line of a key, counted from 1; of its table, or 1, where the key itself is not there."""
        current, best = "", 1
        for number, line in enumerate(self.lines, 1):
            header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line)
            if header:
                current = header.group(1).replace('"', "")
                if current in (table, f"{table}.{key}"):
                    best = number
            elif current == table and re.match(rf"\s*\"?{re.escape(key)}\"?\s*[.=]", line):
                return number
        return best

    def check_keys(self) -> None:
        for table, content in self.document.items():
            if table not in _KEYS:
                self.wrong(table, "", f"unknown table; known: {', '.join(_KEYS)}")
            elif not isinstance(content, dict):
                self.wrong(table, "", "must be a table")
            else:
                for key in sorted(set(content) - set(_KEYS[table]), key=list(content).index):
                    self.wrong(table, key, f"unknown key; known: {', '.join(_KEYS[table])}")

    def value(self, table: str, key: str) -> Any:
        content = self.document.get(table)
        return content.get(key) if isinstance(content, dict) else None

    def text(self, table: str, key: str, default: str) -> str:
        value = self.value(table, key)
        if value is None:
            return default
        if not isinstance(value, str):
            self.wrong(table, key, "must be a text")
            return default
        return value

    def flag(self, table: str, key: str, *, default: bool) -> bool:
        value = self.value(table, key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.wrong(table, key, "must be true or false")
            return default
        return value

    def number(self, table: str, key: str, default: float, *, low: float, high: float) -> float:
        value = self.value(table, key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self.wrong(table, key, f"must be a number from {low:g} to {high:g}")
            return default
        return value

    def words(self, table: str, key: str) -> tuple[str, ...] | None:
        """A list of texts; None when the key is not there or wrong."""
        value = self.value(table, key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(word, str) and word.strip() for word in value):
            self.wrong(table, key, "must be a list of texts, none empty")
            return None
        return tuple(word.strip() for word in value)


def _read_calendar(profile: _Profile, find_zone: Callable[[str], tzinfo | None]) -> BusinessCalendar:
    zone = find_zone(profile.text("site", "time_zone", "UTC"))
    if zone is None:
        profile.wrong("site", "time_zone", "no such time zone; name it like America/New_York")
        zone = UTC
    default = BusinessCalendar(zone=zone)
    days = profile.words("calendar", "days")
    for day in days or ():
        if day.lower() not in _DAYS:
            profile.wrong("calendar", "days", f"{day!r} is not one of {', '.join(_DAYS)}")
    return BusinessCalendar(
        zone=zone,
        days=default.days if days is None else frozenset(_DAYS.index(d.lower()) for d in days if d.lower() in _DAYS),
        opens=_read_time(profile, "opens", default.opens),
        closes=_read_time(profile, "closes", default.closes),
        holidays=frozenset(_read_holidays(profile)),
    )


def _read_time(profile: _Profile, key: str, default: time) -> time:
    value = profile.value("calendar", key)
    if value is None:
        return default
    try:
        return value if isinstance(value, time) else time.fromisoformat(value)
    except (TypeError, ValueError):
        profile.wrong("calendar", key, 'must be a time of day like "08:00"')
        return default


def _read_holidays(profile: _Profile) -> Iterable[date]:
    value = profile.value("calendar", "holidays")
    if value is None:
        return
    if not isinstance(value, list):
        profile.wrong("calendar", "holidays", "must be a list of days")
        return
    for day in value:
        try:
            yield day if isinstance(day, date) else date.fromisoformat(day)
        except (TypeError, ValueError):
            profile.wrong("calendar", "holidays", f"{day!r} is not a day like 2026-12-25")


def _read_words_of(
    profile: _Profile, keys: Mapping[str, UrgencyClass], defaults: Mapping[str, UrgencyClass]
) -> dict[str, UrgencyClass]:
    """Words by class; a key that is there replaces all default words of its class."""
    table = dict(defaults)
    stated: dict[str, str] = {}
    for key, urgency in keys.items():
        words = profile.words("priorities", key)
        if words is None:
            continue
        table = {word: known for word, known in table.items() if known is not urgency}
        for word in words:
            if word.upper() in stated:
                profile.wrong("priorities", key, f"{word!r} stands in {stated[word.upper()]} too")
            stated[word.upper()] = key
            table[word.upper()] = urgency
    return table


def _read_paths(profile: _Profile, key: str) -> list[tuple[str, int, int]] | None:
    words = profile.words("paths", key)
    if words is None:
        return None
    paths = []
    for word in words:
        found = _PATH.fullmatch(word)
        if found is None:
            profile.wrong("paths", key, f"{word!r} is not a path like OBR-31 or ORC-7.6")
        else:
            paths.append((found.group(1), int(found.group(2)), int(found.group(3) or 1)))
    return paths


def _fields(profile: _Profile, key: str, default: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    paths = _read_paths(profile, key)
    return default if paths is None else tuple((segment, number) for segment, number, _ in paths)


def _places(profile: _Profile, key: str, default: tuple[tuple[str, int, int], ...]) -> tuple[tuple[str, int, int], ...]:
    paths = _read_paths(profile, key)
    return default if paths is None else tuple(paths)


def _read_questions(profile: _Profile) -> dict[QuestionKind, site.SiteQuestion]:
    questions = {}
    for kind in QuestionKind:
        content = profile.value("questions", kind)
        if content is None:
            continue
        if not isinstance(content, dict):
            profile.wrong("questions", kind, "must be a table with codes and answers")
            continue
        sets: dict[str, frozenset[str]] = {}
        for key, words in content.items():
            if key not in ("codes", "answers"):
                profile.wrong("questions", kind, f"unknown key {key!r}; known: codes, answers")
            elif not isinstance(words, list) or not all(isinstance(word, str) for word in words):
                profile.wrong("questions", kind, f"{key} must be a list of texts")
            else:
                sets[key] = frozenset(word.strip().upper() for word in words)
        questions[kind] = site.SiteQuestion(
            codes=sets.get("codes", frozenset()), answers=sets.get("answers", frozenset())
        )
    return questions


def _row_order(row: TableRow) -> ProcedureCode | None:
    contrast = row.word("contrast", Contrast, empty=Contrast.UNKNOWN)
    procedure_class = row.word("class", ProcedureClass) if row["class"] else None
    regions = read_regions(row, "regions")
    if contrast is None:
        return None
    if procedure_class is None and row["modality"].upper() != "MR":
        row.wrong("class: only an MR may leave it out")
        return None
    if procedure_class in _MR_CLASSES:
        row.wrong(f"class: {procedure_class} follows from regions and contrast; leave it out")
        return None
    if procedure_class is None and not regions:
        if row["regions"]:
            return None  # Wrong words, told above.
        row.wrong("regions: an MR of the spine needs them; say class not_spine for another body part")
        return None
    return ProcedureCode(
        modality=row["modality"].upper(), regions=regions, contrast=contrast, procedure_class=procedure_class
    )


def _read_map(file: str, text: str, problems: TableProblems) -> dict[tuple[str, str], site.SiteProcedure]:
    procedures: dict[tuple[str, str], site.SiteProcedure] = {}
    for row in read_table(file, text, _MAP_COLUMNS, problems):
        system = normalise_system(row["coding_system"])
        code = normalise_code(row["code"], system) if system in (CPT, LOINC) else row["code"].upper()
        if not code:
            row.wrong("code: empty")
            continue
        if (system, code) in procedures:
            row.wrong(f"code: {code} of {row['coding_system'] or 'any system'} stands twice")
            continue
        order = _row_order(row)
        if order is not None:
            procedures[system, code] = site.SiteProcedure(order=order, name=row["name"])
    return procedures


def _find_file(profile: _Profile, key: str, table: str, files: Mapping[str, str]) -> tuple[str, str] | None:
    name = profile.text(table, key, "")
    if not name:
        return None
    if name not in files:
        profile.wrong(table, key, f"no file {name!r} beside the profile")
        return None
    return name, files[name]


def _read_expansion(profile: _Profile, files: Mapping[str, str]) -> dict[str, OncologyCode]:
    found = _find_file(profile, "snomed_expansion", "codes", files)
    if found is None:
        return {}
    try:
        return parse_snomed_expansion(*found)
    except CodeTableError as error:
        profile.problems.lines.extend(error.problems)
        return {}


def parse_site_profile(
    file: str, files: Mapping[str, str], *, find_zone: Callable[[str], tzinfo | None]
) -> site.SiteProfile:
    """Build a site profile.

    Args:
        file: Name of the profile among `files`.
        files: Content of mappings/sites by file name: profiles and code maps.
        find_zone: Gives the time zone of an IANA name, None when there is none of that name.

    Raises:
        SiteProfileError: The profile or one of its code maps is wrong; it names every problem.
    """
    problems = TableProblems()
    profile = _Profile(file, files.get(file, ""), problems)
    profile.check_keys()
    if not profile.text("site", "id", ""):
        profile.wrong("site", "id", "missing")
    code_map = _find_file(profile, "map", "procedures", files)
    built = site.SiteProfile(
        site_id=profile.text("site", "id", "default"),
        name=profile.text("site", "name", ""),
        calendar=_read_calendar(profile, find_zone),
        procedures=_read_map(*code_map, problems) if code_map else {},
        priorities=_read_words_of(profile, _PRIORITY_KEYS, site.DEFAULT_PRIORITIES),
        patient_classes=_read_words_of(profile, _PATIENT_CLASS_KEYS, site.DEFAULT_PATIENT_CLASSES),
        inpatient_is_urgent=profile.flag("priorities", "inpatient_is_urgent", default=True),
        imminent_hours=profile.number("priorities", "imminent_hours", 4.0, low=0, high=168),
        recent_study_days=int(profile.number("studies", "recent_days", 30, low=0, high=365)),
        reason_fields=_fields(profile, "reason", site.REASON_FIELDS),
        diagnosis_fields=_fields(profile, "diagnosis", site.DIAGNOSIS_FIELDS),
        priority_fields=_places(profile, "priority", site.PRIORITY_FIELDS),
        start_fields=_places(profile, "start", site.START_FIELDS),
        procedure_fields=_fields(profile, "procedure", site.PROCEDURE_FIELDS),
        questions=_read_questions(profile),
        snomed_expansion=_read_expansion(profile, files),
        note_length_max=int(
            profile.number("notes", "length_max", site.DEFAULT_NOTE_LENGTH, low=_NOTE_LENGTHS[0], high=_NOTE_LENGTHS[1])
        ),
        quotes_text=profile.flag("notes", "quotes_text", default=False),
    )
    if built.calendar.opens == built.calendar.closes:
        profile.wrong("calendar", "closes", "must differ from opens")
    if problems.lines:
        raise SiteProfileError(tuple(problems.lines))
    return built
