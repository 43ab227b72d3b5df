"""What rules and dashboards ask for is on a running node's page, which Prometheus' own tools find nothing wrong with."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.alert_rules import Selector, rules, run, selectors
from tests.support.full_node import FullNode, full_node, series_of
from tests.support.node import placer_of
from tests.support.orders import order
from tests.support.source_tree import ROOT, load_script

GRAFANA = ROOT / "deploy" / "grafana"
DASHBOARDS = sorted(GRAFANA.glob("*.json"))
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="apt-get install prometheus")


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression of every dashboard, with the place it stands."""
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel.get("targets", ()):
                yield f"{path.stem}: {panel['title']}", target["expr"]


def test_the_dashboards_are_the_generator_s() -> None:
    made = load_script(GRAFANA / "generate.py")
    expected = {f"{one.uid.removeprefix('interceptor-')}.json": made.render(one) for one in made.DASHBOARDS}
    assert {path.name: path.read_text(encoding="utf-8") for path in DASHBOARDS} == expected, "run ./dev docs"
    assert len(expected) == 3


@needs_promtool
def test_promtool_parses_every_expression_of_every_dashboard(tmp_path: Path) -> None:
    plain = [
        re.sub(r"\$(job|instance)", ".+", expression.replace("$__rate_interval", "5m"))
        for _, expression in expressions()
    ]
    assert len(plain) > 60
    recorded = [{"record": f"dashboard:expression:n{number}", "expr": one} for number, one in enumerate(plain)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": recorded}]}))
    assert f"SUCCESS: {len(plain)} rules found" in run("promtool", "check", "rules", "rules.yml", folder=tmp_path)


def test_no_panel_covers_another() -> None:
    for path in DASHBOARDS:
        taken: set[tuple[int, int]] = set()
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, f"{path.stem}: {panel['title']}"
            taken |= cells


async def test_every_series_that_rules_and_dashboards_ask_for_is_on_a_running_node_s_page(tmp_path: Path) -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    async with full_node(tmp_path) as running:
        page = await running.page()
    shown = [(name, dict(labels)) for name, labels in series_of(page)]
    asked = [(rule.get("alert", rule.get("record", "")), rule["expr"]) for rule in rules()]
    for where, expression in (*asked, *expressions()):
        for selector in (*selectors(expression), *process_selectors(expression)):
            found = [labels for name, labels in shown if name == selector.name and selector.selects(labels)]
            assert found, f"{where} asks for {selector}"
        assert set(re.findall(r"\binterceptor:[a-z0-9_:]+", expression)) <= recorded, where


def process_selectors(expression: str) -> list[Selector]:
    """The library's own metrics that an expression asks for."""
    return [Selector(name, ()) for name in re.findall(r"\bprocess_[a-z_]+", expression)]


@needs_promtool
async def test_promtool_finds_nothing_wrong_with_a_running_node_s_page(tmp_path: Path) -> None:
    async with full_node(tmp_path) as running:
        async with placer_of(running.node) as placer:
            await placer.exchange(order("P1"))
        page = await running.page()
    assert await asyncio.to_thread(checked, page) == (0, b"")


def checked(page: str) -> tuple[int, bytes]:
    """How promtool ended on a page, and everything it printed."""
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(command, input=page.encode(), capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


HOSTILE = (
    ("MSH-3", 2, "ATTACKER{n}"),
    ("MSH-4", 3, "FACILITY{n}"),
    ("MSH-5", 4, 'ris"}} 1\ninterceptor_fake{{a="{n}'),
    ("MSH-9", 8, "Z{n:02d}^Z{n:02d}"),
    ("MSH-9 odd", 8, 'ORM{n}\\^\\"{n}'),
    ("MSH-10", 9, "{n}" + "x" * 500),
    ("MSH-11", 10, "Q{n}"),
    ("MSH-12", 11, "9.{n}"),
)


@pytest.mark.fault(50)
@pytest.mark.hazard("H14")
async def test_whatever_stands_in_msh_no_new_series_comes_of_it(tmp_path: Path) -> None:
    async with full_node(tmp_path) as running:
        async with placer_of(running.node) as placer:
            await placer.exchange(order("P1"))
        before = await running.series()
        for route in ("orders", "stored", "adt"):
            async with placer_of(running.node, route) as placer:
                for _, index, pattern in HOSTILE:
                    for number in range(5):
                        await placer.exchange(
                            with_field(order(f"{index}N{number}", patient=f"{number}"), index, pattern.format(n=number))
                        )
        after = await running.series()
        page = await running.page()
    assert after.keys() == before.keys()
    for word in ("ATTACKER", "FACILITY", "interceptor_fake", "xxxx"):
        assert word not in page
    assert sum(value for (name, _), value in after.items() if name == "interceptor_messages_total") >= 3 * 5 * len(
        HOSTILE
    )


def with_field(raw: bytes, index: int, text: str) -> bytes:
    """An order whose MSH has this text at the index of its fields, counted from the segment's name."""
    head, _, rest = raw.partition(b"\r")
    fields = head.split(b"|")
    fields[index] = text.replace("\n", "").encode()
    return b"|".join(fields) + b"\r" + rest


@pytest.mark.fault(50)
async def test_in_a_storm_of_scrapes_every_order_is_answered_and_the_loop_never_stands_still(tmp_path: Path) -> None:
    async with full_node(tmp_path) as running:
        async with placer_of(running.node) as placer, asyncio.TaskGroup() as group:
            storm = [group.create_task(scrape(running, 60)) for _ in range(4)]
            answered = 0
            while not all(scraper.done() for scraper in storm):
                answered += b"MSA|AA" in await placer.exchange(order(f"S{answered}", patient=f"{answered}"))
        series = await running.series()
    assert answered > 0
    assert series["interceptor_scrapes_total", ()] == 4 * 60
    lag = "interceptor_event_loop_lag_seconds"
    assert series[f"{lag}_bucket", (("le", "1.0"),)] == series[f"{lag}_count", ()]


async def scrape(running: FullNode, times: int) -> None:
    for _ in range(times):
        assert "interceptor_ready 1.0" in await running.page()


async def test_an_order_in_a_character_set_that_nobody_knows_is_counted(tmp_path: Path) -> None:
    async with full_node(tmp_path) as running:
        async with placer_of(running.node) as placer:
            await placer.exchange(order("P0", patient="2"))
            await placer.exchange(padded(order("P1"), "KLINGON"))
        series = await running.series()
    assert series["interceptor_unknown_charsets_total", (("route", "orders"),)] == 1


def padded(raw: bytes, charset: str) -> bytes:
    """An order whose MSH-18 says this."""
    head, _, rest = raw.partition(b"\r")
    return head + b"|" * 6 + charset.encode() + b"\r" + rest


async def test_a_node_that_has_just_started_alarms_nobody(tmp_path: Path) -> None:
    """Gauges that an alert looks at are as they are in a sound node before anything came."""
    async with full_node(tmp_path) as running:
        page = series_of(await running.page())
    assert page["interceptor_config_last_reload_successful", ()] == 1
    assert page["interceptor_ready", ()] == 1
    wrong = {
        "interceptor_degraded",
        "interceptor_breaker_open",
        "interceptor_source_breaker_open",
        "interceptor_dead_letters",
    }
    assert [name for (name, labels), value in page.items() if name in wrong and value] == []
