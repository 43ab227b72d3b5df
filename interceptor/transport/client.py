"""Open an MLLP connection to a peer.

Failures: every way of not connecting is one ConnectError with a reason; whether and when to try again is the
caller's business. Once connected, the end comes to the handler (`connection_lost`), with `connection.end`.
"""

import asyncio
import socket
import ssl
from enum import StrEnum

from interceptor.transport.connection import ConnectionHandler, MllpConnection
from interceptor.transport.handshake import SHUTDOWN_SECONDS_MAX
from interceptor.transport.options import ConnectionOptions, TransportCounters
from interceptor.transport.protocol import MllpProtocol
from interceptor.transport.socket_options import set_liveness
from interceptor.transport.tls import is_certificate_refusal

ClientConnection = MllpConnection
"""An outbound connection: what a destination holds."""


SETTLE_SECONDS = 0.2
"""How long a server may take to say that it does not take our certificate, once our side of the handshake is done."""


class ConnectFailure(StrEnum):
    """Why a connection could not be opened."""

    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    NAME_NOT_FOUND = "name_not_found"
    TLS_FAILED = "tls_failed"
    """No handshake: the peer's certificate is not what we expect, or it speaks no TLS that we speak."""
    CERTIFICATE_REFUSED = "certificate_refused"
    """The peer does not take our certificate."""
    UNREACHABLE = "unreachable"


class ConnectError(OSError):
    """The peer could not be reached.

    Attributes:
        reason: A stable word for logs and metrics. The system's own error is the cause.
    """

    def __init__(self, reason: ConnectFailure) -> None:
        super().__init__(f"cannot connect: {reason}")
        self.reason = reason


async def connect(
    host: str,
    port: int,
    *,
    handler: ConnectionHandler,
    options: ConnectionOptions,
    counters: TransportCounters | None = None,
    connect_timeout_seconds: float = 5.0,
    tls: ssl.SSLContext | None = None,
    server_hostname: str | None = None,
) -> ClientConnection:
    """Connect to *host* and *port*; *handler* receives frames from now on, possibly before this returns.

    The timeout covers name lookup, TCP and TLS. Cancelling it leaves no connection behind. With TLS 1.3 our side of the
    handshake is done before the server has looked at our certificate, so what a server closes at once, before anything
    was sent, counts as not connected. A slow one may still refuse it later: treat an end before the first answer as that.

    Raises:
        ConnectError: Nothing is connected. No frame was delivered.
    """

    def opened(connection: MllpConnection) -> ConnectionHandler:
        made.append(connection)
        return handler

    def build_protocol() -> MllpProtocol:
        return MllpProtocol(
            options=options,
            counters=counters or TransportCounters(),
            is_inbound=False,
            opened=opened,
            lost=lambda _connection: lost.set(),
        )

    lost = asyncio.Event()
    made: list[MllpConnection] = []
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(connect_timeout_seconds):
            transport, _ = await loop.create_connection(
                build_protocol,
                host,
                port,
                ssl=tls,
                server_hostname=(server_hostname or host) if tls else None,
                ssl_handshake_timeout=connect_timeout_seconds if tls else None,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS_MAX if tls else None,
            )
    except (OSError, TimeoutError, UnicodeError) as error:
        raise ConnectError(_find_failure(error, is_tls=tls is not None)) from error
    connection = made[0]
    if tls is not None:
        await _settle(connection, lost)
    set_liveness(transport.get_extra_info("socket"), options)
    return connection


async def _settle(connection: MllpConnection, lost: asyncio.Event) -> None:
    """Give a TLS 1.3 server the time to refuse our certificate before a message is handed to it.

    Raises:
        ConnectError: It did, or closed for another reason.
    """
    if connection.tls_version != "TLSv1.3":
        return
    try:
        async with asyncio.timeout(SETTLE_SECONDS):
            await lost.wait()
    except TimeoutError:
        return
    except asyncio.CancelledError:
        connection.abort()
        raise
    raise ConnectError(ConnectFailure.CERTIFICATE_REFUSED)


def _find_failure(error: Exception, *, is_tls: bool) -> ConnectFailure:
    if isinstance(error, ConnectionRefusedError):
        return ConnectFailure.REFUSED
    if isinstance(error, TimeoutError):
        return ConnectFailure.TIMED_OUT
    if isinstance(error, socket.gaierror | UnicodeError):
        return ConnectFailure.NAME_NOT_FOUND
    if is_certificate_refusal(error):
        return ConnectFailure.CERTIFICATE_REFUSED
    if isinstance(error, ssl.SSLError) or (is_tls and isinstance(error, ConnectionResetError)):
        # A server that refuses a handshake may well drop the connection without a word.
        return ConnectFailure.TLS_FAILED
    return ConnectFailure.UNREACHABLE
