"""`interceptor demo`: one command, every verdict, a clean end."""

import os
import pty
import re
import select
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from interceptor.cli.demo import ScenarioWord
from interceptor.cli.demo_screen import PlainScreen, describe_row, summary_lines
from interceptor.config.load import load_config
from interceptor.simulate.demo import DemoOptions, Scenario, write_config
from interceptor.simulate.ledger import Ledger, Row, Verdict
from interceptor.simulate.story import Sent
from tests.support.command import ROOT, RunningCommand, run_command, running_command


def read_until(demo: RunningCommand, pattern: str) -> tuple[str, str]:
    """Lines up to the first that matches; all of them, and what the group matched."""
    lines = []
    while line := demo.read_line():
        lines.append(line)
        if found := re.search(pattern, line):
            return "\n".join(lines), found.group(1)
    pytest.fail(f"the demo ended before it printed {pattern}: {lines}")


def test_within_seconds_orders_pass_are_annotated_held_and_released() -> None:
    result = run_command("demo", "--duration", "9", "--rate", "8", "--no-browser")
    assert (result.code, result.errors) == (0, "")
    verdicts = set(re.findall(r"^ *\d+  (\w+)", result.output, flags=re.MULTILINE))
    assert verdicts >= {"passed", "annotated", "held", "released"}
    assert "Demo data: no patient in it exists." in result.output
    assert re.search(r"order \d+ was released, as `interceptor held release \d+` would", result.output)
    totals = re.search(r"(\d+) of them reached the filler, which received (\d+) messages in all\.", result.output)
    assert totals is not None
    assert totals[1] == totals[2], "with a filler in good health no message is sent twice"
    held = dict(
        re.findall(r"^ *\d+  held        (spine, cancer known .*?)  (H-\S+)", result.output, flags=re.MULTILINE)
    )
    assert set(held) == {"spine, cancer known from ADT or PPR", "spine, cancer known from FHIR"}
    known = re.search(r"known: (\d+) to the order itself, (\d+) to the registry .*, (\d+) to the FHIR", result.output)
    assert known is not None
    assert all(int(count) >= 1 for count in known.groups())


def test_with_the_log_asked_for_the_node_s_events_are_lines_for_people() -> None:
    result = run_command("demo", "--duration", "2", "--no-browser", "--log")
    assert result.code == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", result.errors)
    events = set(re.findall(r"^\S+Z \[\w+ *\] (\w+)", plain, flags=re.MULTILINE))
    assert {"journal_opened", "listener_opened"} <= events, plain[:500]
    assert "Demo data: no patient in it exists." in result.output


def test_the_printed_commands_work_and_ctrl_c_ends_it_with_a_summary(tmp_path: Path) -> None:
    order = tmp_path / "order.hl7"
    order.write_bytes(
        b"MSH|^~\\&|EHR|H|RIS|H|20260105||ORM^O01|MINE-1|T|2.3.1\rPID|1||99^^^H^MR||Fakerson^First||19620304|F\r"
        b"PV1|1|O\rORC|NW|MINE1^EHR|||||^^^^^R\r"
        b"OBR|1|MINE1^EHR||72148^MRI L SPINE WO^C4|||||||||||||||||||||||^^^^^R||||^breast ca, new LBP x 3 wks\r"
        b"DG1|1||C50.911^breast ca^I10\r"
    )
    with running_command("demo", "--rate", "0.5") as demo:
        _, metrics = read_until(demo, r"(http://\S+/metrics)")
        _, config = read_until(demo, r"held list -c (\S+)")
        _, port = read_until(demo, r"send FILE (\S+)")
        read_until(demo, r"(Ctrl-C)")
        with urllib.request.urlopen(metrics, timeout=10) as answer:
            assert b"interceptor_" in answer.read()
        assert run_command("send", order, port).output.startswith("1: ORM^O01 MINE-1 AA ")
        mine = [one for one in run_command("held", "list", "-c", config, "--json").json_lines if one["summary"]]
        entry = next(one["entry"] for one in mine if one["placer_order_number"].startswith("MINE1"))
        assert run_command("held", "release", str(entry), "-c", config, "--as", "ada").code == 0
        second = run_command("held", "release", str(entry), "-c", config)
        assert (second.code, second.errors.startswith("already released by ada at ")) == (1, True)
        demo.interrupt()
        code, output, errors = demo.wait()
    assert (code, errors) == (0, "")
    assert "messages sent:" in output
    assert not Path(config).parent.exists(), "the temporary folder stays"


def test_on_a_terminal_it_draws_a_table() -> None:
    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "interceptor", "demo", "--duration", "3", "--rate", "5"],
        stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, env=os.environ | {"TERM": "xterm", "COLUMNS": "120"},
    ) as process:  # fmt: skip
        os.close(slave)
        shown = b""
        while select.select([master], [], [], 60)[0]:
            try:
                shown += os.read(master, 65536)
            except OSError:
                break  # The other side has closed: the demo has ended.
        os.close(master)
    assert process.returncode == 0
    text = shown.decode("utf-8")
    for words in ("verdict", "spine, cancer, one region", "held", "messages sent:"):
        assert words in text


@pytest.mark.parametrize("scenario", Scenario)
def test_every_scenarios_configuration_is_sound_and_enforces(tmp_path: Path, scenario: Scenario) -> None:
    place = write_config(
        DemoOptions(folder=tmp_path, scenario=scenario), filler_port=2576, fhir_url="http://127.0.0.1:9/r4"
    )
    config = load_config(place.config_file)
    assert config.route["demo"].mode == "enforce"
    assert config.route["demo"].listen.port == place.route_port
    assert len({place.route_port, place.metrics_port, place.filler_port, place.feed_port}) == 4


def test_a_plain_line_is_printed_once_for_each_verdict_that_a_message_has() -> None:
    lines: list[str] = []
    screen = PlainScreen(lines.append)
    row = Row(number=3, sent=Sent(kind="spine", control_id="1", raw=b""), verdict=Verdict.HELD, reasons=("H-REGIONAL",))
    screen.changed(row)
    screen.changed(row)
    row.verdict = Verdict.RELEASED
    screen.changed(row)
    assert lines == ["    3  held        spine  H-REGIONAL", describe_row(row)]


def test_an_empty_run_is_summed_up_too() -> None:
    assert summary_lines(Ledger())[0] == "0 messages sent: none."


def test_the_scenarios_of_the_command_are_those_of_the_demo() -> None:
    assert [word.value for word in ScenarioWord] == [scenario.value for scenario in Scenario]
