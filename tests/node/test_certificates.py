"""Certificates beside the lines: of FHIR, of the audit trail, of the review pages. Replaced while the node runs, and their end is shown."""

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from interceptor.config.atna_table import AtnaTable
from interceptor.config.review import ReviewTable
from interceptor.credentials import check_tls_files, review_place
from interceptor.review.process import bind, current_tls, serving
from interceptor.transport.tls import TlsFileProblem
from tests.evidence.test_lookup_node import site_of, undiagnosed
from tests.support.fhir import record
from tests.support.metric_page import sample
from tests.support.node import Events, filler, node_config, node_of
from tests.support.site_ca import SiteCa

NOT_AFTER = "interceptor_tls_certificate_not_after_timestamp_seconds"


@pytest.mark.fault(28)
@pytest.mark.hazard("H8")
async def test_a_fhir_server_sees_our_new_certificate_without_a_restart(tmp_path: Path) -> None:
    """The server takes certificates of another authority than ours; ours are replaced; the next order is looked up."""
    ours, theirs = SiteCa(tmp_path / "ours"), SiteCa(tmp_path / "theirs")
    server = theirs.server(theirs.issue("127.0.0.1", file="server"), asks_client=theirs)
    client = ours.issue("interceptor.example")
    table = {"ca_file": theirs.ca_file, "certificate_file": client.certificate_file, "key_file": client.key_file}
    resources = [*record(), *record("2002")]
    async with site_of(tmp_path, resources=resources, tls=server, fhir=table) as site:
        await site.placer.exchange(undiagnosed("P1"))
        assert b"A-UNKNOWN-ONC" in site.filler.received[0]
        renewed = theirs.issue("interceptor.example")
        client.certificate_file.write_bytes(renewed.certificate_file.read_bytes())
        client.key_file.write_bytes(renewed.key_file.read_bytes())
        assert site.node.security.reload_certificates(only_changed=True) == ()
        await site.placer.exchange(undiagnosed("P2").replace(b"1001^^^HOSP^MR", b"2002^^^HOSP^MR"))
        assert await site.held() == 1
        page = site.node.metrics.render()
        ends = site.node.security.credentials["fhir.epic"].not_after["certificate_file"].timestamp()
        assert sample(page, NOT_AFTER, place="fhir.epic", file="certificate_file") == ends
        assert sample(page, NOT_AFTER, place="fhir.epic", file="ca_file") > ends
        # A file that cannot be used changes nothing.
        client.key_file.write_text("no key")
        assert site.node.security.reload_certificates() == ("fhir.epic",)
        assert sample(site.node.metrics.render(), "interceptor_tls_last_reload_successful", place="fhir.epic") == 0


@pytest.mark.fault(28)
async def test_the_ends_of_the_audit_trails_and_the_pages_certificates_are_shown_and_told(tmp_path: Path) -> None:
    ca, events = SiteCa(tmp_path / "ca"), Events()
    atna, pages = ca.issue("interceptor.example", days=5), ca.issue("review.example", days=20)
    tables = {
        "atna": AtnaTable.model_validate(
            {
                "address": "127.0.0.1:9",
                "ca_file": ca.ca_file,
                "certificate_file": atna.certificate_file,
                "key_file": atna.key_file,
            }
        ),
        "review": ReviewTable.model_validate(
            {"certificate_file": pages.certificate_file, "key_file": pages.key_file, "listen": "127.0.0.1:0"}
        ),
    }
    async with filler() as ris:
        config = node_config(tmp_path, filler_port=ris.port).model_copy(update=tables)
        assert list(check_tls_files(config)) == []
        async with node_of(config, events) as node:
            page = node.metrics.render()
            for place in ("atna", "review"):
                assert sample(page, NOT_AFTER, place=place, file="certificate_file") > 0
            ca.issue("review.example", days=90)
            assert node.security.reload_certificates(only_changed=True) == ()
            later = sample(node.metrics.render(), NOT_AFTER, place="review", file="certificate_file")
            assert later > sample(page, NOT_AFTER, place="review", file="certificate_file")
            context = node.security.credentials["atna"].context
            ca.issue("interceptor.example", days=90)
            node.security.reload_certificates(only_changed=True)
            assert node.security.credentials["atna"].context is not context
    told = {fields["place"] for name, fields in events.seen if name == "certificate_expiring"}
    assert told == {"atna", "review"}


@pytest.mark.hazard("H1")
async def test_pages_whose_certificate_cannot_be_used_do_not_stop_the_node(tmp_path: Path) -> None:
    ca, events = SiteCa(tmp_path / "ca"), Events()
    pages = ca.issue("review.example")
    pages.key_file.write_text("no key")
    table = ReviewTable.model_validate({"certificate_file": pages.certificate_file, "key_file": pages.key_file})
    async with filler() as ris:
        config = node_config(tmp_path, filler_port=ris.port).model_copy(update={"review": table})
        (problem,) = check_tls_files(config)
        assert problem.startswith("review.certificate_file: ")
        async with node_of(config, events) as node:
            assert node.health.readiness().ok
    assert ("certificates_refused", "review") in [(name, fields.get("place")) for name, fields in events.seen]


async def test_browsers_see_the_pages_new_certificate_from_the_next_connection_on(tmp_path: Path) -> None:
    ca = SiteCa(tmp_path / "ca")
    files = ca.issue("localhost")
    table = ReviewTable.model_validate({"certificate_file": files.certificate_file, "key_file": files.key_file})
    place = review_place(node_config(tmp_path, filler_port=9).model_copy(update={"review": table}))
    assert place is not None
    credential = place.read()

    async def app(_scope: object, _receive: object, _send: object) -> None:
        """No request comes: it is the handshake that counts."""

    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]

    def serial(name: str | None) -> str:
        context = ca.client(checks_name=False)
        with (
            socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
            context.wrap_socket(plain, server_hostname=name) as tls,
        ):
            certificate = tls.getpeercert()
            assert certificate is not None
            return str(certificate["serialNumber"])

    async with serving(app, listener, tls=credential, stopping=asyncio.Event()):
        before = await asyncio.to_thread(serial, "localhost")
        ca.issue("localhost")
        assert credential.is_changed()
        credential.reload()
        after = {await asyncio.to_thread(serial, name) for name in ("localhost", None)}
        assert before not in after
        assert len(after) == 1
        files.key_file.write_text("no key")
        with pytest.raises(TlsFileProblem):
            credential.reload()
        assert await asyncio.to_thread(serial, "localhost") in after


def test_a_context_of_the_pages_offers_what_lines_offer(tmp_path: Path) -> None:
    ca = SiteCa(tmp_path / "ca")
    files = ca.issue("localhost")
    table = ReviewTable.model_validate({"certificate_file": files.certificate_file, "key_file": files.key_file})
    place = review_place(node_config(tmp_path, filler_port=9).model_copy(update={"review": table}))
    assert place is not None
    context = current_tls(place.read())
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert all("GCM" in one["name"] or "CHACHA20" in one["name"] for one in context.get_ciphers())
