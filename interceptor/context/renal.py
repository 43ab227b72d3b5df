"""The estimated glomerular filtration rate: is the latest one below 30?

Results of the message, of the evidence sources and of free text are put on one time line; the latest counts, because
a kidney that failed last year may work today. Without a date a value of the order is of today.

Source: CLINICAL section 2 (renal: eGFR below 30 mL/min/1.73 m2); units: UCUM mL/min/{1.73_m2}, SI laboratories mL/s.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from interceptor.context.code import LOINC, normalise_system
from interceptor.context.code_table import CodeTables, QuestionKind
from interceptor.context.coded_field import StatedText
from interceptor.context.exception_finding import Found
from interceptor.context.order_facts import Evidence, ExceptionFinding
from interceptor.context.order_reading import Answer
from interceptor.context.patient import Observation
from interceptor.context.vocabulary import EvidenceSource, ExceptionKind, FactName

EGFR_LIMIT_ML_MIN_1_73M2 = 30.0
_SECONDS_OF_MINUTE = 60
_PLAUSIBLE_MAX = 250.0
_PER_SECOND = re.compile(r"ml\s*/\s*s", re.IGNORECASE)
_RESULT = re.compile(r"^\s*(?P<sign>[<>]=?)?\s*(?P<value>\d{1,3}(?:[.,]\d+)?)(?!\d)")
_IN_TEXT = re.compile(
    r"\be?gfr\b(?:\s*\([^)]{0,20}\))?(?:\s+(?:is|was|of|at|now))?\s*[:=]?\s*(?P<sign>[<>]=?)?\s*(?P<value>\d{1,3}(?:\.\d+)?)(?![\d/.-]\d)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rate:
    """One rate in mL/min/1.73 m2. `sign` is "<" for "below" and ">" for "above", "" for a plain value."""

    value: float
    sign: str
    day: date | None
    source: EvidenceSource
    path: str | None = None
    code: str | None = None
    text: str = ""

    @property
    def is_low(self) -> bool:
        if self.sign.startswith(">"):
            return False
        if self.sign == "<":
            return self.value <= EGFR_LIMIT_ML_MIN_1_73M2
        return self.value < EGFR_LIMIT_ML_MIN_1_73M2


def _of_answers(answers: Iterable[Answer]) -> Iterator[_Rate]:
    for answer in answers:
        if answer.kind is not QuestionKind.EGFR:
            continue
        match = _RESULT.match(answer.value)
        if match is None:
            continue
        value = float(match.group("value").replace(",", "."))
        if _PER_SECOND.search(answer.unit) or _PER_SECOND.search(answer.value):
            value *= _SECONDS_OF_MINUTE
        yield _Rate(
            value=value,
            sign=match.group("sign") or "",
            day=answer.observed,
            source=EvidenceSource.MESSAGE,
            path=answer.path,
            code=answer.code or None,
            text=answer.value,
        )


def _of_observations(observations: Iterable[Observation], tables: CodeTables) -> Iterator[_Rate]:
    for one in observations:
        is_loinc = normalise_system(one.coding.system) == LOINC
        by_code = is_loinc and tables.laboratory(one.coding.code.strip()) == "egfr"
        by_words = not is_loinc and tables.question_kind(one.coding.display) is QuestionKind.EGFR
        if one.value is None or not (by_code or by_words):
            continue
        value = one.value * _SECONDS_OF_MINUTE if _PER_SECOND.search(one.unit) else one.value
        yield _Rate(value=value, sign="", day=one.observed, source=one.source, code=one.coding.code)


def _of_texts(texts: Iterable[StatedText]) -> Iterator[_Rate]:
    for one in texts:
        for match in _IN_TEXT.finditer(one.text):
            yield _Rate(
                value=float(match.group("value")),
                sign=match.group("sign") or "",
                day=None,
                source=EvidenceSource.MESSAGE,
                path=one.path,
                text=match.group(0),
            )


def read_filtration_rate(
    *,
    answers: Sequence[Answer],
    texts: Sequence[StatedText],
    observations: Sequence[Observation],
    tables: CodeTables,
    today: date,
) -> tuple[Found, ...]:
    """Return the latest filtration rate: an exception when it is low, else shown only; () when there is none.

    Of several on the latest day the lowest counts. Values that no kidney reaches are left out.
    """
    rates = [
        rate
        for rate in (*_of_answers(answers), *_of_texts(texts), *_of_observations(observations, tables))
        if 0 <= rate.value <= _PLAUSIBLE_MAX and (rate.day is None or rate.day <= today)
    ]
    if not rates:
        return ()
    latest = max(rate.day or today for rate in rates)
    rate = min((one for one in rates if (one.day or today) == latest), key=lambda one: (not one.is_low, one.value))
    words = f"eGFR {rate.sign}{rate.value:g} mL/min/1.73 m2" + (f" on {rate.day.isoformat()}" if rate.day else "")
    evidence = Evidence(
        fact=FactName.EXCEPTION,
        source=rate.source,
        path=rate.path,
        code=rate.code,
        text=rate.text or words,
        date=rate.day,
        meaning=ExceptionKind.RENAL if rate.is_low else "egfr_not_low",
        counted=rate.is_low,
    )
    finding = ExceptionFinding(kind=ExceptionKind.RENAL, phrase=words) if rate.is_low else None
    return (Found(finding=finding, evidence=evidence),)
