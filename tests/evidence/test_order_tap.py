"""What order messages on a route tell of completed studies reaches the registry, and never stands in an order's way."""

import asyncio
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from interceptor.config.schema import Config, RegistryTable
from interceptor.evidence.registry_sql import SqlRegistry
from interceptor.evidence.statement import Statement
from tests.support.feed_message import feed_message
from tests.support.mllp_peer import until
from tests.support.node import Events, filler, node_config, node_of, placer_of
from tests.support.orders import order
from tests.support.registry_file import NOW, number, open_registry

STUDY = "OBR|1|P1^A1||30855-1^MR C+T+L WO and W^LN|||20260220"
COMPLETED = feed_message("ORM^O01", "ORC|SC|P1^A1|||CM", STUDY, at="20260220101500", control_id="ST1")


def config_of(folder: Path, port: int, *, registry: bool = True, **changes: Any) -> Config:
    made = node_config(folder, filler_port=port, **changes)
    return made.model_copy(update={"registry": RegistryTable(enabled=registry)})


class Recorded:
    """What the node's registry was told, once it is durable."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.statements: list[Statement] = []
        record = SqlRegistry.record

        async def spy(registry: SqlRegistry, statements: Sequence[Statement], **options: Any) -> Any:
            done = await record(registry, statements, **options)
            self.statements.extend(statements)
            return done

        monkeypatch.setattr(SqlRegistry, "record", spy)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    return Recorded(monkeypatch)


@pytest.mark.parametrize("changes", [{"mode": "enforce"}, {"mode": "shadow"}, {"custody": "store"}])
async def test_a_completed_study_on_the_order_route_is_known_afterwards(
    tmp_path: Path, recorded: Recorded, changes: dict[str, Any]
) -> None:
    async with filler() as far, node_of(config_of(tmp_path, far.port, **changes)) as node, placer_of(node) as placer:
        assert b"MSA|AA|ST1" in await placer.exchange(COMPLETED)
        assert await far.wait_for(1) == [COMPLETED]
        await until(lambda: bool(recorded.statements))
    async with open_registry(tmp_path / "journal" / "journal.db") as (registry, _):
        answer = await registry.lookup([number("1001")], birth_date="1968-01-01", sex="F", as_of=NOW)
    assert [one.source for one in recorded.statements] == ["orders"]
    assert [study.completed for study in answer.evidence.studies] == [date(2026, 2, 20)]


async def test_an_order_that_is_held_tells_of_no_study(tmp_path: Path, recorded: Recorded) -> None:
    """Whatever its status says: it has not been to the filler, so nothing can have been done."""
    held = order("1").replace(b"ORC|NW|1^EPIC||||", b"ORC|NW|1^EPIC|||CM|")
    variants: tuple[dict[str, Any], ...] = ({}, {"custody": "store"})
    for changes in variants:
        folder = tmp_path / "-".join(["data", *changes])
        async with filler() as far, node_of(config_of(folder, far.port, **changes)) as node, placer_of(node) as placer:
            assert b"MSA|AA|" in await placer.exchange(held)
            assert len(list(node.custody.index.orders())) == 1
            # What follows it on the same line has been recorded, so would it have been.
            await placer.exchange(COMPLETED)
            await until(lambda: bool(recorded.statements))
        assert [one.reference for one in recorded.statements] == ["ST1"]
        recorded.statements.clear()


async def test_without_a_registry_nothing_is_recorded(tmp_path: Path, recorded: Recorded) -> None:
    async with filler() as far:
        config = config_of(tmp_path, far.port, registry=False)
        async with node_of(config) as node, placer_of(node) as placer:
            assert b"MSA|AA|ST1" in await placer.exchange(COMPLETED)
            await asyncio.sleep(0.1)
    assert recorded.statements == []


async def test_a_registry_that_raises_or_never_answers_costs_the_order_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events, asked = Events(), asyncio.Event()

    async def broken(*_: Any, **__: Any) -> None:
        if not asked.is_set():
            asked.set()
            raise RuntimeError("CANARY")
        await asyncio.Event().wait()

    monkeypatch.setattr(SqlRegistry, "record", broken)
    async with filler() as far, node_of(config_of(tmp_path, far.port), events) as node, placer_of(node) as placer:
        for number in (b"ST1", b"ST2"):
            answer = await placer.exchange(COMPLETED.replace(b"ST1", number))
            assert b"MSA|AA|" + number in answer
        await until(lambda: "feed_reading_failed" in events.names())
        assert not node.failed.is_set()
    assert "CANARY" not in str(events.seen)
