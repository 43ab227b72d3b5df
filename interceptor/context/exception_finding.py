"""Circumstances that make the recommended study wrong or unnecessary for this patient.

Each makes holding rarer, never more frequent. So doubt counts as an exception, with two limits: an allergy to another
contrast medium, or to "contrast" alone, is shown and is none; and what is over (a past infection, an old injury) is none.

Source: CLINICAL section 2, exceptions; HL7 v2.9 chapter 3: AL1, IAM, PID-7, PV1-15 (table 0009: B6 pregnant).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from interceptor.context.code import normalise_code, normalise_system
from interceptor.context.code_table import CodeTables, ContrastAgent, ContrastKind, QuestionKind
from interceptor.context.coded_field import field_path
from interceptor.context.oncology import PlacedMention, coding_of_condition
from interceptor.context.order_facts import Evidence, ExceptionFinding
from interceptor.context.order_reading import Answer, Diagnosis
from interceptor.context.patient import Allergy, Condition, ConditionStatus
from interceptor.context.site_profile import SiteProfile
from interceptor.context.text_folding import read_exceptions as read_text_exceptions
from interceptor.context.text_reading import TextLabel
from interceptor.context.vocabulary import EvidenceSource, ExceptionKind, FactName
from interceptor.message.timestamp import Precision, parse_timestamp
from interceptor.message.view import Segment

ADULT_YEARS = 18
_PREGNANT_AMBULATORY_STATUS = "B6"
_PREGNANCY_DAYS_MAX = 300
"""A pregnancy on a problem list is over after 300 days, whatever its status says."""
_ACUTE_DAYS_MAX = 90
"""An acute kidney injury or spinal infection recorded longer ago says nothing about today."""
_LASTING_PROBLEMS = frozenset(
    {ExceptionKind.RENAL, ExceptionKind.DEVICE, ExceptionKind.PREGNANCY, ExceptionKind.INFECTION, ExceptionKind.HOSPICE,
     ExceptionKind.POSTOPERATIVE}
)  # fmt: skip
_NO_ALLERGY = re.compile(r"^\s*(no\b|none|nkda|nka|not allergic|denies|negative)", re.IGNORECASE)
_DELETED = frozenset({"D", "DE", "DELETE"})
_PLAIN_WORDS = {
    ExceptionKind.RENAL: "kidney disease",
    ExceptionKind.DEVICE: "implanted device",
    ExceptionKind.PREGNANCY: "pregnancy",
    ExceptionKind.INFECTION: "spinal infection",
    ExceptionKind.TRAUMA: "trauma",
    ExceptionKind.POSTOPERATIVE: "spine surgery",
    ExceptionKind.HOSPICE: "palliative or hospice care",
    ExceptionKind.GADOLINIUM_REACTION: "reaction to a gadolinium agent",
}
_QUESTION_EXCEPTIONS = {
    QuestionKind.DEVICE: ExceptionKind.DEVICE,
    QuestionKind.PREGNANCY: ExceptionKind.PREGNANCY,
    QuestionKind.GADOLINIUM: ExceptionKind.GADOLINIUM_REACTION,
    QuestionKind.DIALYSIS: ExceptionKind.RENAL,
    QuestionKind.HOSPICE: ExceptionKind.HOSPICE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One exception with its evidence; `finding` None for what is only shown."""

    finding: ExceptionFinding | None
    evidence: Evidence


def _found(kind: ExceptionKind, phrase: str, evidence: Evidence) -> Found:
    return Found(finding=ExceptionFinding(kind=kind, phrase=phrase), evidence=evidence)


def of_diagnoses(diagnoses: Iterable[Diagnosis], tables: CodeTables) -> Iterator[Found]:
    """Exceptions that coded diagnoses of the message state."""
    for one in diagnoses:
        kind = tables.exception(one.system, one.code)
        if kind is None or one.is_past or (one.is_problem and kind not in _LASTING_PROBLEMS):
            continue
        words = one.stated.words or _PLAIN_WORDS[kind]
        evidence = Evidence(
            fact=FactName.EXCEPTION,
            source=EvidenceSource.MESSAGE,
            meaning=kind,
            path=one.stated.path,
            code=one.stated.code,
            code_system=one.system,
            text=one.stated.words or None,
            date=one.stated_on,
        )
        yield _found(kind, f"{words} ({one.stated.code})", evidence)


