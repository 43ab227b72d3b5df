"""A running node that asks a FHIR server: what is held, what goes on within the budget, what is found afterwards."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from ssl import SSLContext
from typing import Any

import pytest

from interceptor.action.lifecycle import OrderState
from interceptor.config.schema import FhirTable, RegistryTable
from interceptor.config.secret import SecretError
from interceptor.control.client import request_async
from interceptor.node import Node
from interceptor.review.pages.missed import missed_orders
from interceptor.simulate.fhir_record import IDENTIFIER_SYSTEM
from interceptor.simulate.fhir_server import Fault, SimulatedFhirServer, serving
from tests.support.command import run_command
from tests.support.fhir import record
from tests.support.mllp_peer import until
from tests.support.node import Events, Filler, Placer, filler, node_config, node_of, placer_of
from tests.support.orders import CHEST_FILM, COMPLETE, order


@dataclass(frozen=True)
class Site:
    """A node between a placer and a filler, and the FHIR server that it asks."""

    node: Node
    placer: Placer
    filler: Filler
    fhir: SimulatedFhirServer
    events: Events

    async def ask(self, command: str, **arguments: Any) -> Any:
        return await request_async(self.node.control_socket, command, **arguments)

    async def held(self) -> int:
        return len([one for one in self.node.custody.index.orders() if one.state is OrderState.HELD])

    async def missed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.ask("held_retrospective"))["missed"]
        return found


@asynccontextmanager
async def site_of(
    folder: Path,
    *,
    resources: list[dict[str, Any]] | None = None,
    tls: SSLContext | None = None,
    fhir: dict[str, Any] | None = None,
    registry: bool = False,
    assigning_authority: str = "",
    **changes: Any,
) -> AsyncIterator[Site]:
    """A site whose node enforces; *changes* are of the route, *fhir* of [fhir.epic], *tls* is the FHIR server's."""
    events = Events()
    async with serving(record() if resources is None else resources, tls=tls) as server, filler() as far:
        table = FhirTable.model_validate(
            {"base_url": server.base_url, "systems": {"HOSP": IDENTIFIER_SYSTEM}, **(fhir or {})}
        )
        tables = {
            "fhir": {"epic": table},
            "registry": RegistryTable(enabled=registry, assigning_authority=assigning_authority),
        }
        config = node_config(folder, filler_port=far.port, **changes).model_copy(update=tables)
        async with node_of(config, events) as node, placer_of(node) as placer:
            yield Site(node, placer, far, server, events)


def undiagnosed(number: str = "P1", **changes: Any) -> bytes:
    """An order that says nothing of cancer."""
    return order(number, diagnoses=(), **changes)


async def test_an_order_whose_cancer_is_known_only_from_fhir_is_held(tmp_path: Path) -> None:
    async with site_of(tmp_path) as site:
        assert b"MSA|AA|CP1" in await site.placer.exchange(undiagnosed())
        answer = await site.ask("held_list")
        shown = await site.ask("held_show", entry=answer["orders"][0]["entry"])
        assert site.filler.received == []
    assert shown["decision"]["lookup"] == "ok"
    found = [one for one in shown["decision"]["evidence"] if (one["source"], one["fact"]) == ("fhir", "oncology")]
    assert [(one["code"], one["date"]) for one in found] == [("C79.51", "2025-11-03")]


async def test_a_number_without_authority_is_asked_for_under_the_default(tmp_path: Path) -> None:
    """By FHIR in time, and after a late answer by the retrospective check, which must mean the same patient."""
    bare = undiagnosed().replace(b"1001^^^HOSP^MR", b"1001")
    async with site_of(tmp_path / "with", assigning_authority="HOSP", lookup_budget_seconds=0.1) as site:
        site.fhir.fault, site.fhir.slow_seconds = Fault.SLOW, 0.15
        await site.placer.exchange(bare)
        async with asyncio.timeout(10):
            while not await site.missed():  # noqa: ASYNC110 - asked as a person would
                await asyncio.sleep(0.02)
        await site.placer.exchange(bare.replace(b"P1", b"P2"))
        assert await site.held() == 1
    async with site_of(tmp_path / "without") as site:
        await site.placer.exchange(bare)
        assert b"A-UNKNOWN-ONC" in site.filler.received[0]
        assert site.fhir.requests == []


async def test_a_patient_without_cancer_passes_unchanged(tmp_path: Path) -> None:
    async with site_of(tmp_path, resources=record(code="I10")) as site:
        await site.placer.exchange(undiagnosed())
        assert site.filler.received == [undiagnosed()]


async def test_only_orders_whose_decision_needs_it_cost_a_question(tmp_path: Path) -> None:
    async with site_of(tmp_path) as site:
        for number, procedure in enumerate((CHEST_FILM, COMPLETE)):
            await site.placer.exchange(undiagnosed(f"P{number}", procedure=procedure))
        assert len(site.filler.received) == 2
        assert site.fhir.requests == []


