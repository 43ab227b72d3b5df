"""What scanners say of our TLS ports: testssl.sh finds no weakness, sslyze finds the settings of Mozilla's "intermediate"."""

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.node.test_tls import secured_node
from tests.support.site_ca import SiteCa

ROOT = Path(__file__).parents[2]
TESTSSL = shutil.which("testssl") or shutil.which("testssl.sh")
needs_testssl = pytest.mark.skipif(TESTSSL is None, reason="apt-get install testssl.sh")


async def run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return output.decode(errors="replace")


async def scan(folder: Path, client_certificates: str, *parts: str) -> tuple[str, list[dict[str, Any]]]:
    """Scan a node's listener; what testssl.sh printed, and what it found."""
    ca = SiteCa(folder / "ca")
    found = folder / "found.json"
    async with secured_node(folder, ca, client_certificates=client_certificates) as (node, _):
        address = f"127.0.0.1:{node.ports['orders']}"
        quiet = ("--quiet", "--color", "0", "--warnings", "batch", "--nodns", "min")
        text = await run(str(TESTSSL), *quiet, "--jsonfile", str(found), "--add-ca", str(ca.ca_file), *parts, address)
    return text, json.loads(found.read_text(encoding="utf-8"))


def weaknesses(findings: list[dict[str, Any]]) -> list[str]:
    """What is worse than a remark; that its own OpenSSL lacks an engine is no finding about us."""
    bad = {"LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL", "WARN"}
    return [
        f"{one['id']}: {one['finding']}" for one in findings if one["severity"] in bad and one["id"] != "engine_problem"
    ]


@needs_testssl
@pytest.mark.hazard("H14")
async def test_a_scanner_sees_new_versions_and_authenticated_encryption_only(tmp_path: Path) -> None:
    text, findings = await scan(tmp_path, "required", "--protocols", "--std")
    assert weaknesses(findings) == [], text
    seen = {one["id"]: one["finding"] for one in findings}
    assert "not offered" in seen["TLS1"]
    assert "not offered" in seen["TLS1_1"]
    assert seen["TLS1_2"].startswith("offered")
    assert seen["TLS1_3"].startswith("offered")


@needs_testssl
@pytest.mark.deep
@pytest.mark.timeout(600)
async def test_a_scanner_finds_no_weakness(tmp_path: Path) -> None:
    text, findings = await scan(tmp_path, "none", "--protocols", "--std", "--fs", "--vulnerable")
    assert weaknesses(findings) == [], text
    assert {"heartbleed", "ROBOT", "LUCKY13"} <= {one["id"] for one in findings}


@pytest.mark.deep
@pytest.mark.timeout(600)
async def test_sslyze_finds_the_intermediate_settings(tmp_path: Path) -> None:
    """In an environment of its own: it asks for an older cryptography than the program runs on."""
    environment = tmp_path / "venv"
    await run(sys.executable, "-m", "venv", str(environment))
    lock = ROOT / "requirements" / "scan.txt"
    installed = await run(str(environment / "bin/pip"), "install", "-q", "--require-hashes", "-r", str(lock))
    scanner = environment / "bin/sslyze"
    assert scanner.exists(), installed
    ca = SiteCa(tmp_path / "ca")
    report = tmp_path / "report.json"
    async with secured_node(tmp_path, ca, client_certificates="none") as (node, _):
        address = f"127.0.0.1:{node.ports['orders']}"
        commands = ("sslv2", "sslv3", "tlsv1", "tlsv1_1", "tlsv1_2", "tlsv1_3", "heartbleed", "compression", "reneg")
        wanted = [f"--{command}" for command in commands]
        text = await run(str(scanner), "--mozilla_config=disable", *wanted, f"--json_out={report}", address)
    (server,) = json.loads(report.read_text(encoding="utf-8"))["server_scan_results"]
    result = server["scan_result"]
    assert result is not None, text
    for old in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"):
        assert result[f"{old}_cipher_suites"]["result"]["accepted_cipher_suites"] == [], old
    for new in ("tls_1_2", "tls_1_3"):
        accepted = result[f"{new}_cipher_suites"]["result"]["accepted_cipher_suites"]
        names = [one["cipher_suite"]["name"] for one in accepted]
        assert names
        assert all("GCM" in name or "CHACHA20" in name for name in names)
    assert not result["heartbleed"]["result"]["is_vulnerable_to_heartbleed"]
    assert not result["tls_compression"]["result"]["supports_compression"]
    assert not result["session_renegotiation"]["result"]["is_vulnerable_to_client_renegotiation_dos"]
