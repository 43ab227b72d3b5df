"""`interceptor registry`: fill the registry of patients from files, look into it, make it forget.

Looking reads the database file, beside a running node or without one. Writing goes through the running node, the only
writer; where none runs, the command takes the node's lock and writes the file itself.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from interceptor.cli.journal_file import opened_stored_journal, opening, place_name
from interceptor.cli.node_connection import ACTOR_OPTION, CONFIG_OPTION, JSON_OPTION, name_actor, read_config
from interceptor.cli.terminal import ExitCode, print_json, print_line, print_warning, printable, refuse

if TYPE_CHECKING:
    from interceptor.config.schema import Config
    from interceptor.evidence.import_file import ImportFile, ReadRow
    from interceptor.evidence.importing import ImportSummary
    from interceptor.evidence.registry import ImportPlace, KnownFact, Person
    from interceptor.evidence.registry_sql import SqlRegistry
    from interceptor.evidence.statement import PatientIdentifier, Statement
    from interceptor.journal.sql import SqlConnection

_T = TypeVar("_T")
_FILE_BATCH_SIZE = 5000
_NODE_BATCH_SIZE = 250
"""Small enough that a running node takes it between two orders."""
_NODE_BATCH_BYTES = 900_000
"""A request may have a MiB; half a batch of the longest statements fits."""
_NODE_ANSWER_SECONDS = 60.0
_BAD_ROWS_PRINTED = 20

FILES_ARGUMENT = typer.Argument(help="Files to import.", exists=True, dir_okay=False, readable=True)
IDENTIFIER_ARGUMENT = typer.Argument(
    metavar="ID", help="A patient's number, or NUMBER^AUTHORITY^TYPE where it is not the only one."
)


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(
        help="Fill and see the registry of patients' diagnoses.", no_args_is_help=True, rich_markup_mode=None
    )
    group.command("import")(import_files)
    group.command("show")(show)
    group.command("stats")(stats)
    group.command("forget")(forget)
    app.add_typer(group, name="registry")


def import_files(
    files: list[Path] = FILES_ARGUMENT,
    source: str = typer.Option(..., "--source", metavar="NAME", help="Where the files come from; shown as evidence."),
    kind: str = typer.Option("", "--kind", metavar="csv|ndjson|bundle", help="Found by name and content otherwise."),
    as_of: str = typer.Option(
        "", "--as-of", metavar="TIME", help="When the files were made; their own time otherwise."
    ),
    complete: bool = typer.Option(
        False, "--complete", help="The file is all that the source knows: what it leaves out is taken back."
    ),
    day_first: bool = typer.Option(False, "--day-first", help="01/02/2026 is the first of February."),
    config: Path | None = CONFIG_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Import diagnoses, allergies, kidney values and studies from CSV, FHIR NDJSON or Bundles.

    Bad rows are listed with their line and left out; the others are loaded. An import that was broken off goes on where
    it stopped; a file imported twice changes nothing. Exits with 1 when rows were left out.
    """
    if complete and len(files) > 1:
        refuse("--complete takes one file: each would take back what the others say.", code=ExitCode.WRONG_USE)
    loaded = read_config(config)
    readers = [_reader(path, kind, source, as_of, loaded, complete=complete, day_first=day_first) for path in files]
    bad_count = 0
    with _store_of(loaded, source) as store:
        for file, said_at, read in readers:
            summary = _import_one(file, read, store, complete_at=said_at if complete else None, quiet=as_json)
            bad_count += summary.bad_count
            _tell_import(file, summary, as_json=as_json)
            if complete and not summary.is_complete:
                print_warning(f"{file.path}: rows were left out, so nothing is taken back for being absent")
    if bad_count:
        raise typer.Exit(ExitCode.NO)


def show(
    identifier: str = IDENTIFIER_ARGUMENT, config: Path | None = CONFIG_OPTION, as_json: bool = JSON_OPTION
) -> None:
    """Show what is known of a patient: identifiers, and every fact with its source, days and whether it still stands."""
    from interceptor.evidence.registry_rows import load_person

    with _reading(read_config(config)) as connection:
        person = load_person(connection, (_find_identifier(connection, identifier),))
    assert person is not None, "the identifier was found in the same file"
    if as_json:
        print_json(_person_json(person))
        return
    print_line("identifiers  " + ", ".join(_identifier_words(one) for one in person.identifiers))
    print_line("birth date   " + (", ".join(person.birth_dates) or "not known"))
    print_line("sex          " + (", ".join(map(printable, person.sexes)) or "not known"))
    if person.is_ambiguous:
        print_line("AMBIGUOUS    A number was used for two people; orders of this patient get no evidence from here.")
    for known in person.facts:
        print_line(_fact_words(known))
    if not person.facts:
        print_line("Nothing is known.")


