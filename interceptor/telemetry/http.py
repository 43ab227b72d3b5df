"""Serve /metrics, /livez and /readyz from a thread with a loop of its own.

A scrape never runs in the node's loop, and a storm of scrapes costs one rendering a second. The page answers
GET and HEAD only, keeps no connection open and reads nothing but the request line.

    /metrics     Prometheus text format
    /livez       200 or 503: should the process be restarted?
    /readyz      200 or 503: should placers be sent here?      ?verbose lists every check

Failures: an address that cannot be bound stops the start (OSError). A client that is slow or wrong is dropped, and one
of many that say nothing when somebody else comes; nothing is retried. A node that takes over from a running one is given its listening sockets: a scrape that
comes between the two waits in their queue.
"""

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from interceptor.telemetry.health import Health, HealthReport
from interceptor.telemetry.metrics import CONTENT_TYPE, Metrics

_REQUEST_SECONDS_MAX: Final = 5.0
_REQUEST_HEAD_SIZE_MAX: Final = 8192
_CONNECTIONS_MAX: Final = 64
_BACKLOG: Final = 100
_ACCEPT_SECONDS: Final = 0.002
_PAUSE_SECONDS: Final = 0.1
_LAST_LOOKS: Final = 25
_GIVE_WAY_SECONDS: Final = 0.00002
_PLAIN: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An answer: HTTP status, media type and body."""

    status: str
    content_type: str
    body: bytes


class StatusPages:
    """What the three addresses answer. Called in the serving thread only."""

    def __init__(
        self,
        *,
        metrics: Metrics,
        health: Health,
        cache_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics
        self._health = health
        self._cache_seconds = cache_seconds
        self._monotonic = monotonic
        self._rendered = b""
        self._rendered_at: float | None = None

    def page(self, target: str) -> Page:
        """Answer a request target such as "/readyz?verbose"."""
        address = urlsplit(target)
        verbose = "verbose" in address.query.split("&")
        match address.path:
            case "/metrics":
                self._metrics.scrapes.inc()
                return Page(status="200 OK", content_type=CONTENT_TYPE, body=self._metrics_page())
            case "/livez":
                return _health_page(self._health.liveness(), verbose=verbose)
            case "/readyz":
                return _health_page(self._health.readiness(), verbose=verbose)
            case _:
                return _plain("404 Not Found", "see /metrics, /livez, /readyz\n")

    def _metrics_page(self) -> bytes:
        now = self._monotonic()
        if self._rendered_at is None or now - self._rendered_at >= self._cache_seconds:
            self._metrics.ready.set(1 if self._health.readiness().ok else 0)
            self._metrics.degraded.set_all(dict.fromkeys(self._health.degraded, 1.0))
            self._rendered = self._metrics.render(between=_let_the_loop_run)
            self._rendered_at = now
        return self._rendered


def _let_the_loop_run() -> None:
    """Give the interpreter away for a moment.

    A thread that wants it from one that computes waits 5 ms (sys.getswitchinterval), which is what a message would wait
    that comes while the page is rendered; one metric takes a few hundred microseconds at most.
    """
    time.sleep(_GIVE_WAY_SECONDS)


def _health_page(report: HealthReport, *, verbose: bool) -> Page:
    return _plain("200 OK" if report.ok else "503 Service Unavailable", report.text(verbose=verbose))


def _plain(status: str, text: str) -> Page:
    return Page(status=status, content_type=_PLAIN, body=text.encode("ascii", "replace"))


@contextmanager
def serve_status(
    listening: Sequence[socket.socket], *, metrics: Metrics, health: Health, cache_seconds: float = 1.0
) -> Iterator[int]:
    """Serve the pages for the length of the block; gives the port.

    Args:
        listening: From `bind_status`, or from the node whose place this one takes; closed at the end.
        metrics: What /metrics shows.
        health: What /livez and /readyz tell.
        cache_seconds: Age up to which a rendered metrics page is given again; 0 renders every time.

    """
    server = _StatusThread(listening, StatusPages(metrics=metrics, health=health, cache_seconds=cache_seconds))
    server.start()
    try:
        yield int(listening[0].getsockname()[1])
    finally:
        server.stop()


def bind_status(host: str, port: int) -> tuple[socket.socket, ...]:
    """One bound socket for each address of *host*, apart from the review pages'; port 0 takes a free one.

    Raises:
        OSError: The address cannot be bound.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    bound: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            one = socket.socket(family, socket.SOCK_STREAM)
            bound.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.settimeout(0.0)
            one.bind((address[0], port or (bound[0].getsockname()[1] if len(bound) > 1 else 0), *address[2:]))
            # Here, and not in the thread: a port that somebody listens on already says so with this call.
            one.listen(_BACKLOG)
    except OSError as error:
        for one in bound:
            one.close()
        raise OSError(error.errno, f"metrics.listen: {host}:{port}: {error.strerror}") from None
    return tuple(bound)