@pytest.mark.fault(24)
@pytest.mark.hazard("H8")
async def test_a_slow_server_costs_an_order_the_budget_and_the_hold_is_found_afterwards(tmp_path: Path) -> None:
    """Annotated A-UNKNOWN-ONC in time; the late answer is kept, the order listed as a missed hold, the next one held."""
    async with site_of(tmp_path, lookup_budget_seconds=0.1) as site:
        site.fhir.fault, site.fhir.slow_seconds = Fault.SLOW, 0.15
        began = time.monotonic()
        assert b"MSA|AA|CP1" in await site.placer.exchange(undiagnosed())
        assert time.monotonic() - began < 2.0
        (forwarded,) = site.filler.received
        assert b"A-UNKNOWN-ONC" in forwarded
        assert b"no cancer" not in forwarded.lower()
        async with asyncio.timeout(10):
            while not (missed := await site.missed()):  # noqa: ASYNC110 - asked as a person would
                await asyncio.sleep(0.02)
        assert [one["placer_order_number"] for one in missed[0]["orders"]] == ["P1"]
        assert missed[0]["orders"][0]["reason"] == "H-REGIONAL"
        (shown,) = missed_orders(missed, datetime.now(UTC))
        assert (shown.patient, shown.placer_order_number.partition("^")[0]) == ("TESTPATIENT, JANE", "P1")
        assert "cancer" in shown.why
        assert "missed_hold_found" in site.events.names()
        await site.placer.exchange(undiagnosed("P2"))
        assert await site.held() == 1
        assert site.fhir.count("Patient") == 1
        assert b'interceptor_retrospective_messages_total{result="missed_hold"} 1' in site.node.metrics.render()


FLOWING = tuple(
    fault for fault in Fault if fault not in (Fault.NONE, Fault.OFF_ORIGIN_NEXT, Fault.CIRCLE, Fault.OUTCOME_IN_BUNDLE)
)


@pytest.mark.fault(25)
@pytest.mark.hazard("H9")
@pytest.mark.parametrize("fault", FLOWING)
async def test_whatever_the_server_does_orders_flow_and_say_so(tmp_path: Path, fault: Fault) -> None:
    """Twenty orders of twenty patients: all arrive in order and in time, annotated; the requests are few."""
    people = [one for number in range(20) for one in record(f"3{number:03d}")]
    async with site_of(tmp_path, resources=people, lookup_budget_seconds=0.1) as site:
        site.fhir.fault = fault
        sent = [undiagnosed(f"P{number}", patient=f"3{number:03d}") for number in range(20)]
        began = time.monotonic()
        for content in sent:
            assert b"MSA|AA|" in await site.placer.exchange(content)
        assert time.monotonic() - began < 20 * 0.1 + 10
        assert len(site.filler.received) == 20
        assert all(b"A-UNKNOWN-ONC" in content for content in site.filler.received)
        # One question of each patient, each of at most four requests with one of them tried twice.
        assert len(site.fhir.requests) <= 20 * 5
        if fault in (Fault.SERVER_ERROR, Fault.UNAVAILABLE, Fault.OUTCOME, Fault.NOT_JSON, Fault.RATE_LIMITED):
            # Five failures, each tried twice, open the breaker; a question or two may be under way by then.
            assert len(site.fhir.requests) <= 14, "the breaker opens after five failures"
            assert "source_lost" in site.events.names()
            assert [reason.value for reason in site.node.health.degraded] == ["lookup_fails"]


async def test_missed_holds_are_found_when_a_server_comes_back(tmp_path: Path) -> None:
    """Away for five orders of five patients; each is decided again, the one without cancer is forgotten."""
    people = [one for number in range(4) for one in record(f"3{number:03d}")]
    options = {"breaker_failures": 3, "breaker_pause_seconds": 0.2, "breaker_pause_seconds_max": 0.2}
    async with site_of(tmp_path, resources=[*people, *record("3004", code="I10")], fhir=options) as site:
        site.fhir.fault = Fault.SERVER_ERROR
        for number in range(5):
            await site.placer.exchange(undiagnosed(f"P{number}", patient=f"3{number:03d}"))
        assert len(site.fhir.requests) <= 4
        site.fhir.fault = Fault.NONE
        await asyncio.sleep(0.25)
        await site.placer.exchange(undiagnosed("P9", patient="3000"))
        assert await site.held() == 1
        await until(lambda: b'_messages_total{result="clear"} 1' in site.node.metrics.render())
        numbers = {order["placer_order_number"] for one in await site.missed() for order in one["orders"]}
        assert numbers == {"P0", "P1", "P2", "P3"}
        assert site.node.health.degraded == frozenset()


