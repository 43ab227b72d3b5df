"""`interceptor registry` as a person or a script runs it: offline into the journal's file or database, or through a running node."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from interceptor.config.schema import Config, FeedTable, RegistryTable
from interceptor.journal.sqlite import journal_path
from tests.support.any_database import database_of
from tests.support.cluster import on_database
from tests.support.cluster_site import database_table
from tests.support.command import CommandResult, run_command
from tests.support.feed_message import diagnosis, feed_message, visit
from tests.support.node import filler, node_config, node_of, placer_of
from tests.support.orders import order
from tests.support.registry_file import open_registry

on_both_databases = pytest.mark.usefixtures("database")

CSV = "patient_id,assigning_authority,birth_date,sex,code,description,status\n1001,HOSP,1968-01-01,F,C50.911,Breast cancer,{}\n"
CONDITION = {
    "resourceType": "Condition", "id": "c1", "subject": {"reference": "Patient/p1"},
    "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "C50.911"}]},
}  # fmt: skip
PATIENT = {
    "resourceType": "Patient", "id": "p1", "birthDate": "1968-01-01", "gender": "female",
    "identifier": [{"system": "urn:oid:1.2.3", "value": "1001", "type": {"coding": [{"code": "MR"}]}}],
}  # fmt: skip
ORDER = order("77", diagnoses=())


def config_file(folder: Path) -> Path:
    """A configuration whose socket's path is short enough."""
    path = folder / "node.toml"
    path.write_text(
        f"""
[node]
data_directory = "{folder / "data"}"
control_socket = "{folder / "c" / "s"}"
{database_table(database_of(journal_path(folder / "data")), folder)}[registry]
enabled = true
authorities = {{ "urn:oid:1.2.3" = "HOSP" }}
[route.orders]
listen = "127.0.0.1:0"
destination = "ris"
[destination.ris]
address = "127.0.0.1:9"
"""
    )
    return path


def registry(folder: Path, *arguments: str | Path) -> CommandResult:
    return run_command("registry", *arguments, "-c", config_file(folder))


def imported(folder: Path, file: Path, *options: str) -> dict[str, Any]:
    done = registry(folder, "import", file, "--source", "list", "--json", *options)
    (summary,) = done.json_lines
    return summary | {"code": done.code, "errors": done.errors}


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content)
    return path


def node_of_file(folder: Path, *, filler_port: int) -> Config:
    """The same node, in this process."""
    config = node_config(folder / "data", filler_port=filler_port, node_control_socket=folder / "c" / "s")
    place = database_of(journal_path(folder / "data"))
    if place is not None:
        config = on_database(config, place, folder, name="one")
    return config.model_copy(
        update={
            "registry": RegistryTable(enabled=True, authorities={"urn:oid:1.2.3": "HOSP"}),
            "feed": {"adt": FeedTable.model_validate({"listen": "127.0.0.1:0"})},
        }
    )


async def is_held(folder: Path, number: str = "77") -> bool:
    """Whether a node on this registry holds a new order that states no diagnosis."""
    async with filler() as ris, node_of(node_of_file(folder, filler_port=ris.port)) as node:
        before = len(node.custody.index.orders())
        async with placer_of(node) as placer:
            await placer.exchange(order(number, diagnoses=()))
        return len(node.custody.index.orders()) > before


FILES = {
    "csv": lambda folder: write(folder, "list.csv", CSV.format("active")),
    "ndjson": lambda folder: write(folder, "x.ndjson", f"{json.dumps(CONDITION)}\n{json.dumps(PATIENT)}\n"),
    "bundle": lambda folder: write(
        folder,
        "x.json",
        json.dumps({"resourceType": "Bundle", "entry": [{"resource": PATIENT}, {"resource": CONDITION}]}, indent=1),
    ),
}


@pytest.mark.parametrize("kind", FILES)
async def test_an_order_is_held_for_a_cancer_that_only_an_import_knows(tmp_path: Path, kind: str) -> None:
    summary = await asyncio.to_thread(imported, tmp_path, FILES[kind](tmp_path))
    assert (summary["code"], summary["kind"], summary["bad"]) == (0, kind, 0)
    assert await is_held(tmp_path)


@pytest.mark.parametrize("status", ["entered-in-error", "resolved"])
async def test_what_a_later_import_resolves_or_takes_back_holds_nothing(tmp_path: Path, status: str) -> None:
    # A resolved cancer of the breast would still count, as one that comes back in the spine.
    colon = CSV.replace("C50.911,Breast", "C18.9,Colon")
    await asyncio.to_thread(
        imported, tmp_path, write(tmp_path, "a.csv", colon.format("active")), "--as-of", "2026-01-01"
    )
    assert await is_held(tmp_path)
    await asyncio.to_thread(imported, tmp_path, write(tmp_path, "b.csv", colon.format(status)), "--as-of", "2026-01-02")
    assert not await is_held(tmp_path, "78")


