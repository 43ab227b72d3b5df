"""The registry on a real file: who is found, what is believed, what a merge does."""

import asyncio
from dataclasses import replace
from datetime import date, timedelta
from itertools import permutations
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interceptor.context.patient import Coding, ConditionStatus
from interceptor.context.vocabulary import EvidenceSource, LookupStatus
from interceptor.evidence.registry import RegistryAnswer, RegistryResult
from interceptor.evidence.registry_rows import IDENTIFIERS_MAX
from interceptor.evidence.registry_sql import SqlRegistry
from interceptor.evidence.statement import (
    Fact,
    FactKind,
    Link,
    PatientIdentifier,
    Snapshot,
    Standing,
    Statement,
)
from tests.support.registry_file import (
    BACK_PAIN,
    BREAST,
    NOW,
    START,
    condition,
    dump,
    merge,
    number,
    open_registry,
    record_all,
    said,
)

pytestmark = [pytest.mark.hazard("H6"), pytest.mark.usefixtures("database")]


async def ask(
    registry: SqlRegistry,
    *identifiers: PatientIdentifier,
    birth_date: str = "1968-01-01",
    sex: str = "F",
) -> RegistryAnswer:
    return await registry.lookup(identifiers or (number("1001"),), birth_date=birth_date, sex=sex, as_of=NOW)


async def answer_to(path: Path, *statements: Statement, of: PatientIdentifier | None = None) -> RegistryAnswer:
    async with open_registry(path / "journal.db") as (registry, _):
        await record_all(registry, statements)
        return await ask(registry, of or number("1001"))


def codes(answer: RegistryAnswer) -> list[str]:
    return sorted(coding.code for one in answer.evidence.conditions for coding in one.codings[:1])


async def test_a_condition_is_found_with_its_source_and_days(tmp_path: Path) -> None:
    fact = replace(condition(), onset=date(2025, 12, 1), recorded=date(2026, 1, 2))
    answer = await answer_to(tmp_path, said(fact, reference="MSG7"))
    assert answer.result is RegistryResult.FOUND
    assert answer.as_of == START
    (found,) = answer.evidence.conditions
    assert found.codings == (BREAST,)
    assert (found.onset, found.recorded, found.reference) == (date(2025, 12, 1), date(2026, 1, 2), "adt:MSG7")
    assert found.source is EvidenceSource.REGISTRY
    assert answer.evidence.lookup is LookupStatus.OK
    assert answer.evidence.birth_date == date(1968, 1, 1)


async def test_what_has_no_day_was_recorded_when_it_was_first_said(tmp_path: Path) -> None:
    answer = await answer_to(tmp_path, said(condition(), minute=2880), said(condition(), minute=0))
    assert answer.evidence.conditions[0].recorded == START.date()


@pytest.mark.parametrize(
    ("asked", "result"),
    [
        (number("1001", "OTHER"), RegistryResult.UNKNOWN_PATIENT),
        (number("1002"), RegistryResult.UNKNOWN_PATIENT),
        (number("1001", kind="PI"), RegistryResult.UNKNOWN_PATIENT),
        (number("1001", kind=""), RegistryResult.FOUND),
    ],
)
async def test_an_identifier_is_known_only_with_its_authority_and_type(
    tmp_path: Path, asked: PatientIdentifier, result: RegistryResult
) -> None:
    answer = await answer_to(tmp_path, said(condition()), of=asked)
    assert answer.result is result
    assert bool(answer.evidence.conditions) == (result is RegistryResult.FOUND)


async def test_an_unknown_patient_is_no_failed_lookup(tmp_path: Path) -> None:
    answer = await answer_to(tmp_path)
    assert answer.result is RegistryResult.UNKNOWN_PATIENT
    assert answer.evidence.lookup is LookupStatus.OK


