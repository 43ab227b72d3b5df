"""Collect what one order states, with where it stands: reason, diagnoses, answers to order questions, results.

Comes in: the segments of one order, or the header that all orders of a message share. Goes out: codes, texts and
answers with their paths, not yet judged. What they mean is for the readers of each fact.

Source: CLINICAL section 2, where facts live; HL7 v2.9 chapters 3 (PV2-3), 4 (ORC-16, OBR-13, OBR-31, NTE), 6 (DG1), 7 (OBX), 12 (PRB).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache

from interceptor.context.code import (
    DIAGNOSIS_SYSTEMS,
    LOINC,
    diagnosis_system,
    normalise_code,
    normalise_system,
)
from interceptor.context.code_table import CodeTables, QuestionKind
from interceptor.context.coded_field import StatedCode, StatedText, field_path, read_coded_field
from interceptor.context.site_profile import SiteProfile
from interceptor.message.timestamp import parse_timestamp
from interceptor.message.view import Segment

_DELETED = frozenset({"D", "DE", "DELETE"})
_VOID_RESULTS = frozenset({"D", "W", "X", "N"})
_PAST_WORDS = re.compile(r"resolved|inactive|remission|closed|historical|completed", re.IGNORECASE)
_SUSPECTED_WORDS = re.compile(
    r"suspect|provisional|differential|unconfirmed|rule.?out|possible|probable", re.IGNORECASE
)
_REFUTED_WORDS = re.compile(r"refuted|ruled.?out|entered.?in.?error|erroneous|not confirmed", re.IGNORECASE)
_YES = re.compile(r"^(y|yes|true|t|1|positive|pos|present)\b", re.IGNORECASE)
_NO = re.compile(
    r"^(n|no|none|false|f|0|negative|neg|not|never|denies|denied|nil|na|n/a|nka|nkda|unknown|unk|unsure|absent|-+)\b|^[-./\s]*$",
    re.IGNORECASE,
)
_NO_REASON = re.compile(
    r"^[\W_]*$|^(n/?a|none|no|yes|y|nil|unknown|unk|see (?:note|chart|epic|order|comments?|above|below)|as above|same|test|tbd|pending|other)[\W]*$",
    re.IGNORECASE,
)
_Z_CODE = re.compile(r"^[ZV]", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """One coded diagnosis.

    Attributes:
        stated: As received.
        system: Normalised coding system.
        code: In the spelling of the tables.
        is_past: The source calls it resolved, inactive or in remission.
        is_suspected: The source calls it provisional, differential or unconfirmed.
        is_problem: From a problem list: it is no reason for this order.
        stated_on: Day of the diagnosis, where stated.
    """

    stated: StatedCode
    system: str
    code: str
    is_past: bool = False
    is_suspected: bool = False
    is_problem: bool = False
    stated_on: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answered order question.

    Attributes:
        kind: What was asked, None when the question is not recognised.
        question: Its words.
        code: OBX-3.1 in upper case.
        value: The answer's words ("Yes", "22").
        value_code: The answer's code where it has one besides words.
        path, question_path: Where answer and question stand.
        unit: OBX-6.
        observed: Day of OBX-14, where stated.
    """

    kind: QuestionKind | None
    question: str
    code: str
    value: str
    value_code: str
    path: str
    question_path: str
    unit: str = ""
    observed: date | None = None

    @property
    def is_yes(self) -> bool:
        """Whether the answer begins with a word that affirms."""
        return bool(_YES.match(self.value) or (_YES.match(self.value_code) and not _NO.match(self.value)))

    @property
    def is_no(self) -> bool:
        """Whether the answer denies, is unknown or says nothing."""
        return not self.is_yes and bool(_NO.match(self.value or self.value_code))


@dataclass(slots=True)
class OrderReading:
    """What a run of segments states.

    Attributes:
        diagnoses: Every coded diagnosis, from the reason and from DG1, PRB and PV2.
        reason_texts: Texts that state why the order is placed.
        problem_texts: Texts of a problem list: they speak of the patient, not of the reason.
        answers: Answers to order questions, and results.
    """

    diagnoses: list[Diagnosis] = field(default_factory=list)
    reason_texts: list[StatedText] = field(default_factory=list)
    problem_texts: list[StatedText] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)


def is_placeholder(text: str) -> bool:
    """Whether a text is no reason at all: punctuation, "n/a", "see chart"."""
    return _NO_REASON.match(text.strip()) is not None


