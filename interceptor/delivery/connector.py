"""Plug a destination to the network: one MLLP connection for each of its lines."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ssl import SSLContext

from interceptor.delivery.destination import Line
from interceptor.telemetry.label import ConnectResult
from interceptor.telemetry.metrics import DestinationMetrics
from interceptor.transport.client import ClientConnection, ConnectError, ConnectFailure, connect
from interceptor.transport.options import ConnectionOptions

_RESULTS = {
    ConnectFailure.REFUSED: ConnectResult.REFUSED,
    ConnectFailure.TIMED_OUT: ConnectResult.TIMED_OUT,
    ConnectFailure.TLS_FAILED: ConnectResult.TLS_FAILED,
    ConnectFailure.CERTIFICATE_REFUSED: ConnectResult.CERTIFICATE_REFUSED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsClient:
    """How a destination is spoken to over TLS.

    Attributes:
        context: Gives the context of the next handshake; what it gives may change.
        server_name: The name that the filler's certificate must have; None for the host that is connected to.
    """

    context: Callable[[], SSLContext]
    server_name: str | None = None


def connector(
    host: str,
    port: int,
    *,
    options: ConnectionOptions,
    connect_timeout_seconds: float,
    metrics: DestinationMetrics,
    tls: TlsClient | None = None,
) -> Callable[[Line], Awaitable[ClientConnection]]:
    """Return the function that connects a line to *host* and *port*; it raises ConnectError and counts each try."""

    async def connect_line(line: Line) -> ClientConnection:
        try:
            connection = await connect(
                host,
                port,
                handler=line,
                options=options,
                connect_timeout_seconds=connect_timeout_seconds,
                tls=None if tls is None else tls.context(),
                server_hostname=None if tls is None else tls.server_name,
            )
        except ConnectError as error:
            metrics.connects.count(_RESULTS.get(error.reason, ConnectResult.FAILED))
            raise
        metrics.connects.count(ConnectResult.CONNECTED)
        return connection

    return connect_line
