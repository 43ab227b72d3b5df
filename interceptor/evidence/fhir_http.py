"""One request to one FHIR server: a JSON object, or a `FhirFailure`.

    path, parameters -> authorized request -> status -> bytes, counted after decompression -> object, its depth checked

The server is not trusted: its origin is fixed, redirects are not followed, every answer has a size, a depth and a
time. Proxies and logins of the environment are not used. Searches are POSTs, so that the patient is not in the
address, which proxies and servers log; a server that takes only GET, and next links, have it there all the same, so
httpx2's loggers, which write addresses, are silenced.

Failures: what another moment may mend (no connection, 502, 503, 504) is tried once more. 401 is tried once more with
a new token. 429, and 503 with Retry-After, carry the pause that the server asked for. Nothing else is tried again.

Source: FHIR R4 3.1.0 (RESTful API), 3.1.0.9 (search by POST); RFC 9110 10.2.3 (Retry-After).
"""

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, NamedTuple, Protocol
from urllib.parse import urlencode

import httpx2
import stamina
import stamina.instrumentation

from interceptor.evidence.current_transport import CurrentTransport
from interceptor.evidence.fhir_failure import FhirFailure, FhirReason

Parameters = Sequence[tuple[str, str]]

RETRY_AFTER_SECONDS_MAX = 300.0
"""A longer pause is not believed: it would switch the source off for the day."""
_ATTEMPTS_MAX = 2
_RETRY_SECONDS = 0.05
_CHUNK_SIZE = 65_536
_MENDABLE_STATUS = frozenset({502, 504})
_LOGGERS = ("httpx2", "httpcore2", "httpx2.websockets", "stamina")


class TokenSource(Protocol):
    """Where the Authorization header comes from."""

    async def header(self) -> str | None:
        """The header's value; None when no login is used.

        Raises:
            FhirFailure: No token can be had.
        """
        ...

    def refused(self, header: str) -> bool:
        """The server refused this value; True when another may be had at once."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLimits:
    """What one answer may cost: bytes after decompression, levels of nesting, seconds."""

    size_max: int = 2 * 1024 * 1024
    depth_max: int = 64
    seconds_max: float = 10.0
    connect_seconds_max: float = 3.0


def silence_http_loggers() -> None:
    """Keep addresses, which name patients, out of every log at every level, for the life of the process."""
    stamina.instrumentation.set_on_retry_hooks(())
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL + 1)
        logger.propagate = False


@asynccontextmanager
async def http_client(
    *, limits: AnswerLimits, connections_max: int, tls: Callable[[], ssl.SSLContext] | None
) -> AsyncIterator[httpx2.AsyncClient]:
    """Connections for the length of the block; *tls* gives the context of the next one, None is for plain http."""
    silence_http_loggers()
    async with httpx2.AsyncClient(
        transport=CurrentTransport(
            tls, httpx2.Limits(max_connections=connections_max, max_keepalive_connections=connections_max)
        ),
        follow_redirects=False,
        trust_env=False,
        timeout=httpx2.Timeout(limits.seconds_max, connect=limits.connect_seconds_max),
        # Only what is decompressed in bounded pieces: see httpx2's ZlibDecompressor.
        headers={"accept": "application/fhir+json", "accept-encoding": "gzip", "user-agent": "order-interceptor"},
    ) as client:
        # The library imports its network backend with the first connection, and the loop stands still for 100 ms
        # (httpx2 2.16.2): a connection that cannot be made does it now, instead of the first order.
        with suppress(httpx2.HTTPError):
            await client.get("http://127.0.0.1:0/")
        yield client


def tls_context(*, ca_file: str | None, certificate_file: str | None, key_file: str | None) -> ssl.SSLContext:
    """TLS 1.2 or newer, certificates checked; with a certificate of our own where one is given.

    Raises:
        OSError, ssl.SSLError: A file cannot be read or used.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate_file is not None:
        context.load_cert_chain(certificate_file, key_file)
    return context