def read_order(
    segments: Sequence[Segment], later: Sequence[Segment], *, tables: CodeTables, site: SiteProfile
) -> OrderReading:
    """Return what the segments of one order, or of the header, state.

    Args:
        segments: The segments of the order itself.
        later: Segments of prior results that came with it: only their measured values count.
        tables: How order questions and results are recognised.
        site: Which fields state the reason.
    """
    reading = OrderReading()
    reasons, diagnoses = _numbers_by_name(site.reason_fields), _numbers_by_name(site.diagnosis_fields)
    note_kind: QuestionKind | None = QuestionKind.REASON
    for segment in segments:
        name = segment.name
        if name == "OBX":
            note_kind = _read_observation(segment, reading, tables, site)
            continue
        if name == "NTE" and note_kind is not QuestionKind.REASON:
            continue
        if name in ("PID", "NK1", "IN1", "AL1"):
            note_kind = None  # A note after these speaks of them.
        elif name in ("ORC", "OBR"):
            note_kind = QuestionKind.REASON
        for number in reasons.get(name, ()):
            if segment.raw_field(number):
                _add_reasons(*read_coded_field(segment, number), reading)
        for number in diagnoses.get(name, ()):
            _read_diagnosis_field(segment, number, reading)
    for segment in later:
        if segment.name == "OBX":
            answer = _answer(segment, tables, site)
            if answer is not None and answer.kind is QuestionKind.EGFR:
                reading.answers.append(answer)
    return reading


@lru_cache(maxsize=16)
def _numbers_by_name(fields: tuple[tuple[str, int], ...]) -> Mapping[str, tuple[int, ...]]:
    """Field numbers by segment name, each in the order of *fields*: most segments of a message have none."""
    return {name: tuple(number for other, number in fields if other == name) for name, _ in fields}


def _add_reasons(codes: list[StatedCode], texts: list[StatedText], reading: OrderReading) -> None:
    """Codes and texts of a reason: here the words beside a code are the orderer's own, so they are read too."""
    reading.diagnoses.extend([_diagnosis(code) for code in codes])
    for text in texts + [StatedText(code.words_path, code.words) for code in codes]:
        if not is_placeholder(text.text):
            reading.reason_texts.append(text)


def _read_diagnosis_field(segment: Segment, number: int, reading: OrderReading) -> None:
    if segment.name == "DG1":
        _read_dg1(segment, number, reading)
    elif segment.name == "PRB":
        _read_problem(segment, number, reading)
    elif segment.raw_field(number):
        codes, texts = read_coded_field(segment, number)
        reading.reason_texts.extend(text for text in texts if not is_placeholder(text.text))
        _add_codes(codes, reading, "")


def _add_codes(codes: list[StatedCode], reading: OrderReading, method: str, stated_on: date | None = None) -> None:
    """Diagnoses of a diagnosis field: the words of a standard code say nothing beyond it, those of others are read."""
    for code in codes:
        diagnosis = _diagnosis(code, method, stated_on=stated_on)
        reading.diagnoses.append(diagnosis)
        if code.words and diagnosis.system not in DIAGNOSIS_SYSTEMS and not is_placeholder(code.words):
            reading.reason_texts.append(StatedText(code.words_path, code.words))


def _read_dg1(segment: Segment, number: int, reading: OrderReading) -> None:
    """DG1: code in DG1-3, system also in DG1-2, description in DG1-4; DG1-21 D takes it back."""
    if segment.text(21).strip().upper() in _DELETED:
        return
    codes, texts = read_coded_field(segment, number)
    method = segment.text(2).strip()
    stated_on = _day(segment, 5)
    reading.reason_texts.extend(text for text in texts if not is_placeholder(text.text))
    _add_codes(codes, reading, method, stated_on)
    description = segment.text(4, None, subcomponent=None).strip()
    # The official title of an encounter or history code ("screening for malignant neoplasm") is no statement of a cancer.
    if not description or any(_Z_CODE.match(code.code) for code in codes) or is_placeholder(description):
        return
    if description.casefold() not in {code.words.casefold() for code in codes}:
        reading.reason_texts.append(StatedText(field_path(segment, 4), description))


