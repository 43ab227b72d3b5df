"""A FHIR server asked over real sockets: what it brings, each way in which it can fail, and how often it is asked."""

import asyncio
from dataclasses import replace
from datetime import date
from typing import Any, Literal

import pytest

from interceptor.context.patient import ConditionStatus, SourceAnswer
from interceptor.context.vocabulary import EvidenceSource, LookupStatus
from interceptor.evidence.fhir_breaker import BreakerOptions
from interceptor.evidence.fhir_failure import FhirReason
from interceptor.evidence.fhir_http import AnswerLimits
from interceptor.evidence.fhir_search import SearchOptions
from interceptor.evidence.fhir_source import FhirSourceOptions
from interceptor.simulate.fhir_record import IDENTIFIER_SYSTEM, condition_resource, patient_resource
from interceptor.simulate.fhir_server import Fault, serving
from tests.support.fhir import record, settings, source_of
from tests.support.mllp_peer import until


async def test_a_patient_is_found_and_everything_that_decisions_need_is_brought() -> None:
    async with serving(record()) as server, source_of(settings(server.base_url)) as rig:
        evidence = await rig.ask()
    assert evidence.lookup is LookupStatus.OK
    assert [(one.source, one.status) for one in evidence.answers] == [(EvidenceSource.FHIR, LookupStatus.OK)]
    (condition,) = evidence.conditions
    assert (condition.codings[0].code, condition.text, condition.recorded) == (
        "C79.51",
        "bone metastases",
        date(2025, 11, 3),
    )
    assert condition.reference == "Condition/c-1001"
    assert [one.text for one in evidence.allergies] == ["Cashew nuts"]
    assert [one.value for one in evidence.observations] == [82.0]
    assert evidence.birth_date == date(1968, 1, 1)
    assert next(request.kind for request in server.requests) == "Patient"
    assert sorted(request.kind for request in server.requests[1:]) == ["AllergyIntolerance", "Condition", "Observation"]
    assert dict(server.requests[0].parameters)["identifier"] == f"{IDENTIFIER_SYSTEM}|1001"


async def test_statuses_and_categories_are_filtered_on_our_side() -> None:
    """The server returns everything; what is refuted, of another list or in error does not count."""
    resources = [
        patient_resource("1001"),
        condition_resource("1", "1001", code="C50.911", clinical="resolved"),
        condition_resource("2", "1001", code="C61", verification="refuted"),
        condition_resource("3", "1001", code="C18.9", verification="entered-in-error"),
        condition_resource("4", "1001", code="C34.90", verification="provisional"),
        condition_resource("5", "1001", code="C43.9", category="health-concern"),
    ]
    async with serving(resources, fault=Fault.WRONG_SUBJECT) as server, source_of(settings(server.base_url)) as rig:
        evidence = await rig.ask()
    assert evidence.lookup is LookupStatus.OK
    assert [(one.codings[0].code, one.status, one.suspected) for one in evidence.conditions] == [
        ("C50.911", ConditionStatus.PAST, False),
        ("C34.90", ConditionStatus.ACTIVE, True),
    ]


async def test_all_pages_are_read_up_to_the_limit() -> None:
    resources = [
        patient_resource("1001"),
        *(condition_resource(str(number), "1001", code="I10") for number in range(25)),
    ]
    async with serving(resources, page_size_max=5) as server:
        async with source_of(settings(server.base_url)) as rig:
            assert len((await rig.ask()).conditions) == 25
        assert server.count("Condition") == 5
        search = SearchOptions(systems={"HOSP": IDENTIFIER_SYSTEM}, pages_max=3)
        async with source_of(settings(server.base_url, search=search)) as rig:
            evidence = await rig.ask()
    assert server.count("Condition") == 5 + 3
    assert (len(evidence.conditions), evidence.lookup) == (15, LookupStatus.FAILED)
    assert rig.observed.results == {FhirReason.TOO_MANY_PAGES: 1}


async def test_an_unknown_patient_is_an_answer_and_is_not_asked_for_again_at_once() -> None:
    async with serving(record("2002")) as server, source_of(settings(server.base_url)) as rig:
        for _ in range(5):
            assert (await rig.ask()).lookup is LookupStatus.OK
        assert server.count("Patient") == 1
        rig.clock.pushed += 61
        await rig.ask()
        assert server.count("Patient") == 2
    assert rig.observed.results == {"unknown_patient": 2}


