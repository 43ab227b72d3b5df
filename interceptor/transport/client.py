"""Open an MLLP connection to a peer.

Failures: every way of not connecting is one ConnectError with a reason; whether and when to try again is the
caller's business. Once connected, the end comes to the handler (`connection_lost`), with `connection.end`.
"""

import asyncio
import socket
import ssl as tls
from enum import StrEnum

from interceptor.transport.connection import ConnectionHandler, MllpConnection
from interceptor.transport.options import ConnectionOptions, TransportCounters
from interceptor.transport.protocol import MllpProtocol
from interceptor.transport.socket_options import set_liveness

ClientConnection = MllpConnection
"""An outbound connection: what a destination holds."""


class ConnectFailure(StrEnum):
    """Why a connection could not be opened."""

    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    NAME_NOT_FOUND = "name_not_found"
    TLS_FAILED = "tls_failed"
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
    ssl: tls.SSLContext | None = None,
    server_hostname: str | None = None,
) -> ClientConnection:
    """Connect to *host* and *port*; *handler* receives frames from now on, possibly before this returns.

    The timeout covers name lookup, TCP and TLS. Cancelling it leaves no connection behind. With TLS 1.3 a
    server refuses our certificate only after this returned: treat an end before the first answer as that.

    Raises:
        ConnectError: Nothing is connected. No frame was delivered.
    """

    def opened(connection: MllpConnection) -> ConnectionHandler:
        made.append(connection)
        return handler

    def build_protocol() -> MllpProtocol:
        return MllpProtocol(options=options, counters=counters or TransportCounters(), is_inbound=False, opened=opened)

    made: list[MllpConnection] = []
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(connect_timeout_seconds):
            transport, _ = await loop.create_connection(
                build_protocol,
                host,
                port,
                ssl=ssl,
                server_hostname=(server_hostname or host) if ssl else None,
                ssl_handshake_timeout=connect_timeout_seconds if ssl else None,
            )
    except (OSError, TimeoutError, UnicodeError) as error:
        raise ConnectError(_find_failure(error)) from error
    set_liveness(transport.get_extra_info("socket"), options)
    return made[0]


def _find_failure(error: Exception) -> ConnectFailure:
    if isinstance(error, ConnectionRefusedError):
        return ConnectFailure.REFUSED
    if isinstance(error, TimeoutError):
        return ConnectFailure.TIMED_OUT
    if isinstance(error, socket.gaierror | UnicodeError):
        return ConnectFailure.NAME_NOT_FOUND
    if isinstance(error, tls.SSLError):
        return ConnectFailure.TLS_FAILED
    return ConnectFailure.UNREACHABLE
