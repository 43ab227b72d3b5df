"""The page on installing, followed word for word from the built release in an empty environment."""

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from interceptor import __version__
from interceptor.simulate.fhir_record import IDENTIFIER_SYSTEM
from interceptor.simulate.fhir_server import serving
from tests.support.fhir import record
from tests.support.node import free_port
from tests.support.page_commands import replaced, shell_blocks
from tests.support.source_tree import ROOT

PAGE = ROOT / "docs" / "how-to" / "install.md"
TOOLS = ("curl", "openssl", "promtool")

pytestmark = [
    pytest.mark.timeout(900),  # A whole set of packages is installed.
    pytest.mark.skipif(
        any(shutil.which(tool) is None for tool in TOOLS), reason="apt-get install curl openssl prometheus"
    ),
]


def place(folder: Path, *, fhir: str) -> dict[str, str]:
    """What is this test's own: where things go, free ports, the FHIR server's address and its identifier system."""
    return {
        "/opt/interceptor": f"{folder}/opt/interceptor",
        "/etc/interceptor": f"{folder}/etc/interceptor",
        "/var/lib/interceptor": f"{folder}/var/lib/interceptor",
        "2575": str(free_port()),
        "2576": str(free_port()),
        "9464": str(free_port()),
        "8440": str(free_port()),
        "https://fhir.hospital.example/r4": fhir,
        "urn:oid:1.2.3.4": IDENTIFIER_SYSTEM,
    }


async def follow(commands: list[str], folder: Path) -> list[str]:
    """Run each block in the release's folder as bash would; returns what each printed. The first failure shows all."""
    printed: list[str] = []
    for command in commands:
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        output, _ = await process.communicate()
        printed.append(output.decode(errors="replace"))
        assert process.returncode == 0, "\n".join([*printed, f"failed with {process.returncode}:", command])
    return printed


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a short name: the control socket stands below it, and its path has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="in-") as name:
        yield Path(name)


async def test_a_node_with_tls_a_fhir_source_and_prometheus_rules_runs_by_the_page_alone(short_folder: Path) -> None:
    release = short_folder / "release"
    await follow([f"./dev release {release}"], ROOT)
    for folder in ("opt", "etc/interceptor", "var/lib/interceptor"):
        (short_folder / folder).mkdir(parents=True, mode=0o700)
    async with serving(record("99999999", birth_date="1962-03-04")) as server:
        text = "\0".join(shell_blocks(PAGE))
        commands = replaced(text, place(short_folder, fhir=server.base_url)).split("\0")
        printed = await follow(commands, release)
        asked = len(server.requests)
    version, _, checked, tried, rules = printed
    assert __version__ in version
    assert "No problems" in checked
    assert "[+] listeners_bound" in tried
    assert "/login/link/" in tried
    assert " AA " in tried
    assert 'disposition="hold"' in tried
    assert asked >= 2
    assert 'interceptor_evidence_lookups_total{result="ok",source="ehr"} 1.0' in tried
    assert "SUCCESS" in rules