SearchMethod = Literal["post", "get"]


class _Ask(NamedTuple):
    """One request: its address, and the form of a search by POST."""

    url: httpx2.URL
    form: bytes | None = None


class FhirHttp:
    """Requests under one base address."""

    def __init__(
        self,
        client: httpx2.AsyncClient,
        *,
        base_url: str,
        tokens: TokenSource,
        limits: AnswerLimits,
        search_method: SearchMethod = "post",
    ) -> None:
        """*base_url*: the service's base, e.g. "https://fhir.example.org/r4"."""
        self._client = client
        self._search_method = search_method
        self._base = httpx2.URL(base_url.rstrip("/") + "/")
        self._tokens = tokens
        self._limits = limits
        self.request_count = 0

    async def search(self, resource_type: str, parameters: Parameters) -> Mapping[str, Any]:
        """The first page of a search.

        Raises:
            FhirFailure: There is no usable answer.
        """
        if self._search_method == "post":
            url = self._base.join(f"{resource_type}/_search")
            return await self._ask(_Ask(url, urlencode(list(parameters)).encode("ascii")))
        # Commas and bars are part of the values; httpx2 escapes what must be.
        return await self._ask(_Ask(self._base.join(resource_type).copy_with(params=list(parameters))))

    async def metadata(self) -> Mapping[str, Any]:
        """The server's CapabilityStatement.

        Raises:
            FhirFailure: There is none.
        """
        return await self._ask(_Ask(self._base.join("metadata")))

    async def follow(self, link: str) -> Mapping[str, Any]:
        """The page that a link of this server names.

        Raises:
            FhirFailure: The link leaves the server, or there is no usable answer.
        """
        return await self._ask(_Ask(self.resolve(link)))

    def resolve(self, link: str) -> httpx2.URL:
        """The address of a link, which must lie under the base.

        Raises:
            FhirFailure: It does not.
        """
        try:
            url = self._base.join(link)
        except (httpx2.InvalidURL, ValueError):
            raise FhirFailure(FhirReason.OFF_ORIGIN) from None
        base = self._base
        is_same_origin = (url.scheme, url.host, _port(url)) == (base.scheme, base.host, _port(base))
        # A dot segment that the server's path rules may read as "up" leaves the base too.
        is_below = url.path.startswith(base.path) or url.path == base.path.rstrip("/")
        if not is_same_origin or url.userinfo or not is_below or "/../" in url.path:
            raise FhirFailure(FhirReason.OFF_ORIGIN)
        return url

    async def _ask(self, ask: _Ask) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(self._limits.seconds_max):
                content = await self._twice(ask)
        except TimeoutError:
            raise FhirFailure(FhirReason.TIMED_OUT) from None
        except _Mendable as error:
            raise FhirFailure(error.reason) from None
        return read_object(content, depth_max=self._limits.depth_max)

    async def _twice(self, ask: _Ask) -> bytes:
        """The content, with a second try for what another moment may mend."""
        async for attempt in stamina.retry_context(
            on=_is_mendable,
            attempts=_ATTEMPTS_MAX,
            timeout=None,
            wait_initial=_RETRY_SECONDS,
            wait_jitter=_RETRY_SECONDS,
        ):
            with attempt:
                return await self._authorized(ask)
        raise AssertionError("the last attempt returns or raises")

    async def _authorized(self, ask: _Ask) -> bytes:
        """The content, with a second try when the token was refused and another can be had."""
        header = await self._tokens.header()
        try:
            return await self._request(ask, header)
        except _Unauthorized:
            if header is None or not self._tokens.refused(header):
                raise FhirFailure(FhirReason.UNAUTHORIZED) from None
        try:
            return await self._request(ask, await self._tokens.header())
        except _Unauthorized:
            raise FhirFailure(FhirReason.UNAUTHORIZED) from None

    async def _request(self, ask: _Ask, header: str | None) -> bytes:
        self.request_count += 1
        headers = {} if header is None else {"authorization": header}
        try:
            if ask.form is not None:
                headers["content-type"] = "application/x-www-form-urlencoded"
            method = "GET" if ask.form is None else "POST"
            async with self._client.stream(method, ask.url, headers=headers, content=ask.form) as response:
                _check_status(response)
                return await read_content(response, size_max=self._limits.size_max)
        # The errors of httpx2 have the address in them: none of them may go further.
        except httpx2.TimeoutException:
            raise FhirFailure(FhirReason.TIMED_OUT) from None
        except (httpx2.ConnectError, httpx2.ReadError, httpx2.WriteError):
            raise _Mendable(FhirReason.UNREACHABLE) from None
        except httpx2.RemoteProtocolError:
            raise FhirFailure(FhirReason.BROKEN) from None
        except httpx2.DecodingError:
            raise FhirFailure(FhirReason.BROKEN) from None
        except httpx2.HTTPError:
            raise FhirFailure(FhirReason.UNREACHABLE) from None


