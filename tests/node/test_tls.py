"""A running node behind TLS: who may connect, what each may send, and what is left of refusals."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from interceptor.node import Node
from interceptor.transport.tls import CIPHERS
from tests.support.metric_page import sample
from tests.support.mllp_peer import until
from tests.support.node import Events, Filler, Placer, accept, filler, node_config, node_of
from tests.support.orders import CHEST_FILM, order
from tests.support.site_ca import Issued, SiteCa

ORDER = order("P1", procedure=CHEST_FILM)


@asynccontextmanager
async def secured_node(
    folder: Path, ca: SiteCa, events: Events | None = None, *, addresses: tuple[str, ...] = (), **tls: Any
) -> AsyncIterator[tuple[Node, Filler]]:
    """A node whose route "orders" asks for certificates of *ca*."""
    table = ca.listener_table(ca.issue("localhost", file="node"), **tls)
    async with filler() as ris:
        config = node_config(folder, filler_port=ris.port, tls=table, allowed_addresses=addresses)
        async with node_of(config, events) as node:
            yield node, ris


@asynccontextmanager
async def secure_placer(node: Node, context: ssl.SSLContext, *, source: str = "127.0.0.1") -> AsyncIterator[Placer]:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", node.ports["orders"], ssl=context, server_hostname="localhost", local_addr=(source, 0)
    )
    try:
        yield Placer(reader, writer)
    finally:
        writer.close()


async def is_refused(node: Node, context: ssl.SSLContext) -> bool:
    """Whether a placer with this certificate gets no answer to a message."""
    try:
        async with secure_placer(node, context) as placer:
            await placer.exchange(ORDER)
    except (OSError, asyncio.IncompleteReadError):
        return True
    return False


def refusals(node: Node, result: str) -> float:
    return sample(node.metrics.render(), "interceptor_inbound_connections_total", route="orders", result=result)


async def audited(node: Node, action: str) -> list[dict[str, object]]:
    """The details of every link of the audit chain with this action, as soon as there is one."""
    journal = node.custody.journal
    async with asyncio.timeout(20):
        while True:
            found = [dict(row.detail) for row in await journal.audit_rows() if row.action == action]
            if found:
                return found
            await asyncio.sleep(0.02)


async def test_a_placer_with_a_certificate_of_the_site_is_served(tmp_path: Path) -> None:
    ca = SiteCa(tmp_path / "ca")
    async with secured_node(tmp_path, ca) as (node, ris):
        async with secure_placer(node, ca.client(ca.issue("ehr.example"))) as placer:
            assert await placer.exchange(ORDER) == accept(ORDER)[1:-2]
        assert ris.received == [ORDER]


@pytest.mark.hazard("H13", "H26")
@pytest.mark.fault(28)
@pytest.mark.parametrize("kind", ["none", "unknown", "expired", "revoked"])
async def test_a_certificate_that_is_not_the_sites_is_refused_counted_and_audited(tmp_path: Path, kind: str) -> None:
    ca, other = SiteCa(tmp_path / "ca"), SiteCa(tmp_path / "other")
    revoked = ca.issue("old.example")
    shown: dict[str, Issued | None] = {
        "none": None,
        "unknown": other.issue("ehr.example"),
        "expired": ca.issue("ehr.example", days=-1),
        "revoked": revoked,
    }
    async with secured_node(tmp_path, ca, crl_file=ca.revoke(revoked)) as (node, ris):
        assert await is_refused(node, ca.client(shown[kind]))
        await until(lambda: refusals(node, "refused_certificate") == 1)
        (detail,) = await audited(node, "access_refused")
        assert detail == {"listener": "orders", "peer": "127.0.0.1", "reason": "certificate_refused", "count": 1}
        assert not await is_refused(node, ca.client(ca.issue("good.example")))
        assert ris.received == [ORDER]


async def test_a_certificate_whose_name_is_not_on_the_list_is_refused_counted_and_audited(tmp_path: Path) -> None:
    ca = SiteCa(tmp_path / "ca")
    events = Events()
    async with secured_node(tmp_path, ca, events, peers=({"name": "ehr.example"},)) as (node, ris):
        assert await is_refused(node, ca.client(ca.issue("printer.example")))
        assert not await is_refused(node, ca.client(ca.issue("EHR.example")))
        assert len(ris.received) == 1
        found = await audited(node, "access_refused")
        assert found[0]["reason"] == "name_not_listed"
        assert found[0]["certificate"] == "printer.example"
        metrics = node.metrics
        name = "interceptor_access_mismatches_total"
        assert sample(metrics.render(), name, route="orders", reason="name_not_listed", result="refused") == 1
    assert "access_mismatched" in events.names()


PEERS = ({"name": "ehr.example", "sending_facilities": ("HOSP",), "message_types": ("ORM", "ADT^A08")},)


@pytest.mark.hazard("H13", "H26")
@pytest.mark.parametrize(
    ("was", "now", "reason", "code"),
    [
        (b"|HOSP|", b"|CLINIC|", "sending_facility_not_allowed", b"103"),
        (b"|ORM^O01|", b"|ADT^A40|", "message_type_not_allowed", b"200"),
        (b"\rPID|", b"\rMSH|^~\\&|X|CLINIC\rPID|", "sender_not_readable", b"207"),
    ],
)
async def test_a_message_that_its_senders_certificate_does_not_allow_gets_ar_and_goes_nowhere(
    tmp_path: Path, was: bytes, now: bytes, reason: str, code: bytes
) -> None:
    ca = SiteCa(tmp_path / "ca")
    forged = ORDER.replace(was, now, 1)
    assert forged != ORDER
    async with secured_node(tmp_path, ca, peers=PEERS) as (node, ris):
        async with secure_placer(node, ca.client(ca.issue("ehr.example"))) as placer:
            answer = await placer.exchange(forged)
            assert b"\rMSA|AR|" in answer
            assert b"\rERR|" in answer
            assert code in answer
            assert await placer.exchange(ORDER) == accept(ORDER)[1:-2]
        assert ris.received == [ORDER]
        (detail,) = await audited(node, "access_refused")
        assert (detail["reason"], detail["certificate"], detail["count"]) == (reason, "ehr.example", 1)
        name = "interceptor_access_mismatches_total"
        assert sample(node.metrics.render(), name, route="orders", reason=reason, result="refused") == 1


async def test_while_a_site_migrates_a_mismatch_goes_on_and_is_audited(tmp_path: Path) -> None:
    ca = SiteCa(tmp_path / "ca")
    forged = ORDER.replace(b"|HOSP|", b"|CLINIC|", 1)
    async with secured_node(tmp_path, ca, peers=PEERS, on_mismatch="alert") as (node, ris):
        async with secure_placer(node, ca.client(ca.issue("ehr.example"))) as placer:
            await placer.exchange(forged)
        assert ris.received == [forged]
        (detail,) = await audited(node, "access_mismatch_allowed")
        assert detail["reason"] == "sending_facility_not_allowed"


@pytest.mark.fault(31)
async def test_an_address_off_the_list_is_turned_away_before_the_handshake_and_repeats_are_one_link(
    tmp_path: Path,
) -> None:
    ca = SiteCa(tmp_path / "ca")
    async with secured_node(tmp_path, ca, addresses=("127.0.0.2/32",)) as (node, ris):
        for _ in range(25):
            assert await is_refused(node, ca.client(ca.issue("ehr.example")))
        assert refusals(node, "refused_address") == 25
        found = await audited(node, "access_refused")
        assert sum(int(str(detail["count"])) for detail in found) <= 25
        assert len(found) <= 2
        async with secure_placer(node, ca.client(ca.issue("ehr.example")), source="127.0.0.2") as placer:
            await placer.exchange(ORDER)
        assert ris.received == [ORDER]


@pytest.mark.hazard("H14")
async def test_plain_text_and_an_old_version_of_tls_are_refused_and_counted(tmp_path: Path) -> None:
    ca = SiteCa(tmp_path / "ca")
    async with secured_node(tmp_path, ca) as (node, ris):
        with socket.create_connection(("127.0.0.1", node.ports["orders"])) as plain:
            plain.sendall(b"\x0bMSH|^~\\&|\x1c\r")
            plain.setblocking(False)
            await until(lambda: refusals(node, "refused_tls") == 1)
        old = ca.client(ca.issue("ehr.example"))
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        assert await is_refused(node, old)
        weak = ca.client(ca.issue("ehr.example"))
        weak.maximum_version = ssl.TLSVersion.TLSv1_2
        weak.set_ciphers("AES256-SHA:AES128-GCM-SHA256:ECDHE-ECDSA-AES256-SHA384:@SECLEVEL=0")
        assert await is_refused(node, weak)
        await until(lambda: refusals(node, "refused_tls") == 3)
        assert not ris.received


def test_only_suites_with_authenticated_encryption_and_ephemeral_keys_are_offered() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(CIPHERS)
    names = [suite["name"] for suite in context.get_ciphers()]
    assert names
    assert all("GCM" in name or "CHACHA20" in name for name in names)
    assert all(name.startswith(("TLS_", "ECDHE-")) for name in names)


@pytest.mark.fault(28)
async def test_certificates_are_replaced_under_traffic_without_a_dropped_message(tmp_path: Path) -> None:
    """Old connections go on with what they have; a new one sees the new certificate; a broken file changes nothing."""
    ca = SiteCa(tmp_path / "ca")
    events = Events()
    async with secured_node(tmp_path, ca, events) as (node, ris):
        client = ca.client(ca.issue("ehr.example"))

        def serial() -> str:
            with (
                socket.create_connection(("127.0.0.1", node.ports["orders"])) as plain,
                client.wrap_socket(plain, server_hostname="localhost") as tls,
            ):
                certificate = tls.getpeercert()
                assert certificate is not None
                return str(certificate["serialNumber"])

        before = after = await asyncio.to_thread(serial)
        async with secure_placer(node, client) as placer:
            for number in range(60):
                content = order(f"P{number}", procedure=CHEST_FILM)
                assert await placer.exchange(content) == accept(content)[1:-2]
                if number == 20:
                    ca.issue("localhost", file="node")
                    assert node.security.reload_certificates(only_changed=True) == ()
                    after = await asyncio.to_thread(serial)
                if number == 40:
                    (tmp_path / "ca" / "node.key").write_text("no key")
                    assert node.security.reload_certificates() == ("route.orders",)
        assert len(ris.received) == 60
        assert before != after
        assert await asyncio.to_thread(serial) == after
        assert sample(node.metrics.render(), "interceptor_tls_last_reload_successful", place="route.orders") == 0
    assert events.names().count("certificates_reloaded") == 1
    assert events.names().count("certificates_refused") == 1


@pytest.mark.fault(28)
@pytest.mark.parametrize(("days", "event"), [(29.5, "certificate_expiring"), (0.5, "certificate_expiring"), (90, "")])
async def test_a_certificate_that_ends_soon_is_told_of_at_the_start(tmp_path: Path, days: float, event: str) -> None:
    ca = SiteCa(tmp_path / "ca")
    events = Events()
    table = ca.listener_table(ca.issue("localhost", file="node", days=days))
    async with filler() as ris, node_of(node_config(tmp_path, filler_port=ris.port, tls=table), events) as node:
        name = "interceptor_tls_certificate_not_after_timestamp_seconds"
        shown = sample(node.metrics.render(), name, place="route.orders", file="certificate_file")
        assert shown == node.security.credentials["route.orders"].not_after["certificate_file"].timestamp()
        if event:
            await until(lambda: event in events.names())
    assert (event in events.names()) is bool(event)
