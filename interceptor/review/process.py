"""The review process: serves the pages, gives signs of life, drains on request.

uvicorn's server runs inside our own asyncio code: we bind the address, we take the signals, and its `sys.exit` paths are
never reached. The process is polite to the node beside it: on a busy machine the node is served first.

Failures: an address that cannot be bound stops the start (OSError). A replaced certificate that cannot be used leaves the
one that was there. A node that is away is waited for; meanwhile no sign of life reaches it, so that nothing new is held.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from interceptor.journal.port import JournalError
from interceptor.lifetime import running_tasks
from interceptor.review.node_client import Answer, NodeClient
from interceptor.review.parts import ReviewParts
from interceptor.review.rights import DECIDING_ROLES
from interceptor.review.session import SessionActivity
from interceptor.review.slow_client import TimedHttp
from interceptor.review.tally import ReviewTally
from interceptor.transport.tls import Credential, TlsFileProblem

HEARTBEAT_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 1.0
ACTIVITY_SECONDS: Final = 15.0
REPORT_SECONDS: Final = 5.0
CERTIFICATE_SECONDS: Final = 60.0
DRAIN_SECONDS: Final = 5.0
NICENESS: Final = 10
"""How much the node goes first where both want the processor: the wire must not feel how many people read pages."""
_HEAD_SIZE_MAX: Final = 32 * 1024
_CONNECTIONS_MAX: Final = 500
HANDSHAKE_SECONDS: Final = 10.0
"""How long a client may take for its TLS handshake; what it may take after that is in `slow_client.py`."""


class _Server(uvicorn.Server):
    """uvicorn's server without its hands on the process: no signal handlers, a limit for handshakes."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on *sockets*; a TLS handshake has an end of its own, which uvicorn leaves to asyncio's minute."""
        await super().startup(sockets=[])
        loop, config = asyncio.get_running_loop(), self.config
        connect = partial(TimedHttp, config=config, server_state=self.server_state, app_state=self.lifespan.state)
        seconds = HANDSHAKE_SECONDS if config.ssl is not None else None
        for listener in sockets or ():
            opened = await loop.create_server(
                connect, sock=listener, ssl=config.ssl, backlog=config.backlog, ssl_handshake_timeout=seconds
            )
            self.servers.append(opened)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        OSError: The address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    listener.settimeout(0)
    return listener


@asynccontextmanager
async def serving(
    app: ASGIApp, listener: socket.socket, *, tls: Credential | None, stopping: asyncio.Event
) -> AsyncIterator[None]:
    """Serve *app* on *listener* for the length of the block; leaving it drains.

    Args:
        app: The application.
        listener: From `bind`; closed at the end.
        tls: None serves plain HTTP, for this machine or a proxy.
        stopping: Set when the draining begins, for answers that have no end of their own.

    """
    config = uvicorn.Config(
        app,
        http=TimedHttp,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ws="none",
        h11_max_incomplete_event_size=_HEAD_SIZE_MAX,
        limit_concurrency=_CONNECTIONS_MAX,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=int(DRAIN_SECONDS),
    )
    config.load()
    if tls is not None:
        config.ssl = current_tls(tls)
    server = _Server(config)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.serve(sockets=[listener]), name="review-server")
        keeping = [group.create_task(keep_certificate(tls), name="certificate")] if tls is not None else []
        try:
            yield
        finally:
            for one in keeping:
                one.cancel()
            stopping.set()
            server.should_exit = True
            with suppress(asyncio.CancelledError):
                await task


def current_tls(credential: Credential) -> ssl.SSLContext:
    """A context whose every handshake takes the certificate of that moment: uvicorn keeps one context for its life."""
    context = credential.context

    def take_current(handshake: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        handshake.context = credential.context

    # Called with every handshake, whether a name came with it or not.
    context.sni_callback = take_current
    return context


async def keep_certificate(credential: Credential) -> None:
    """Take replaced files, every minute. Cancelling ends it; what cannot be used is told by the node, which looks too."""
    while True:
        await asyncio.sleep(CERTIFICATE_SECONDS)
        with suppress(TlsFileProblem):
            if credential.is_changed():
                credential.reload()


@asynccontextmanager
async def living(parts: ReviewParts, activity: SessionActivity, *, can_others_decide: bool) -> AsyncIterator[None]:
    """Give signs of life and tell of sessions' activity for the length of the block.

    *can_others_decide*: people without an account of ours may come in and decide (an identity provider, a proxy).
    """
    async with running_tasks() as tasks:
        tasks.start(give_heartbeats(parts, can_others_decide=can_others_decide), name="heartbeat")
        tasks.start(tell_activity(parts.node, activity), name="activity")
        tasks.start(report_counts(parts.node, parts.tally), name="report")
        yield


async def give_heartbeats(parts: ReviewParts, *, can_others_decide: bool) -> None:
    """Tell the node again and again that somebody can review, as long as somebody can. Cancelling ends it."""
    while True:
        is_heard = False
        if await can_review(parts, can_others_decide=can_others_decide):
            reply = await parts.node.ask("review_heartbeat", timeout_seconds=HEARTBEAT_SECONDS)
            is_heard = isinstance(reply, Answer)
        # Both processes start together: what the node holds from then on must not wait for our second try.
        await asyncio.sleep(HEARTBEAT_SECONDS if is_heard else RETRY_SECONDS)


async def can_review(parts: ReviewParts, *, can_others_decide: bool) -> bool:
    """Whether there is anybody who may end a hold: an account with such a role, or people from elsewhere.

    Not whether somebody is logged in just now: orders of a lunch break are held, their deadline sees to the rest.
    """
    if can_others_decide:
        return True
    try:
        accounts = await parts.access.list_accounts()
    except JournalError:
        return False
    return any(account.disabled_at is None and DECIDING_ROLES & set(account.roles) for account in accounts)


async def tell_activity(node: NodeClient, activity: SessionActivity) -> None:
    """Tell the node when sessions were last used. Cancelling ends it; what was not told counts as older."""
    while True:
        await asyncio.sleep(ACTIVITY_SECONDS)
        untold = activity.take_untold()
        if not untold:
            continue
        seen = {digest.hex(): at.isoformat() for digest, at in untold.items()}
        if not isinstance(await node.ask("session_touch", seen=seen), Answer):
            activity.give_back(untold)


async def report_counts(node: NodeClient, tally: ReviewTally) -> None:
    """Tell the node what was counted, now and then. Cancelling ends it; what was not told is lost."""
    while True:
        await asyncio.sleep(REPORT_SECONDS)
        report = tally.take()
        if not isinstance(await node.ask("review_report", **report), Answer):
            tally.give_back(report)


def be_polite(nice: Callable[[int], int] = os.nice) -> None:
    """Let the node go first on a busy machine."""
    with suppress(OSError):
        nice(NICENESS)