@pytest.mark.parametrize(
    ("birth_date", "sex", "result"),
    [
        ("1968-01-02", "F", RegistryResult.CONFLICT),
        ("1968-01-01", "M", RegistryResult.CONFLICT),
        ("1968", "F", RegistryResult.FOUND),
        ("", "", RegistryResult.FOUND),
        ("1968-01-01", "U", RegistryResult.FOUND),
    ],
)
async def test_another_birth_date_or_sex_gives_no_evidence(
    tmp_path: Path, birth_date: str, sex: str, result: RegistryResult
) -> None:
    async with open_registry(tmp_path / "journal.db") as (registry, _):
        await record_all(registry, [said(condition())])
        answer = await ask(registry, birth_date=birth_date, sex=sex)
    assert answer.result is result
    is_believed = result is RegistryResult.FOUND
    assert bool(answer.evidence.conditions) == is_believed
    assert answer.evidence.lookup is (LookupStatus.OK if is_believed else LookupStatus.FAILED)


async def test_an_order_without_an_identifier_was_not_checked(tmp_path: Path) -> None:
    async with open_registry(tmp_path / "journal.db") as (registry, _):
        answer = await registry.lookup((), birth_date="", sex="", as_of=NOW)
    assert answer.result is RegistryResult.NO_IDENTIFIER
    assert answer.evidence.lookup is LookupStatus.FAILED


async def test_two_identifiers_of_two_persons_are_ambiguous(tmp_path: Path) -> None:
    async with open_registry(tmp_path / "journal.db") as (registry, _):
        await record_all(registry, [said(condition()), said(condition(BACK_PAIN), of=[number("77")], birth_date="")])
        answer = await ask(registry, number("1001"), number("77"))
    assert answer.result is RegistryResult.AMBIGUOUS
    assert answer.evidence.conditions == ()


async def test_identifiers_that_nobody_linked_are_one_person_when_each_has_the_birth_date(tmp_path: Path) -> None:
    async with open_registry(tmp_path / "journal.db") as (registry, _):
        await record_all(registry, [said(condition()), said(condition(BACK_PAIN), of=[number("77", "REG", "PI")])])
        answer = await ask(registry, number("1001"), number("77", "REG", "PI"))
    assert codes(answer) == ["C50.911", "M54.50"]


async def test_a_number_without_a_type_is_the_same_number_also_behind_a_merge(tmp_path: Path) -> None:
    old, new, untyped = number("1001"), number("2002"), number("1001", kind="")
    statements = [
        said(condition(), of=[untyped], birth_date="", sex="", source="csv"),
        said(condition(BACK_PAIN), of=[old]),
        said(of=[new], links=(merge(old, new),), minute=5),
    ]
    async with open_registry(tmp_path / "journal.db") as (registry, _):
        await record_all(registry, statements)
        for asked in (old, untyped, new):
            assert codes(await ask(registry, asked)) == ["C50.911", "M54.50"]


async def test_a_number_that_stands_under_two_types_is_ambiguous_without_one(tmp_path: Path) -> None:
    statements = [
        said(condition(), birth_date=""),
        said(condition(BACK_PAIN), of=[number("1001", kind="PI")], birth_date=""),
    ]
    async with open_registry(tmp_path / "journal.db") as (registry, _):
        await record_all(registry, statements)
        assert (await ask(registry, number("1001", kind=""))).result is RegistryResult.AMBIGUOUS
        assert codes(await ask(registry, number("1001", kind="PI"))) == ["M54.50"]


async def test_a_merged_patient_is_found_under_both_numbers(tmp_path: Path) -> None:
    old, new = number("1001"), number("2002")
    statements = [said(condition(), of=[old]), said(of=[new], links=(merge(old, new),), minute=5)]
    async with open_registry(tmp_path / "journal.db") as (registry, _):
        await record_all(registry, statements)
        assert codes(await ask(registry, new)) == codes(await ask(registry, old)) == ["C50.911"]


async def test_a_wrong_merge_can_be_undone(tmp_path: Path) -> None:
    old, new = number("1001"), number("2002")
    unlink = Link(given_up=old, kept=new, is_unlink=True)
    statements = [
        said(condition(), of=[old]),
        said(of=[new], links=(merge(old, new),), minute=5),
        said(of=[new], links=(unlink,), minute=9),
    ]
    answer = await answer_to(tmp_path, *statements, of=new)
    assert answer.result is RegistryResult.FOUND
    assert answer.evidence.conditions == ()


