"""Another configuration under a running node: taken whole between two messages, or refused with every reason and nothing changed."""

import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from interceptor.config.load import load_config
from interceptor.config.mappings import find_mappings
from interceptor.control.client import request_async
from interceptor.node import Node, running_node
from tests.support.metric_page import sample
from tests.support.node import Events, Filler, Placer, filler, placer_of
from tests.support.orders import order
from tests.support.supervised_node import film

CONFIG = """
[node]
data_directory = "data"
mappings = "mappings"
control_socket = "c/s"
{node}
[metrics]
listen = "127.0.0.1:0"
[route.orders]
listen = "127.0.0.1:0"
destination = "ris"
mode = "enforce"
{route}
[destination.ris]
address = "127.0.0.1:{port}"
[hold]
set_window_seconds = 0.0
{hold}
"""


@dataclass
class Place:
    """A node with its configuration file, a placer and a filler."""

    folder: Path
    node: Node
    placer: Placer
    ris: Filler
    events: Events

    def write(self, *, node: str = "", route: str = "", hold: str = "") -> None:
        text = CONFIG.format(port=self.ris.port, node=node, route=route, hold=hold)
        (self.folder / "interceptor.toml").write_text(text, encoding="utf-8")

    async def reload(self, **arguments: object) -> Mapping[str, Any]:
        return await request_async(
            self.node.control_socket, "reload", timeout_seconds=60, **{"actor": "ann", **arguments}
        )

    async def ask(self, command: str, **arguments: object) -> Mapping[str, Any]:
        return await request_async(self.node.control_socket, command, timeout_seconds=60, **arguments)

    def successful(self) -> float:
        return sample(self.node.metrics.render(), "interceptor_config_last_reload_successful")


@asynccontextmanager
async def place_of(folder: Path) -> AsyncIterator[Place]:
    shutil.copytree(find_mappings(), folder / "mappings", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    events = Events()
    async with filler() as ris:
        path = folder / "interceptor.toml"
        path.write_text(CONFIG.format(port=ris.port, node="", route="", hold=""), encoding="utf-8")
        config = load_config(path)
        async with running_node(config, log=events.log, source=path) as node, placer_of(node) as placer:
            yield Place(folder, node, placer, ris, events)


@pytest.mark.hazard("H24")
async def test_a_reload_is_in_force_from_the_next_message_on_the_same_connection(tmp_path: Path) -> None:
    async with place_of(tmp_path) as place:
        assert b"MSA|AA|" in await place.placer.exchange(film("A1"))
        place.write(route="strict_inbound = true")
        report = await place.reload()
        assert (report["applied"], report["problems"], report["changed"]) == (True, [], ["route.orders.strict_inbound"])
        # What is no HL7 message does not go to the filler any more.
        await place.placer.send(b"no HL7 message")
        assert b"MSA|AA|" in await place.placer.exchange(film("A2"))
        assert place.ris.received == [film("A1"), film("A2")]
        assert "config_reloaded" in place.events.names()
        assert place.successful() == 1
        audit = (await place.node.custody.journal.audit_rows(entry_id=None, limit=100))[-1]
        assert (audit.actor, audit.action) == ("user:ann", "config_reloaded")
        assert audit.detail["keys"] == ["route.orders.strict_inbound"]


@pytest.mark.fault(27)
@pytest.mark.hazard("H24", "H9")
@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        ({"route": 'mood = "x"'}, "route.orders.mood: unknown key"),
        ({"route": 'custody = "store"'}, "route.orders.custody: cannot be changed while the node runs"),
        ({"node": 'policy = "nobody"'}, "nobody.toml"),
        ({"route": "strict_inbound = true\nconnections_max = 3\nconnections_per_address_max = 2"}, "connections_max"),
    ],
    ids=["wrong key", "a key that cannot change", "no such policy", "one key that can and one that cannot"],
)
async def test_a_reload_that_is_refused_changes_nothing_and_says_so(
    tmp_path: Path, tables: dict[str, str], problem: str
) -> None:
    async with place_of(tmp_path) as place:
        place.write(**tables)
        report = await place.reload()
        assert report["applied"] is False
        assert any(problem in one for one in report["problems"]), report["problems"]
        assert b"MSA|AA|" in await place.placer.exchange(film("A1"))
        assert place.successful() == 0
        assert "config_old" in place.node.health.degraded
        assert "config_refused" in place.events.names()
        # The file is mended: what is old is in force again, and that is said too.
        place.write()
        assert (await place.reload())["applied"] is True
        assert place.successful() == 1
        assert "config_old" not in place.node.health.degraded


@pytest.mark.fault(27)
@pytest.mark.hazard("H24")
async def test_content_that_would_hold_far_more_of_the_last_orders_has_to_be_confirmed(tmp_path: Path) -> None:
    async with place_of(tmp_path) as place:
        policy = tmp_path / "mappings" / "policies" / "spine-oncology.toml"
        strict = policy.read_text(encoding="utf-8")
        # An evening in which nothing was held: every row that holds only annotates.
        policy.write_text(strict.replace('decides = "hold"', 'decides = "annotate"'), encoding="utf-8")
        assert (await place.reload())["applied"] is True
        for number in range(6):
            await place.placer.exchange(order(f"A{number}", control_id=f"C{number}"))
        assert (await place.ask("held_list"))["orders"] == []
        policy.write_text(strict, encoding="utf-8")
        looked = await place.reload(check=True)
        assert (looked["applied"], looked["summary"]) == (False, {"annotate -> hold": 6})
        refused = await place.reload()
        assert "would hold 6 of the last 6 orders, the running content 0" in refused["problems"][0]
        await place.placer.exchange(order("B1", control_id="B1"))
        assert (await place.ask("held_list"))["orders"] == []
        taken = await place.reload(accept_holds=True)
        assert taken["applied"] is True
        assert taken["decisions"][0]["placer_order_number"] == "A0"
        await place.placer.exchange(order("B2", control_id="B2"))
        held = (await place.ask("held_list"))["orders"]
        assert [one["placer_order_number"] for one in held] == ["B2"]


@pytest.mark.hazard("H24", "H26")
async def test_an_order_that_was_held_stays_held_whatever_is_reloaded(tmp_path: Path) -> None:
    async with place_of(tmp_path) as place:
        await place.placer.exchange(order("A1"))
        place.write(node='profile = "strict"', hold="deadline_business_hours = 2.0")
        report = await place.reload(accept_holds=True)
        assert report["changed"] == ["node.profile", "hold.deadline_business_hours"]
        held = (await place.ask("held_list"))["orders"]
        assert [one["placer_order_number"] for one in held] == ["A1"]
