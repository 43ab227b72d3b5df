"""The simulated feeds are read like real ones, and the tap on the order route never gets in an order's way."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from interceptor.evidence.feed_message import Unread, read_feed_message
from interceptor.evidence.feed_patient import FeedTables
from interceptor.evidence.import_fhir import evidence_statement
from interceptor.evidence.statement import Authorities, PatientIdentifier
from interceptor.feed import OrderTap
from interceptor.message.view import MessageView
from interceptor.simulate.feed import admission, merge, problem
from interceptor.simulate.messages import PLACER_NAMESPACE
from interceptor.simulate.population import build_population
from tests.support.clinical import shipped_content
from tests.support.feed_message import feed_message
from tests.support.node import Events
from tests.support.orders import order
from tests.support.registry_file import condition, number, open_registry, record_all, said

NOW = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)
PATIENT = build_population(Random(1), today=date(2026, 3, 2))[0]


def tables() -> FeedTables:
    content = shipped_content().tables
    return FeedTables(source="sim", authorities=Authorities(), codes=content.codes, site=content.site)


async def conditions_after(path: Path, *messages: str, of: str = "") -> int:
    async with open_registry(path / "journal.db") as (registry, _):
        for message in messages:
            statements = read_feed_message(MessageView(message.encode()), tables(), received_at=NOW)
            assert not isinstance(statements, Unread)
            await record_all(registry, statements)
        asked = PatientIdentifier(of or PATIENT.number, PLACER_NAMESPACE, "MR")
        birth_date = PATIENT.birth_date.isoformat()
        answer = await registry.lookup([asked], birth_date=birth_date, sex=PATIENT.sex, as_of=NOW)
    return len(answer.evidence.conditions)


async def test_simulated_admissions_problems_and_merges_are_understood(tmp_path: Path) -> None:
    later = NOW.replace(hour=19)
    admitted = admission(PATIENT, control_id="1", at=NOW, visit="V1")
    assert await conditions_after(tmp_path / "a", admitted) == 1
    deleted = admission(PATIENT, control_id="2", at=later, visit="V1", trigger="A08", is_deleted=True)
    assert await conditions_after(tmp_path / "b", admitted, deleted) == 0
    added = problem(PATIENT, control_id="3", at=NOW)
    assert await conditions_after(tmp_path / "c", added) == 1
    assert await conditions_after(tmp_path / "d", added, problem(PATIENT, control_id="4", at=later, trigger="PC3")) == 0
    merged = merge(PATIENT, given_up="98000001", control_id="5", at=later)
    assert await conditions_after(tmp_path / "e", admitted, merged, of="98000001") == 1


class Spawned:
    """Runs what the tap spawns, when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Coroutine[Any, Any, None]] = []

    def __call__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.waiting.append(coroutine)


async def test_the_tap_records_a_completed_study_and_ignores_other_orders(tmp_path: Path) -> None:
    spawned, events = Spawned(), Events()
    done = feed_message("ORM^O01", "ORC|SC|P1|A1||CM", "OBR|1|P1|A1|30855-1^MR C+T+L WO and W^LN|||20260220")
    async with open_registry(tmp_path / "journal.db") as (registry, _):
        tap = OrderTap(tables(), registry, spawn=spawned, give_up=lambda _: None, now=lambda: NOW, log=events.log)
        tap.note(MessageView(order("1")))
        assert spawned.waiting == []
        tap.note(MessageView(done))
        await asyncio.gather(*spawned.waiting)
        answer = await registry.lookup([number("1001")], birth_date="1968-01-01", sex="F", as_of=NOW)
    assert [study.completed for study in answer.evidence.studies] == [date(2026, 2, 20)]


async def test_a_fault_in_the_tap_never_reaches_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("CANARY")

    monkeypatch.setattr("interceptor.feed.read_order_states", broken)
    spawned, events = Spawned(), Events()
    async with open_registry(tmp_path / "journal.db") as (registry, _):
        tap = OrderTap(tables(), registry, spawn=spawned, give_up=lambda _: None, now=lambda: NOW, log=events.log)
        tap.note(MessageView(order("1")))
    assert events.names() == ["feed_reading_failed"]
    assert "CANARY" not in str(events.seen)


async def test_another_source_s_answer_replaces_its_earlier_one(tmp_path: Path) -> None:
    async with open_registry(tmp_path / "journal.db") as (registry, _):
        await record_all(registry, [said(condition())])
        first = await registry.lookup([number("1001")], birth_date="1968-01-01", sex="F", as_of=NOW)
        for evidence, hour in ((first.evidence, 1), (type(first.evidence)(), 2)):
            statement = evidence_statement(
                evidence, source="fhir", identifiers=(number("1001"),), said_at=NOW.replace(hour=hour)
            )
            await record_all(registry, [statement])
            person = await registry.person([number("1001")])
            assert person is not None
            current = {one.source for one in person.facts if one.is_current}
            assert current == ({"adt", "fhir"} if hour == 1 else {"adt"})