async def test_a_number_that_was_given_up_and_used_again_leads_nowhere(tmp_path: Path) -> None:
    old, new = number("1001"), number("2002")
    statements = [
        said(condition(), of=[new], birth_date="1950-05-05"),
        said(of=[new], links=(merge(old, new),), minute=5, birth_date="1950-05-05"),
        said(of=[old], minute=9, birth_date="1968-01-01"),
    ]
    assert (await answer_to(tmp_path, *statements)).result is RegistryResult.AMBIGUOUS


async def test_a_fact_of_the_number_s_earlier_owner_is_not_believed(tmp_path: Path) -> None:
    statements = [said(condition(), birth_date="1950-05-05"), said(condition(BACK_PAIN), minute=9)]
    assert codes(await answer_to(tmp_path, *statements)) == ["M54.50"]


async def test_a_corrected_birth_date_loses_nothing(tmp_path: Path) -> None:
    statements = [said(condition(), birth_date="1986-01-01"), said(minute=9)]
    assert codes(await answer_to(tmp_path, *statements)) == ["C50.911"]


async def test_a_number_that_links_half_the_hospital_is_ambiguous(tmp_path: Path) -> None:
    everybody = number("0000")
    statements = [said(condition(), of=[number(str(1001 + one)), everybody]) for one in range(IDENTIFIERS_MAX + 2)]
    assert (await answer_to(tmp_path, *statements)).result is RegistryResult.AMBIGUOUS


@pytest.mark.parametrize("standing", [Standing.PAST, Standing.SUSPECTED])
async def test_the_standing_of_a_condition_is_told(tmp_path: Path, standing: Standing) -> None:
    (found,) = (await answer_to(tmp_path, said(condition(standing=standing)))).evidence.conditions
    assert found.suspected == (standing is Standing.SUSPECTED)
    assert (found.status is ConditionStatus.PAST) == (standing is Standing.PAST)


async def test_what_is_retracted_is_gone_and_what_is_said_again_is_back(tmp_path: Path) -> None:
    retraction = said(condition(standing=Standing.RETRACTED), minute=5)
    assert codes(await answer_to(tmp_path / "a", said(condition()), retraction)) == []
    assert codes(await answer_to(tmp_path / "b", said(condition()), retraction, said(condition(), minute=6))) == [
        "C50.911"
    ]


async def test_a_retraction_by_code_meets_a_problem_with_a_number(tmp_path: Path) -> None:
    problem = condition(scope="problem", key="id:P1")
    retraction = said(condition(scope="problem", standing=Standing.RETRACTED), minute=5)
    assert codes(await answer_to(tmp_path, said(problem), retraction)) == []


async def test_a_list_replaces_the_earlier_one_of_its_visit_only(tmp_path: Path) -> None:
    statements = [
        said(condition(scope="visit:1")),
        said(condition(BACK_PAIN, scope="visit:2"), minute=1),
        said(
            condition(BACK_PAIN, scope="visit:1"),
            minute=2,
            snapshots=(Snapshot(kind=FactKind.CONDITION, scope="visit:1"),),
        ),
    ]
    assert codes(await answer_to(tmp_path, *statements)) == ["M54.50"]


async def test_a_list_from_before_a_merge_takes_nothing_from_the_other_patient(tmp_path: Path) -> None:
    old, new = number("1001"), number("2002")
    everything = (Snapshot(kind=FactKind.CONDITION, scope=""),)
    statements = [
        said(condition(), of=[old]),
        said(condition(BACK_PAIN), of=[new], minute=5, snapshots=everything),
        said(of=[new], links=(merge(old, new),), minute=9),
    ]
    assert codes(await answer_to(tmp_path, *statements, of=new)) == ["C50.911", "M54.50"]


async def test_a_complete_import_takes_back_what_it_leaves_out_of_its_own_source(tmp_path: Path) -> None:
    async with open_registry(tmp_path / "journal.db") as (registry, _):
        await record_all(registry, [said(condition(), source="list"), said(condition(BACK_PAIN), source="adt")])
        await registry.record_complete(source="list", said_at=START + timedelta(minutes=1))
        assert codes(await ask(registry)) == ["M54.50"]


