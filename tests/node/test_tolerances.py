"""Every tolerance of a listener can be switched off by its key, and is on by default."""

from pathlib import Path

import pytest

from interceptor.config.schema import TolerancesTable
from interceptor.wire.frame import Tolerance
from tests.support.mllp_peer import until
from tests.support.node import filler, node_config, node_of, placer_of

MESSAGE = b"MSH|^~\\&|EPIC|HOSP|RIS|RAD|20260115101500||ADT^A08|M1|T|2.3.1\rEVN|A08\r"
SHOWN = {
    Tolerance.BYTES_BETWEEN_FRAMES: b"x\x0b" + MESSAGE + b"\x1c\r",
    Tolerance.START_INSIDE_FRAME: b"\x0bMSH|\x0b" + MESSAGE + b"\x1c\r",
    Tolerance.EMPTY_FRAME: b"\x0b\x1c\r\x0b" + MESSAGE + b"\x1c\r",
    Tolerance.DOUBLED_ENVELOPE: b"\x0b\x0b" + MESSAGE + b"\x1c\r\x1c\r",
    Tolerance.BARE_LF_SEGMENTS: b"\x0b" + MESSAGE.replace(b"\r", b"\n") + b"\x1c\r",
    Tolerance.CRLF_SEGMENTS: b"\x0b" + MESSAGE.replace(b"\r", b"\r\n") + b"\x1c\r",
    Tolerance.UTF8_BOM: b"\x0b\xef\xbb\xbf" + MESSAGE + b"\x1c\r",
}


def test_the_keys_of_the_configuration_are_the_words_of_the_decoder() -> None:
    assert set(TolerancesTable.model_fields) == set(Tolerance)
    assert all(TolerancesTable().model_dump().values())


@pytest.mark.fault(34)
@pytest.mark.parametrize("tolerance", SHOWN)
async def test_what_is_switched_off_ends_the_connection_and_is_counted(tmp_path: Path, tolerance: Tolerance) -> None:
    async with filler() as ris:
        config = node_config(tmp_path, filler_port=ris.port, tolerances={tolerance.value: False})
        async with node_of(config) as node, placer_of(node) as placer:
            placer.writer.write(SHOWN[tolerance])
            line = f'interceptor_framing_errors_total{{reason="{tolerance}",route="orders"}} 1.0'
            await until(lambda: line in node.metrics.render().decode())
    assert ris.received == []


@pytest.mark.parametrize("tolerance", SHOWN)
async def test_by_default_it_is_read(tmp_path: Path, tolerance: Tolerance) -> None:
    async with (
        filler() as ris,
        node_of(node_config(tmp_path, filler_port=ris.port)) as node,
        placer_of(node) as placer,
    ):
        placer.writer.write(SHOWN[tolerance])
        await ris.wait_for(1)
    assert b"M1|T|2.3.1" in ris.received[0]
