"""How a FHIR server is configured, checked and reached: the file, secrets, `check`, `doctor`, TLS."""

import asyncio
import ssl
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from interceptor.config.load import ConfigError, load_config
from interceptor.config.schema import FhirTable
from interceptor.context.vocabulary import LookupStatus
from interceptor.evidence.fhir_connect import (
    BackendLogin,
    FhirClock,
    TlsFiles,
    capability_problems,
    probe,
)
from interceptor.evidence.fhir_failure import FhirFailure, FhirReason
from interceptor.evidence.fhir_http import AnswerLimits, FhirHttp, http_client
from interceptor.evidence.fhir_token import NoLogin
from interceptor.simulate.fhir_server import Fault, serving
from interceptor.sources import fhir_settings
from tests.support.clinical import shipped_content
from tests.support.command import run_command
from tests.support.fhir import record, settings, source_of
from tests.support.source_tree import ROOT

CONFIG = """
[node]
data_directory = "data"
[metrics]
listen = "127.0.0.1:0"
[route.orders]
listen = "127.0.0.1:0"
destination = "ris"
[destination.ris]
address = "127.0.0.1:1"
[fhir.epic]
base_url = "{base_url}"
systems = {{ "HOSP" = "urn:oid:1.2.3" }}
{more}
"""
CLOCK = FhirClock(now=lambda: datetime.now(UTC), monotonic=lambda: 0.0)


def write(folder: Path, *, base_url: str = "https://fhir.example/r4", more: str = "") -> Path:
    (folder / "data" / "journal").mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "interceptor.toml"
    path.write_text(CONFIG.format(base_url=base_url, more=more), encoding="utf-8")
    return path


def problems(folder: Path, **changes: str) -> str:
    with pytest.raises(ConfigError) as raised:
        load_config(write(folder, **changes))
    return "\n".join(str(problem) for problem in raised.value.problems)


@pytest.mark.parametrize(
    ("base_url", "said"),
    [
        ("http://fhir.example/r4", "use https"),
        ("fhir.example/r4", "is not an address"),
        ("https://user:secret@fhir.example/r4", "has a login in it"),
        ("https://fhir.example/r4?a=b", "is not an address"),
        ("https://fhir.example:99999/r4", "port"),
    ],
)
def test_a_base_that_cannot_be_used_is_a_problem(tmp_path: Path, base_url: str, said: str) -> None:
    assert said in problems(tmp_path, base_url=base_url)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('bearer_token_file = "a"\nbearer_token_env = "B"', "bearer_token_file is given too"),
        ('bearer_token_env = "B"\nclient_id = "c"', "give one kind of login"),
        ('client_id = "c"\ntoken_url = "https://auth.example/token"', "backend services need"),
        ('private_key_env = "K"', "backend services need"),
        ('key_file = "k"', "certificate_file is missing"),
        ("fresh_seconds = 1000.0", "fresh_seconds (1000.0) is more than revalidate_seconds"),
        ('bearer_token = "inline"', "unknown key"),
    ],
)
def test_a_login_is_whole_once_and_never_inline(tmp_path: Path, more: str, said: str) -> None:
    assert said in problems(tmp_path, more=more)


def test_files_start_at_the_configurations_folder(tmp_path: Path) -> None:
    table = load_config(write(tmp_path, more='bearer_token_file = "secrets/token"')).fhir["epic"]
    assert table.bearer_token_file == tmp_path / "secrets" / "token"


def table_of(**keys: object) -> FhirTable:
    return FhirTable.model_validate({"base_url": "https://fhir.example/r4", "systems": {"HOSP": "urn:x"}, **keys})