def _read_problem(segment: Segment, number: int, reading: OrderReading) -> None:
    """PRB: PRB-1 DE takes it back; PRB-13 confirmation and PRB-14 life cycle say how it stands."""
    standing = " ".join(segment.text(place, part) for place in (13, 14) for part in (1, 2))
    if segment.text(1).strip().upper() in _DELETED or _REFUTED_WORDS.search(standing):
        return
    codes, texts = read_coded_field(segment, number)
    is_past = bool(_PAST_WORDS.search(standing))
    for code in codes:
        reading.diagnoses.append(
            _diagnosis(
                code,
                stated_on=_day(segment, 2),
                is_past=is_past,
                is_suspected=bool(_SUSPECTED_WORDS.search(standing)),
                is_problem=True,
            )
        )
    if not is_past:
        reading.problem_texts.extend(texts)
        reading.problem_texts.extend(
            StatedText(code.words_path, code.words)
            for code in codes
            if code.words and diagnosis_system(code.code, code.system) not in DIAGNOSIS_SYSTEMS
        )


def _diagnosis(
    code: StatedCode,
    method: str = "",
    *,
    stated_on: date | None = None,
    is_past: bool = False,
    is_suspected: bool = False,
    is_problem: bool = False,
) -> Diagnosis:
    system = diagnosis_system(code.code, code.system, method)
    return Diagnosis(
        stated=code,
        system=system,
        code=normalise_code(code.code, system),
        is_past=is_past,
        is_suspected=is_suspected,
        is_problem=is_problem,
        stated_on=stated_on,
    )


def _day(segment: Segment, number: int) -> date | None:
    stated = parse_timestamp(segment.text(number).strip())
    return None if stated is None else stated.date


def _question_kind(code: str, system: str, words: str, tables: CodeTables, site: SiteProfile) -> QuestionKind | None:
    for kind, question in site.questions.items():
        if code in question.codes:
            return kind
    if system == LOINC or not system:
        meaning = tables.laboratory(code)
        if meaning is not None:
            return QuestionKind(meaning)
    kind_by_words = tables.question_kind(words)
    if kind_by_words is not None and kind_by_words in site.questions and site.questions[kind_by_words].codes:
        return None  # The site says by which codes it asks this; a look-alike is another question.
    return kind_by_words


def _answer(segment: Segment, tables: CodeTables, site: SiteProfile) -> Answer | None:
    """OBX as an answer; None when it was deleted, or says nothing."""
    if segment.text(11).strip().upper() in _VOID_RESULTS:
        return None
    code = segment.text(3, 1).strip()
    words = " ".join(part for part in (segment.text(3, component).strip() for component in (2, 5, 9)) if part) or code
    values = [
        (segment.text(5, 1, repetition=number, subcomponent=None).strip(),
         segment.text(5, 2, repetition=number, subcomponent=None).strip())
        for number in range(1, segment.repetition_count(5) + 1)
    ]  # fmt: skip
    if segment.text(2).strip().upper() == "SN" and values:
        # SN: comparator, first number (chapter 2A).
        values = [(first + second, "") for first, second in values]
    joined = "; ".join(second or first for first, second in values if first or second)
    if not joined:
        return None
    system = normalise_system(segment.text(3, 3))
    return Answer(
        kind=_question_kind(code.upper(), system, words, tables, site),
        question=words,
        code=code.upper(),
        value=joined,
        value_code=values[0][0] if values[0][1] else "",
        path=field_path(segment, 5),
        question_path=field_path(segment, 3),
        unit=(segment.text(6, 1) or segment.text(6, 2)).strip(),
        observed=_day(segment, 14),
    )


def _read_observation(
    segment: Segment, reading: OrderReading, tables: CodeTables, site: SiteProfile
) -> QuestionKind | None:
    """Note one OBX; return what kind of notes may follow it."""
    answer = _answer(segment, tables, site)
    if answer is None:
        return None
    reading.answers.append(answer)
    if answer.kind in (QuestionKind.REASON, QuestionKind.CANCER) and not answer.is_no and not answer.is_yes:
        _add_reasons(*read_coded_field(segment, 5), reading)
    elif answer.kind in (None, QuestionKind.REASON, QuestionKind.CANCER) and answer.is_yes:
        # "Recent trauma? Yes" says what its question says; a text after the yes ("Yes, breast") belongs to it.
        reading.reason_texts.append(StatedText(answer.question_path, answer.question.rstrip("?: ")))
        if not is_placeholder(answer.value):
            reading.reason_texts.append(StatedText(answer.path, answer.value))
    return QuestionKind.REASON if answer.kind is QuestionKind.REASON else None
