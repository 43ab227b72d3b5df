"""The closed set of facts: what a policy row may ask, which values there are, and how each is read.

Facts are lazy. A case reads a fact the first time a row asks for it and keeps it, so the order of the rows
decides what is ever looked up: a chest film never asks for diagnoses.

Source: docs/clinical/facts.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Protocol

from interceptor.context.order_facts import Evidence, ExceptionFinding, Oncology, Procedure, Symptom, Urgency
from interceptor.context.order_set import SetPart
from interceptor.context.vocabulary import (
    ControlKind,
    ExceptionKind,
    LookupStatus,
    OncologyTier,
    Onset,
    ProcedureClass,
    SymptomClass,
    UrgencyClass,
)


class Fact(StrEnum):
    """Names of the facts, as they stand in policy files."""

    CONTROL = "control"
    PROCEDURE = "procedure"
    SET_PART = "set_part"
    OVERRIDE = "override"
    ONCOLOGY = "oncology"
    LOOKUP = "lookup"
    SYMPTOM = "symptom"
    ONSET = "onset"
    URGENCY = "urgency"
    EXCEPTIONS = "exceptions"


class OverrideStatus(StrEnum):
    """Whether a person has already answered the policy's question."""

    NONE = "none"
    ANSWERED = "answered"
    """The orderer gave a valid override answer on the order."""
    REVIEWED = "reviewed"
    """A reviewer has released this order before."""


FACT_VALUES: Mapping[Fact, tuple[str, ...]] = {
    Fact.CONTROL: tuple(ControlKind),
    Fact.PROCEDURE: tuple(ProcedureClass),
    Fact.SET_PART: tuple(SetPart),
    Fact.OVERRIDE: tuple(OverrideStatus),
    Fact.ONCOLOGY: tuple(OncologyTier),
    Fact.LOOKUP: tuple(LookupStatus),
    Fact.SYMPTOM: tuple(SymptomClass),
    Fact.ONSET: tuple(Onset),
    Fact.URGENCY: tuple(UrgencyClass),
    Fact.EXCEPTIONS: tuple(ExceptionKind),
}
"""Every value that a fact can have; `exceptions` has any number of them at once, the others exactly one."""


