"""Content whose character set is unknown, a lie, or broken: it reaches the filler byte for byte."""

from pathlib import Path

import pytest

from tests.support.node import filler, node_config, node_of, placer_of
from tests.support.orders import CHEST_FILM, order


def with_charset(content: bytes, name: bytes) -> bytes:
    """The message with MSH-18."""
    header, rest = content.split(b"\r", 1)
    fields = header.split(b"|")
    fields += [b""] * (18 - len(fields))
    fields[17] = name
    return b"|".join(fields) + b"\r" + rest


@pytest.mark.fault(35)
@pytest.mark.parametrize(
    ("charset", "reason"),
    [
        (b"UNICODE UTF-8", b"Schmerzen \xe4\xff\xfe"),
        (b"UNICODE UTF-8", b"\xed\xa0\x80 lone surrogate"),
        (b"8859/1", b"nul \x00 inside"),
        (b"KLINGON", b"r\xfccken"),
        (b"ISO IR87", b"\x1b$B$3$l$O\x1b(B"),
    ],
    ids=["not UTF-8", "a surrogate alone", "a NUL", "nobody's character set", "switched"],
)
async def test_what_cannot_be_read_is_forwarded_byte_for_byte(tmp_path: Path, charset: bytes, reason: bytes) -> None:
    content = with_charset(order("P1", procedure=CHEST_FILM, reason="REASON"), charset).replace(b"REASON", reason)
    async with filler() as ris, node_of(node_config(tmp_path, filler_port=ris.port)) as node, placer_of(node) as placer:
        assert b"MSA|AA|CP1" in await placer.exchange(content)
        assert ris.received == [content]
