"""SMART backend services: what is signed, how often a token is asked for, and what is never told."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from interceptor.context.vocabulary import LookupStatus
from interceptor.evidence.fhir_connect import FhirClock, FhirSetupError, TlsFiles, open_http
from interceptor.evidence.fhir_failure import FhirReason
from interceptor.evidence.fhir_token import BackendClient, BackendToken, KeyProblem, read_private_key
from interceptor.simulate.fhir_server import Fault, SimulatedFhirServer, TokenRules, serving
from tests.support.fhir import backend_login, record, settings, source_of


@cache
def rsa_key() -> RSAKey:
    return RSAKey.generate_key(2048)


@cache
def curve_key() -> ECKey:
    return ECKey.generate_key("P-384")


def short_rsa_key() -> bytes:
    """1024 bits, as some hospitals' first keys were."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def pem(key: RSAKey | ECKey) -> bytes:
    return key.as_pem(private=True)


def rules(key: RSAKey | ECKey, *, seconds: float = 300.0) -> TokenRules:
    public = (
        RSAKey.import_key(key.as_dict(private=False))
        if isinstance(key, RSAKey)
        else ECKey.import_key(key.as_dict(private=False))
    )
    return TokenRules(client_id="interceptor", public_key=public, seconds=seconds)


@pytest.fixture(params=["RS384", "ES384"])
def key(request: pytest.FixtureRequest) -> RSAKey | ECKey:
    return rsa_key() if request.param == "RS384" else curve_key()


@pytest.fixture
async def server(key: RSAKey | ECKey) -> AsyncIterator[SimulatedFhirServer]:
    async with serving(record(), token_rules=rules(key)) as one:
        yield one


async def test_a_token_is_asked_for_once_and_used_for_every_request(
    server: SimulatedFhirServer, key: RSAKey | ECKey
) -> None:
    made = settings(server.base_url, login=backend_login(server.token_url, pem(key)))
    async with source_of(made) as rig:
        answers = await asyncio.gather(*(rig.ask(), rig.ask(value="nobody"), rig.ask(value="else")))
    assert {answer.lookup for answer in answers} == {LookupStatus.OK}
    assert server.count("token") == 1
    assert len({request.authorization for request in server.requests if request.kind != "token"}) == 1


async def test_a_key_may_come_as_jwk(server: SimulatedFhirServer, key: RSAKey | ECKey) -> None:
    login = backend_login(server.token_url, json.dumps(key.as_dict(private=True)).encode())
    async with source_of(settings(server.base_url, login=login)) as rig:
        assert (await rig.ask()).lookup is LookupStatus.OK


@pytest.mark.fault(25)
async def test_a_token_that_expires_mid_run_is_renewed_once(server: SimulatedFhirServer, key: RSAKey | ECKey) -> None:
    """Three searches meet the 401 side by side: one new token, no more."""
    made = settings(server.base_url, login=backend_login(server.token_url, pem(key)))
    async with source_of(made) as rig:
        await rig.ask(value="nobody")
        server.expire_tokens()
        assert (await rig.ask()).lookup is LookupStatus.OK
        assert server.count("token") == 2
        assert server.count("Patient") == 3


async def test_a_token_is_renewed_before_it_ends() -> None:
    async with serving(record(), token_rules=rules(curve_key(), seconds=100)) as server:
        made = settings(server.base_url, login=backend_login(server.token_url, pem(curve_key())))
        async with source_of(made) as rig:
            await rig.ask()
            rig.clock.pushed += 69
            await rig.ask(value="nobody")
            assert server.count("token") == 1
            rig.clock.pushed += 2
            await rig.ask(value="else")
            assert server.count("token") == 2


async def test_a_server_that_refuses_every_token_costs_two_requests() -> None:
    async with serving(record(), token_rules=rules(curve_key()), fault=Fault.UNAUTHORIZED) as server:
        made = settings(server.base_url, login=backend_login(server.token_url, pem(curve_key())))
        async with source_of(made) as rig:
            assert (await rig.ask()).lookup is LookupStatus.FAILED
            assert (server.count("Patient"), server.count("token")) == (2, 2)
    assert rig.observed.results == {FhirReason.UNAUTHORIZED: 1}