async def test_what_a_server_said_is_in_the_registry_when_it_is_away(tmp_path: Path) -> None:
    """Told once, then restarted and asked while the server is down: held by what the registry kept."""
    async with site_of(tmp_path, registry=True) as site:
        await site.placer.exchange(undiagnosed("P1"))
        assert await site.held() == 1
        await until(lambda: b'source_answers_total{result="ok",source="epic"} 1' in site.node.metrics.render())
    async with site_of(tmp_path, registry=True) as site:
        site.fhir.fault = Fault.SERVER_ERROR
        await site.placer.exchange(undiagnosed("P2"))
        assert await site.held() == 2
        orders = (await site.ask("held_list"))["orders"]
        newest = max(order["entry"] for order in orders)
        decision = (await site.ask("held_show", entry=newest))["decision"]
        assert site.filler.received == []
    assert {one["source"] for one in decision["evidence"] if one["fact"] == "oncology"} == {"registry"}


CANARY = "ZEBRACANARY"


@pytest.mark.hazard("H14")
async def test_nothing_of_a_patient_is_in_logs_metrics_or_events(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every logger at its noisiest, every fault once, identifiers and names that are easy to find."""
    people = record("1001")
    people[0]["identifier"][0]["value"] = f"{CANARY}1"
    people[0]["name"] = [{"family": f"{CANARY}2"}]
    people[1]["code"]["text"] = f"{CANARY}3"
    caplog.set_level(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(("asyncio", "http", "stamina")):
            logging.getLogger(name).disabled = False
    options = {"negative_seconds": 0.0, "fresh_seconds": 0.0, "revalidate_seconds": 0.0, "breaker_failures": 1000}
    async with site_of(tmp_path, resources=people, fhir=options, lookup_budget_seconds=0.1) as site:
        site.fhir.slow_seconds = 0.15
        # The one that asks for a pause comes last.
        for number, fault in enumerate(sorted(Fault, key=lambda one: one is Fault.RATE_LIMITED)):
            site.fhir.fault = fault
            await site.placer.exchange(undiagnosed(f"{CANARY}4{number}", patient=f"{CANARY}1"))
        assert len(site.fhir.requests) > len(Fault)
        assert CANARY in str(site.fhir.requests), "the canary did reach the server"
        shown = site.node.metrics.render().decode() + repr(site.events.seen)
    assert CANARY not in shown + caplog.text
    assert not [one for one in caplog.records if one.name.startswith(("http", "stamina"))]


async def test_in_shadow_mode_nothing_waits_and_nothing_is_kept(tmp_path: Path) -> None:
    async with site_of(tmp_path, mode="shadow", lookup_budget_seconds=0.05) as site:
        site.fhir.fault = Fault.SERVER_ERROR
        await site.placer.exchange(undiagnosed())
        assert site.filler.received == [undiagnosed()]
        await until(
            lambda: b'{disposition="annotate",reason="A-UNKNOWN-ONC",route="orders"} 1' in site.node.metrics.render()
        )
        rows = await site.node.custody.journal.side_tables.read(  # type: ignore[attr-defined]  # of the SQLite journal
            lambda connection: list(connection.execute("SELECT count(*) FROM retrospective"))
        )
    assert rows == [(0,)]


async def test_what_was_noted_survives_a_restart_and_is_decided_then(tmp_path: Path) -> None:
    async with site_of(tmp_path) as site:
        site.fhir.fault = Fault.SERVER_ERROR
        await site.placer.exchange(undiagnosed())
        assert b"A-UNKNOWN-ONC" in site.filler.received[0]
    async with site_of(tmp_path) as site:
        await site.placer.exchange(undiagnosed("P2"))
        async with asyncio.timeout(10):
            while not (missed := await site.missed()):  # noqa: ASYNC110 - asked as a person would
                await asyncio.sleep(0.02)
    assert [one["placer_order_number"] for one in missed[0]["orders"]] == ["P1"]


async def test_a_person_lists_missed_holds_on_the_command_line(tmp_path: Path) -> None:
    async with site_of(tmp_path, lookup_budget_seconds=0.05) as site:
        list_missed = ("held", "list", "--retrospective", "--socket", str(site.node.control_socket))
        result = await asyncio.to_thread(run_command, *list_missed)
        assert (result.code, result.output) == (0, "No hold was missed.\n")
        site.fhir.fault, site.fhir.slow_seconds = Fault.SLOW, 0.1
        await site.placer.exchange(undiagnosed())
        await until(lambda: "missed_hold_found" in site.events.names())
        result = await asyncio.to_thread(run_command, *list_missed)
        assert "went on" in result.output
        assert "P1" in result.output
        assert "H-REGIONAL" in result.output
        as_json = (await asyncio.to_thread(run_command, *list_missed, "--json")).json_lines
    assert [(one["route"], one["number"]) for one in as_json] == [("orders", 1)]


async def test_a_node_whose_secret_is_missing_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match=r"fhir\.epic\.bearer_token_env: is empty"):
        async with site_of(tmp_path, fhir={"bearer_token_env": "INTERCEPTOR_NO_SUCH_VARIABLE"}):
            pass
