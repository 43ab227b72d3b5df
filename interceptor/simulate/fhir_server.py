"""A FHIR R4 server that is good enough to be a peer: searches, pages, tokens, and faults on demand.

    async with serving(record) as server:
        server.base_url                 to configure
        server.fault = Fault.SLOW       every answer from now on
        server.requests                 what was asked, in order

Its own small HTTP/1.1 on asyncio, because no HTTP library answers as wrongly as a fault must. Never for patients who
exist: what it is asked is kept in memory.

Source: FHIR R4 (4.0.1) 3.1.0, 3.2.1; SMART App Launch 2.2, Backend Services.
"""

import asyncio
import json
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import uuid4

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from interceptor.simulate.fhir_record import capability_statement, outcome, search_bundle

BASE_PATH = "/fhir/r4"
_SEARCH_PATH = "/_search"
TOKEN_PATH = "/oauth2/token"  # noqa: S105 - a path
_BOMB_SIZE = 32 * 1024 * 1024
_DEPTH = 5000
_HEAD_SIZE_MAX = 65_536
_SEARCH_PARAMETERS: Mapping[str, frozenset[str]] = {
    "Patient": frozenset({"identifier"}),
    "Condition": frozenset({"patient", "category"}),
    "AllergyIntolerance": frozenset({"patient"}),
    "Observation": frozenset({"patient", "code", "date"}),
}
_CONTROL_PARAMETERS = frozenset({"_count", "_offset"})


class Fault(StrEnum):
    """How the server misbehaves."""

    NONE = "none"
    SLOW = "slow"
    """It answers rightly after `slow_seconds`."""
    RATE_LIMITED = "rate_limited"
    """429 with Retry-After."""
    SERVER_ERROR = "server_error"
    UNAVAILABLE = "unavailable"
    """503 without Retry-After."""
    TRUNCATED = "truncated"
    """Half of the content, then the end of the connection."""
    HALF_JSON = "half_json"
    """Half of the content, announced as all of it."""
    GZIP_BOMB = "gzip_bomb"
    """32 MiB in a hundred kilobytes or so."""
    DEEP = "deep"
    """Five thousand lists in each other."""
    WRONG_PATIENT = "wrong_patient"
    """Another patient than the one asked for."""
    WRONG_SUBJECT = "wrong_subject"
    """The right patient, and somebody else's resources."""
    TWO_PATIENTS = "two_patients"
    OFF_ORIGIN_NEXT = "off_origin_next"
    """A next link to another server."""
    CIRCLE = "circle"
    """A next link to the same page."""
    OUTCOME = "outcome"
    """200 with an OperationOutcome of severity error."""
    OUTCOME_IN_BUNDLE = "outcome_in_bundle"
    """200 with a Bundle that has matches, and an OperationOutcome of severity error."""
    REDIRECT = "redirect"
    NOT_JSON = "not_json"
    DROPPED = "dropped"
    """The connection ends without an answer."""
    UNAUTHORIZED = "unauthorized"
    """401 whatever the token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FhirRequest:
    """One request as it came. `kind` is the resource type, "metadata" or "token"."""

    method: str
    kind: str
    target: str
    parameters: tuple[tuple[str, str], ...]
    authorization: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """Who may have a token: the client's id and public key, and how many seconds a token lives."""

    client_id: str
    public_key: RSAKey | ECKey
    seconds: float = 300.0


@dataclass(slots=True, kw_only=True)
class _Answer:
    status: int
    content: bytes
    headers: tuple[tuple[str, str], ...] = ()
    announced_size: int | None = None
    closes: bool = False


