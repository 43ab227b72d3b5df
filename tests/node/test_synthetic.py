"""The order that a node sends itself on each route: it proves the way, and leaves no trace but its own."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import pytest

from interceptor.decision.message_decision import MessageDecision
from interceptor.message.view import MessageView
from interceptor.node import Node
from interceptor.pipeline import Passage, RouteParts
from interceptor.synthetic import SyntheticResult, send_synthetic, synthetic_order
from interceptor.telemetry.metrics import MetricLabels, Metrics
from tests.support.metric_page import sample
from tests.support.mllp_peer import until
from tests.support.node import Events, filler, node_config, node_of

AT = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


def own_metrics() -> Metrics:
    return Metrics(MetricLabels(routes=("orders",), destinations=()), version="", started_at=AT)


async def shown(node: Node, name: str, **labels: str) -> float:
    return sample(await asyncio.to_thread(node.metrics.render), name, **labels)


async def until_sent(node: Node, count: int) -> None:
    async with asyncio.timeout(20):
        while await shown(node, "interceptor_synthetic_messages_total", route="orders", result="ok") < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("mode", ["shadow", "annotate", "enforce"])
@pytest.mark.parametrize("custody", ["relay", "store"])
async def test_a_quiet_route_is_proven_and_nothing_is_delivered_journaled_or_counted_as_traffic(
    tmp_path: Path, mode: str, custody: str
) -> None:
    async with filler() as ris:
        config = node_config(
            tmp_path, filler_port=ris.port, mode=mode, custody=custody, synthetic_interval_seconds=0.02
        )
        async with node_of(config, events := Events()) as node:
            began = await shown(node, "interceptor_synthetic_last_success_timestamp_seconds", route="orders")
            last_message = await shown(node, "interceptor_last_message_timestamp_seconds", route="orders")
            await until_sent(node, 3)
            assert await shown(node, "interceptor_synthetic_last_success_timestamp_seconds", route="orders") > began
            assert await shown(node, "interceptor_last_message_timestamp_seconds", route="orders") == last_message
            page = (await asyncio.to_thread(node.metrics.render)).decode()
            traffic = (
                "messages_total",
                "orders_total",
                "acks_sent_total",
                "message_bytes_count",
                "ack_latency",
                "added_latency",
            )
            counted = [
                line
                for line in page.splitlines()
                if line.startswith(tuple(f"interceptor_{name}" for name in traffic)) and not line.endswith(" 0.0")
            ]
            assert counted == []
            assert len(node.custody.index.orders()) == 0
            assert ris.received == []
    assert "synthetic_failed" not in events.names()
    journal = apsw.Connection(str(tmp_path / "journal" / "journal.db"), flags=apsw.SQLITE_OPEN_READONLY)
    for table in ("entry", "outbox", "decision", "quarantine"):
        assert journal.execute(f"SELECT count(*) FROM {table}").fetchall() == [(0,)], table


async def test_switched_off_it_sends_nothing_and_never_alarms(tmp_path: Path) -> None:
    async with filler() as ris:
        config = node_config(tmp_path, filler_port=ris.port, synthetic_interval_seconds=0.0)
        async with node_of(config) as node:
            value = await shown(node, "interceptor_synthetic_last_success_timestamp_seconds", route="orders")
            assert value != value, "not a number"
            assert "synthetic" not in {task.get_name() for task in asyncio.all_tasks()}


def parts_of_route(monkeypatch: pytest.MonkeyPatch) -> list[RouteParts]:
    """The parts of the route that the node sends its own orders through."""
    kept: list[RouteParts] = []

    async def keep(routes: Any, **_named: Any) -> None:
        kept.extend(route.parts for route in routes.values())

    monkeypatch.setattr("interceptor.node.run_synthetic", keep)
    return kept


def deciding_raises(*_arguments: object) -> MessageDecision:
    raise ValueError("a fault of ours")


async def test_a_route_that_does_not_decide_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = parts_of_route(monkeypatch)
    async with filler() as ris, node_of(node_config(tmp_path, filler_port=ris.port)):
        await until(lambda: bool(kept))
        assert await send_synthetic(kept[0], own_metrics()) is SyntheticResult.OK
        broken = replace(kept[0], decide=deciding_raises)
        assert await send_synthetic(broken, own_metrics()) is SyntheticResult.NOT_DECIDED


async def test_a_message_that_nobody_answers_is_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = parts_of_route(monkeypatch)
    monkeypatch.setattr("interceptor.synthetic.GRACE_SECONDS", 0.0)
    monkeypatch.setattr(Passage, "_answered", lambda _passage, _answer: None)
    async with filler() as ris:
        config = node_config(tmp_path, filler_port=ris.port, decision_budget_seconds=0.05, lookup_budget_seconds=0.01)
        async with node_of(config):
            await until(lambda: bool(kept))
            assert await send_synthetic(kept[0], own_metrics()) is SyntheticResult.LATE


def test_the_order_names_nobody_and_asks_what_the_policy_is_about() -> None:
    view = MessageView(synthetic_order("I1", AT))
    assert [view.text("PID-5.1"), view.text("MSH-10"), view.text("MSH-11")] == ["SYNTHETIC", "I1", "T"]
