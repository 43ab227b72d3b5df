"""Results and order states as facts: eGFR, completed spine studies, devices and pregnancy.

Of all results only these are kept: the registry is no laboratory archive.

Source: HL7 v2.5.1 chapter 7: OBR-25 (table 0123), OBX-11 (table 0085); chapter 4: ORC-5 (table 0038); PV1-15 (table 0009).
"""

import math
import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime

from interceptor.context.code import ICD10CM, LOINC, normalise_system
from interceptor.context.code_table import QuestionKind
from interceptor.context.coded_field import read_coded_field
from interceptor.context.imaging_history import spine_mr_regions
from interceptor.context.patient import Coding, CompletedStudy
from interceptor.context.vocabulary import EvidenceSource
from interceptor.evidence.feed_diagnosis import read_day
from interceptor.evidence.feed_patient import FeedTables
from interceptor.evidence.statement import Fact, FactKind, Standing, code_key
from interceptor.message.group import OrderGroup
from interceptor.message.timestamp import parse_timestamp
from interceptor.message.view import Segment

_PREGNANT = "B6"
_COMPLETED = frozenset({"F", "C"})
_CANCELLED = frozenset({"X", "D"})
_ORDER_COMPLETED = "CM"
_VOID_RESULTS = frozenset({"D", "W", "X"})
_NO_RESULTS = frozenset({"I", "N", "O", "R", "S"})
_NUMBER = re.compile(r"^\s*(?P<sign>[<>]=?)?\s*(?P<number>\d{1,3}(?:[.,]\d+)?)(?!\d)")
_YES = re.compile(r"^\s*(y|yes|true|1|positive|present)\b", re.IGNORECASE)
_NO = re.compile(r"^\s*(n|no|none|false|0|negative|absent|denies)\b", re.IGNORECASE)
_PREGNANT_CODING = Coding(system=ICD10CM, code="Z33.1", display="Pregnant")
_ANSWERS = frozenset({QuestionKind.DEVICE, QuestionKind.PREGNANCY})
"""Order questions whose answer is kept: the words say which device, no code is made up for it."""


def read_visit_state(visit: Segment | None, said_on: date) -> list[Fact]:
    """PV1-15: pregnant or, where other states are named, not."""
    states = (
        []
        if visit is None
        else [visit.text(15, repetition=number + 1).strip().upper() for number in range(visit.repetition_count(15))]
    )
    if not any(states):
        return []
    standing = Standing.ACTIVE if _PREGNANT in states else Standing.RETRACTED
    return [_state(QuestionKind.PREGNANCY, "Pregnant (PV1-15 B6)", standing, said_on)]


def _state(kind: QuestionKind, words: str, standing: Standing, day: date) -> Fact:
    return Fact(
        kind=FactKind.CONDITION,
        key=f"state:{kind}",
        scope="state",
        standing=standing,
        codings=(_PREGNANT_CODING,) if kind is QuestionKind.PREGNANCY else (),
        text=words,
        recorded=day,
    )


def read_observations(segments: Sequence[Segment], tables: FeedTables, said_at: datetime) -> Iterator[Fact]:
    """OBX that count: the filtration rate, devices and pregnancy; each with the day of OBX-14, OBR-7 or the message."""
    request: Segment | None = None
    for segment in segments:
        if segment.name == "OBR":
            request = segment
        if segment.name != "OBX":
            continue
        kind = _kind(segment, tables)
        if kind is QuestionKind.EGFR:
            yield from _rate(segment, request, said_at)
        elif kind is not None and kind in _ANSWERS:
            yield from _answer(segment, kind, said_at)


def _kind(segment: Segment, tables: FeedTables) -> QuestionKind | None:
    code, system = segment.text(3).strip(), normalise_system(segment.text(3, 3))
    if system in (LOINC, ""):
        meaning = tables.codes.laboratory(code)
        if meaning is not None:
            return QuestionKind(meaning)
    words = " ".join(segment.text(3, part) for part in (2, 5)).strip()
    return tables.codes.question_kind(words or code)