async def test_an_order_without_a_mapped_identifier_asks_nobody() -> None:
    async with serving(record()) as server, source_of(settings(server.base_url)) as rig:
        evidence = await rig.ask(authority="ELSEWHERE")
        assert server.requests == []
    assert evidence.lookup is LookupStatus.FAILED
    assert rig.observed.unasked == {FhirReason.NO_IDENTIFIER: 1}


FAULTS = {
    Fault.RATE_LIMITED: FhirReason.RATE_LIMITED,
    Fault.SERVER_ERROR: FhirReason.SERVER_ERROR,
    Fault.UNAVAILABLE: FhirReason.SERVER_ERROR,
    Fault.TRUNCATED: FhirReason.BROKEN,
    Fault.HALF_JSON: FhirReason.NOT_FHIR,
    Fault.GZIP_BOMB: FhirReason.TOO_LARGE,
    Fault.DEEP: FhirReason.TOO_DEEP,
    Fault.WRONG_PATIENT: FhirReason.WRONG_PATIENT,
    Fault.WRONG_SUBJECT: FhirReason.WRONG_PATIENT,
    Fault.TWO_PATIENTS: FhirReason.AMBIGUOUS_PATIENT,
    Fault.OFF_ORIGIN_NEXT: FhirReason.OFF_ORIGIN,
    Fault.CIRCLE: FhirReason.TOO_MANY_PAGES,
    Fault.OUTCOME: FhirReason.OPERATION_OUTCOME,
    Fault.OUTCOME_IN_BUNDLE: FhirReason.OPERATION_OUTCOME,
    Fault.REDIRECT: FhirReason.REDIRECTED,
    Fault.NOT_JSON: FhirReason.NOT_FHIR,
    Fault.DROPPED: FhirReason.BROKEN,
    Fault.UNAUTHORIZED: FhirReason.UNAUTHORIZED,
    Fault.SLOW: FhirReason.TIMED_OUT,
}
TRIED_TWICE = {Fault.UNAVAILABLE}
KEEPS_WHAT_CAME = {Fault.OFF_ORIGIN_NEXT, Fault.CIRCLE, Fault.OUTCOME_IN_BUNDLE}
AFTER_THE_PATIENT = KEEPS_WHAT_CAME | {Fault.WRONG_SUBJECT}


def test_every_fault_of_the_simulated_server_is_tried() -> None:
    assert set(FAULTS) == set(Fault) - {Fault.NONE}


@pytest.mark.fault(25)
@pytest.mark.hazard("H6")
@pytest.mark.parametrize(("fault", "reason"), FAULTS.items())
async def test_a_fault_is_a_counted_failure_and_costs_few_requests(fault: Fault, reason: FhirReason) -> None:
    """No exception, no evidence of anybody else, no storm; and the server is asked again when it is well."""
    seconds = 0.3 if fault is Fault.SLOW else 10.0
    options = FhirSourceOptions(flight_seconds_max=seconds, negative_seconds=0.0)
    made = settings("", limits=AnswerLimits(seconds_max=seconds), source=options)
    async with (
        serving([*record(), *record("2002", code="C50.911")], fault=fault) as server,
        source_of(replace(made, base_url=server.base_url)) as rig,
    ):
        evidence = await rig.ask()
        assert evidence.lookup is LookupStatus.FAILED
        assert rig.observed.results == {reason: 1}
        assert rig.observed.errors == []
        assert rig.observed.landed == []
        codes = [one.codings[0].code for one in evidence.conditions]
        assert codes == (["C79.51"] if fault in KEEPS_WHAT_CAME else [])
        # Patient, and where that was good three searches of at most two pages; a second try of one request.
        assert len(server.requests) <= (7 if fault in AFTER_THE_PATIENT else 2 if fault in TRIED_TWICE else 1)
        server.fault = Fault.NONE
        rig.clock.pushed += 60
        assert (await rig.ask()).lookup is LookupStatus.OK


