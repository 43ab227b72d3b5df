"""The audit trail of a running node arrives at a real rsyslog over TLS, and waits for one that is away."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from lxml import etree

from interceptor.config.atna_table import AtnaTable
from interceptor.config.schema import Config
from tests.atna.test_message import SCHEMA
from tests.support.metric_page import sample
from tests.support.mllp_peer import until
from tests.support.node import Events, filler, free_port, node_config, node_of, placer_of
from tests.support.orders import order
from tests.support.site_ca import SiteCa

RSYSLOG = shutil.which("rsyslogd") or shutil.which("rsyslogd", path="/usr/sbin")
needs_rsyslog = pytest.mark.skipif(
    RSYSLOG is None or not Path("/usr/share/doc/rsyslog-openssl").exists(),
    reason="apt-get install rsyslog rsyslog-openssl",
)

CONFIG = """
global(workDirectory="{folder}" maxMessageSize="64k" DefaultNetstreamDriver="ossl"
       DefaultNetstreamDriverCAFile="{ca}" DefaultNetstreamDriverCertFile="{certificate}"
       DefaultNetstreamDriverKeyFile="{key}")
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="x509/certvalid")
input(type="imtcp" address="127.0.0.1" port="{port}")
template(name="xml" type="string" string="%syslogpriority-text% %app-name% %msgid% %msg%\\n")
*.* action(type="omfile" file="{folder}/audit.log" template="xml")
"""


@asynccontextmanager
async def repository(folder: Path, ca: SiteCa, port: int) -> AsyncIterator[Path]:
    """rsyslogd that asks for a certificate of *ca* on *port*; the file that it writes."""
    folder.mkdir(exist_ok=True)
    ours = ca.issue("localhost", file="rsyslog")
    path = folder / "rsyslog.conf"
    path.write_text(
        CONFIG.format(folder=folder, ca=ca.ca_file, certificate=ours.certificate_file, key=ours.key_file, port=port)
    )
    process = await asyncio.create_subprocess_exec(
        str(RSYSLOG), "-n", "-f", str(path), "-i", str(folder / "pid"), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await wait_until_listening(port)
        yield folder / "audit.log"
    finally:
        process.terminate()
        await process.wait()


async def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what another process does; only a broken test waits to the end."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - a file that another process writes sets no event
            await asyncio.sleep(0.05)


async def wait_until_listening(port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


def config_of(folder: Path, ca: SiteCa, *, filler_port: int, port: int) -> Config:
    ours = ca.issue("interceptor.example")
    table = AtnaTable.model_validate_json(
        f'{{"address": "127.0.0.1:{port}", "ca_file": "{ca.ca_file}", "certificate_file": "{ours.certificate_file}",'
        f' "key_file": "{ours.key_file}", "server_name": "localhost", "enterprise_site": "Elsewhere"}}'
    )
    return node_config(folder, filler_port=filler_port).model_copy(update={"atna": table})


def links_of(log: Path) -> list[tuple[int, str]]:
    """Number and event of each audit message that arrived; each has the structure of PS3.15."""
    found = []
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else ():
        if "IHE+RFC-3881" not in line or not line.endswith("</AuditMessage>"):
            continue
        root = etree.fromstring(line[line.index("<?xml") :].encode())
        SCHEMA.assertValid(root)
        number = int(root.findall("ParticipantObjectIdentification")[-1].get("ParticipantObjectID"))
        found.append((number, root.find("EventIdentification/EventID").get("csd-code")))
    return found


@needs_rsyslog
@pytest.mark.fault(49)
async def test_what_happened_while_the_repository_was_away_arrives_in_order_and_orders_never_wait_for_it(
    tmp_path: Path,
) -> None:
    ca = SiteCa(tmp_path / "ca")
    port = free_port()
    events = Events()
    async with (
        filler() as ris,
        node_of(config_of(tmp_path, ca, filler_port=ris.port, port=port), events) as node,
        placer_of(node) as placer,
    ):
        # A hold: its acknowledgment comes although nobody takes audit messages.
        assert b"MSA|AA" in await placer.exchange(order("P1"))
        await until(lambda: "audit_sink_lost" in events.names())
        assert sample(node.metrics.render(), "interceptor_audit_sink_up") == 0
        async with repository(tmp_path / "one", ca, port) as log:
            await wait_until(lambda: len(links_of(log)) >= 2)
        assert b"MSA|AA" in await placer.exchange(order("P2"))
        async with repository(tmp_path / "two", ca, port) as second:
            chain = {row.number for row in await node.custody.journal.audit_rows()}
            first = links_of(log)
            await wait_until(lambda: {number for number, _ in (*first, *links_of(second))} >= chain)
    assert [event for _, event in first[:2]] == ["110100", "110109"]
    assert [number for number, _ in first] == sorted(number for number, _ in first)
    assert events.names().count("audit_sink_lost") <= 3


@needs_rsyslog
async def test_a_repository_with_a_certificate_of_somebody_else_gets_nothing(tmp_path: Path) -> None:
    ca, other = SiteCa(tmp_path / "ca"), SiteCa(tmp_path / "other")
    port = free_port()
    events = Events()
    async with filler() as ris, repository(tmp_path / "syslog", other, port) as log:
        async with node_of(config_of(tmp_path, ca, filler_port=ris.port, port=port), events) as node:
            await until(lambda: "audit_sink_lost" in events.names())
            assert sample(node.metrics.render(), "interceptor_audit_exported_total") == 0
        assert links_of(log) == []