@dataclass(kw_only=True)
class SimulatedFhirServer:
    """The server's record and behaviour; change both while it runs.

    Attributes:
        resources: Everything that it knows.
        fault: How it misbehaves from now on; tokens are given all the same.
        page_size_max: Matches on one page, whatever `_count` asks for.
        bearer: A token that is taken; "" and no `token_rules` takes every request.
        requests: What was asked.
    """

    resources: list[Mapping[str, Any]]
    fault: Fault = Fault.NONE
    slow_seconds: float = 5.0
    retry_after: str = "2"
    page_size_max: int = 50
    bearer: str = ""
    token_rules: TokenRules | None = None
    origin: str = ""
    requests: list[FhirRequest] = field(default_factory=list)
    _tokens: dict[str, float] = field(default_factory=dict)
    _seen_assertions: set[str] = field(default_factory=set)

    @property
    def base_url(self) -> str:
        """The service's base."""
        return self.origin + BASE_PATH

    @property
    def token_url(self) -> str:
        """Where tokens are given."""
        return self.origin + TOKEN_PATH

    def count(self, kind: str) -> int:
        """How many requests of this kind came."""
        return sum(request.kind == kind for request in self.requests)

    def expire_tokens(self) -> None:
        """Every token that was given ends now."""
        self._tokens.clear()

    async def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> _Answer | None:
        """The answer to one request; None ends the connection without one."""
        split = urlsplit(target)
        is_search = split.path.endswith(_SEARCH_PATH)
        stated = body.decode("ascii", "replace") if is_search else split.query
        parameters = tuple(parse_qsl(stated, keep_blank_values=True))
        is_token = split.path == TOKEN_PATH
        kind = "token" if is_token else split.path.removeprefix(BASE_PATH).strip("/").partition("/")[0]
        authorization = headers.get("authorization", "")
        self.requests.append(
            FhirRequest(method=method, kind=kind, target=target, parameters=parameters, authorization=authorization)
        )
        if is_token:
            return self._give_token(method, body)
        if not split.path.startswith(BASE_PATH + "/") or method != ("POST" if is_search else "GET"):
            return _json(404, outcome("not-found", "no such address"))
        if self.fault is Fault.UNAUTHORIZED or not self._may(authorization):
            return _json(401, outcome("login", "a token is needed"))
        return await self._misbehave(
            kind, split.path.removeprefix(BASE_PATH + "/").removesuffix(_SEARCH_PATH), parameters
        )

    # Tokens.

    def _may(self, authorization: str) -> bool:
        if not self.bearer and self.token_rules is None:
            return True
        token = authorization.removeprefix("Bearer ")
        return token == self.bearer or self._tokens.get(token, 0.0) > datetime.now(UTC).timestamp()

    def _give_token(self, method: str, body: bytes) -> _Answer:
        form = dict(parse_qsl(body.decode("ascii", "replace")))
        rules = self.token_rules
        if method != "POST" or rules is None or form.get("grant_type") != "client_credentials":
            return _json(400, {"error": "unsupported_grant_type"})
        if not self._is_signed(form.get("client_assertion", ""), rules):
            return _json(400, {"error": "invalid_client"})
        token = uuid4().hex
        self._tokens[token] = datetime.now(UTC).timestamp() + rules.seconds
        answer = {
            "access_token": token,
            "token_type": "bearer",
            "expires_in": int(rules.seconds),
            "scope": form.get("scope", ""),
        }
        return _json(200, answer)

    def _is_signed(self, assertion: str, rules: TokenRules) -> bool:
        """Whether the assertion is what the profile asks for, and was never used before."""
        try:
            claims = jwt.decode(assertion, rules.public_key, algorithms=["RS384", "ES384"]).claims
        except (JoseError, ValueError):
            return False
        now = datetime.now(UTC).timestamp()
        expires, identifier = claims.get("exp"), claims.get("jti")
        is_new = isinstance(identifier, str) and identifier not in self._seen_assertions
        self._seen_assertions.add(str(identifier))
        is_ours = claims.get("iss") == claims.get("sub") == rules.client_id and claims.get("aud") == self.token_url
        return is_new and is_ours and isinstance(expires, int) and now < expires <= now + 300

    # Faults.

    async def _misbehave(self, kind: str, path: str, parameters: Sequence[tuple[str, str]]) -> _Answer | None:
        """The right answer, spoilt as `fault` says."""
        match self.fault:
            case Fault.SLOW:
                await asyncio.sleep(self.slow_seconds)
            case Fault.DROPPED:
                return None
            case Fault.RATE_LIMITED:
                limited = _json(429, outcome("throttled", "too many requests"))
                limited.headers = (("Retry-After", self.retry_after),)
                return limited
            case Fault.SERVER_ERROR | Fault.UNAVAILABLE:
                return _json(500 if self.fault is Fault.SERVER_ERROR else 503, outcome("exception", "out of order"))
            case Fault.REDIRECT:
                return _Answer(status=302, content=b"", headers=(("Location", f"{self.base_url}/{path}"),))
            case Fault.NOT_JSON:
                return _Answer(status=200, content=b"<html>Welcome</html>")
            case Fault.OUTCOME:
                return _json(200, outcome("exception", "the database is away"))
            case Fault.GZIP_BOMB:
                return _Answer(status=200, content=_bomb(), headers=(("Content-Encoding", "gzip"),))
            case Fault.DEEP:
                return _Answer(status=200, content=b'{"resourceType":' + b"[" * _DEPTH + b"]" * _DEPTH + b"}")
            case _:
                pass
        return self._spoil(kind, self._read(path, parameters))

    def _spoil(self, kind: str, answer: _Answer) -> _Answer:
        size = len(answer.content)
        match self.fault:
            case Fault.TRUNCATED:
                return _Answer(status=200, content=answer.content[: size // 2], announced_size=size, closes=True)
            case Fault.HALF_JSON:
                return _Answer(status=200, content=answer.content[: size // 2])
            case Fault.OFF_ORIGIN_NEXT | Fault.CIRCLE | Fault.OUTCOME_IN_BUNDLE if kind == "Patient":
                # Only what comes after the patient is spoilt: the patient's own page has no next.
                return answer
            case Fault.OFF_ORIGIN_NEXT:
                return _with_next(answer, "http://evil.example/fhir/r4/Condition?page=2")
            case Fault.CIRCLE:
                return _with_next(answer, f"{self.base_url}/{kind}?patient=p-0&_offset=0")
            case Fault.OUTCOME_IN_BUNDLE:
                bundle = json.loads(answer.content)
                entry = {"resource": outcome("incomplete", "some data are missing"), "search": {"mode": "outcome"}}
                return _json(200, bundle | {"entry": [*bundle.get("entry", []), entry]})
            case _:
                return answer

    # Searches.

    def _read(self, path: str, parameters: Sequence[tuple[str, str]]) -> _Answer:
        kind, _, identifier = path.partition("/")
        if path == "metadata":
            return _json(200, capability_statement(datetime.now(UTC).date()))
        if kind not in _SEARCH_PARAMETERS:
            return _json(404, outcome("not-supported", "no such resource type"))
        if identifier:
            found = next((one for one in self._of_kind(kind) if one.get("id") == identifier), None)
            return _json(404, outcome("not-found", "no such resource")) if found is None else _json(200, found)
        unknown = {name for name, _ in parameters} - _SEARCH_PARAMETERS[kind] - _CONTROL_PARAMETERS
        if unknown:
            return _json(400, outcome("invalid", "unknown search parameter"))
        return self._page(kind, parameters, list(self._matches(kind, dict(parameters))))

    def _of_kind(self, kind: str) -> Iterator[Mapping[str, Any]]:
        return (one for one in self.resources if one["resourceType"] == kind)

    def _matches(self, kind: str, wanted: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        if kind == "Patient" and self.fault is Fault.WRONG_PATIENT:
            yield from (one for one in self._of_kind(kind) if not _fits(one, wanted))
            return
        if kind == "Patient" and self.fault is Fault.TWO_PATIENTS:
            for one in self._of_kind(kind):
                if _fits(one, wanted):
                    yield from (one, {**one, "id": f"{one['id']}-2"})
            return
        for one in self._of_kind(kind):
            is_blind = self.fault is Fault.WRONG_SUBJECT and kind != "Patient"
            if is_blind or _fits(one, wanted):
                yield one

    def _page(self, kind: str, parameters: Sequence[tuple[str, str]], matches: Sequence[Mapping[str, Any]]) -> _Answer:
        stated = dict(parameters)
        size = min(_number(stated.get("_count"), self.page_size_max), self.page_size_max) or 1
        offset = _number(stated.get("_offset"), 0)
        others = [(name, value) for name, value in parameters if name != "_offset"]
        links = {"self": f"{self.base_url}/{kind}?{urlencode(parameters)}"}
        if offset + size < len(matches):
            links["next"] = f"{self.base_url}/{kind}?{urlencode([*others, ('_offset', str(offset + size))])}"
        page = [dict(one) for one in matches[offset : offset + size]]
        return _json(200, search_bundle(page, base_url=self.base_url, total=len(matches), links=links))


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() else default


def _fits(resource: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    """Whether a resource is what the parameters ask for."""
    tests: Mapping[str, Callable[[str], bool]] = {
        "identifier": lambda value: any(
            value == f"{one['system']}|{one['value']}" for one in resource.get("identifier", ())
        ),
        "patient": lambda value: (
            (resource.get("subject") or resource.get("patient") or {}).get("reference") == f"Patient/{value}"
        ),
        "category": lambda value: not _codes(resource.get("category", ())).isdisjoint(value.split(",")),
        "code": lambda value: (
            not _codes([resource.get("code", {})]).isdisjoint(code.rpartition("|")[2] for code in value.split(","))
        ),
        "date": lambda value: str(resource.get("effectiveDateTime", "")) >= value.removeprefix("ge"),
    }
    return all(tests[name](value) for name, value in wanted.items() if name in tests)


def _codes(concepts: Iterable[Mapping[str, Any]]) -> set[str]:
    return {coding["code"] for concept in concepts for coding in concept.get("coding", ())}


def _json(status: int, document: Mapping[str, Any]) -> _Answer:
    return _Answer(status=status, content=json.dumps(document).encode())


def _with_next(answer: _Answer, url: str) -> _Answer:
    bundle = json.loads(answer.content)
    links = [link for link in bundle.get("link", []) if link["relation"] != "next"]
    return _json(200, bundle | {"link": [*links, {"relation": "next", "url": url}]})


@cache
def _bomb() -> bytes:
    """A small gzip file that is large inside; made in pieces, so that nobody here has it whole."""
    packer = zlib.compressobj(level=1, wbits=zlib.MAX_WBITS | 16)
    piece = b" " * 1024 * 1024
    return b"".join([*(packer.compress(piece) for _ in range(_BOMB_SIZE // len(piece))), packer.flush()])


@asynccontextmanager
async def serving(
    resources: Iterable[Mapping[str, Any]], *, port: int = 0, tls: ssl.SSLContext | None = None, **settings: Any
) -> AsyncIterator[SimulatedFhirServer]:
    """Serve *resources* on loopback for the length of the block; *settings* are attributes of the server."""
    simulated = SimulatedFhirServer(resources=list(resources), **settings)
    writers: set[asyncio.StreamWriter] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            while await _serve_one(simulated, reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            return
        except asyncio.CancelledError:
            # Python 3.11 reports a cancelled connection task as a failed callback; a slow answer at the end is none.
            return
        finally:
            writers.discard(writer)
            writer.close()

    listener = await asyncio.start_server(connected, "127.0.0.1", port, ssl=tls, limit=_HEAD_SIZE_MAX)
    scheme = "http" if tls is None else "https"
    simulated.origin = f"{scheme}://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield simulated
    finally:
        listener.close()
        for writer in tuple(writers):
            writer.transport.abort()


async def _serve_one(
    simulated: SimulatedFhirServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    """One request and its answer; False when the connection is to end."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, _, rest = head.partition("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {
        name.strip().lower(): value.strip()
        for name, colon, value in (line.partition(":") for line in rest.split("\r\n"))
        if colon
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    answer = await simulated.answer(method, target, headers, body)
    if answer is None:
        return False
    size = len(answer.content) if answer.announced_size is None else answer.announced_size
    lines = [
        f"HTTP/1.1 {answer.status} X",
        "Content-Type: application/fhir+json",
        f"Content-Length: {size}",
        *(f"{name}: {value}" for name, value in answer.headers),
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + answer.content)
    await writer.drain()
    return not answer.closes