def _rate(segment: Segment, request: Segment | None, said_at: datetime) -> Iterator[Fact]:
    state = segment.text(11).strip().upper()
    value = read_number(segment)
    if state in _NO_RESULTS or (value is None and state not in _VOID_RESULTS):
        return
    stated = parse_timestamp(segment.text(14)) or (parse_timestamp(request.text(7)) if request is not None else None)
    code, system = segment.text(3).strip(), normalise_system(segment.text(3, 3)) or LOINC
    measured = stated.first if stated is not None else said_at
    yield Fact(
        kind=FactKind.OBSERVATION,
        key=measured.strftime("%Y-%m-%dT%H:%M:%S"),
        scope=f"lab:{system}|{code}",
        standing=Standing.RETRACTED if state in _VOID_RESULTS else Standing.ACTIVE,
        codings=(Coding(system=system, code=code, display=segment.text(3, 2).strip()),),
        value=value,
        detail=segment.text(6).strip(),
        recorded=measured.date(),
    )


def read_number(segment: Segment) -> float | None:
    """OBX-5 as a number (NM, SN or text); "<30" is just below 30, ">60" just above 60. None when there is none."""
    return parse_number("".join(segment.text(5, part) for part in (1, 2)))


def parse_number(text: str) -> float | None:
    """A measured value with its sign, as in `read_number`."""
    match = _NUMBER.match(text)
    if match is None:
        return None
    number = float(match.group("number").replace(",", "."))
    match match.group("sign"):
        case "<":
            return math.nextafter(number, -math.inf)
        case ">":
            return math.nextafter(number, math.inf)
        case _:
            return number


def _answer(segment: Segment, kind: QuestionKind, said_at: datetime) -> Iterator[Fact]:
    value = segment.text(5, 2).strip() or segment.text(5).strip()
    is_void = segment.text(11).strip().upper() in _VOID_RESULTS
    if not is_void and not _YES.match(value) and not _NO.match(value):
        return
    standing = Standing.ACTIVE if _YES.match(value) and not is_void else Standing.RETRACTED
    words = (segment.text(3, 2).strip() or segment.text(3).strip()).rstrip("?: ")
    yield _state(kind, words, standing, read_day(segment, 14) or said_at.date())


def read_report(request: Segment, tables: FeedTables, said_on: date) -> Fact | None:
    """OBR of a result as a completed spine MR; None for any other study, and for one that is not final."""
    state = request.text(25).strip().upper()
    if state not in _COMPLETED | _CANCELLED:
        return None
    return _study(request, tables, is_done=state in _COMPLETED, day=_study_day(request, said_on))


def read_order_state(group: OrderGroup, tables: FeedTables, said_on: date) -> Fact | None:
    """ORC-5 CM (or OBR-25 F) of an order as a completed spine MR."""
    request = group.obr
    if request is None:
        return None
    if group.orc.text(5).strip().upper() == _ORDER_COMPLETED:
        return _study(request, tables, is_done=True, day=_study_day(request, read_day(group.orc, 9) or said_on))
    return read_report(request, tables, said_on)


def _study_day(request: Segment, said_on: date) -> date:
    return read_day(request, 7) or read_day(request, 22) or said_on


def _study(request: Segment, tables: FeedTables, *, is_done: bool, day: date) -> Fact | None:
    codes = [code for number in (4, 44) for code in read_coded_field(request, number)[0]]
    codings = tuple(Coding(system=normalise_system(one.system), code=one.code, display=one.words) for one in codes)
    words = next((one.words for one in codes if one.words), "")
    study = CompletedStudy(codings=codings, text=words, completed=day, source=EvidenceSource.REGISTRY)
    if spine_mr_regions(study, tables.codes, tables.site) is None:
        return None
    number = request.text(3).strip() or request.text(2).strip()
    return Fact(
        kind=FactKind.STUDY,
        key=f"id:{number}" if number else f"{code_key(codings, words)}@{day.isoformat()}",
        scope="study",
        standing=Standing.ACTIVE if is_done else Standing.RETRACTED,
        codings=codings,
        text=words,
        recorded=day,
    )