class KnownFacts(Protocol):
    """What a case reads of one order: extraction's lazy facts, or plain values in tests.

    Every property may raise `EvidenceNeeded` when the evidence sources have to be asked first.
    """

    @property
    def control(self) -> ControlKind:
        """What the order group asks for."""
        ...

    @property
    def procedure(self) -> Procedure:
        """The study that this order alone asks for."""
        ...

    @property
    def override(self) -> bool:
        """True when the order carries a valid override answer."""
        ...

    @property
    def oncology(self) -> Oncology:
        """The strongest oncology tier."""
        ...

    @property
    def lookup(self) -> LookupStatus:
        """How asking the evidence sources ended."""
        ...

    @property
    def symptom(self) -> Symptom:
        """The gravest symptom and its onset."""
        ...

    @property
    def urgency(self) -> Urgency:
        """The most urgent of all places."""
        ...

    @property
    def exceptions(self) -> tuple[ExceptionFinding, ...]:
        """Every exception that applies."""
        ...

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What the facts read so far were read from."""
        ...


class OrderCase:
    """One order before the policy: its facts, what its set makes of it, and what custody knows of it.

    Attributes:
        procedure, oncology, lookup, symptom, urgency, exceptions: What was read so far; None until a row asks.
    """

    __slots__ = (
        "control",
        "exception_kinds",
        "exceptions",
        "facts",
        "lookup",
        "oncology",
        "override",
        "procedure",
        "procedure_class",
        "reviewed",
        "set_part",
        "symptom",
        "urgency",
    )

    def __init__(
        self,
        facts: KnownFacts,
        *,
        control: ControlKind | None = None,
        procedure_class: ProcedureClass | None = None,
        set_part: SetPart = SetPart.ALONE,
        reviewed: bool = False,
    ) -> None:
        """Build a case.

        Args:
            facts: The order's facts.
            control: Overrules what the order says of itself, e.g. a change to an order that the filler never saw.
            procedure_class: The class after set union; None where the order stands alone.
            set_part: The part it plays in its set.
            reviewed: True when a reviewer has released this order before.
        """
        self.facts = facts
        self.control = control
        self.procedure_class = procedure_class
        self.set_part = set_part
        self.reviewed = reviewed
        self.procedure: Procedure | None = None
        self.override: OverrideStatus | None = None
        self.oncology: Oncology | None = None
        self.lookup: LookupStatus | None = None
        self.symptom: Symptom | None = None
        self.urgency: Urgency | None = None
        self.exceptions: tuple[ExceptionFinding, ...] | None = None
        self.exception_kinds: frozenset[str] = frozenset()


def _read_control(case: OrderCase) -> str:
    if case.control is None:
        case.control = case.facts.control
    return case.control


def read_procedure(case: OrderCase) -> Procedure:
    """The study, with the class that its set makes of it."""
    if case.procedure is None:
        procedure = case.facts.procedure
        if case.procedure_class is None:
            case.procedure_class = procedure.procedure_class
        elif case.procedure_class is not procedure.procedure_class:
            procedure = replace(procedure, procedure_class=case.procedure_class)
        case.procedure = procedure
    return case.procedure


def _read_procedure_class(case: OrderCase) -> str:
    return (case.procedure or read_procedure(case)).procedure_class


def _read_set_part(case: OrderCase) -> str:
    return case.set_part


def _read_override(case: OrderCase) -> str:
    if case.override is None:
        if case.reviewed:
            case.override = OverrideStatus.REVIEWED
        else:
            case.override = OverrideStatus.ANSWERED if case.facts.override else OverrideStatus.NONE
    return case.override


def read_oncology(case: OrderCase) -> Oncology:
    """The strongest oncology tier, with its conflict mark."""
    if case.oncology is None:
        case.oncology = case.facts.oncology
    return case.oncology


def _read_tier(case: OrderCase) -> str:
    return (case.oncology or read_oncology(case)).tier


def read_lookup(case: OrderCase) -> LookupStatus:
    """How asking the evidence sources ended."""
    if case.lookup is None:
        case.lookup = case.facts.lookup
    return case.lookup


def read_symptom(case: OrderCase) -> Symptom:
    """The gravest symptom and its onset."""
    if case.symptom is None:
        case.symptom = case.facts.symptom
    return case.symptom


def _read_symptom_class(case: OrderCase) -> str:
    return (case.symptom or read_symptom(case)).symptom_class


def _read_onset(case: OrderCase) -> str:
    return (case.symptom or read_symptom(case)).onset


def read_urgency(case: OrderCase) -> Urgency:
    """The most urgent of all places."""
    if case.urgency is None:
        case.urgency = case.facts.urgency
    return case.urgency


def _read_urgency_class(case: OrderCase) -> str:
    return (case.urgency or read_urgency(case)).urgency_class


def read_exceptions(case: OrderCase) -> tuple[ExceptionFinding, ...]:
    """Every exception that applies."""
    if case.exceptions is None:
        case.exceptions = case.facts.exceptions
        case.exception_kinds = frozenset(finding.kind for finding in case.exceptions)
    return case.exceptions


def read_exception_kinds(case: OrderCase) -> frozenset[str]:
    """The kinds of exceptions that apply."""
    if case.exceptions is None:
        read_exceptions(case)
    return case.exception_kinds


READ_VALUE: Mapping[Fact, Callable[[OrderCase], str]] = {
    Fact.CONTROL: _read_control,
    Fact.PROCEDURE: _read_procedure_class,
    Fact.SET_PART: _read_set_part,
    Fact.OVERRIDE: _read_override,
    Fact.ONCOLOGY: _read_tier,
    Fact.LOOKUP: read_lookup,
    Fact.SYMPTOM: _read_symptom_class,
    Fact.ONSET: _read_onset,
    Fact.URGENCY: _read_urgency_class,
}
"""How each fact with exactly one value is read; `exceptions` is read by `read_exception_kinds`."""