async def test_a_refused_connection_is_unreachable() -> None:
    async with source_of(settings("http://127.0.0.1:1/fhir")) as rig:
        assert (await rig.ask()).lookup is LookupStatus.FAILED
    assert rig.observed.results == {FhirReason.UNREACHABLE: 1}


@pytest.mark.hazard("H6")
@pytest.mark.parametrize("changes", [{"birth_date": "1968-01-02"}, {"birth_date": "1969"}, {"sex": "M"}])
async def test_a_patient_with_another_birth_date_or_sex_is_somebody_else(changes: dict[str, str]) -> None:
    async with serving(record()) as server, source_of(settings(server.base_url)) as rig:
        evidence = await rig.ask(**changes)
        assert server.count("Condition") == 0
    assert (evidence.lookup, evidence.conditions) == (LookupStatus.FAILED, ())
    assert rig.observed.results == {FhirReason.WRONG_PATIENT: 1}


@pytest.mark.parametrize("changes", [{"birth_date": "1968"}, {"birth_date": ""}, {"sex": ""}, {"sex": "U"}])
async def test_what_one_side_does_not_state_contradicts_nothing(changes: dict[str, str]) -> None:
    async with serving(record()) as server, source_of(settings(server.base_url)) as rig:
        assert (await rig.ask(**changes)).lookup is LookupStatus.OK


async def test_a_record_that_was_merged_away_does_not_make_the_patient_ambiguous() -> None:
    old = patient_resource("old", value="1001") | {
        "active": False,
        "link": [{"other": {"reference": "Patient/p-1001"}, "type": "replaced-by"}],
    }
    async with serving([old, *record()]) as server, source_of(settings(server.base_url)) as rig:
        evidence = await rig.ask()
    assert [one.codings[0].code for one in evidence.conditions] == ["C79.51"]


async def test_many_orders_of_one_patient_at_once_are_one_question() -> None:
    async with serving(record(), fault=Fault.SLOW, slow_seconds=0.05) as server:
        async with source_of(settings(server.base_url)) as rig:
            answers = await asyncio.gather(*(rig.ask() for _ in range(50)))
        assert server.count("Patient") == 1
        assert len(server.requests) == 4
    assert {answer.lookup for answer in answers} == {LookupStatus.OK}


async def test_no_more_patients_are_asked_for_at_once_than_allowed() -> None:
    people = [one for number in range(12) for one in record(f"9{number:03d}")]
    options = FhirSourceOptions(flights_max=2, waiting_max=3)
    async with serving(people, fault=Fault.SLOW, slow_seconds=0.05) as server:
        async with source_of(settings(server.base_url, source=options)) as rig:
            answers = await asyncio.gather(*(rig.ask(value=f"9{number:03d}") for number in range(12)))
        assert server.count("Patient") == 5
    assert [answer.lookup for answer in answers].count(LookupStatus.OK) == 5
    assert rig.observed.unasked == {FhirReason.BUSY: 7}


@pytest.mark.fault(24)
async def test_a_server_that_fails_is_left_alone_then_tried_with_one_patient() -> None:
    """Two hundred orders cost as many requests as the breaker allows, not more."""
    made = settings("", breaker=BreakerOptions(failures_max=3, pause_seconds=10.0))
    async with (
        serving(record(), fault=Fault.SERVER_ERROR) as server,
        source_of(replace(made, base_url=server.base_url)) as rig,
    ):
        for number in range(200):
            assert (await rig.ask(value=f"7{number:03d}")).lookup is LookupStatus.FAILED
        assert len(server.requests) == 3
        assert rig.observed.breaker == [(True, "server_error")]
        rig.clock.pushed += 11
        await asyncio.gather(*(rig.ask(value=f"8{number:03d}") for number in range(20)))
        assert len(server.requests) == 4, "one probe"
        rig.clock.pushed += 11
        await rig.ask()
        assert len(server.requests) == 4, "the pause doubles after a failed probe"
        server.fault = Fault.NONE
        rig.clock.pushed += 10
        assert (await rig.ask()).lookup is LookupStatus.OK
        assert rig.observed.breaker == [(True, "server_error"), (False, "")]


