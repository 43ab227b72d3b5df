"""A running node that speaks TLS to its filler: whose certificate it takes, and what happens when its own is not taken."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import hl7
import pytest
from hl7.mllp import HL7StreamReader, HL7StreamWriter, open_hl7_connection, start_hl7_server

from interceptor.config.schema import Config
from tests.support.metric_page import sample
from tests.support.mllp_peer import until
from tests.support.node import Events, Filler, accept, node_config, node_of, placer_of
from tests.support.orders import CHEST_FILM, order
from tests.support.site_ca import SiteCa

ORDER = order("P1", procedure=CHEST_FILM)
CONNECTS = "interceptor_destination_connects_total"


@asynccontextmanager
async def secure_filler(context: ssl.SSLContext) -> AsyncIterator[Filler]:
    made = Filler()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context, limit=64 * 1024 * 1024)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


def config_of(folder: Path, port: int, to_filler: dict[str, Any], **more: Any) -> Config:
    """A node that reaches the filler by the name "localhost", which its certificate must have."""
    config = node_config(folder, filler_port=port, destination_tls=to_filler, **more)
    ris = config.destination["ris"]
    address = type(ris.address)("localhost", ris.address.port)
    return config.model_copy(update={"destination": {"ris": ris.model_copy(update={"address": address})}})


async def test_orders_reach_a_filler_that_asks_for_our_certificate(tmp_path: Path) -> None:
    ca = SiteCa(tmp_path / "ca")
    ours = ca.issue("interceptor.example")
    async with secure_filler(ca.server(ca.issue("localhost"), asks_client=ca)) as ris:
        tls = {"ca_file": ca.ca_file, "certificate_file": ours.certificate_file, "key_file": ours.key_file}
        async with node_of(config_of(tmp_path, ris.port, tls)) as node, placer_of(node) as placer:
            assert await placer.exchange(ORDER) == accept(ORDER)[1:-2]
        assert ris.received == [ORDER]


@pytest.mark.fault(17)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("kind", ["none", "unknown"])
async def test_a_filler_that_does_not_take_our_certificate_is_one_that_is_away(
    tmp_path: Path, version: ssl.TLSVersion, kind: str
) -> None:
    """With TLS 1.3 the handshake succeeds on our side: all the same nothing counts as sent, and no message is given up."""
    ca, other = SiteCa(tmp_path / "ca"), SiteCa(tmp_path / "other")
    context = ca.server(ca.issue("localhost"), asks_client=ca)
    context.minimum_version = context.maximum_version = version
    unknown = other.issue("interceptor.example")
    tls: dict[str, Any] = {"ca_file": ca.ca_file}
    if kind == "unknown":
        tls |= {"certificate_file": unknown.certificate_file, "key_file": unknown.key_file}
    events = Events()
    async with secure_filler(context) as ris:
        config = config_of(
            tmp_path,
            ris.port,
            tls,
            custody="store",
            mode="shadow",
            destination_attempts_max=2,
            destination_reconnect_seconds_max=0.1,
        )
        async with node_of(config, events) as node, placer_of(node) as placer:
            assert b"MSA|AA" in await placer.exchange(ORDER)

            def refused_count() -> float:
                page = node.metrics.render()
                kinds = ("certificate_refused", "tls_failed")
                return sum(sample(page, CONNECTS, destination="ris", result=result) for result in kinds)

            await until(lambda: refused_count() >= 4)
            page = node.metrics.render()
            assert sample(page, "interceptor_destination_up", destination="ris") == 0
            assert sample(page, "interceptor_dead_letters", destination="ris") == 0
            rows = await node.custody.journal.undelivered_rows()
            assert [(row.attempt_count, row.possible_duplicate) for row in rows] == [(0, False)]
        assert ris.received == []
    assert "delivery_given_up" not in events.names()


@pytest.mark.parametrize("kind", ["unknown", "expired", "wrong_name"])
async def test_a_filler_whose_certificate_is_wrong_gets_nothing(tmp_path: Path, kind: str) -> None:
    ca, other = SiteCa(tmp_path / "ca"), SiteCa(tmp_path / "other")
    shown = {
        "unknown": other.issue("localhost"),
        "expired": ca.issue("localhost", days=-1),
        "wrong_name": ca.issue("elsewhere.example"),
    }[kind]
    async with secure_filler(ca.server(shown)) as ris:
        config = config_of(tmp_path, ris.port, {"ca_file": ca.ca_file}, on_filler_down="nak")
        async with node_of(config) as node, placer_of(node) as placer:
            assert b"MSA|AE" in await placer.exchange(ORDER)
            page = node.metrics.render()
            assert sample(page, CONNECTS, destination="ris", result="tls_failed") >= 1
        assert ris.received == []


async def test_the_name_to_expect_may_be_another_than_the_host(tmp_path: Path) -> None:
    ca = SiteCa(tmp_path / "ca")
    async with secure_filler(ca.server(ca.issue("ris.example"))) as ris:
        tls = {"ca_file": ca.ca_file, "server_name": "ris.example"}
        async with node_of(config_of(tmp_path, ris.port, tls)) as node, placer_of(node) as placer:
            await placer.exchange(ORDER)
        assert ris.received == [ORDER]


async def test_python_hl7_speaks_to_us_and_is_spoken_to_over_tls(tmp_path: Path) -> None:
    """Its `hl7.mllp` on both sides, with certificates on both sides."""
    ca = SiteCa(tmp_path / "ca")
    ours = ca.issue("localhost", file="node")
    received: list[str] = []

    async def take(reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
        message = await reader.readmessage()
        received.append(str(message))
        writer.writemessage(message.create_ack())
        await writer.drain()
        writer.close()

    context = ca.server(ca.issue("localhost", file="ris"), asks_client=ca)
    server = await start_hl7_server(take, "127.0.0.1", 0, ssl=context, encoding="utf-8", limit=1 << 20)
    try:
        port = server.sockets[0].getsockname()[1]
        tls = {"ca_file": ca.ca_file, "certificate_file": ours.certificate_file, "key_file": ours.key_file}
        async with node_of(config_of(tmp_path, port, tls, tls=ca.listener_table(ours))) as node:
            reader, writer = await open_hl7_connection(
                "127.0.0.1",
                node.ports["orders"],
                ssl=ca.client(ca.issue("ehr.example")),
                server_hostname="localhost",
                encoding="utf-8",
                limit=1 << 20,
            )
            writer.writemessage(hl7.parse(ORDER.decode()))
            await writer.drain()
            async with asyncio.timeout(20):
                answer = await reader.readmessage()
            assert str(answer.segment("MSA")[1]) == "AA"
            writer.close()
    finally:
        server.close()
    assert [text.rstrip("\r") for text in received] == [ORDER.decode().rstrip("\r")]
