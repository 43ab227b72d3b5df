"""The parts by themselves: frames, headers, decisions, commits."""

import asyncio
import hashlib
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from interceptor.config.mappings import find_mappings, load_clinical_content
from interceptor.context.patient import NO_EVIDENCE
from interceptor.decision.message_decision import decide_message
from interceptor.journal.port import Intake, MessageIdentity
from interceptor.journal.sqlite import SqliteJournal, open_sqlite_journal
from interceptor.message.header import peek_header
from interceptor.message.view import MessageView
from interceptor.wire.decoder import FrameDecoder
from interceptor.wire.frame import encode_frame
from tests.benchmarks.messages import (
    ADMISSION,
    CHEST_ORDER,
    DOCUMENT,
    RESULT,
    SPINE_ORDER,
    build_mix,
    build_order,
    numbered,
)

_CANCER_ORDER = build_order(
    b"72148^MRI LUMBAR SPINE WITHOUT CONTRAST^CPT", b"metastatic breast cancer, new back pain for two weeks"
)


def time_each(calls: Sequence[Callable[[], object]], seconds: float) -> float:
    """Microseconds of one call: the median over rounds of *calls*, for about *seconds*."""
    rounds: list[float] = []
    ended = time.perf_counter() + seconds
    while not rounds or time.perf_counter() < ended:
        began = time.perf_counter()
        for call in calls:
            call()
        rounds.append((time.perf_counter() - began) / len(calls))
    return statistics.median(rounds) * 1e6


def report_wire(seconds: float) -> Iterator[str]:
    """Frames found and built, each in a read of its own and many in one."""
    frames = [encode_frame(message) for message in build_mix()]
    size = sum(map(len, frames))
    decoder = FrameDecoder()

    def decode(data: bytes) -> None:
        decoder.receive_data(data)
        while decoder.next_frame() is not None:
            pass

    alone = time_each([partial(decode, frame) for frame in frames], seconds)
    stream = b"".join(frames)
    reads = [stream[offset : offset + 65536] for offset in range(0, len(stream), 65536)]
    together = time_each([partial(decode, read) for read in reads], seconds) * len(reads)
    encode = time_each([partial(encode_frame, message) for message in build_mix()], seconds)
    yield f"decode, one frame in a read          {alone:8.2f} us a frame"
    yield f"decode, reads of 64 KiB              {together / len(frames):8.2f} us a frame {size / together:8,.0f} MB/s"
    yield f"encode                               {encode:8.2f} us a frame"


def report_decisions(seconds: float) -> Iterator[str]:
    """From bytes to a decision, every message seen for the first time."""
    content = load_clinical_content(
        mappings=find_mappings(), policy="spine-oncology", profile="default", site="example"
    )
    as_of = datetime.now(UTC)

    def decide(raw: bytes) -> None:
        decide_message(MessageView(raw), content=content, evidence=NO_EVIDENCE, as_of=as_of)

    for name, message in (
        ("ADT, 1.5 KB", ADMISSION),
        ("ORU, 4 KB", RESULT),
        ("ORU, 50 KB", DOCUMENT),
    ):
        yield f"read the header: {name:<20}{_time_messages(peek_header, message, seconds):8.1f} us"
    for name, message, goal in (
        ("chest film", CHEST_ORDER, 30),
        ("spine order, no cancer", SPINE_ORDER, 250),
        ("spine order, cancer", _CANCER_ORDER, 250),
    ):
        yield f"decide: {name:<29}{_time_messages(decide, message, seconds):8.1f} us (goal {goal})"


def _time_messages(work: Callable[[bytes], object], message: bytes, seconds: float) -> float:
    return time_each([partial(work, numbered(message, number)) for number in range(100)], seconds)


def report_journal(folder: Path, seconds: float) -> Iterator[str]:
    """Durable messages per second, by how many wait at once, against what the disk does with one file."""
    disk = _measure_disk(folder / "fdatasync", seconds)
    yield f"disk: fdatasync of 1 KB              {disk:8,.0f} /s"
    for waiting in (1, 16, 64):
        rate = asyncio.run(_measure_journal(folder / f"journal-{waiting}" / "journal.sqlite", waiting, seconds))
        yield f"journal: {waiting:>2} at a time                {rate:8,.0f} messages/s {rate / disk:6.2f} of the disk"


def _measure_disk(path: Path, seconds: float) -> float:
    file = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            os.pwrite(file, b"x" * 1024, count * 1024)
            os.fdatasync(file)
            count += 1
        return count / (time.perf_counter() - began)
    finally:
        os.close(file)


async def _measure_journal(path: Path, waiting: int, seconds: float) -> float:
    path.parent.mkdir()
    count = 0

    async def write(journal: SqliteJournal, writer: int) -> None:
        nonlocal count
        number = writer * 10_000_000
        while time.perf_counter() < ended:
            number += 1
            await journal.record_intake(_build_intake(number))
            count += 1

    async with open_sqlite_journal(path) as journal:
        began = time.perf_counter()
        ended = began + seconds
        async with asyncio.TaskGroup() as group:
            for writer in range(waiting):
                group.create_task(write(journal, writer))
        return count / (time.perf_counter() - began)


def _build_intake(number: int) -> Intake:
    raw = numbered(SPINE_ORDER, number)
    identity = MessageIdentity(
        listener="bench",
        sending_application=b"EHR",
        sending_facility=b"HOSP",
        control_id=b"B%012d" % number,
        digest=hashlib.sha256(raw).digest(),
    )
    return Intake(
        route="bench", identity=identity, received_at=datetime.now(UTC), raw=raw, acknowledgment=b"MSH|^~\\&|" * 10
    )
