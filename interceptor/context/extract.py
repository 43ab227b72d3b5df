"""The facts of one order, read when they are asked for and kept.

The procedure comes first and is cheap: an order that is no spine study never costs more. Diagnoses, symptom and exceptions
are read together the first time one of them is asked, because they stand in the same fields.

    facts = OrderFacts(view, group, tables=tables, evidence=None, as_of=now)
    facts.procedure        reads OBR-4 and OBR-44
    facts.oncology         raises EvidenceNeeded: ask the sources, build the facts again with their answer

Source: docs/clinical/facts.md.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from interceptor.context import exception_finding
from interceptor.context.code_table import CodeTables
from interceptor.context.coded_field import StatedText
from interceptor.context.exception_finding import Found
from interceptor.context.imaging_history import read_imaging_history
from interceptor.context.oncology import PlacedMention, coding_of_condition, read_oncology
from interceptor.context.order_control import control_kind
from interceptor.context.order_facts import Evidence, ExceptionFinding, Oncology, Procedure, Symptom, Urgency
from interceptor.context.order_reading import Answer, OrderReading, read_order
from interceptor.context.override import read_override
from interceptor.context.patient import Condition, ConditionStatus, PatientEvidence
from interceptor.context.procedure import ProcedureMemory, read_procedure
from interceptor.context.renal import read_filtration_rate
from interceptor.context.site_profile import SiteProfile
from interceptor.context.symptom import read_symptom
from interceptor.context.text_matcher import TEXT_LENGTH_MAX, TextMatcher
from interceptor.context.text_memory import TextMemory
from interceptor.context.text_reading import Assertion, Mention, TextReading
from interceptor.context.urgency import read_planned_start, read_urgency
from interceptor.context.vocabulary import ControlKind, ExceptionKind, FactName, LookupStatus
from interceptor.message.group import OrderGroup
from interceptor.message.view import MessageView, Segment

_EXCEPTION_ORDER = tuple(ExceptionKind)
_FACT_ORDER = tuple(FactName)
_REASON_EXCEPTIONS = frozenset({ExceptionKind.INFECTION, ExceptionKind.TRAUMA, ExceptionKind.POSTOPERATIVE})
_Value = TypeVar("_Value")


class EvidenceNeeded(Exception):  # noqa: N818 - a question to the caller, not an error
    """The evidence sources must be asked before this fact can be known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextTables:
    """What facts are read by: codes, words, and what the site says of its feed.

    `procedures` and `memory` remember what was read by these tables; they change how fast, never what is read.
    """

    codes: CodeTables
    text: TextMatcher
    site: SiteProfile
    procedures: ProcedureMemory = field(default_factory=ProcedureMemory, init=False, compare=False, repr=False)
    memory: TextMemory = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Begin with nothing remembered."""
        object.__setattr__(self, "memory", TextMemory(self.text))


class _ReadGroup:
    """What one order, or the header, states, with its texts read."""

    __slots__ = ("mentions", "readings", "stated", "texts")

    def __init__(self, stated: OrderReading, memory: TextMemory) -> None:
        self.stated = stated
        self.texts: tuple[StatedText, ...] = (*stated.reason_texts, *stated.problem_texts)
        self.readings: list[TextReading] = []
        self.mentions: list[PlacedMention] = []
        left = TEXT_LENGTH_MAX
        for text in self.texts:
            reading = memory.read(text.text, length_max=left)
            left = max(0, left - len(text.text))
            self.readings.append(reading)
            if reading.mentions:
                self.mentions.extend([PlacedMention(mention=one, path=text.path) for one in reading.mentions])
        # The texts of a problem list come last; they state no reason.
        del self.readings[len(stated.reason_texts) :]


class OrderFacts:
    """The facts of one order; each property reads on first use.

    Args:
        view: The message.
        group: The order.
        tables: What facts are read by.
        evidence: What the sources answered; NO_EVIDENCE where none is configured; None when they were not asked yet.
        as_of: Now (aware).
        siblings: Other orders of the same set in this message: they share the reason for the exam.
        message_groups: All orders of the same patient in this message: they share diagnoses, allergies and devices.
    """

    def __init__(
        self,
        view: MessageView,
        group: OrderGroup,
        *,
        tables: ContextTables,
        evidence: PatientEvidence | None,
        as_of: datetime,
        siblings: Sequence[OrderGroup] = (),
        message_groups: Sequence[OrderGroup] = (),
    ) -> None:
        self._view = view
        self._group = group
        self._tables = tables
        self._given = evidence
        self._as_of = as_of
        self._siblings = siblings
        self._message_groups = message_groups
        self._procedure: Procedure | None = None
        self._kept: dict[str, object] = {}
        self._stated_by_number: dict[int, OrderReading] = {}  # Of the group; 0 is the header.
        self._read_by_number: dict[int, _ReadGroup] = {}
        self._evidence: dict[FactName, tuple[Evidence, ...]] = {}

    def _once(self, name: str, read: Callable[[], _Value]) -> _Value:
        if name not in self._kept:
            self._kept[name] = read()
        return self._kept[name]  # type: ignore[return-value]  # what `read` gave is what was kept

    @property
    def order_control(self) -> str:
        """ORC-1 as received, in upper case; "" when the order has no ORC."""
        return self._group.orc.text(1).strip().upper()

    @property
    def control(self) -> ControlKind:
        """What the order asks for."""
        return control_kind(self._group.orc)

    @property
    def placer_order_number(self) -> str:
        """ORC-2, else OBR-2: the entity identifier."""
        obr = self._group.obr
        return self._group.orc.text(2).strip() or ("" if obr is None else obr.text(2).strip())

    @property
    def procedure(self) -> Procedure:
        """The study that this order alone asks for."""
        procedure = self._procedure
        if procedure is None:
            tables = self._tables
            procedure, evidence = read_procedure(
                self._group, tables=tables.codes, site=tables.site, memory=tables.procedures
            )
            self._procedure, self._evidence[FactName.PROCEDURE] = procedure, evidence
        return procedure

    @property
    def urgency(self) -> Urgency:
        """The most urgent of all places."""
        return self._once("urgency", self._read_urgency)

    def _read_urgency(self) -> Urgency:
        urgency, evidence = read_urgency(self._group, self._header, self._tables.site, self._as_of)
        self._evidence[FactName.URGENCY] = evidence
        return urgency

    @property
    def planned_start(self) -> datetime | None:
        """The earliest planned start after now, None when none is stated."""
        return self._once(
            "planned_start",
            lambda: read_planned_start(self._group, self._header, self._tables.site, self._as_of),
        )

    @property
    def override(self) -> bool:
        """True when the order carries a valid override answer."""
        return self._once("override", self._read_override)

    def _read_override(self) -> bool:
        answers = (*self._stated(self._group).answers, *self._stated(None).answers)
        override, evidence = read_override(answers, self._tables.site)
        self._evidence[FactName.OVERRIDE] = evidence
        return override

    @property
    def lookup(self) -> LookupStatus:
        """How asking the evidence sources ended.

        Raises:
            EvidenceNeeded: They were not asked yet.
        """
        return self._patient.lookup

    @property
    def oncology(self) -> Oncology:
        """The strongest oncology tier.

        Raises:
            EvidenceNeeded: The sources were not asked yet.
        """
        patient = self._patient
        return self._once("oncology", lambda: self._read_oncology(patient))

    def _read_oncology(self, patient: PatientEvidence) -> Oncology:
        read = self._patient_groups
        oncology, evidence = read_oncology(
            diagnoses=[one for group in read for one in group.stated.diagnoses],
            mentions=[*(one for group in read for one in group.mentions), *self._condition_mentions(patient)],
            conditions=patient.conditions,
            tables=self._tables.codes,
        )
        self._evidence[FactName.ONCOLOGY] = evidence
        return oncology

    @property
    def symptom(self) -> Symptom:
        """The gravest symptom and its onset."""
        return self._once("symptom", self._read_symptom)

    def _read_symptom(self) -> Symptom:
        read = self._reason_groups
        symptom, evidence = read_symptom(
            diagnoses=[one for group in read for one in group.stated.diagnoses],
            readings=[one for group in read for one in group.readings],
            mentions=[one for group in read for one in group.mentions],
            tables=self._tables.codes,
        )
        self._evidence[FactName.SYMPTOM] = evidence
        return symptom

    @property
    def exceptions(self) -> tuple[ExceptionFinding, ...]:
        """Every exception that applies, each kind once, in the order of the vocabulary.

        Raises:
            EvidenceNeeded: The sources were not asked yet.
        """
        patient = self._patient
        return self._once("exceptions", lambda: self._read_exceptions(patient))

    def _read_exceptions(self, patient: PatientEvidence) -> tuple[ExceptionFinding, ...]:
        found = list(self._find_exceptions(patient))
        self._evidence[FactName.EXCEPTION] = tuple(one.evidence for one in found)
        findings: dict[ExceptionKind, ExceptionFinding] = {}
        for one in found:
            if one.finding is not None:
                findings.setdefault(one.finding.kind, one.finding)
        return tuple(findings[kind] for kind in _EXCEPTION_ORDER if kind in findings)

    def _find_exceptions(self, patient: PatientEvidence) -> Iterable[Found]:
        codes, site = self._tables.codes, self._tables.site
        today = self._as_of.astimezone(site.calendar.zone).date()
        segments = [*self._header, *(segment for group in self._own_patient_groups for segment in group.segments)]
        answers: list[Answer] = []
        texts: list[StatedText] = []
        for group in self._patient_groups:
            answers.extend(group.stated.answers)
            texts.extend(group.texts)
        yield from exception_finding.of_allergy_segments(segments, codes)
        yield from exception_finding.of_allergies(patient.allergies, codes)
        yield from exception_finding.of_answers(answers, site)
        yield from read_filtration_rate(
            answers=answers, texts=texts, observations=patient.observations, tables=codes, today=today
        )
        yield from self._stated_exceptions(patient)
        yield from exception_finding.of_conditions(patient.conditions, codes, today)
        yield from exception_finding.of_ambulatory_status(self._header)
        yield from exception_finding.of_age(self._header, patient.birth_date, today)
        yield from read_imaging_history(patient.studies, self.procedure, tables=codes, site=site, today=today)

    def _stated_exceptions(self, patient: PatientEvidence) -> Iterable[Found]:
        """What codes and texts state; of the patient's other orders only what belongs to the patient, not their reason."""
        own = {id(group) for group in self._reason_groups}
        for group in self._patient_groups:
            for one in (
                *exception_finding.of_diagnoses(group.stated.diagnoses, self._tables.codes),
                *exception_finding.of_mentions(group.mentions),
            ):
                if id(group) in own or one.finding is None or one.finding.kind not in _REASON_EXCEPTIONS:
                    yield one
        lasting = [one for one in self._condition_mentions(patient) if one.mention.assertion is not Assertion.HISTORY]
        yield from exception_finding.of_mentions(lasting)

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What the facts read so far were read from, in the order of the facts."""
        known = self._evidence
        if len(known) == 1:
            return next(iter(known.values()))
        return tuple([one for fact in _FACT_ORDER for one in known.get(fact, ())])

    @property
    def _patient(self) -> PatientEvidence:
        if self._given is None:
            raise EvidenceNeeded
        return self._given

    @property
    def _header(self) -> tuple[Segment, ...]:
        return self._once("header", lambda: _header_of(self._view))

    @property
    def _own_patient_groups(self) -> Sequence[OrderGroup]:
        return self._message_groups or (self._group,)

    def _stated(self, group: OrderGroup | None) -> OrderReading:
        """What a group states; None stands for the header."""
        number = 0 if group is None else group.number
        if number not in self._stated_by_number:
            own = self._header if group is None else group.current_segments
            later = () if group is None else group.segments[group.current_count :]
            tables = self._tables
            self._stated_by_number[number] = read_order(own, later, tables=tables.codes, site=tables.site)
        return self._stated_by_number[number]

    def _read(self, group: OrderGroup | None) -> _ReadGroup:
        number = 0 if group is None else group.number
        if number not in self._read_by_number:
            self._read_by_number[number] = _ReadGroup(self._stated(group), self._tables.memory)
        return self._read_by_number[number]

    @property
    def _reason_groups(self) -> list[_ReadGroup]:
        """The order itself, its siblings, and the header (PV2-3): where its reason stands."""
        return [self._read(one) for one in (self._group, *self._siblings, None)]

    @property
    def _patient_groups(self) -> list[_ReadGroup]:
        """Every order of the patient in this message, its own first, and the header."""
        own, others = self._group, self._own_patient_groups
        return [self._read(one) for one in (own, *(one for one in others if one.number != own.number), None)]

    def _condition_mentions(self, patient: PatientEvidence) -> list[PlacedMention]:
        """What the words of conditions without a usable code mention; what is past is history."""
        return self._once("conditions", lambda: list(_read_condition_texts(patient.conditions, self._tables.text)))


def _header_of(view: MessageView) -> tuple[Segment, ...]:
    """The segments before the first order, without finding all orders again."""
    segments = view.segments
    for segment in segments:
        if segment.name in ("ORC", "OBR"):
            return segments[: segment.index]
    return segments


def _read_condition_texts(conditions: Iterable[Condition], matcher: TextMatcher) -> Iterable[PlacedMention]:
    for condition in conditions:
        if coding_of_condition(condition) is not None:
            continue
        words = condition.text or next((coding.display for coding in condition.codings if coding.display), "")
        for mention in matcher.read(words).mentions:
            yield PlacedMention(
                mention=_as_stated(mention, condition.status, suspected=condition.suspected),
                path=None,
                source=condition.source,
            )


def _as_stated(mention: Mention, status: ConditionStatus, *, suspected: bool) -> Mention:
    """A mention in the words of a condition, with what its source says about it."""
    if mention.assertion is not Assertion.AFFIRMED:
        return mention
    if status is ConditionStatus.PAST:
        return replace(mention, assertion=Assertion.HISTORY)
    return replace(mention, assertion=Assertion.SUSPECTED) if suspected else mention
