"""Every story that ships goes through the real program with marked patients: nothing that operations see shows a mark."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from interceptor.simulate.fhir_record import IDENTIFIER_SYSTEM
from interceptor.simulate.fhir_server import Fault, SimulatedFhirServer, serving
from interceptor.wire.frame import encode_frame
from tests.support.canary import MARKS, assert_clean, assert_reached, found_in, planted, unreadable
from tests.support.clinical import shipped_vignettes
from tests.support.command import run_command
from tests.support.fhir import record
from tests.support.node import Filler, filler, reply
from tests.support.supervised_node import SupervisedNode

pytestmark = pytest.mark.timeout(300)
TABLES = """
[fhir.epic]
base_url = "{base_url}"
systems = {{ HOSP = "{system}" }}
negative_seconds = 0.0
fresh_seconds = 0.0
breaker_failures = 1000
breaker_pause_seconds = 0.1
breaker_pause_seconds_max = 0.1
[registry]
assigning_authority = "HOSP"
"""


def stories() -> Iterator[bytes]:
    """Every message of every vignette, marked; each story is about a patient and orders of its own."""
    for number, vignette in enumerate(shipped_vignettes()):
        yield from (planted(message, f"{number}N") for message in vignette.messages)


async def send(port: int, messages: list[bytes], *, seconds: float = 3.0) -> bytes:
    """Send over one connection, each after the answer to the one before; what came back. Silence is an answer too."""
    received = b""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024 * 1024)
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        for message in messages:
            writer.write(encode_frame(message))
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    received += await reader.readuntil(b"\x1c\r")
    writer.close()
    return received


def marked_record() -> list[dict[str, object]]:
    """A patient of the FHIR server whose every text is marked."""
    people = record("1001")
    people[0]["name"] = [{"family": MARKS["name"]}]
    people[0]["identifier"][0]["value"] = f"{MARKS['number']}1001"
    people[1]["code"]["text"] = MARKS["diagnosis"]
    return people


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[tuple[SupervisedNode, Filler, SimulatedFhirServer]]:
    """The program as it is run, below its supervisor, with peers that can misbehave."""
    async with serving(marked_record(), slow_seconds=2.0) as server, filler() as ris:
        supervised = SupervisedNode(folder, filler_port=ris.port, window=0.0)
        with supervised.config.open("a", encoding="utf-8") as file:
            file.write(TABLES.format(base_url=server.base_url, system=IDENTIFIER_SYSTEM))
        async with supervised.running():
            yield supervised, ris, server


@pytest.mark.hazard("H14")
async def test_nothing_of_any_patient_is_in_logs_metrics_addresses_or_errors(tmp_path: Path) -> None:
    async with site(tmp_path) as (node, ris, server):
        port = node.placer_port
        answers = await send(port, list(stories()))
        assert_reached(answers, "control id")
        for fault in Fault:
            server.fault = fault
            await send(port, [without_cancer(f"{fault.value}")])
        server.fault = Fault.NONE
        for broken in unreadable():
            await send(port, [broken], seconds=0.5)
        await misbehave(ris, port)
        page = await asyncio.to_thread(read, f"http://127.0.0.1:{node.metrics_port}/metrics")
        health = await asyncio.to_thread(read, f"http://127.0.0.1:{node.metrics_port}/readyz?verbose")
        command = await asyncio.to_thread(everything_that_commands_say_without_a_right, node, tmp_path)
        log = (tmp_path / "log").read_text(encoding="utf-8")
        held = (await node.ask("held_list"))["orders"]
    assert_reached(b"\r".join(ris.received), "number", "name", "birth date", "order", "reason", "diagnosis", "note")
    assert "number" in found_in(str(server.requests)), "patients were asked for"
    assert "number" in found_in(json.dumps(held)), "a reviewer sees whom it is about"
    assert len(held) > 20
    targets = "\n".join(request.target for request in server.requests)
    assert_clean(log=log, page=page, health=health, command=command, targets=targets)
    events = {event["event"] for event in node.events()}
    assert {"order_held", "message_quarantined", "source_answer_refused", "annotation_refused"} <= events


def without_cancer(word: str) -> bytes:
    """An order whose patient must be asked for."""
    lines = (
        f"MSH|^~\\&|EPIC|HOSP|RIS|HOSP|20260302101500||ORM^O01|{word}|T|2.3.1",
        "PID|1||1001^^^HOSP^MR||X||19680101|F",
        f"ORC|NW|{word}^EPIC",
        f"OBR|1|{word}^EPIC||72148^MRI L SPINE WO^C4||||||||||||||||||||||||||||new LBP x 2 wks",
    )
    return planted("\r".join(lines).encode() + b"\r")


async def misbehave(ris: Filler, port: int) -> None:
    """The filler refuses, answers for another message, answers nonsense, says nothing."""
    mark = MARKS["name"].encode()
    replies = (
        lambda content: reply(content, b"AE").replace(b"MSA|", b"NTE|1||" + mark + b"\rMSA|"),
        lambda _content: encode_frame(b"MSH|^~\\&|RIS|RAD|EHR|HOSP|20260101||ACK|A1|P|2.3.1\rMSA|AA|" + mark + b"\r"),
        lambda _content: encode_frame(mark),
        lambda _content: None,
    )
    first = next(iter(vignette for vignette in shipped_vignettes() if vignette.name == "N-asap-pain"))
    for number, answer in enumerate(replies):
        ris.answer = answer
        message = first.messages[0].replace(b"PLC2000", f"MIS{number}".encode())
        await send(port, [planted(message)], seconds=6.0)
    ris.answer = lambda content: reply(content, b"AA")


def read(address: str) -> str:
    with urllib.request.urlopen(address, timeout=20) as answer:
        return str(answer.read().decode())


def everything_that_commands_say_without_a_right(node: SupervisedNode, folder: Path) -> str:
    """What commands print that are not there to show an order: errors, summaries, checks."""
    broken = folder / "broken.hl7"
    broken.write_bytes(next(unreadable()))
    half = folder / "half.hl7"
    half.write_bytes(planted(b"PID|1||1^^^HOSP^MR||X\rOBR|1\r"))
    config = str(node.config)
    commands = (
        ("held", "show", "999999", "-c", config),
        ("held", "release", "999999", "--reason", "x", "-c", config),
        ("journal", "show", "--json", "-c", config),
        ("journal", "verify", "-c", config),
        ("journal", "dead", "list", "-c", config),
        ("registry", "stats", "-c", config),
        ("explain", str(broken)),
        ("inspect", str(broken)),
        ("explain", str(half)),
        ("send", str(half), "127.0.0.1:1"),
        ("check", "-c", config),
    )
    said = ""
    for command in commands:
        done = run_command(*command)
        said += done.errors if command[0] in ("explain", "inspect", "send") else done.output + done.errors
    return said


async def test_a_process_that_has_patients_in_its_memory_leaves_no_core_file(tmp_path: Path) -> None:
    async with filler() as ris:
        node = SupervisedNode(tmp_path, filler_port=ris.port)
        async with node.running():
            pid = node.pid()
            assert pid is not None
            limits = Path(f"/proc/{pid}/limits").read_text(encoding="ascii")
    (core,) = [line.split() for line in limits.splitlines() if line.startswith("Max core file size")]
    assert core[4:6] == ["0", "0"]


def test_the_search_finds_what_it_is_for() -> None:
    everything = (
        b"".join(stories()) + b"".join(unreadable()) + planted(b"AL1|1||x\rNK1|1|a|||b\rPID|1||1^^^H\rORC|NW|1|2\r")
    )
    assert set(found_in(everything)) >= set(MARKS) - {"observation", "accession"}
    with pytest.raises(AssertionError, match="log shows the birth date"):
        assert_clean(log=f'{{"event":"x","born":"{MARKS["birth date"]}"}}')
