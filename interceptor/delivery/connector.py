"""Plug a destination to the network: one MLLP connection for each of its lines."""

import ssl as tls
from collections.abc import Awaitable, Callable

from interceptor.delivery.destination import Line
from interceptor.telemetry.label import ConnectResult
from interceptor.telemetry.metrics import DestinationMetrics
from interceptor.transport.client import ClientConnection, ConnectError, ConnectFailure, connect
from interceptor.transport.options import ConnectionOptions

_RESULTS = {ConnectFailure.REFUSED: ConnectResult.REFUSED, ConnectFailure.TIMED_OUT: ConnectResult.TIMED_OUT}


def connector(
    host: str,
    port: int,
    *,
    options: ConnectionOptions,
    connect_timeout_seconds: float,
    metrics: DestinationMetrics,
    ssl: tls.SSLContext | None = None,
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
                ssl=ssl,
            )
        except ConnectError as error:
            metrics.connects.count(_RESULTS.get(error.reason, ConnectResult.FAILED))
            raise
        metrics.connects.count(ConnectResult.CONNECTED)
        return connection

    return connect_line
