"""Byte streams taken from other projects' bug reports, each with what we make of it.

The streams are not part of the project; they lie beside it as ../shared/corpus/_frames.
"""

import csv
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from interceptor.wire.decoder import FrameDecoder
from interceptor.wire.frame import Frame, Tolerance

FRAMES = Path(__file__).parents[3] / "shared" / "corpus" / "_frames"
needs_streams = pytest.mark.skipif(not FRAMES.is_dir(), reason=f"the sample streams are not here: {FRAMES}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """The frames' first and distinguishing bytes in order; a leading "!" means truncated."""

    frames: tuple[str, ...]
    tolerated: dict[Tolerance, int]
    open_size: int = 0


ONE = Expectation(frames=("FRM0001",), tolerated={})
TWO = Expectation(frames=("FRM0001", "FRM0002"), tolerated={})

EXPECTED: dict[str, Expectation] = {
    "01_one.bin": ONE,
    "02_pipelined2.bin": TWO,
    "03_pipelined3.bin": Expectation(frames=("FRM0001", "FRM0002", "FRM0003"), tolerated={}),
    "04_split_at_each_CR.bin": ONE,
    "05_byte_by_byte.bin": ONE,
    "06_FS_and_CR_in_separate_packets.bin": ONE,
    "07_LF_after_frame_then_frame.bin": Expectation(frames=TWO.frames, tolerated={Tolerance.BYTES_BETWEEN_FRAMES: 1}),
    "08_CRLF_before_frame.bin": Expectation(frames=ONE.frames, tolerated={Tolerance.BYTES_BETWEEN_FRAMES: 1}),
    "10_NULs_between.bin": Expectation(frames=TWO.frames, tolerated={Tolerance.BYTES_BETWEEN_FRAMES: 1}),
    "11_FS_no_CR_then_silence.bin": Expectation(frames=ONE.frames, tolerated={Tolerance.MISSING_FINAL_CR: 1}),
    "12_FS_no_CR_then_next_frame.bin": Expectation(frames=TWO.frames, tolerated={Tolerance.MISSING_FINAL_CR: 1}),
    "13_FS_LF_instead_of_FS_CR.bin": Expectation(frames=TWO.frames, tolerated={Tolerance.MISSING_FINAL_CR: 1}),
    # Decided: a VT inside is never guessed to be content (docs/reference/wire.md). The first part is quarantined
    # as truncated; the second is no HL7 message, so no filler can take it for an order of anybody.
    "15_embedded_VT_in_PID.bin": Expectation(frames=("!DOE", "X^JANE"), tolerated={Tolerance.START_INSIDE_FRAME: 1}),
    "16_embedded_FS_in_PID.bin": Expectation(frames=("DOE\x1cX^JANE",), tolerated={}),
    "17_open_frame_then_close.bin": Expectation(frames=(), tolerated={}, open_size=60),
    "18_empty_payload.bin": Expectation(frames=ONE.frames, tolerated={Tolerance.EMPTY_FRAME: 1}),
    "19_not_hl7.bin": Expectation(frames=("INVALID PAYLOAD", "FRM0001"), tolerated={}),
    "20_MSA_first.bin": Expectation(frames=("MSA|AA|1", "FRM0001"), tolerated={}),
    "23_empty_MSH10.bin": Expectation(frames=("ORM^O01||P|",), tolerated={}),
    "25_LF_segments.bin": Expectation(frames=ONE.frames, tolerated={Tolerance.BARE_LF_SEGMENTS: 1}),
    "26_CRLF_segments.bin": Expectation(frames=ONE.frames, tolerated={Tolerance.CRLF_SEGMENTS: 1}),
    "27_BOM.bin": Expectation(frames=("\ufeffMSH|",), tolerated={Tolerance.UTF8_BOM: 1}),
    "29_utf8_MSH18.bin": Expectation(frames=("M\u00dcLLER",), tolerated={}),
    "31_64KiB_plus.bin": Expectation(frames=("ORD1", "ORD2"), tolerated={}),
    "36_quote_and_pipe_custom_delims.bin": Expectation(frames=("MSH#@~\\&#EHR",), tolerated={}),
    "37_connect_close_no_data.bin": Expectation(frames=(), tolerated={}),
}


def read_chunks(name: str, stream: bytes) -> list[bytes]:
    """Cut *stream* as FRAMES.tsv says; an offset list that ends in an ellipsis goes on to the end."""
    table = (FRAMES / "FRAMES.tsv").read_text(encoding="utf-8").splitlines()
    rows = {row["file"]: row for row in csv.DictReader(table, delimiter="\t")}
    listed = rows[name]["chunk_offsets(send as separate TCP writes)"]
    if listed.endswith("\u2026"):
        offsets = list(range(1, len(stream)))
    else:
        offsets = [int(offset) for offset in listed.split(",") if offset]
    borders = [0, *offsets, len(stream)]
    return [stream[start:end] for start, end in pairwise(borders)]


@needs_streams
def test_every_stream_has_an_expectation() -> None:
    assert {path.name for path in FRAMES.glob("*.bin")} == set(EXPECTED)


@needs_streams
@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_stream_gives_the_frames_we_promise(name: str) -> None:
    expected = EXPECTED[name]
    stream = (FRAMES / name).read_bytes()
    decoder = FrameDecoder()
    frames: list[Frame] = []
    for chunk in read_chunks(name, stream):
        decoder.receive_data(chunk)
        while (frame := decoder.next_frame()) is not None:
            frames.append(frame)
    decoder.receive_silence()
    while (frame := decoder.next_frame()) is not None:
        frames.append(frame)

    assert len(frames) == len(expected.frames)
    for frame, mark in zip(frames, expected.frames, strict=True):
        assert frame.truncated is mark.startswith("!")
        assert mark.removeprefix("!").encode() in frame.content
        assert b"\x0b" + frame.content in stream
    counts = {tolerance: count for tolerance, count in decoder.tolerated_counts.items() if count}
    assert counts == expected.tolerated
    assert decoder.open_size == expected.open_size