class _Unauthorized(Exception):  # noqa: N818 - a signal inside this file
    """401."""


class _Mendable(FhirFailure):
    """May be well in a moment: worth a second try."""


def _is_mendable(error: Exception) -> bool:
    return isinstance(error, _Mendable)


def _check_status(response: httpx2.Response) -> None:
    status = response.status_code
    pause = _retry_after(response.headers.get("retry-after", ""), now=datetime.now(UTC))
    if status == 200:
        return
    if status == 401:
        raise _Unauthorized
    if status == 429 or (status == 503 and pause):
        raise FhirFailure(FhirReason.RATE_LIMITED, pause_seconds=pause or 1.0)
    if status in _MENDABLE_STATUS or status == 503:
        raise _Mendable(FhirReason.SERVER_ERROR)
    if status >= 500:
        raise FhirFailure(FhirReason.SERVER_ERROR)
    if status == 403:
        raise FhirFailure(FhirReason.UNAUTHORIZED)
    raise FhirFailure(FhirReason.REDIRECTED if 300 <= status < 400 else FhirReason.REFUSED)


def _retry_after(value: str, *, now: datetime) -> float:
    """Seconds that a Retry-After asks for, of either form; 0 for none or nonsense."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), RETRY_AFTER_SECONDS_MAX)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError):
        return 0.0
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return min(max(0.0, (aware - now).total_seconds()), RETRY_AFTER_SECONDS_MAX)


async def read_content(response: httpx2.Response, *, size_max: int) -> bytes:
    """The content of a streamed answer, decompressed piece by piece.

    Raises:
        FhirFailure: More than *size_max* bytes came out, or fewer came in than were announced.
    """
    content = bytearray()
    async for chunk in response.aiter_bytes(_CHUNK_SIZE):
        content += chunk
        if len(content) > size_max:
            raise FhirFailure(FhirReason.TOO_LARGE)
    return bytes(content)


def read_object(content: bytes, *, depth_max: int) -> Mapping[str, Any]:
    """The JSON object in *content*.

    Raises:
        FhirFailure: It is none, ends early, or is nested too deeply.
    """
    try:
        document = json.loads(content)
    except RecursionError:
        raise FhirFailure(FhirReason.TOO_DEEP) from None
    except ValueError:
        raise FhirFailure(FhirReason.NOT_FHIR) from None
    if not isinstance(document, dict):
        raise FhirFailure(FhirReason.NOT_FHIR)
    if is_deeper(document, depth_max):
        raise FhirFailure(FhirReason.TOO_DEEP)
    return document


def is_deeper(document: object, depth_max: int) -> bool:
    """Whether objects and arrays are nested more than *depth_max* levels."""
    level = [document]
    for _ in range(depth_max):
        level = [child for one in level for child in _children(one)]
        if not level:
            return False
    return any(isinstance(one, dict | list) for one in level)


def _children(value: object) -> list[Any]:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [child for child in children if isinstance(child, dict | list)]


def _port(url: httpx2.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)
