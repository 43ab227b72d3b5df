"""All sources inside one budget: who answers for what, and what a source that fails costs the others."""

import asyncio
from dataclasses import dataclass, field
from datetime import date

import pytest

from interceptor.context.patient import Condition, PatientEvidence, SourceAnswer
from interceptor.context.vocabulary import EvidenceSource, LookupStatus
from interceptor.evidence.lookup import Lookup, LookupObserver, failed, merge, systems_of
from interceptor.evidence.patient_question import NOBODY, PatientQuestion, StatedIdentifier, read_question
from interceptor.message.view import MessageView
from tests.support.fhir import question
from tests.support.orders import order

OK, STALE, FAILED, NONE = LookupStatus.OK, LookupStatus.STALE, LookupStatus.FAILED, LookupStatus.NOT_CONFIGURED


def evidence(text: str, status: LookupStatus = OK, birth: date | None = None) -> PatientEvidence:
    source = EvidenceSource.FHIR
    return PatientEvidence(
        lookup=status,
        answers=(SourceAnswer(source=source, status=status),),
        conditions=(Condition(text=text, source=source),),
        birth_date=birth,
    )


@dataclass
class Answering:
    """A source that answers as told."""

    name: str
    answer: PatientEvidence
    seconds: float = 0.0
    error: Exception | None = None
    kind: EvidenceSource = EvidenceSource.FHIR
    asked: list[PatientQuestion] = field(default_factory=list)

    async def ask(self, asked: PatientQuestion) -> PatientEvidence:
        self.asked.append(asked)
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return self.answer

    def at_hand(self, asked: PatientQuestion) -> PatientEvidence:
        return failed(self.kind)


def lookup_of(*sources: Answering) -> tuple[Lookup, list[tuple[str, LookupStatus]], list[str]]:
    answered: list[tuple[str, LookupStatus]] = []
    raised: list[str] = []
    observer = LookupObserver(
        answered=lambda name, status, _seconds: answered.append((name, status)),
        raised=lambda name, _error: raised.append(name),
    )
    return Lookup(sources, observer=observer, monotonic=asyncio.get_running_loop().time), answered, raised


async def test_sources_are_asked_side_by_side_and_all_their_facts_count() -> None:
    lookup, answered, _ = lookup_of(
        Answering("one", evidence("a"), 0.1), Answering("two", evidence("b", birth=date(1968, 1, 1)), 0.1)
    )
    began = asyncio.get_running_loop().time()
    found = await lookup.ask(question(), budget_seconds=5)
    assert asyncio.get_running_loop().time() - began < 0.19
    assert [one.text for one in found.conditions] == ["a", "b"]
    assert (found.lookup, len(found.answers), found.birth_date) == (OK, 2, date(1968, 1, 1))
    assert sorted(answered) == [("one", OK), ("two", OK)]


@pytest.mark.fault(24)
async def test_a_source_that_is_late_costs_the_budget_and_not_the_others_answer() -> None:
    lookup, answered, _ = lookup_of(Answering("fast", evidence("a")), Answering("slow", evidence("b"), 30.0))
    began = asyncio.get_running_loop().time()
    found = await lookup.ask(question(), budget_seconds=0.05)
    assert asyncio.get_running_loop().time() - began < 1
    assert [one.text for one in found.conditions] == ["a"]
    assert found.lookup is FAILED
    assert answered == [("fast", OK), ("slow", FAILED)]


async def test_a_source_that_raises_is_failed_and_told() -> None:
    lookup, answered, raised = lookup_of(
        Answering("bad", evidence("a"), error=ZeroDivisionError()), Answering("good", evidence("b"))
    )
    found = await lookup.ask(question(), budget_seconds=5)
    assert [one.text for one in found.conditions] == ["b"]
    assert (found.lookup, raised) == (FAILED, ["bad"])
    assert sorted(answered) == [("bad", FAILED), ("good", OK)]


@pytest.mark.parametrize(
    ("statuses", "whole"),
    [
        ((OK,), OK),
        ((OK, STALE), STALE),
        ((STALE, FAILED, OK), FAILED),
        ((OK, NONE), OK),
        ((NONE,), NONE),
        ((), NONE),
    ],
)
def test_the_whole_is_as_good_as_its_worst_source(statuses: tuple[LookupStatus, ...], whole: LookupStatus) -> None:
    assert merge([evidence("", status) for status in statuses]).lookup is whole


# Whom an order asks about.


def asked(patient: bytes, default_authority: str = "") -> PatientQuestion:
    lines = order("P1").split(b"\r")
    return read_question(MessageView(b"\r".join([lines[0], patient, *lines[2:]])), default_authority)


def test_identifiers_come_with_who_assigned_them_and_their_type() -> None:
    found = asked(b"PID|1|OLD7^^^CLINIC|1001^^^HOSP&1.2.3&ISO^MR~X5^^^&9.8&ISO^PI~77||A^B||19680101|f")
    assert found.identifiers == (
        StatedIdentifier("1001", ("HOSP", "1.2.3"), "MR"),
        StatedIdentifier("X5", ("9.8",), "PI"),
        StatedIdentifier("OLD7", ("CLINIC",), ""),
    )
    assert (found.birth_date, found.sex) == ("1968-01-01", "F")


@pytest.mark.parametrize(
    ("stated", "birth_date"), [("1968", "1968"), ("196803", "1968-03"), ("196803011230", "1968-03-01"), ("x", "")]
)
def test_a_birth_date_keeps_its_precision(stated: str, birth_date: str) -> None:
    assert asked(f"PID|1||1^^^H||||{stated}".encode()).birth_date == birth_date


def test_an_identifier_without_an_authority_names_nobody() -> None:
    """Another hospital has a patient with that number too."""
    assert asked(b"PID|1||1001||A^B||19680101|F").identifiers == ()


def test_a_default_authority_is_for_the_patient_s_own_numbers_only() -> None:
    """Not for an account, nor for a number that another system gave; what is stated stays as stated."""
    found = asked(b"PID|1|OLD7|1001~2002^^^CLINIC^MR~77^^^^AN~88^^^^SS||A^B||19680101|F", " HOSP ")
    assert found.identifiers == (StatedIdentifier("1001", ("HOSP",), ""), StatedIdentifier("2002", ("CLINIC",), "MR"))


@pytest.mark.hazard("H6")
def test_two_patients_in_one_message_are_no_question() -> None:
    lines = order("P1").rstrip(b"\r").split(b"\r")
    other = [b"PID|1||2002^^^HOSP^MR", *(line.replace(b"P1", b"P2") for line in lines[3:])]
    assert read_question(MessageView(b"\r".join([*lines, *other]))) == NOBODY


def test_authorities_are_found_in_any_case() -> None:
    assert systems_of({" Hosp ": " urn:x "}) == {"HOSP": "urn:x"}