def of_conditions(conditions: Iterable[Condition], tables: CodeTables, today: date) -> Iterator[Found]:
    """Exceptions that current conditions of the evidence sources state; acute ones only while they are recent."""
    for condition in conditions:
        chosen = coding_of_condition(condition)
        if chosen is None or condition.status is ConditionStatus.PAST:
            continue
        system, code, coding = chosen
        kind = tables.exception(system, code)
        day = condition.onset or condition.recorded
        if kind is None or kind not in _LASTING_PROBLEMS or _is_over(kind, code, day, today):
            continue
        words = coding.display or condition.text or _PLAIN_WORDS[kind]
        evidence = Evidence(
            fact=FactName.EXCEPTION,
            source=condition.source,
            meaning=kind,
            code=coding.code,
            code_system=system,
            text=coding.display or condition.text or None,
            date=day,
        )
        yield _found(kind, f"{words} ({coding.code})", evidence)


def _is_over(kind: ExceptionKind, code: str, day: date | None, today: date) -> bool:
    if day is None:
        return False
    age = (today - day).days
    if kind is ExceptionKind.PREGNANCY:
        return age > _PREGNANCY_DAYS_MAX
    is_acute = kind is ExceptionKind.INFECTION or code.startswith(("N17", "584", "14669001"))
    return is_acute and age > _ACUTE_DAYS_MAX


def of_mentions(placed: Sequence[PlacedMention]) -> Iterator[Found]:
    """Exceptions that texts mention, and allergies to other contrast media, which are only shown."""
    paths = {id(one.mention): one for one in placed}
    for spoken in read_text_exceptions([one.mention for one in placed]):
        place, mention = paths[id(spoken.mention)], spoken.mention
        yield _found(spoken.kind, f'"{mention.words}"', _mention_evidence(place, spoken.kind, counted=True))
    for one in placed:
        if one.mention.label is TextLabel.CONTRAST_ALLERGY:
            yield Found(finding=None, evidence=_mention_evidence(one, "contrast_allergy", counted=False))


def _mention_evidence(place: PlacedMention, meaning: str, *, counted: bool) -> Evidence:
    mention = place.mention
    return Evidence(
        fact=FactName.EXCEPTION,
        source=place.source,
        path=place.path,
        text=mention.words,
        meaning=meaning,
        assertion=mention.assertion,
        start_offset=mention.start_offset,
        end_offset=mention.end_offset,
        counted=counted,
    )


def _allergy_found(
    agent: ContrastAgent, words: str, reaction: str, source: EvidenceSource, *, path: str | None, code: str | None,
    day: date | None,
) -> Found:  # fmt: skip
    """One allergy to a contrast medium: an exception for gadolinium, shown for any other."""
    is_gadolinium = agent.kind is ContrastKind.GADOLINIUM
    meaning = ExceptionKind.GADOLINIUM_REACTION if is_gadolinium else f"{agent.kind}_contrast_allergy"
    evidence = Evidence(
        fact=FactName.EXCEPTION,
        source=source,
        path=path,
        code=code,
        text=words or agent.agent,
        date=day,
        meaning=meaning,
        counted=is_gadolinium,
    )
    if not is_gadolinium:
        return Found(finding=None, evidence=evidence)
    phrase = f"allergy to {agent.agent}" + (f" ({reaction})" if reaction else "")
    return Found(finding=ExceptionFinding(kind=ExceptionKind.GADOLINIUM_REACTION, phrase=phrase), evidence=evidence)


def of_allergy_segments(segments: Iterable[Segment], tables: CodeTables) -> Iterator[Found]:
    """AL1 and IAM: allergen in field 3, reaction in field 5; IAM-6 D takes it back."""
    for segment in segments:
        if segment.name not in ("AL1", "IAM"):
            continue
        if segment.name == "IAM" and segment.text(6).strip().upper() in _DELETED:
            continue
        reaction = segment.text(5, subcomponent=None).strip() or segment.text(5, 2).strip()
        for repetition in range(1, segment.repetition_count(3) + 1):
            codings = [
                (segment.text(3, part, repetition=repetition).strip(), segment.text(3, part + 2, repetition=repetition))
                for part in (1, 4)
            ]
            words = " ".join(
                text
                for part in (1, 2, 4, 5)
                if (text := segment.text(3, part, repetition=repetition, subcomponent=None).strip())
            )
            agent = _agent_of(codings, f"{words} {_nsf(reaction)}", tables)
            if agent is None or _NO_ALLERGY.match(words):
                continue
            shown = segment.text(3, 2, repetition=repetition).strip() or words
            yield _allergy_found(
                agent, shown, reaction, EvidenceSource.MESSAGE,
                path=field_path(segment, 3, None, repetition), code=codings[0][0] or None, day=_day(segment, 6),
            )  # fmt: skip


