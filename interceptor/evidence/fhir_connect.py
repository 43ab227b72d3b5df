"""Open one FHIR server as an evidence source, for the length of a block.

Settings and secrets come in as values; files and environment were read before. Failures: a certificate or key that
cannot be used stops the start with what is wrong, never with what is in it.
"""

import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx2

from interceptor.context.patient import PatientEvidence
from interceptor.evidence.fhir_breaker import BreakerOptions, FhirBreaker
from interceptor.evidence.fhir_failure import FhirFailure, FhirReason
from interceptor.evidence.fhir_http import AnswerLimits, FhirHttp, SearchMethod, TokenSource, http_client, tls_context
from interceptor.evidence.fhir_search import SearchOptions
from interceptor.evidence.fhir_source import FhirObserver, FhirSource, FhirSourceOptions
from interceptor.evidence.fhir_token import (
    BackendClient,
    BackendToken,
    KeyProblem,
    NoLogin,
    StaticBearer,
    read_private_key,
)
from interceptor.evidence.patient_question import PatientQuestion


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendLogin:
    """SMART backend services; `private_key` is PEM or JWK."""

    token_url: str
    client_id: str
    private_key: bytes = field(repr=False)
    key_id: str = ""
    scope: str = "system/*.rs"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Files for TLS: the authority that signed the server's certificate, our own certificate and its key."""

    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FhirSettings:
    """Everything that one server needs. `login` is a bearer token, backend services, or None."""

    name: str
    base_url: str
    search: SearchOptions
    search_method: SearchMethod = "post"
    login: str | BackendLogin | None = field(default=None, repr=False)
    tls: TlsFiles = TlsFiles()
    limits: AnswerLimits = field(default_factory=AnswerLimits)
    source: FhirSourceOptions = field(default_factory=FhirSourceOptions)
    breaker: BreakerOptions = field(default_factory=BreakerOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class FhirClock:
    """The wall clock (aware UTC), for assertions and ages; and the one that never jumps."""

    now: Callable[[], datetime]
    monotonic: Callable[[], float]


class FhirSetupError(ValueError):
    """A server cannot be asked as configured. The text names the key and never quotes a secret."""


@asynccontextmanager
async def open_http(
    settings: FhirSettings, clock: FhirClock, *, tls: Callable[[], ssl.SSLContext] | None = None
) -> AsyncIterator[FhirHttp]:
    """The way to one server.

    *tls* gives the context of the next connection, where somebody replaces certificates while this is open; without it
    the files of *settings* are read once.

    Raises:
        FhirSetupError: A file or key cannot be used.
    """
    context = _tls(settings) if tls is None else None
    if context is not None:
        tls = lambda: context  # noqa: E731 - the same as a file that is never replaced
    login = _backend_client(settings)
    # Three searches of each patient run side by side.
    connections_max = settings.source.flights_max * 3
    async with http_client(limits=settings.limits, connections_max=connections_max, tls=tls) as client:
        tokens = _tokens(client, settings, login, clock)
        yield FhirHttp(
            client,
            base_url=settings.base_url,
            tokens=tokens,
            limits=settings.limits,
            search_method=settings.search_method,
        )


def check_settings(settings: FhirSettings) -> None:
    """Read keys and certificates as a start would.

    Raises:
        FhirSetupError: A file or key cannot be used.
    """
    _tls(settings)
    _backend_client(settings)


def _tls(settings: FhirSettings) -> ssl.SSLContext | None:
    if not settings.base_url.startswith("https:"):
        return None
    files = settings.tls
    try:
        return tls_context(ca_file=files.ca_file, certificate_file=files.certificate_file, key_file=files.key_file)
    except (OSError, ssl.SSLError) as error:
        message = f"fhir.{settings.name}: a TLS file cannot be used ({type(error).__name__})"
        raise FhirSetupError(message) from None


def _backend_client(settings: FhirSettings) -> BackendClient | None:
    login = settings.login
    if not isinstance(login, BackendLogin):
        return None
    try:
        key, algorithm = read_private_key(login.private_key)
    except KeyProblem as problem:
        message = f"fhir.{settings.name}.private_key: {problem}"
        raise FhirSetupError(message) from None
    return BackendClient(
        token_url=login.token_url,
        client_id=login.client_id,
        key=key,
        algorithm=algorithm,
        key_id=login.key_id,
        scope=login.scope,
    )


def _tokens(
    client: httpx2.AsyncClient, settings: FhirSettings, backend: BackendClient | None, clock: FhirClock
) -> TokenSource:
    if backend is not None:
        return BackendToken(
            client, backend, seconds_max=settings.limits.seconds_max, now=clock.now, monotonic=clock.monotonic
        )
    return StaticBearer(settings.login) if isinstance(settings.login, str) else NoLogin()


@asynccontextmanager
async def open_source(
    settings: FhirSettings,
    *,
    clock: FhirClock,
    tls: Callable[[], ssl.SSLContext] | None = None,
    spawn: Callable[[Coroutine[Any, Any, None]], None],
    landed: Callable[[PatientQuestion, PatientEvidence], None],
    observer: FhirObserver,
) -> AsyncIterator[FhirSource]:
    """One server as a source; see `open_http` for *tls*, `FhirSource` for *spawn*, *landed* and *observer*.

    Raises:
        FhirSetupError: A file or key cannot be used.
    """
    async with open_http(settings, clock, tls=tls) as server:
        yield FhirSource(
            settings.name,
            server,
            search=settings.search,
            options=settings.source,
            breaker=FhirBreaker(settings.breaker),
            spawn=spawn,
            landed=landed,
            observer=observer,
            now=clock.now,
            monotonic=clock.monotonic,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """What a server says of itself, as far as we need it: problems are sentences for a person."""

    software: str
    version: str
    problems: tuple[str, ...]


async def probe(settings: FhirSettings, *, clock: FhirClock) -> Capability:
    """Ask a server for its CapabilityStatement and compare it with what we will ask.

    Raises:
        FhirSetupError: A file or key cannot be used.
        FhirFailure: The server gives no CapabilityStatement.
    """
    async with open_http(settings, clock) as server:
        statement = await server.metadata()
    if statement.get("resourceType") != "CapabilityStatement":
        raise FhirFailure(FhirReason.NOT_FHIR)
    software = statement.get("software")
    name = software.get("name") if isinstance(software, dict) else None
    version = statement.get("fhirVersion")
    return Capability(
        software=str(name)[:60] if name else "unnamed software",
        version=str(version)[:20] if version else "unknown",
        problems=tuple(capability_problems(statement)),
    )


def capability_problems(statement: Mapping[str, Any]) -> list[str]:
    """What a CapabilityStatement lacks of what we ask for, each as a sentence."""
    problems = []
    version = statement.get("fhirVersion")
    if not isinstance(version, str) or not version.startswith(("4.0", "4.3")):
        problems.append("it does not serve FHIR R4")
    served = _search_parameters(statement)
    for kind, needed in (
        ("Patient", "identifier"),
        ("Condition", "patient"),
        ("AllergyIntolerance", "patient"),
        ("Observation", "patient"),
    ):
        if kind not in served:
            problems.append(f"it does not serve {kind}")
        elif needed not in served[kind]:
            problems.append(f"it does not list {kind}?{needed}=")
    return problems


def _search_parameters(statement: Mapping[str, Any]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for rest in _dicts(statement.get("rest")):
        for resource in _dicts(rest.get("resource")):
            names = {str(one.get("name")) for one in _dicts(resource.get("searchParam"))}
            found.setdefault(str(resource.get("type")), set()).update(names)
    return found


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