class _StatusThread:
    """The thread and its loop, on sockets that listen."""

    def __init__(self, listening: Sequence[socket.socket], pages: StatusPages) -> None:
        self._listening = listening
        self._pages = pages
        self._open: dict[asyncio.Transport, str] = {}
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="status", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        assert self._loop is not None
        assert self._stopping is not None
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            self._group = group
            for one in self._listening:
                self._watch(one)
            self._started.set()
            await self._stopping.wait()
            for one in self._listening:
                self._loop.remove_reader(one)
                one.close()
        # What was asked is answered; who asked nothing is not waited for.
        for _ in range(_LAST_LOOKS):
            if self._open:
                await asyncio.sleep(_ACCEPT_SECONDS)
        for transport in tuple(self._open):
            transport.abort()
        await asyncio.sleep(0)

    def _watch(self, listening: socket.socket) -> None:
        """Look for the next connection, at most one every `_ACCEPT_SECONDS`.

        Each costs this thread Python's lock, and the node's loop waits for it: a storm must not make it wait often.
        """
        assert self._loop is not None
        if listening.fileno() >= 0:
            self._loop.add_reader(listening, self._take_one, listening)

    def _take_one(self, listening: socket.socket) -> None:
        assert self._loop is not None
        self._loop.remove_reader(listening)
        pause = _ACCEPT_SECONDS
        try:
            accepted, _ = listening.accept()
        except OSError:
            # No descriptors, or it was gone before it began.
            pause = _PAUSE_SECONDS
        else:
            accepted.settimeout(0.0)
            self._group.create_task(self._take(accepted))
        self._loop.call_later(pause, self._watch, listening)

    async def _take(self, accepted: socket.socket) -> None:
        assert self._loop is not None
        try:
            await self._loop.connect_accepted_socket(lambda: _StatusConnection(self._pages, self._open), accepted)
        except OSError:
            accepted.close()


class _StatusConnection(asyncio.Protocol):
    """One request and its answer."""

    def __init__(self, pages: StatusPages, open_transports: dict[asyncio.Transport, str]) -> None:
        self._pages = pages
        self._open = open_transports
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._deadline = asyncio.get_running_loop().call_later(_REQUEST_SECONDS_MAX, transport.abort)
        self._open[transport] = str((transport.get_extra_info("peername") or ("",))[0])
        if len(self._open) > _CONNECTIONS_MAX:
            _one_too_many(self._open).abort()

    def data_received(self, data: bytes) -> None:
        if self._transport.is_closing():
            return
        self._head += data
        if b"\r\n\r\n" in self._head:
            self._transport.write(_response(self._head, self._pages))
            self._transport.close()
        elif len(self._head) > _REQUEST_HEAD_SIZE_MAX:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        self._open.pop(self._transport, None)


def _one_too_many(open_transports: Mapping[asyncio.Transport, str]) -> asyncio.Transport:
    """Who goes when there are too many: of the address with the most connections the one that is there longest.

    An honest scraper asks at once and is gone; those that sit here and say nothing make room for it.
    """
    (crowded, _), *_ = Counter(open_transports.values()).most_common(1)
    return next(transport for transport, address in open_transports.items() if address == crowded)


def _response(head: bytes, pages: StatusPages) -> bytes:
    """The whole HTTP response to a request head (request line and header lines)."""
    words = head.split(b"\r\n", 1)[0].decode("ascii", "replace").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        page, is_head = _plain("400 Bad Request", "not HTTP\n"), False
    elif words[0] not in ("GET", "HEAD"):
        page, is_head = _plain("405 Method Not Allowed", "GET and HEAD only\n"), False
    else:
        page, is_head = pages.page(words[1]), words[0] == "HEAD"
    header = (
        f"HTTP/1.1 {page.status}\r\nContent-Type: {page.content_type}\r\nContent-Length: {len(page.body)}\r\n"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return header.encode("ascii") + (b"" if is_head else page.body)