async def test_an_endpoint_that_refuses_us_is_not_asked_for_every_patient() -> None:
    """Ten orders at once with a key that the server does not know: one request."""
    async with serving(record(), token_rules=rules(rsa_key())) as server:
        made = settings(server.base_url, login=backend_login(server.token_url, pem(curve_key())))
        async with source_of(made) as rig:
            answers = await asyncio.gather(*(rig.ask(value=str(number)) for number in range(5)))
        assert {answer.lookup for answer in answers} == {LookupStatus.FAILED}
        assert [request.kind for request in server.requests] == ["token"]
    assert set(rig.observed.results) == {FhirReason.TOKEN_REFUSED}


async def test_an_endpoint_that_is_away_is_unreachable() -> None:
    async with serving(record()) as server:
        made = settings(server.base_url, login=backend_login("http://127.0.0.1:1/token", pem(curve_key())))
        async with source_of(made) as rig:
            await rig.ask()
        assert server.requests == []
    assert rig.observed.results == {FhirReason.UNREACHABLE: 1}


async def test_a_fixed_bearer_token_is_sent() -> None:
    async with serving(record(), bearer="abc.def") as server:
        async with source_of(settings(server.base_url, login="abc.def")) as rig:
            assert (await rig.ask()).lookup is LookupStatus.OK
        async with source_of(settings(server.base_url, login="wrong")) as rig:
            assert (await rig.ask()).lookup is LookupStatus.FAILED
    assert rig.observed.results == {FhirReason.UNAUTHORIZED: 1}


def test_an_assertion_says_what_the_profile_asks_for() -> None:
    identity = BackendClient(
        token_url="https://auth.example/token",
        client_id="interceptor",
        key=curve_key(),
        algorithm="ES384",
        key_id="key-1",
        scope="system/*.rs",
    )
    at = datetime(2026, 3, 2, tzinfo=UTC)
    token = BackendToken(httpx2.AsyncClient(), identity, seconds_max=1, now=lambda: at, monotonic=lambda: 0.0)
    decoded = [jwt.decode(token.assertion(), curve_key(), algorithms=["ES384"]) for _ in range(2)]
    first, second = (one.claims for one in decoded)
    assert decoded[0].header == {"alg": "ES384", "typ": "JWT", "kid": "key-1"}
    assert first["iss"] == first["sub"] == "interceptor"
    assert first["aud"] == "https://auth.example/token"
    assert 0 < first["exp"] - at.timestamp() <= 300
    assert first["jti"] != second["jti"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"secret-that-is-no-key",
        short_rsa_key(),
        ECKey.generate_key("P-256").as_pem(private=True),
        curve_key().as_pem(private=False),
    ],
)
def test_a_key_that_cannot_sign_is_refused_without_quoting_it(content: bytes) -> None:
    with pytest.raises(KeyProblem) as raised:
        read_private_key(content)
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None


async def test_a_key_or_certificate_that_cannot_be_used_names_its_place() -> None:
    clock = FhirClock(now=lambda: datetime.now(UTC), monotonic=lambda: 0.0)
    made = settings("https://127.0.0.1:1/", login=backend_login("https://127.0.0.1:1/token", b"nonsense"))
    with pytest.raises(FhirSetupError, match=r"fhir\.epic\.private_key"):
        async with open_http(made, clock):
            pass
    with pytest.raises(FhirSetupError, match=r"fhir\.epic: a TLS file"):
        async with open_http(replace(made, tls=TlsFiles(ca_file="/does/not/exist")), clock):
            pass


def test_secrets_are_not_in_the_settings_as_they_print() -> None:
    login = backend_login("https://auth.example/token", b"PRIVATE-KEY-BYTES")
    shown = repr(settings("https://fhir.example", login=login)) + repr(login)
    assert "PRIVATE-KEY-BYTES" not in shown