def test_a_secret_is_read_from_its_file_or_variable(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("abc.def\n", encoding="utf-8")
    by_file = fhir_settings("epic", table_of(bearer_token_file=file), egfr_codes=(), environment={})
    by_variable = fhir_settings("epic", table_of(bearer_token_env="T"), egfr_codes=(), environment={"T": "abc.def"})
    assert by_file.login == by_variable.login == "abc.def"
    backend = table_of(client_id="c", token_url="https://auth.example/t", private_key_env="K")
    login = fhir_settings("epic", backend, egfr_codes=(), environment={"K": "KEY"}).login
    assert isinstance(login, BackendLogin)
    assert (login.client_id, login.private_key) == ("c", b"KEY")
    assert fhir_settings("epic", table_of(), egfr_codes=(), environment={}).login is None


@pytest.mark.parametrize("content", ["", "two words", "line\r\nX-Header: y", "ümlaut"])
def test_a_token_that_is_none_is_refused_without_quoting_it(content: str) -> None:
    with pytest.raises(ValueError, match=r"fhir\.epic\.bearer_token") as raised:
        fhir_settings("epic", table_of(bearer_token_env="T"), egfr_codes=(), environment={"T": content})
    assert not content or content not in str(raised.value)


def test_the_kidney_values_that_decisions_read_are_asked_for() -> None:
    codes = shipped_content().tables.codes.filtration_rate_codes()
    assert {"98979-8", "62238-1", "48642-3"} <= set(codes)
    assert all(shipped_content().tables.codes.laboratory(code) == "egfr" for code in codes)


# `check` and `doctor`.


def test_check_names_a_secret_that_is_missing_and_no_longer_warns_of_no_lookup(tmp_path: Path) -> None:
    result = run_command("check", "-c", write(tmp_path, more='bearer_token_file = "missing"'))
    assert result.code == 2
    assert "fhir.epic.bearer_token_file: cannot be read" in result.output + result.errors
    assert "no lookup is configured" not in result.output + result.errors


async def test_doctor_tells_what_a_server_is(tmp_path: Path) -> None:
    async with serving(record()) as server:
        result = await asyncio.to_thread(
            run_command, "doctor", "-c", write(tmp_path, base_url=server.base_url), "--json"
        )
        found = {one["subject"]: one for one in result.json_lines}["fhir.epic"]
        assert (found["health"], found["words"]) == ("good", "order-interceptor simulator, FHIR 4.0.1")
        server.fault = Fault.NOT_JSON
        result = await asyncio.to_thread(
            run_command, "doctor", "-c", write(tmp_path, base_url=server.base_url), "--json"
        )
        found = {one["subject"]: one for one in result.json_lines}["fhir.epic"]
        assert (found["health"], found["words"]) == ("warning", "does not answer as it should: not_fhir")


async def test_a_server_that_does_not_serve_what_we_ask_for_is_found_out() -> None:
    async with serving(record()) as server:
        capability = await probe(settings(server.base_url), clock=CLOCK)
        assert capability.problems == ()
        async with http_client(limits=AnswerLimits(), connections_max=1, tls=None) as client:
            http = FhirHttp(client, base_url=server.base_url, tokens=NoLogin(), limits=AnswerLimits())
            statement = dict(await http.metadata())

    statement["fhirVersion"] = "5.0.0"
    statement["rest"][0]["resource"] = [
        one for one in statement["rest"][0]["resource"] if one["type"] != "AllergyIntolerance"
    ]
    statement["rest"][0]["resource"][0]["searchParam"] = [{"name": "name"}]
    assert capability_problems(statement) == [
        "it does not serve FHIR R4",
        "it does not list Patient?identifier=",
        "it does not serve AllergyIntolerance",
    ]


# Links.


@pytest.mark.parametrize(
    "link",
    [
        "http://evil.example/r4/Condition?page=2",
        "https://fhir.example.evil/r4/Condition",
        "http://fhir.example/r4/Condition",
        "https://fhir.example:444/r4/Condition",
        "https://fhir.example/other/Condition",
        "https://fhir.example/r4/../admin",
        "https://user@fhir.example/r4/Condition",
        "//evil.example/r4/Condition",
        "file:///etc/passwd",
        "https://fhir.example\\@evil.example/r4/",
        "https://[",
    ],
)
async def test_a_link_that_leaves_the_server_is_refused(link: str) -> None:
    async with http_client(limits=AnswerLimits(), connections_max=1, tls=None) as client:
        http = FhirHttp(client, base_url="https://fhir.example/r4", tokens=NoLogin(), limits=AnswerLimits())
        with pytest.raises(FhirFailure) as raised:
            http.resolve(link)
    assert raised.value.reason is FhirReason.OFF_ORIGIN
    assert str(raised.value) == "off_origin"


@pytest.mark.parametrize(
    "link", ["https://fhir.example/r4/Condition?page=2", "Condition?page=2", "https://fhir.example:443/r4?page=2"]
)
async def test_a_link_that_stays_is_followed(link: str) -> None:
    async with http_client(limits=AnswerLimits(), connections_max=1, tls=None) as client:
        http = FhirHttp(client, base_url="https://fhir.example/r4", tokens=NoLogin(), limits=AnswerLimits())
        assert str(http.resolve(link)).startswith("https://fhir.example")


# TLS.


def certificate(
    folder: Path, name: str, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A certificate for 127.0.0.1 in NAME.pem with its key in NAME.key; its own authority without an *issuer*."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    made = builder.sign(issuer[1] if issuer else key, hashes.SHA256())
    (folder / f"{name}.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / f"{name}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return made, key


async def test_mutual_tls_shows_our_certificate_and_checks_theirs(tmp_path: Path) -> None:
    authority = certificate(tmp_path, "authority", None)
    for name in ("server", "us"):
        certificate(tmp_path, name, authority)
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tmp_path / "authority.pem")
    theirs.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    theirs.verify_mode = ssl.CERT_REQUIRED
    whole = TlsFiles(
        ca_file=str(tmp_path / "authority.pem"),
        certificate_file=str(tmp_path / "us.pem"),
        key_file=str(tmp_path / "us.key"),
    )
    answers = []
    async with serving(record(), tls=theirs) as server:
        assert server.base_url.startswith("https://")
        for files in (whole, replace(whole, certificate_file=None, key_file=None), replace(whole, ca_file=None)):
            async with source_of(settings(server.base_url, tls=files)) as rig:
                answers.append((await rig.ask()).lookup)
    assert answers == [LookupStatus.OK, LookupStatus.FAILED, LookupStatus.FAILED]


def test_the_first_question_imports_nothing_of_the_network() -> None:
    """An import of 100 ms in the event loop would make the first order's neighbours wait."""
    script = """
import asyncio, sys
from tests.support.fhir import record, settings, source_of
from interceptor.simulate.fhir_server import serving
async def main():
    async with serving(record()) as server, source_of(settings(server.base_url)) as rig:
        before = set(sys.modules)
        await rig.ask()
        print([name for name in sys.modules if name not in before and name.startswith(("anyio", "http", "ssl"))])
asyncio.run(main())
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    )
    assert result.stdout == "[]\n"