def _nsf(reaction: str) -> str:
    """Nephrogenic systemic fibrosis is a reaction that only gadolinium gives."""
    return reaction if "nephrogenic" in reaction.casefold() or reaction.upper() == "NSF" else ""


def _agent_of(codings: Iterable[tuple[str, str]], words: str, tables: CodeTables) -> ContrastAgent | None:
    for code, stated_system in codings:
        system = normalise_system(stated_system)
        known = tables.allergy(system, normalise_code(code, system)) if code and system else None
        if known is not None:
            return known
    return tables.contrast_agent(words)


def of_allergies(allergies: Iterable[Allergy], tables: CodeTables) -> Iterator[Found]:
    """Allergies that the evidence sources know."""
    for allergy in allergies:
        words = " ".join([*(coding.display for coding in allergy.codings), allergy.text])
        codings = [(coding.code, coding.system) for coding in allergy.codings]
        agent = _agent_of(codings, f"{words} {_nsf(allergy.reaction)}", tables)
        if agent is None or _NO_ALLERGY.match(words):
            continue
        shown = allergy.text or next((coding.display for coding in allergy.codings if coding.display), agent.agent)
        code = codings[0][0] if codings else None
        yield _allergy_found(agent, shown, allergy.reaction, allergy.source, path=None, code=code, day=allergy.recorded)


def of_answers(answers: Iterable[Answer], site: SiteProfile) -> Iterator[Found]:
    """Order questions that were answered with yes, or with the thing itself ("Medtronic pacemaker")."""
    for answer in answers:
        kind = _QUESTION_EXCEPTIONS.get(answer.kind) if answer.kind is not None else None
        if kind is None or answer.kind is None:
            continue
        allowed = site.questions[answer.kind].answers if answer.kind in site.questions else frozenset[str]()
        stated = {answer.value.upper(), answer.value_code.upper()}
        if not (stated & allowed if allowed else not answer.is_no):
            continue
        evidence = Evidence(
            fact=FactName.EXCEPTION,
            source=EvidenceSource.MESSAGE,
            meaning=kind,
            path=answer.path,
            code=answer.code or None,
            text=answer.value,
            date=answer.observed,
        )
        yield _found(kind, f"{answer.question.rstrip('?: ')}: {answer.value}", evidence)


def of_ambulatory_status(header: Iterable[Segment]) -> Iterator[Found]:
    """PV1-15 B6: pregnant."""
    for segment in header:
        if segment.name != "PV1":
            continue
        for repetition in range(1, segment.repetition_count(15) + 1):
            value = segment.text(15, repetition=repetition).strip().upper()
            if value == _PREGNANT_AMBULATORY_STATUS:
                evidence = Evidence(
                    fact=FactName.EXCEPTION,
                    source=EvidenceSource.MESSAGE,
                    meaning=ExceptionKind.PREGNANCY,
                    path=field_path(segment, 15, None, repetition),
                    text=value,
                )
                yield _found(ExceptionKind.PREGNANCY, "pregnant (PV1-15 B6)", evidence)


def of_age(header: Iterable[Segment], known_birth: date | None, today: date) -> Iterator[Found]:
    """Younger than 18 on the day of the order.

    A birth date of which only year or month is known is read as late as it can be: in doubt, a child. PID-7 decides; the
    date of the evidence sources only where it is empty.
    """
    for segment in header:
        if segment.name != "PID":
            continue
        stated = parse_timestamp(segment.text(7).strip())
        if stated is not None:
            latest = _latest_day(stated.date, stated.precision)
            yield from _child(latest, today, path=field_path(segment, 7), day=stated.date)
            return
    if known_birth is not None:
        yield from _child(known_birth, today, path=None, day=known_birth)


def _latest_day(first: date, precision: Precision) -> date:
    if precision is Precision.YEAR:
        return date(first.year, 12, 31)
    if precision is Precision.MONTH:
        following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
        return following - timedelta(days=1)
    return first


def _child(birth: date, today: date, *, path: str | None, day: date) -> Iterator[Found]:
    years = today.year - birth.year - ((today.month, today.day) < (birth.month, birth.day))
    if birth <= today and years < ADULT_YEARS:
        evidence = Evidence(
            fact=FactName.EXCEPTION,
            source=EvidenceSource.MESSAGE if path else EvidenceSource.REGISTRY,
            meaning=ExceptionKind.PAEDIATRIC,
            path=path,
            date=day,
        )
        yield _found(ExceptionKind.PAEDIATRIC, f"{years} years old", evidence)


def _day(segment: Segment, number: int) -> date | None:
    stated = parse_timestamp(segment.text(number).strip())
    return None if stated is None else stated.date