@on_both_databases
async def test_an_import_into_a_running_node_counts_for_the_next_order(tmp_path: Path) -> None:
    files = [FILES["csv"](tmp_path), FILES["ndjson"](tmp_path)]
    async with filler() as ris, node_of(node_of_file(tmp_path, filler_port=ris.port)) as node:
        for file in files:
            assert (await asyncio.to_thread(imported, tmp_path, file))["code"] == 0
        async with placer_of(node) as placer:
            await placer.exchange(ORDER)
        assert node.custody.index.orders()
        shown = await asyncio.to_thread(registry, tmp_path, "show", "1001^HOSP^MR", "--json")
        forgotten = await asyncio.to_thread(registry, tmp_path, "forget", "1001^HOSP^MR", "--yes", "--json")
    assert {fact["source"] for fact in shown.json_lines[0]["facts"]} == {"list"}
    assert forgotten.json_lines[0]["fact_count"] == 2


async def test_a_feed_and_an_import_tell_of_one_patient(tmp_path: Path) -> None:
    await asyncio.to_thread(imported, tmp_path, write(tmp_path, "a.csv", CSV.format("active")))
    config = node_of_file(tmp_path, filler_port=9)
    async with node_of(config) as node, placer_of(node, "adt") as sender:
        await sender.exchange(feed_message("ADT^A08", visit("V1"), diagnosis("C61^Prostate^I10")))
    shown = await asyncio.to_thread(registry, tmp_path, "stats", "--json")
    (stats,) = shown.json_lines
    assert {one["name"] for one in stats["sources"]} == {"list", "adt"}
    assert stats["facts"] == {"condition": 2}


def test_bad_rows_are_told_with_their_line_and_never_quoted(tmp_path: Path) -> None:
    file = write(tmp_path, "a.csv", CSV.format("active") + "1002,HOSP,CANARYDATE,F,C61,CANARYTEXT,active\n")
    done = registry(tmp_path, "import", file, "--source", "list")
    assert done.code == 1
    assert f"{file}:3: birth_date is not a date" in done.errors
    assert "2 rows (csv, utf-8): 1 recorded, 1 left out" in done.output
    assert "CANARY" not in done.output + done.errors


@on_both_databases
def test_a_complete_import_takes_back_what_it_leaves_out(tmp_path: Path) -> None:
    imported(tmp_path, write(tmp_path, "a.csv", CSV.format("active") + "2002,HOSP,,,C61,x,\n"), "--as-of", "2026-01-01")
    summary = imported(tmp_path, write(tmp_path, "b.csv", CSV.format("active")), "--complete", "--as-of", "2026-01-02")
    assert summary["complete"] is True
    (gone,) = registry(tmp_path, "show", "2002", "--json").json_lines
    (kept,) = registry(tmp_path, "show", "1001", "--json").json_lines
    assert [fact["current"] for fact in gone["facts"] + kept["facts"]] == [False, True]


@on_both_databases
def test_show_prints_everything_that_is_known(tmp_path: Path) -> None:
    imported(tmp_path, FILES["csv"](tmp_path))
    shown = registry(tmp_path, "show", "1001").output
    assert "identifiers  1001^HOSP" in shown
    assert "birth date   1968-01-01" in shown
    assert "icd10cm:C50.911 Breast cancer" in shown
    assert "[list, last" in shown
    assert "condition    1" in registry(tmp_path, "stats").output


def test_a_number_of_two_patients_has_to_be_said_in_full(tmp_path: Path) -> None:
    imported(tmp_path, write(tmp_path, "a.csv", CSV.format("active") + "1001,OTHER,,,C61,x,\n"))
    ambiguous = registry(tmp_path, "show", "1001")
    assert (ambiguous.code, "1001^HOSP, 1001^OTHER" in ambiguous.errors) == (2, True)
    assert registry(tmp_path, "show", "1001^other").code == 0
    assert registry(tmp_path, "show", "555").code == 1


@on_both_databases
async def test_forgetting_offline_is_audited_without_the_number(tmp_path: Path) -> None:
    await asyncio.to_thread(imported, tmp_path, FILES["csv"](tmp_path))
    done = await asyncio.to_thread(registry, tmp_path, "forget", "1001", "--yes", "--as", "ann")
    assert (done.code, done.output) == (0, "identifiers: 1, facts: 1, links: 0\n")
    assert (await asyncio.to_thread(registry, tmp_path, "show", "1001")).code == 1
    async with open_registry(journal_path(tmp_path / "data")) as (_, journal):
        (link,) = await journal.audit_rows()
    assert (link.action, link.actor) == ("patient_forgotten", "user:ann")
    assert "1001" not in str(link.detail)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--kind", "xml"), "--kind is one of"),
        (("--as-of", "yesterday"), "--as-of takes a time"),
        (("--kind", "bundle"), "is not JSON"),
    ],
)
def test_wrong_use_is_told(tmp_path: Path, arguments: tuple[str, ...], what: str) -> None:
    done = registry(tmp_path, "import", FILES["csv"](tmp_path), "--source", "list", *arguments)
    assert (done.code, what in done.errors) == (2, True)


def test_two_complete_files_are_refused(tmp_path: Path) -> None:
    files = [FILES["csv"](tmp_path), FILES["ndjson"](tmp_path)]
    done = registry(tmp_path, "import", *files, "--source", "list", "--complete")
    assert (done.code, "--complete takes one file" in done.errors) == (2, True)