@pytest.mark.hazard("H7")
async def test_a_feed_that_fell_silent_makes_the_evidence_stale(tmp_path: Path) -> None:
    limits = {"adt": timedelta(hours=12)}
    async with open_registry(tmp_path / "journal.db", stale_after=limits) as (registry, _):
        assert (await ask(registry)).evidence.lookup is LookupStatus.STALE
        await record_all(registry, [said(condition())])
        stale = await ask(registry)
        await record_all(registry, [said(of=[number("3003")], minute=23 * 60)])
        fresh = await ask(registry)
    assert (stale.result, stale.evidence.lookup) == (RegistryResult.STALE, LookupStatus.STALE)
    assert codes(stale) == ["C50.911"]
    assert (fresh.result, fresh.as_of) == (RegistryResult.FOUND, START + timedelta(hours=23))


async def test_allergies_results_and_studies_come_back_as_they_were(tmp_path: Path) -> None:
    facts = (
        Fact(kind=FactKind.ALLERGY, key="text:gadobutrol", text="Gadobutrol", detail="hives"),
        Fact(kind=FactKind.ALLERGY, key="text:latex", text="Latex", standing=Standing.PAST),
        Fact(
            kind=FactKind.OBSERVATION, key="2026-02-01", scope="lab:33914-3", value=24.5, detail="mL/min",
            codings=(Coding(system="loinc", code="33914-3", display="eGFR"),), recorded=date(2026, 2, 1),
        ),
        Fact(kind=FactKind.STUDY, key="id:A1", text="MRI TOTAL SPINE", recorded=date(2026, 2, 20)),
    )  # fmt: skip
    evidence = (await answer_to(tmp_path, said(*facts))).evidence
    assert [(one.text, one.reaction) for one in evidence.allergies] == [("Gadobutrol", "hives")]
    (rate,) = evidence.observations
    assert (rate.coding.code, rate.value, rate.unit, rate.observed) == ("33914-3", 24.5, "mL/min", date(2026, 2, 1))
    assert [(one.text, one.completed) for one in evidence.studies] == [("MRI TOTAL SPINE", date(2026, 2, 20))]


async def test_only_the_newest_results_of_one_measurement_are_kept(tmp_path: Path) -> None:
    coding = Coding(system="loinc", code="33914-3")
    results = [
        Fact(kind=FactKind.OBSERVATION, key=f"2026-01-{day:02}", scope="lab:1", value=float(day), codings=(coding,))
        for day in range(1, 21)
    ]
    Random(1).shuffle(results)
    evidence = (await answer_to(tmp_path, *(said(one, minute=at) for at, one in enumerate(results)))).evidence
    assert sorted(one.value or 0 for one in evidence.observations) == [float(day) for day in range(11, 21)]


async def test_text_that_no_database_takes_is_stored_all_the_same(tmp_path: Path) -> None:
    broken = replace(condition(), text="a\0b\udcff" + "x" * 10_000)
    (found,) = (await answer_to(tmp_path, said(broken, reference="R\udcff"))).evidence.conditions
    assert found.text.startswith("ab?")
    assert len(found.text) < 600


async def test_a_forgotten_person_is_gone_and_the_audit_says_how_much(tmp_path: Path) -> None:
    old, new = number("1001"), number("2002")
    async with open_registry(tmp_path / "journal.db") as (registry, journal):
        await record_all(
            registry,
            [
                said(condition(), of=[old]),
                said(of=[new], links=(merge(old, new),)),
                said(condition(), of=[number("3")]),
            ],
        )
        forgotten = await registry.forget((new,), at=NOW, actor="user:ann")
        assert forgotten is not None
        assert (forgotten.identifier_count, forgotten.fact_count, forgotten.link_count) == (2, 1, 1)
        assert (await ask(registry, old)).result is RegistryResult.UNKNOWN_PATIENT
        assert (await ask(registry, number("3"))).result is RegistryResult.FOUND
        assert await registry.forget((new,), at=NOW, actor="user:ann") is None
        (link,) = await journal.audit_rows()
    assert (link.action, link.actor) == ("patient_forgotten", "user:ann")
    assert link.detail == {"identifier_count": 2, "fact_count": 1, "link_count": 1}


