"""The registry by itself: import rate, file size, and how long a lookup takes at a given number of patients.

    python -m tests.benchmarks.registry [PATIENTS] [CONDITIONS_EACH]

A million patients with ten conditions each need about 3 GB of disk and some minutes.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from interceptor.evidence.import_csv import CsvOptions, read_csv
from interceptor.evidence.import_file import inspect_file
from interceptor.evidence.registry import RegistryResult
from interceptor.evidence.registry_sql import SqlRegistry
from interceptor.evidence.statement import Authorities, PatientIdentifier, Statement
from interceptor.journal.sqlite import SqliteSettings, open_sqlite_journal
from interceptor.journal.sqlite_writer import WriterSettings

AS_OF = datetime(2026, 3, 1, tzinfo=UTC)
BATCH_SIZE = 5000
LOOKUP_COUNT = 3000
CODES = tuple(f"{letter}{number:02}.{digit}" for letter in "CDEIJKM" for number in range(0, 100, 7) for digit in "019")


def report_registry(folder: Path, *, patients: int = 5000, conditions: int = 10) -> Iterator[str]:
    """Lines of the report."""
    path = folder / "registry" / "journal.db"
    path.parent.mkdir()
    export = folder / "registry.csv"
    write_export(export, patients=patients, conditions=conditions)
    yield from asyncio.run(_measure(path, export, patients, conditions))


def write_export(path: Path, *, patients: int, conditions: int) -> None:
    """A CSV as a hospital would export it."""
    random = Random(1)
    with path.open("w", encoding="utf-8") as file:
        file.write("patient_id,assigning_authority,id_type,birth_date,sex,id,code,code_system,description,recorded\n")
        for patient in range(patients):
            start = f"{patient:07},HOSP,MR,19{patient % 90 + 10}-03-01,F"
            file.writelines(
                f"{start},{patient * conditions + row},{random.choice(CODES)},ICD-10-CM,Diagnosis of the list,2025-06-01\n"
                for row in range(conditions)
            )


async def _measure(path: Path, export: Path, patients: int, conditions: int) -> list[str]:
    settings = SqliteSettings(writer=WriterSettings(free_bytes_min=0))
    row_count = patients * conditions
    async with open_sqlite_journal(path, settings=settings) as journal:
        registry = SqlRegistry(journal.side_tables)
        began = time.perf_counter()
        await _import(registry, export)
        seconds = time.perf_counter() - began
        lookups = await _time_lookups(registry, patients)
    size = path.stat().st_size
    lookups.sort()
    middle, late = lookups[len(lookups) // 2], lookups[len(lookups) * 99 // 100]
    return [
        f"registry: {patients:,} patients with {conditions} conditions",
        f"  import from CSV            {row_count / seconds:>10,.0f} conditions/s",
        f"  file                       {size / 1e6:>10,.1f} MB, {size / row_count:.0f} bytes a condition",
        f"  lookup p50 / p99           {middle * 1e3:>10.2f} ms / {late * 1e3:.2f} ms  (goal: p99 below 2 ms at a million)",
    ]


async def _import(registry: SqlRegistry, export: Path) -> None:
    options = CsvOptions(source="list", authorities=Authorities(), as_of=AS_OF)
    batch: list[Statement] = []
    for row in read_csv(inspect_file(export, kind=None, source="list"), options):
        assert row.statement is not None
        batch.append(row.statement)
        if len(batch) == BATCH_SIZE:
            await registry.record(batch, source="list")
            batch = []
    await registry.record(batch, source="list")


async def _time_lookups(registry: SqlRegistry, patients: int) -> list[float]:
    random = Random(2)
    found = []
    for _ in range(LOOKUP_COUNT):
        patient = random.randrange(patients)
        asked = PatientIdentifier(f"{patient:07}", "HOSP", "MR")
        began = time.perf_counter()
        answer = await registry.lookup([asked], birth_date=f"19{patient % 90 + 10}-03-01", sex="F", as_of=AS_OF)
        found.append(time.perf_counter() - began)
        assert answer.result is RegistryResult.FOUND
    return found


def main() -> None:
    """Measure with the sizes of the command line."""
    sizes = [int(argument) for argument in sys.argv[1:3]]
    patients, conditions = (sizes + [100_000, 10][len(sizes) :])[:2]
    with tempfile.TemporaryDirectory(prefix="interceptor-registry-") as name:
        for line in report_registry(Path(name), patients=patients, conditions=conditions):
            sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