@pytest.mark.fault(24)
async def test_the_pause_that_a_server_asks_for_is_kept() -> None:
    async with (
        serving(record(), fault=Fault.RATE_LIMITED, retry_after="40") as server,
        source_of(settings(server.base_url)) as rig,
    ):
        await rig.ask()
        server.fault = Fault.NONE
        for _ in range(10):
            rig.clock.pushed += 3.9
            assert (await rig.ask()).lookup is LookupStatus.FAILED
        assert len(server.requests) == 1
        rig.clock.pushed += 2
        assert (await rig.ask()).lookup is LookupStatus.OK


async def test_a_kept_answer_is_given_at_once_and_renewed_behind_it() -> None:
    async with serving(record()) as server, source_of(settings(server.base_url)) as rig:
        await rig.ask()
        rig.clock.pushed += 299
        await rig.ask()
        assert server.count("Patient") == 1
        rig.clock.pushed += 300
        server.resources[1] = condition_resource("c-1001", "1001", code="C61")
        server.fault = Fault.SLOW
        server.slow_seconds = 0.02
        assert [one.codings[0].code for one in (await rig.ask()).conditions] == ["C79.51"]
        await until(lambda: len(rig.observed.landed) == 2)
        assert [one.codings[0].code for one in (await rig.ask()).conditions] == ["C61"]
        assert server.count("Patient") == 2


@pytest.mark.hazard("H7")
async def test_an_old_answer_is_stale_and_too_old_a_one_is_none() -> None:
    async with serving(record()) as server, source_of(settings(server.base_url)) as rig:
        as_of = (await rig.ask()).answers[0].as_of
        server.fault = Fault.SERVER_ERROR
        rig.clock.pushed += 3600
        evidence = await rig.ask()
        assert evidence.answers == (SourceAnswer(source=EvidenceSource.FHIR, status=LookupStatus.STALE, as_of=as_of),)
        assert len(evidence.conditions) == 1
        rig.clock.pushed += 86_400
        assert (await rig.ask()).conditions == ()


async def test_a_question_that_is_given_up_goes_on_and_its_answer_is_there_for_the_next() -> None:
    async with (
        serving(record(), fault=Fault.SLOW, slow_seconds=0.05) as server,
        source_of(settings(server.base_url)) as rig,
    ):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await rig.ask()
        await until(lambda: rig.observed.landed)
        requests = len(server.requests)
        assert (await rig.ask()).lookup is LookupStatus.OK
        assert len(server.requests) == requests


async def test_one_search_that_fails_leaves_what_the_others_brought() -> None:
    async with serving([one for one in record() if one["resourceType"] != "Observation"]) as server:
        made = settings(
            server.base_url, search=SearchOptions(systems={"HOSP": IDENTIFIER_SYSTEM}, observation_codes=("x&y=1",))
        )
        broken: Any = server
        original = broken._read
        broken._read = lambda path, parameters: (
            original("nothing", parameters) if path == "AllergyIntolerance" else original(path, parameters)
        )
        async with source_of(made) as rig:
            evidence = await rig.ask()
    assert evidence.lookup is LookupStatus.FAILED
    assert [one.codings[0].code for one in evidence.conditions] == ["C79.51"]
    assert rig.observed.results == {FhirReason.REFUSED: 1}


async def test_kept_answers_are_limited() -> None:
    people = [one for number in range(4) for one in record(f"9{number:03d}")]
    made = FhirSourceOptions(kept_max=2)
    async with serving(people) as server, source_of(settings(server.base_url, source=made)) as rig:
        for number in (0, 1, 2, 0):
            await rig.ask(value=f"9{number:03d}")
        assert server.count("Patient") == 4


@pytest.mark.hazard("H14")
@pytest.mark.parametrize("method", ["post", "get"])
async def test_a_search_finds_the_same_by_post_without_the_patient_in_its_address(
    method: Literal["post", "get"],
) -> None:
    async with serving(record()) as server, source_of(settings(server.base_url, search_method=method)) as rig:
        found = await rig.ask()
        targets = " ".join(one.target for one in server.requests)
    assert [one.codings[0].code for one in found.conditions] == ["C79.51"]
    assert {one.method for one in server.requests} == {method.upper()}
    assert ("1001" in targets) is (method == "get")