async def test_person_shows_what_was_taken_back_too(tmp_path: Path) -> None:
    statements = [said(condition(), condition(BACK_PAIN)), said(condition(standing=Standing.RETRACTED), minute=5)]
    async with open_registry(tmp_path / "journal.db") as (registry, _):
        await record_all(registry, statements)
        person = await registry.person((number("1001"),))
        stats = await registry.stats()
        assert await registry.person((number("none"),)) is None
        assert await registry.find_identifiers("1001") == (number("1001"),)
    assert person is not None
    assert {one.fact.codings[0].code: one.is_current for one in person.facts} == {"C50.911": False, "M54.50": True}
    assert (person.identifiers, person.birth_dates, person.sexes) == ((number("1001"),), ("1968-01-01",), ("F",))
    assert (stats.identifier_count, stats.fact_counts, stats.sources[0].fact_count) == (1, {"condition": 1}, 1)


# Properties.

_NUMBERS = [number(str(one)) for one in range(5)]
_CODES = [BREAST, BACK_PAIN, Coding(system="icd10cm", code="C61", display="Prostate")]


@st.composite
def _statements(draw: st.DrawFn) -> Statement:
    scope = draw(st.sampled_from(["", "visit:1"]))
    facts = draw(
        st.lists(
            st.builds(
                condition,
                st.sampled_from(_CODES),
                standing=st.sampled_from(list(Standing)),
                scope=st.just(scope),
                key=st.sampled_from(["", "id:1"]),
            ),
            max_size=2,
        )
    )
    link = st.builds(
        lambda pair, kind: Link(given_up=pair[0], kept=pair[1], is_merge=kind == "merge", is_unlink=kind == "unlink"),
        st.lists(st.sampled_from(_NUMBERS), min_size=2, max_size=2, unique=True),
        st.sampled_from(["merge", "link", "unlink"]),
    )
    snapshots = (Snapshot(kind=FactKind.CONDITION, scope=scope),) if draw(st.booleans()) else ()
    return said(
        *facts,
        of=draw(st.lists(st.sampled_from(_NUMBERS), min_size=1, max_size=2, unique=True)),
        minute=draw(st.integers(0, 5)),
        reference=draw(st.sampled_from(["9", "10", "11"])),
        birth_date=draw(st.sampled_from(["", "1968-01-01", "1950-05-05"])),
        sex=draw(st.sampled_from(["", "F", "M"])),
        source=draw(st.sampled_from(["adt", "ppr"])),
        links=tuple(draw(st.lists(link, max_size=1))),
        snapshots=snapshots,
    )


async def _end_of(path: Path, statements: list[Statement]) -> list[list[object]]:
    async with open_registry(path) as (registry, journal):
        await record_all(registry, statements)
        return await dump(journal)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(statements=st.lists(_statements(), min_size=1, max_size=8), random=st.randoms(use_true_random=False))
def test_any_order_of_arrival_and_any_repetition_ends_in_the_same_registry(
    tmp_path_factory: pytest.TempPathFactory, statements: list[Statement], random: Random
) -> None:
    mixed = [*statements, *random.choices(statements, k=2)]
    random.shuffle(mixed)
    folder = tmp_path_factory.mktemp("registry")
    in_order = asyncio.run(_end_of(folder / "a" / "journal.db", statements))
    assert asyncio.run(_end_of(folder / "b" / "journal.db", mixed)) == in_order


async def test_merges_are_associative_and_lose_no_condition(tmp_path: Path) -> None:
    """However three records become one, the survivor has what each of them had."""
    records = [said(condition(code), of=[_NUMBERS[index]]) for index, code in enumerate(_CODES)]
    merges = [
        said(of=[_NUMBERS[1]], links=(merge(_NUMBERS[0], _NUMBERS[1]),), minute=5),
        said(of=[_NUMBERS[2]], links=(merge(_NUMBERS[1], _NUMBERS[2]),), minute=6),
    ]
    for index, order in enumerate(permutations([*records, *merges])):
        if index % 10:
            continue
        answer = await answer_to(tmp_path / str(index), *order, of=_NUMBERS[2])
        assert codes(answer) == ["C50.911", "C61", "M54.50"]
