"""The mix of messages that every target gets: sizes and shares as an interface engine in a hospital sees them.

A record of the file that `load.c` reads: size, patch count, patch offsets (u32, the machine's byte order), the
framed message, zeros up to a multiple of four.
"""

import struct
from collections.abc import Sequence
from pathlib import Path

from interceptor.wire.frame import encode_frame

NUMBER = b"#" * 12
"""Stands where the load generator writes twelve digits that are used once."""

_PATIENT = (
    b"PID|1||100%b^^^HOSP^MR||EXAMPLE^PATIENT^A||19580214|F|||1 EXAMPLE STREET^^TOWN^ST^00000||555-0100\r"
    b"PV1|1|O|RAD^^^HOSP||||1234^PROVIDER^ONE^^^DR|||||||||||V1001|||||||||||||||||||||||||20260105\r"
)


def _header(structure: bytes) -> bytes:
    return b"MSH|^~\\&|EHR|HOSP|RIS|RAD|20260105101500||" + structure + b"|B" + NUMBER + b"|P|2.5.1\r"


def _fill(message: bytes, segment: bytes, size: int) -> bytes:
    """Add numbered copies of *segment* until *message* has about *size* bytes."""
    number = 0
    while len(message) + len(segment) <= size:
        number += 1
        message += segment % number
    return message


def build_admission() -> bytes:
    """ADT^A08 of about 1.5 KB."""
    message = _header(b"ADT^A08^ADT_A01") + b"EVN|A08|20260105101500\r" + _PATIENT % b"1"
    return _fill(message, b"NK1|%d|RELATIVE^NEXT^OF^KIN|SPO|2 EXAMPLE STREET^^TOWN^ST^00000|555-0101||EMC\r", 1500)


def build_order(procedure: bytes, reason: bytes, *, size: int = 1000) -> bytes:
    """ORM^O01 with one order for *procedure*, filled with notes up to about *size* bytes; each of another patient."""
    message = (
        _header(b"ORM^O01^ORM_O01")
        + _PATIENT % NUMBER
        + (b"ORC|NW|P" + NUMBER + b"^EHR||||||^^^20260106080000^^R||20260105101400|||1234^PROVIDER^ONE^^^DR\r")
        + (b"OBR|1|P" + NUMBER + b"^EHR||" + procedure + b"|||||||||||1234^PROVIDER^ONE^^^DR")
        + (b"|||||||||||^^^20260106080000^^R||||" + reason + b"\r")
    )
    return _fill(message, b"NTE|%d||Clinical information was taken from the request form by the ordering desk.\r", size)


def build_result(size: int) -> bytes:
    """ORU^R01 of about *size* bytes."""
    message = _header(b"ORU^R01^ORU_R01") + _PATIENT % b"3" + b"OBR|1|P1^EHR|F1^RIS|71046^CHEST TWO VIEWS^CPT\r"
    return _fill(
        message, b"OBX|%d|TX|GDT^FINDINGS^L||The lungs are clear and the heart is of normal size.||||||F\r", size
    )


def build_document(size: int) -> bytes:
    """ORU^R01 of about *size* bytes with a scanned document in one field."""
    message = _header(b"ORU^R01^ORU_R01") + _PATIENT % b"4" + b"OBR|1|P1^EHR|F1^RIS|71046^CHEST TWO VIEWS^CPT\r"
    return message + b"OBX|1|ED|PDF^REPORT^L||^AP^^Base64^" + b"JVBERi0x" * ((size - len(message)) // 8) + b"||||||F\r"


ADMISSION = build_admission()
CHEST_ORDER = build_order(b"71046^CHEST TWO VIEWS^CPT", b"cough and fever")
SPINE_ORDER = build_order(b"72148^MRI LUMBAR SPINE WITHOUT CONTRAST^CPT", b"low back pain for years, no red flags")
RESULT = build_result(4000)
DOCUMENT = build_document(50_000)

SHARES = ((ADMISSION, 37), (CHEST_ORDER, 35), (SPINE_ORDER, 3), (RESULT, 23), (DOCUMENT, 2))
"""Of a hundred messages; the mean is about 2.9 KB. One imaging order in twelve or so is for the spine."""


def build_mix() -> tuple[bytes, ...]:
    """A hundred messages in which each kind is spread evenly."""
    places = [
        ((index + 0.5) / share, kind, message) for kind, (message, share) in enumerate(SHARES) for index in range(share)
    ]
    return tuple(message for _, _, message in sorted(places, key=lambda place: place[:2]))


def numbered(message: bytes, number: int) -> bytes:
    """*message* with *number* where its numbers stand."""
    return message.replace(NUMBER, b"%012d" % number)


def write_mix(path: Path, messages: Sequence[bytes] = ()) -> float:
    """Write the mix, or *messages*, for the load generator; return the mean size in bytes, frames included."""
    records = bytearray()
    frames = [encode_frame(message) for message in messages or build_mix()]
    for frame in frames:
        offsets: list[int] = []
        found = frame.find(NUMBER)
        while found >= 0:
            offsets.append(found)
            found = frame.find(NUMBER, found + len(NUMBER))
        records += struct.pack(f"={2 + len(offsets)}I", len(frame), len(offsets), *offsets)
        records += frame + bytes(-len(frame) % 4)
    path.write_bytes(bytes(records))
    return sum(map(len, frames)) / len(frames)