def stats(config: Path | None = CONFIG_OPTION, as_json: bool = JSON_OPTION) -> None:
    """Show how much is known, and when each source last said something."""
    from interceptor.evidence.registry_rows import load_stats

    with _reading(read_config(config)) as connection:
        found = load_stats(connection)
    if as_json:
        sources = [
            {"name": one.name, "last_said_at": one.last_said_at.isoformat(), "facts": one.fact_count}
            for one in found.sources
        ]
        counts = {"identifiers": found.identifier_count, "links": found.link_count, "facts": found.fact_counts}
        print_json(counts | {"sources": sources})
        return
    print_line(f"identifiers  {found.identifier_count:,} ({found.link_count:,} links)")
    for name, count in found.fact_counts.items():
        print_line(f"{name:<12} {count:,}")
    for one in found.sources:
        print_line(
            f"source       {printable(one.name)}: {one.fact_count:,}, last {one.last_said_at:%Y-%m-%d %H:%M} UTC"
        )


def forget(
    identifier: str = IDENTIFIER_ARGUMENT,
    actor: str = ACTOR_OPTION,
    yes: bool = typer.Option(False, "--yes", help="Do not ask."),
    config: Path | None = CONFIG_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Remove a patient with all identifiers and facts. Audited, without the patient's number.

    A feed that tells of the patient again brings the patient back. Orders and decisions in the journal stay.
    """
    loaded = read_config(config)
    with _reading(loaded) as connection:
        found = _find_identifier(connection, identifier)
    if not yes and not typer.confirm(f"Remove all that is known of {_identifier_words(found)}?"):
        raise typer.Exit(ExitCode.NO)
    who = name_actor(actor)
    removed = _ask_node(
        loaded, "registry_forget", value=found.value, authority=found.authority, type=found.type, actor=who
    )
    if removed is None:
        removed = _with_file(loaded, lambda registry: _forget_in_file(registry, found, who))
    if as_json:
        print_json(removed)
    else:
        print_line(", ".join(f"{name.removesuffix('_count')}s: {count}" for name, count in removed.items()))


async def _forget_in_file(registry: "SqlRegistry", found: "PatientIdentifier", who: str) -> dict[str, object]:
    forgotten = await registry.forget((found,), at=datetime.now(UTC), actor=f"user:{who}")
    if forgotten is None:
        refuse("The patient is not known any more.")
    return {name: getattr(forgotten, name) for name in forgotten.__slots__}


# Reading files.


def _reader(
    path: Path, kind: str, source: str, as_of: str, config: "Config", *, complete: bool, day_first: bool
) -> "tuple[ImportFile, datetime, Callable[[int], Iterator[ReadRow]]]":
    from interceptor.evidence.import_file import ImportFailure, ImportKind, inspect_file

    try:
        said_kind: ImportKind | None = ImportKind(kind) if kind else None
    except ValueError:
        refuse(f"--kind is one of {', '.join(ImportKind)}.", code=ExitCode.WRONG_USE)
    try:
        file = inspect_file(path, kind=said_kind, source=source)
    except ImportFailure as error:
        refuse(f"{path} {error}.", code=ExitCode.WRONG_USE)
    except OSError as error:
        refuse(f"{path} cannot be read: {error.strerror}.", code=ExitCode.WRONG_USE)
    said_at = _time_of(path, as_of)
    return file, said_at, _rows_of(file, said_at, source, config, complete=complete, day_first=day_first)


def _rows_of(
    file: "ImportFile", said_at: datetime, source: str, config: "Config", *, complete: bool, day_first: bool
) -> "Callable[[int], Iterator[ReadRow]]":
    from interceptor.evidence.import_csv import CsvOptions, read_csv
    from interceptor.evidence.import_fhir import FhirOptions, read_bundle_file, read_ndjson
    from interceptor.evidence.import_file import ImportKind
    from interceptor.feed_wiring import registry_authorities

    authorities = registry_authorities(config)
    if file.kind is ImportKind.CSV:
        options = CsvOptions(
            source=source, authorities=authorities, as_of=said_at, day_first=day_first, keeps_rows=complete
        )
        return lambda skip: read_csv(file, options, skip=skip)
    tables = _load_content(config).tables
    fhir = FhirOptions(
        source=source,
        authorities=authorities,
        codes=tables.codes,
        site=tables.site,
        as_of=said_at,
        keeps_rows=complete,
    )
    read = read_ndjson if file.kind is ImportKind.NDJSON else read_bundle_file
    return lambda skip: read(file, fhir, skip=skip)


def _load_content(config: "Config") -> Any:
    from interceptor.config.mappings import MappingsError, find_mappings, load_clinical_content

    node = config.node
    try:
        return load_clinical_content(
            mappings=node.mappings or find_mappings(), policy=node.policy, profile=node.profile, site=node.site
        )
    except MappingsError as error:
        refuse(str(error), code=ExitCode.WRONG_USE)


def _time_of(path: Path, stated: str) -> datetime:
    """What --as-of says, else when the file was last changed; never in the future."""
    now = datetime.now(UTC)
    if not stated:
        return min(datetime.fromtimestamp(path.stat().st_mtime, UTC), now)
    try:
        moment = datetime.fromisoformat(stated)
    except ValueError:
        refuse("--as-of takes a time such as 2026-03-01 or 2026-03-01T08:00:00+01:00.", code=ExitCode.WRONG_USE)
    return min(moment if moment.tzinfo is not None else moment.astimezone(UTC), now)


# Where it goes.


class _NodeStore:
    """A running node."""

    batch_size = _NODE_BATCH_SIZE

    def __init__(self, config: "Config", source: str) -> None:
        self._config = config
        self._source = source

    def place(self, digest: str) -> int:
        """Read from the file, beside the node."""
        from interceptor.evidence.registry_writes import find_import_place

        with _reading(self._config) as connection:
            return find_import_place(connection, source=self._source, digest=digest)

    def record(self, statements: "Sequence[Statement]", place: "ImportPlace") -> None:
        """Give the node a batch."""
        from interceptor.evidence.statement_json import statement_json

        batch = [statement_json(one) for one in statements]
        if len(batch) > 1 and len(json.dumps(batch)) > _NODE_BATCH_BYTES:
            half = len(batch) // 2
            self._ask("registry_record", statements=batch[:half])
            batch = batch[half:]
        self._ask("registry_record", statements=batch, digest=place.digest, line_number=place.line_number)

    def complete(self, said_at: datetime) -> None:
        """Tell the node that the source has said all."""
        self._ask("registry_complete", said_at=said_at.isoformat())

    def _ask(self, command: str, **arguments: Any) -> None:
        if _ask_node(self._config, command, source=self._source, **arguments) is None:
            refuse("The node has stopped; import again and it goes on from here.")


class _FileStore:
    """The database file, while no node runs."""

    batch_size = _FILE_BATCH_SIZE

    def __init__(self, run: Callable[[Coroutine[Any, Any, Any]], Any], registry: "SqlRegistry", source: str) -> None:
        self._run = run
        self._registry = registry
        self._source = source

    def place(self, digest: str) -> int:
        """Where the import was broken off."""
        return int(self._run(self._registry.import_place(source=self._source, digest=digest)))

    def record(self, statements: "Sequence[Statement]", place: "ImportPlace") -> None:
        """Write a batch."""
        self._run(self._registry.record(statements, source=self._source, place=place, at=datetime.now(UTC)))

    def complete(self, said_at: datetime) -> None:
        """Note that the source has said all."""
        self._run(self._registry.record_complete(source=self._source, said_at=said_at))


def _ask_node(config: "Config", command: str, **arguments: Any) -> dict[str, object] | None:
    """The running node's answer; None when none runs. What it refuses ends the command."""
    from interceptor.control.client import request
    from interceptor.control.protocol import ControlError

    stated = {name: value for name, value in arguments.items() if value is not None}
    try:
        return request(config.control_socket, command, timeout_seconds=_NODE_ANSWER_SECONDS, **stated)
    except ControlError as error:
        if error.code == "not_running":
            return None
        refuse(error.message)


@contextmanager
def _store_of(config: "Config", source: str) -> "Iterator[_NodeStore | _FileStore]":
    """The running node where there is one, else the file."""
    if _ask_node(config, "status") is not None:
        yield _NodeStore(config, source)
        return
    with asyncio.Runner() as runner, _opened_registry(config, runner) as registry:
        yield _FileStore(runner.run, registry, source)


@contextmanager
def _opened_registry(config: "Config", runner: asyncio.Runner) -> "Iterator[SqlRegistry]":
    from interceptor.evidence.registry_sql import SqlRegistry
    from interceptor.journal.port import JournalError

    path = place_name(config)
    opened = opening(config)
    try:
        journal = runner.run(opened.__aenter__())
    except JournalError as error:
        refuse(f"{path} cannot be written ({error}).")
    try:
        yield SqlRegistry(journal.side_tables)
    except JournalError as error:
        refuse(f"{path} cannot be written ({error}); import again and it goes on from here.")
    finally:
        runner.run(opened.__aexit__(None, None, None))


def _with_file(config: "Config", work: "Callable[[SqlRegistry], Coroutine[Any, Any, _T]]") -> _T:
    with asyncio.Runner() as runner, _opened_registry(config, runner) as registry:
        return runner.run(work(registry))


@contextmanager
def _reading(config: "Config") -> "Iterator[SqlConnection]":
    with opened_stored_journal(config) as stored:
        if stored is None:
            refuse(f"There is no journal at {place_name(config)}.")
        yield stored.connection


# What is printed.


def _import_one(
    file: "ImportFile",
    read: "Callable[[int], Iterator[ReadRow]]",
    store: "_NodeStore | _FileStore",
    *,
    complete_at: datetime | None,
    quiet: bool,
) -> "ImportSummary":
    """Import one file with a bar on standard error, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from interceptor.evidence.import_file import ImportFailure
    from interceptor.evidence.importing import run_import

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task(printable(file.path.name), total=file.size, rows=0)

        def progress(position: int, summary: "ImportSummary") -> None:
            bar.update(task, completed=position, rows=summary.row_count)

        try:
            return run_import(file, read, store, progress=progress, complete_at=complete_at)
        except ImportFailure as error:
            refuse(f"{file.path} {error}.", code=ExitCode.WRONG_USE)


def _tell_import(file: "ImportFile", summary: "ImportSummary", *, as_json: bool) -> None:
    if as_json:
        counts = {name: getattr(summary, f"{name}_count") for name in ("row", "recorded", "unread", "bad", "patient")}
        bad_rows = [{"line": one.line_number, "what": one.what} for one in summary.bad_rows]
        about = {"file": str(file.path), "kind": file.kind.value, "encoding": file.encoding}
        how = {"begun_at_line": summary.begun_at_line, "complete": summary.is_complete}
        print_json(about | how | counts | {"bad_rows": bad_rows})
        return
    for one in summary.bad_rows[:_BAD_ROWS_PRINTED]:
        print_warning(f"{file.path}:{one.line_number}: {one.what}")
    if summary.bad_count > _BAD_ROWS_PRINTED:
        print_warning(f"{file.path}: {summary.bad_count - _BAD_ROWS_PRINTED} more rows were left out")
    parts = [f"{summary.recorded_count:,} recorded"]
    parts += [f"{summary.unread_count:,} of kinds that are not kept"] if summary.unread_count else []
    parts += [f"{summary.bad_count:,} left out"] if summary.bad_count else []
    begun = f", resumed behind line {summary.begun_at_line:,}" if summary.begun_at_line else ""
    if summary.is_complete:
        parts.append("what it leaves out is taken back")
    print_line(f"{file.path}: {summary.row_count:,} rows ({file.kind}, {file.encoding}){begun}: {', '.join(parts)}")


def _find_identifier(connection: "SqlConnection", stated: str) -> "PatientIdentifier":
    """The one identifier that a person means."""
    from interceptor.evidence.registry_rows import find_identifiers

    value, _, rest = stated.partition("^")
    authority, _, kind = rest.partition("^")
    found = [
        one
        for one in find_identifiers(connection, value)
        if (not authority or one.authority == authority.upper()) and (not kind or one.type == kind.upper())
    ]
    if not found:
        refuse("No patient has this number.")
    if len(found) > 1:
        words = ", ".join(_identifier_words(one) for one in found)
        refuse(f"Several patients have this number; say which: {words}", code=ExitCode.WRONG_USE)
    return found[0]


def _identifier_words(one: "PatientIdentifier") -> str:
    return printable(f"{one.value}^{one.authority}^{one.type}".rstrip("^"))


def _fact_words(known: "KnownFact") -> str:
    fact = known.fact
    code = " ".join(f"{one.system}:{one.code}" for one in fact.codings)
    value = f" {fact.value:g} {fact.detail}".rstrip() if fact.value is not None else ""
    day = fact.onset or fact.recorded or known.first_said_at.date()
    standing = fact.standing.value if known.is_current else f"{fact.standing.value}, taken back"
    words = f"{fact.kind:<12} {day}  {standing:<12} {code} {fact.text}{value}  [{known.source}, last {known.last_said_at:%Y-%m-%d}]"
    return printable(" ".join(words.split(" ")))


def _person_json(person: "Person") -> dict[str, object]:
    return {
        "identifiers": [
            {"value": one.value, "authority": one.authority, "type": one.type} for one in person.identifiers
        ],
        "birth_dates": list(person.birth_dates),
        "sexes": list(person.sexes),
        "ambiguous": person.is_ambiguous,
        "facts": [
            {
                "kind": known.fact.kind.value,
                "standing": known.fact.standing.value,
                "current": known.is_current,
                "codes": [{"system": one.system, "code": one.code} for one in known.fact.codings],
                "text": known.fact.text,
                "value": known.fact.value,
                "detail": known.fact.detail,
                "onset": known.fact.onset.isoformat() if known.fact.onset else None,
                "recorded": known.fact.recorded.isoformat() if known.fact.recorded else None,
                "source": known.source,
                "reference": known.reference,
                "first_said_at": known.first_said_at.isoformat(),
                "last_said_at": known.last_said_at.isoformat(),
            }
            for known in person.facts
        ],
    }
