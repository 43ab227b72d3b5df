"""Connections of an HTTP client that are made with the certificates of now.

httpx2 keeps one SSLContext for the life of its pool. Certificates are replaced while a node runs: when the context is
another one than at the last request, a new pool serves from there on. Requests under way end on the connections that
they have; the last of them closes the old pool.

Failures: those of httpx2's own transport.
"""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import httpx2


@dataclass(slots=True, eq=False)
class _Pool:
    """Connections that were made with one context, and how many requests are under way on them."""

    context: ssl.SSLContext | None
    transport: httpx2.AsyncHTTPTransport
    request_count: int = 0


class CurrentTransport(httpx2.AsyncBaseTransport):
    """See above."""

    def __init__(self, tls: Callable[[], ssl.SSLContext] | None, limits: httpx2.Limits) -> None:
        """*tls* gives the context of now; None is for plain http."""
        self._tls = tls
        self._limits = limits
        self._pool = self._build(None if tls is None else tls())

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send *request* with the certificates of now."""
        pool = await self._pool_of_now()
        pool.request_count += 1
        try:
            response = await pool.transport.handle_async_request(request)
        except BaseException:
            await self._ended(pool)
            raise
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _TellingStream(response.stream, partial(self._ended, pool))
        return response

    async def aclose(self) -> None:
        """Close every connection of now."""
        await self._pool.transport.aclose()

    def _build(self, context: ssl.SSLContext | None) -> _Pool:
        verify = context if context is not None else False
        return _Pool(context, httpx2.AsyncHTTPTransport(verify=verify, trust_env=False, limits=self._limits))

    async def _pool_of_now(self) -> _Pool:
        context = None if self._tls is None else self._tls()
        was = self._pool
        if context is was.context:
            return was
        pool = self._pool = self._build(context)
        if was.request_count == 0:
            await was.transport.aclose()
        return pool

    async def _ended(self, pool: _Pool) -> None:
        pool.request_count -= 1
        if pool is not self._pool and pool.request_count == 0:
            await pool.transport.aclose()


class _TellingStream(httpx2.AsyncByteStream):
    """The content of an answer; tells once that it was closed."""

    def __init__(self, stream: httpx2.AsyncByteStream, ended: Callable[[], Awaitable[None]]) -> None:
        self._stream = stream
        self._ended = ended
        self._is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
        if not self._is_closed:
            self._is_closed = True
            await self._ended()
