"""What messages of a feed say, and that a registry fed with them knows who has cancer."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.context.patient import PatientEvidence
from interceptor.context.vocabulary import ExceptionKind, OncologyTier
from interceptor.decision.decision import Disposition
from interceptor.decision.message_decision import decide_message
from interceptor.evidence.feed_message import Unread, read_feed_message, read_order_states
from interceptor.evidence.feed_patient import FeedTables
from interceptor.evidence.statement import Authorities, FactKind, PatientIdentifier, Standing, Statement
from interceptor.message.view import MessageView
from tests.support.clinical import shipped_content
from tests.support.feed_message import diagnosis, feed_message, problem, visit
from tests.support.orders import order
from tests.support.registry_file import dump, open_registry, record_all

NOW = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)


def tables(*, is_snapshot: bool = True, default: str = "") -> FeedTables:
    content = shipped_content().tables
    return FeedTables(
        source="adt",
        authorities=Authorities({"1.2.3.4": "HOSP"}, default),
        codes=content.codes,
        site=content.site,
        is_snapshot=is_snapshot,
    )


def read(raw: bytes, **changes: object) -> tuple[Statement, ...] | Unread:
    return read_feed_message(MessageView(raw), tables(**changes), received_at=NOW)  # type: ignore[arg-type]  # test options


def the_one(raw: bytes) -> Statement:
    statements = read(raw)
    assert not isinstance(statements, Unread)
    (statement,) = statements
    return statement


async def evidence_after(path: Path, *messages: bytes, of: str = "1001") -> PatientEvidence:
    """What the registry knows after these messages, in this order."""
    async with open_registry(path / "journal.db") as (registry, _):
        for raw in messages:
            statements = read(raw)
            await record_all(registry, () if isinstance(statements, Unread) else statements)
        identifier = PatientIdentifier(of, "HOSP", "MR")
        answer = await registry.lookup([identifier], birth_date="1968-01-01", sex="F", as_of=NOW)
    return answer.evidence


def codes(evidence: PatientEvidence) -> list[str]:
    return sorted(one.codings[0].code for one in evidence.conditions if one.codings)


def disposition(evidence: PatientEvidence, **changes: str) -> Disposition:
    """The decision on an incomplete spine order that states no diagnosis."""
    raw = order("1", diagnoses=(), **changes)  # type: ignore[arg-type]  # texts only
    return (
        decide_message(MessageView(raw), content=shipped_content(), evidence=evidence, as_of=NOW)
        .orders[0]
        .decision.disposition
    )


def test_a_message_states_whom_when_and_what() -> None:
    statement = the_one(feed_message("ADT^A08", visit("V1"), diagnosis(), control_id="MSG1", event_at="20260301075900"))
    assert statement.identifiers == (PatientIdentifier("1001", "HOSP", "MR"),)
    assert (statement.birth_date, statement.sex, statement.reference) == ("1968-01-01", "F", "MSG1")
    (fact,) = statement.facts
    assert (fact.codings[0].system, fact.codings[0].code) == ("icd10cm", "C50.911")
    assert (fact.scope, fact.recorded, fact.standing) == ("visit:V1", date(2026, 1, 15), Standing.ACTIVE)
    assert [(one.kind, one.scope) for one in statement.snapshots] == [(FactKind.CONDITION, "visit:V1")]


@pytest.mark.parametrize("trigger", ["A01", "A03", "A04", "A05", "A08", "A28", "A31"])
async def test_a_cancer_that_only_the_adt_feed_knows_holds_the_order(tmp_path: Path, trigger: str) -> None:
    evidence = await evidence_after(tmp_path, feed_message(f"ADT^{trigger}", visit("V1"), diagnosis()))
    assert disposition(evidence) is Disposition.HOLD
    (found,) = evidence.conditions
    assert found.reference.startswith("adt:")
    assert found.recorded == date(2026, 1, 15)
    assert disposition(PatientEvidence()) is not Disposition.HOLD


@pytest.mark.parametrize(
    "later",
    [
        (visit("V1"), diagnosis(action="D")),
        (visit("V1"), diagnosis("M54.50^Low back pain^I10")),
        (visit("V1"), 'DG1|1||""'),
    ],
    ids=["deleted", "left out of the visit's list", "no diagnosis at all"],
)
async def test_a_diagnosis_that_was_taken_back_holds_nothing(tmp_path: Path, later: tuple[str, ...]) -> None:
    first = feed_message("ADT^A08", visit("V1"), diagnosis())
    second = feed_message("ADT^A08", *later, at="20260301090000")
    evidence = await evidence_after(tmp_path, first, second)
    assert "C50.911" not in codes(evidence)
    assert disposition(evidence) is not Disposition.HOLD


@pytest.mark.parametrize(
    "later",
    [
        (visit("V2"), diagnosis("M54.50^Low back pain^I10")),
        (visit(""), diagnosis("M54.50^Low back pain^I10")),
        (visit("V1"),),
        (visit("V1"), diagnosis("M54.50^Low back pain^I10", action="A")),
    ],
    ids=["another visit", "a visit without number", "no DG1 at all", "an added diagnosis"],
)
async def test_silence_takes_no_diagnosis_back(tmp_path: Path, later: tuple[str, ...]) -> None:
    first = feed_message("ADT^A08", visit("V1"), diagnosis())
    evidence = await evidence_after(tmp_path, first, feed_message("ADT^A08", *later, at="20260301090000"))
    assert "C50.911" in codes(evidence)


def test_a_feed_that_is_no_snapshot_takes_nothing_back_by_absence() -> None:
    statements = read(feed_message("ADT^A08", visit("V1"), diagnosis(), "AL1|1||GAD^Gadobutrol"), is_snapshot=False)
    assert not isinstance(statements, Unread)
    assert statements[0].snapshots == ()


async def test_an_older_message_that_comes_late_does_not_win(tmp_path: Path) -> None:
    old = feed_message("ADT^A08", visit("V1"), diagnosis(), at="20260301080000")
    new = feed_message("ADT^A08", visit("V1"), diagnosis(action="D"), at="20260301090000")
    assert codes(await evidence_after(tmp_path, new, old)) == []


async def test_the_cancer_is_found_under_the_surviving_number(tmp_path: Path) -> None:
    merges = {
        "A40": feed_message("ADT^A40", "MRG|1001^^^HOSP^MR", patient="2002^^^HOSP^MR", at="20260301090000"),
        "A34": feed_message("ADT^A34", "MRG|1001^^^HOSP^MR", patient="2002^^^HOSP^MR", at="20260301090000"),
        "A47": feed_message("ADT^A47", "MRG|1001^^^HOSP^MR", patient="2002^^^HOSP^MR", at="20260301090000"),
        "A24": feed_message("ADT^A24", "PID|2||2002^^^HOSP^MR||TESTPATIENT^JANE||19680101|F", at="20260301090000"),
    }
    known = feed_message("ADT^A08", visit("V1"), diagnosis())
    for trigger, message in merges.items():
        for name, messages in {"then": (known, message), "before": (message, known)}.items():
            evidence = await evidence_after(tmp_path / trigger / name, *messages, of="2002")
            assert codes(evidence) == ["C50.911"], trigger


async def test_several_merges_in_one_message_are_each_read(tmp_path: Path) -> None:
    both = feed_message(
        "ADT^A40",
        "MRG|1001^^^HOSP^MR",
        "PID|2||4004^^^HOSP^MR||TESTPATIENT^JANE||19680101|F",
        "MRG|3003^^^HOSP^MR",
        patient="2002^^^HOSP^MR",
    )
    known = feed_message("ADT^A08", visit("V1"), diagnosis(), patient="3003^^^HOSP^MR")
    assert codes(await evidence_after(tmp_path / "a", known, both, of="4004")) == ["C50.911"]
    assert codes(await evidence_after(tmp_path / "b", known, both, of="2002")) == []


async def test_unlinking_two_patients_undoes_the_link(tmp_path: Path) -> None:
    other = "PID|2||2002^^^HOSP^MR||TESTPATIENT^JANE||19680101|F"
    evidence = await evidence_after(
        tmp_path,
        feed_message("ADT^A08", visit("V1"), diagnosis()),
        feed_message("ADT^A24", other, at="20260301090000"),
        feed_message("ADT^A37", other, at="20260301100000"),
        of="2002",
    )
    assert codes(evidence) == []


async def test_a_problem_list_entry_lives_until_it_is_deleted_or_resolved(tmp_path: Path) -> None:
    added = feed_message("PPR^PC1", problem())
    endings = {
        "PC3": feed_message("PPR^PC3", problem(action="UC"), at="20260301090000"),
        "DE": feed_message("PPR^PC2", problem(action="DE"), at="20260301090000"),
        "refuted": feed_message("PPR^PC2", problem(action="UP", confirmation="refuted"), at="20260301090000"),
        "by code": feed_message("PPR^PC3", problem(number=""), at="20260301090000"),
    }
    first = await evidence_after(tmp_path / "first", added)
    assert disposition(first) is Disposition.HOLD
    assert first.conditions[0].recorded == date(2026, 1, 10)
    for name, ending in endings.items():
        assert (await evidence_after(tmp_path / name, added, ending)).conditions == (), name
    resolved = await evidence_after(
        tmp_path / "resolved",
        added,
        feed_message("PPR^PC2", problem(action="UP", life_cycle="Resolved"), at="20260301090000"),
    )
    view = MessageView(order("1", diagnoses=()))
    decided = decide_message(view, content=shipped_content(), evidence=resolved, as_of=NOW).orders[0]
    assert decided.facts.oncology.tier is OncologyTier.HISTORY_BONE_TROPIC


async def test_a_low_filtration_rate_is_an_exception_and_its_correction_counts(tmp_path: Path) -> None:
    low = "OBX|1|NM|33914-3^eGFR^LN||22|mL/min|||||F|||20260228080000"
    result = feed_message("ORU^R01", "OBR|1||A1|BMP^Basic^L|||20260228080000", low)
    corrected = feed_message(
        "ORU^R01",
        "OBR|1||A1|BMP^Basic^L|||20260228080000",
        low.replace("|22|", "|82|").replace("||F|", "||C|"),
        at="20260301090000",
    )
    kinds = await exceptions(tmp_path / "low", result)
    assert ExceptionKind.RENAL in kinds
    assert ExceptionKind.RENAL not in await exceptions(tmp_path / "c", result, corrected)


async def exceptions(path: Path, *messages: bytes) -> set[ExceptionKind]:
    """The exceptions of an order of the patient, after these messages."""
    evidence = await evidence_after(path, *messages)
    view = MessageView(order("1", diagnoses=()))
    facts = decide_message(view, content=shipped_content(), evidence=evidence, as_of=NOW).orders[0].facts
    return {finding.kind for finding in facts.exceptions}


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [("NM||24.5", "mL/min", 24.5), ("SN||<^30", "mL/min", 29.99), ("ST||>60", "", 60.01), ("ST||0,4", "mL/s", 0.4)],
)
def test_measured_values_are_read_as_they_are_written(value: str, unit: str, expected: float) -> None:
    kind, _, number = value.partition("||")
    raw = feed_message("ORU^R01", "OBR|1", f"OBX|1|{kind}|33914-3^eGFR^LN||{number}|{unit}|||||F")
    (fact,) = the_one(raw).facts
    assert fact.value == pytest.approx(expected, abs=0.02)
    assert fact.detail == unit


@pytest.mark.parametrize(
    "observation", ["OBX|1|NM|2160-0^Creatinine^LN||9|mg/dL|||||F", "OBX|1|NM|33914-3^eGFR^LN||9||||||I"]
)
def test_other_results_and_pending_ones_are_not_kept(observation: str) -> None:
    assert the_one(feed_message("ORU^R01", "OBR|1", observation)).facts == ()


def _report(state: str, procedure: str = "30855-1^MR C+T+L WO and W^LN") -> str:
    return f"OBR|1|P1|A1|{procedure}|||20260220|||||||||||||||20260221|||{state}"


@pytest.mark.parametrize("state", ["F", "C"])
async def test_a_finished_study_of_the_whole_spine_is_an_exception(tmp_path: Path, state: str) -> None:
    kinds = await exceptions(tmp_path, feed_message("ORU^R01", _report(state)))
    assert ExceptionKind.RECENT_COMPLETE in kinds


@pytest.mark.parametrize(
    "message",
    [
        (_report("P"),),
        (_report("F", "71046^XR CHEST^C4"),),
        (_report("F"), _report("X")),
    ],
    ids=["preliminary", "chest", "cancelled later"],
)
async def test_other_studies_are_none(tmp_path: Path, message: tuple[str, ...]) -> None:
    messages = [feed_message("ORU^R01", one, at=f"202603010{index}0000") for index, one in enumerate(message, 1)]
    assert (await evidence_after(tmp_path, *messages)).studies == ()


def test_an_order_message_says_that_its_study_is_done() -> None:
    done = feed_message("ORM^O01", "ORC|SC|P1|A1||CM", _report(""))
    statements = read_order_states(MessageView(done), tables(), received_at=NOW)
    assert [fact.kind for one in statements for fact in one.facts] == [FactKind.STUDY]
    assert read(done) == statements
    for other in (order("1"), feed_message("ORM^O01", "ORC|SC|P1|A1||IP", _report(""))):
        assert read_order_states(MessageView(other), tables(), received_at=NOW) == ()
        assert read(other) is Unread.IGNORED


def test_an_order_message_with_two_patients_says_nothing() -> None:
    mixed = feed_message(
        "OMG^O19", "ORC|SC|P1|A1||CM", _report(""), "PID|2||77^^^HOSP^MR", "ORC|SC|P2|A2||CM", _report("")
    )
    assert read(mixed) is Unread.IGNORED


async def test_pregnancy_and_devices_are_exceptions_until_they_are_denied(tmp_path: Path) -> None:
    device = "OBX|1|ST|PM^Pacemaker or ICD?^L||{}||||||F"
    yes = feed_message("ADT^A08", visit("V1", ambulatory="B6"), device.format("Yes"))
    no = feed_message("ADT^A08", visit("V1", ambulatory="A0"), device.format("No"), at="20260301090000")
    assert {ExceptionKind.PREGNANCY, ExceptionKind.DEVICE} <= await exceptions(tmp_path / "a", yes)
    assert not await exceptions(tmp_path / "b", yes, no)


async def test_an_allergy_to_gadolinium_is_an_exception_until_the_list_leaves_it_out(tmp_path: Path) -> None:
    listed = feed_message("ADT^A08", visit("V1"), "AL1|1|DA|^Gadobutrol||hives|20200101")
    later = feed_message("ADT^A08", visit("V2"), "AL1|1|FA|^Peanuts||hives", at="20260301090000")
    assert ExceptionKind.GADOLINIUM_REACTION in await exceptions(tmp_path / "a", listed)
    assert ExceptionKind.GADOLINIUM_REACTION not in await exceptions(tmp_path / "b", listed, later)


@pytest.mark.parametrize(
    ("patient", "expected"),
    [
        ("1001^^^HOSP^MR", [("1001", "HOSP", "MR")]),
        ("1001^^^hosp^mr", [("1001", "HOSP", "MR")]),
        ("1001^^^&1.2.3.4&ISO^MR", [("1001", "HOSP", "MR")]),
        ("77^^^REG^PI~1001^^^HOSP^MR", [("1001", "HOSP", "MR"), ("77", "REG", "PI")]),
        ("1001^^^HOSP^MR~999-99-9999^^^SSA^SS~5^^^HOSP^AN", [("1001", "HOSP", "MR")]),
    ],
)
def test_identifiers_are_read_with_their_authority(patient: str, expected: list[tuple[str, str, str]]) -> None:
    statement = the_one(feed_message("ADT^A08", patient=patient))
    assert [(one.value, one.authority, one.type) for one in statement.identifiers] == expected


def test_an_identifier_without_an_authority_says_nothing_unless_the_feed_has_one() -> None:
    raw = feed_message("ADT^A08", patient="1001")
    assert read(raw) is Unread.NO_PATIENT
    statements = read(raw, default="HOSP")
    assert not isinstance(statements, Unread)
    assert statements[0].identifiers == (PatientIdentifier("1001", "HOSP"),)


@pytest.mark.parametrize("kind", ["ADT^A02", "SIU^S12", "ACK", "MDM^T02"])
def test_other_messages_are_ignored(kind: str) -> None:
    assert read(feed_message(kind)) is Unread.IGNORED


@pytest.mark.parametrize(
    ("at", "event_at", "expected"),
    [
        ("20260301080000+0000", "20260301075900+0000", datetime(2026, 3, 1, 7, 59, tzinfo=UTC)),
        ("20260301080000+0000", "20260301", datetime(2026, 3, 1, 8, 0, tzinfo=UTC)),
        ("", "", NOW),
        ("20990101080000+0000", "20990101080000+0000", NOW),
    ],
    ids=["EVN-2", "MSH-7 is more precise", "no time", "a clock that is wrong"],
)
def test_the_time_of_a_message_is_the_sender_s(at: str, event_at: str, expected: datetime) -> None:
    assert the_one(feed_message("ADT^A08", at=at, event_at=event_at, control_id="X")).said_at == expected


# Properties.

_PATIENTS = ("1001^^^HOSP^MR", "2002^^^HOSP^MR", "3003^^^HOSP^MR")
_CODES = ("C50.911^Breast^I10", "C61^Prostate^I10", "M54.50^Back^I10")


@st.composite
def _messages(draw: st.DrawFn) -> bytes:
    minute = draw(st.integers(0, 30))
    patient, other = draw(st.permutations(_PATIENTS))[:2]
    at = f"2026030108{minute:02}00"
    code = draw(st.sampled_from(_CODES))
    control_id = draw(st.sampled_from(["9", "10", "11"]))
    kind, segments = draw(
        st.sampled_from(
            [
                ("ADT^A08", (visit("V1"), diagnosis(code))),
                ("ADT^A08", (visit("V2"), diagnosis(code), diagnosis(_CODES[0]))),
                ("ADT^A03", (visit("V1"), diagnosis(code, action="D"))),
                ("ADT^A40", (f"MRG|{other}",)),
                ("ADT^A24", (f"PID|2||{other}",)),
                ("ADT^A37", (f"PID|2||{other}",)),
                ("PPR^PC1", (problem(code),)),
                ("PPR^PC3", (problem(code),)),
                ("ORU^R01", ("OBR|1", f"OBX|1|NM|33914-3^eGFR^LN||{minute}|mL/min|||||F|||{at}")),
            ]
        )
    )
    return feed_message(kind, *segments, at=at, control_id=control_id, patient=patient)


async def _registry_after(path: Path, messages: list[bytes]) -> list[list[object]]:
    async with open_registry(path) as (registry, journal):
        for raw in messages:
            statements = read(raw)
            assert not isinstance(statements, Unread)
            await record_all(registry, statements)
        return await dump(journal)


@settings(max_examples=20, deadline=timedelta(seconds=20))
@given(messages=st.lists(_messages(), min_size=1, max_size=10), random=st.randoms(use_true_random=False))
def test_any_interleaving_and_replaying_of_a_feed_ends_in_the_same_registry(
    tmp_path_factory: pytest.TempPathFactory, messages: list[bytes], random: Random
) -> None:
    mixed = [*messages, *messages]
    random.shuffle(mixed)
    folder = tmp_path_factory.mktemp("feed")
    in_order = asyncio.run(_registry_after(folder / "a" / "journal.db", messages))
    assert asyncio.run(_registry_after(folder / "b" / "journal.db", mixed)) == in_order
