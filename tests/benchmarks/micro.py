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
from interceptor.context.text_evaluation import parse_requisitions
from interceptor.decision.message_decision import decide_message
from interceptor.journal.port import Intake, MessageIdentity
from interceptor.journal.sql_journal import SqlJournal
from interceptor.journal.sqlite import open_sqlite_journal
from interceptor.message.header import peek_header
from interceptor.message.view import MessageView
from interceptor.wire.decoder import FrameDecoder
from interceptor.wire.frame import encode_frame
from tests.benchmarks.messages import (
    ADMISSION,
    DOCUMENT,
    RESULT,
    SPINE_ORDER,
    build_mix,
    build_order,
    numbered,
)

_ORDER_SIZE = 1000
_ORDER_COUNT = 400
_SPINE_STUDIES = (
    b"72148^MRI LUMBAR SPINE WITHOUT CONTRAST^CPT", b"72141^MRI CERVICAL SPINE WITHOUT CONTRAST^CPT",
    b"72157^MRI THORACIC SPINE WITHOUT AND WITH^CPT", b"72131^CT LUMBAR SPINE WITHOUT CONTRAST^CPT",
    b"36801-5^MR LUMBAR SPINE WO CONTRAST^LN", b"72158^MRI LUMBAR SPINE WITHOUT AND WITH^CPT",
)  # fmt: skip
_PRIORITY_WORDS = (b"R", b"ROUTINE", b"S", b"ASAP")


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
    studies, reasons = _read_catalogue(), _read_reasons()
    chest_films = [
        build_varied_order(studies[number % len(studies)], b"cough", (), number) for number in range(_ORDER_COUNT)
    ]
    spine_orders = [
        build_varied_order(_SPINE_STUDIES[number % len(_SPINE_STUDIES)], reason, (), number)
        for number, reason in enumerate(reasons[:_ORDER_COUNT])
    ]
    told_orders = [
        build_varied_order(
            _SPINE_STUDIES[number % len(_SPINE_STUDIES)], reason, reasons[number + 1 : number + 5], number
        )
        for number, reason in enumerate(reasons[:_ORDER_COUNT])
    ]

    def split(raw: bytes) -> None:
        assert MessageView(raw).segments

    def decide(raw: bytes) -> None:
        decide_message(MessageView(raw), content=content, evidence=NO_EVIDENCE, as_of=as_of)

    def read_text(reason: bytes) -> None:
        content.tables.text.read(reason.decode("ascii"))

    for name, message in (
        ("ADT, 1.5 KB", ADMISSION),
        ("ORU, 4 KB", RESULT),
        ("ORU, 50 KB", DOCUMENT),
    ):
        yield f"read the header: {name:<20}{_time_messages(peek_header, message, seconds):8.1f} us"
    films = time_each([partial(decide, raw) for raw in chest_films], seconds)
    told = time_each([partial(decide, raw) for raw in told_orders], seconds)
    spines = time_each([partial(decide, raw) for raw in spine_orders], seconds)
    shallow = time_each([partial(split, raw) for raw in spine_orders], seconds)
    texts = time_each([partial(read_text, reason) for reason in reasons], seconds)
    worst = max(_time_worst_texts(content.tables.text.read))
    yield f"split an order into its segments     {shallow:8.1f} us"
    yield f"decide: any other study              {films:8.1f} us (goal 30), {films / shallow:5.1f} splits"
    yield f"decide: spine order with a reason    {spines:8.1f} us (goal 250), {spines / shallow:5.1f} splits"
    yield f"decide: the same, four clinical notes{told:8.1f} us"
    yield f"read one text                        {texts:8.1f} us, none read before is kept"
    yield f"read the worst 8,000 characters      {worst / 1000:8.1f} ms"


def build_varied_order(study: bytes, reason: bytes, notes: Sequence[bytes], number: int) -> bytes:
    """An order of about 1 KB whose study, reason, priority and notes differ from those of the orders beside it."""
    message = numbered(build_order(study, reason, size=0), number)
    message = message.replace(b"^^R|", b"^^" + _PRIORITY_WORDS[number % len(_PRIORITY_WORDS)] + b"|")
    for place, note in enumerate(notes, start=1):
        message += b"NTE|%d||" % place + note + b"\r"
    while len(message) < _ORDER_SIZE:
        message += b"NTE|9||Clinical information of form %d was taken from the request by the ordering desk %d.\r" % (
            number,
            len(message),
        )
    return message


def _read_catalogue() -> list[bytes]:
    """Studies that are not of the spine, as many as a hospital's catalogue has."""
    parts = (b"CHEST", b"ABDOMEN", b"HAND", b"KNEE", b"FOOT", b"WRIST", b"PELVIS", b"SHOULDER", b"ELBOW", b"ANKLE")
    return [
        b"%05d^%s %d VIEWS VARIANT %d^CPT" % (71045 + number % 4, parts[number % len(parts)], 1 + number % 3, number)
        for number in range(300)
    ]


def _read_reasons() -> list[bytes]:
    """The requisition lines of the evaluation, without what a sender would have to escape."""
    path = Path(__file__).parents[1] / "evaluation" / "requisitions.tsv"
    lines = parse_requisitions(path.read_text(encoding="utf-8"))
    plain = [line.text.translate(_DELIMITERS) for line in lines]
    return [text.encode("ascii") for text in plain if text.isascii()]


_DELIMITERS = {ord(character): " " for character in "|^~\\&\r\n"}


def _time_worst_texts(read: Callable[[str], object]) -> Iterator[float]:
    """Microseconds of texts that are made to be slow: cues without end, mentions without end, both."""
    for pattern in ("? ", "no ", "ca ", "? ca ", "ca vs ", "s/p xrt ", "ca " + "? " * 20, "mets/"):
        text = (pattern * 8000)[:8000]
        yield time_each([partial(read, text)], 0.1)


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

    async def write(journal: SqlJournal, writer: int) -> None:
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
