"""Plug a destination to the network: one MLLP connection for each of its lines."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
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
    """Return the function that connects a line to *host* and *port*; it raises ConnectError and counts each try.

    While *host* cannot be looked up, the address that it had last is tried: a name server that is away stops no order.
    Over TLS the other side must have the name's certificate all the same.
    """
    known = _LastAddress(host)

    async def open_line(line: Line, address: str) -> ClientConnection:
        return await connect(
            address,
            port,
            handler=line,
            options=options,
            connect_timeout_seconds=connect_timeout_seconds,
            tls=None if tls is None else tls.context(),
            server_hostname=None if tls is None else tls.server_name or host,
        )

    async def connect_line(line: Line) -> ClientConnection:
        try:
            try:
                connection = await open_line(line, host)
            except ConnectError as error:
                address = known.instead_of(error.reason)
                if address is None:
                    raise
                connection = await open_line(line, address)
        except ConnectError as error:
            metrics.connects.count(_RESULTS.get(error.reason, ConnectResult.FAILED))
            raise
        known.note(connection.peer_address)
        metrics.connects.count(ConnectResult.CONNECTED)
        return connection

    return connect_line


class _LastAddress:
    """The address that a name led to last."""

    def __init__(self, host: str) -> None:
        self._is_name = not _is_address(host)
        self._address: str | None = None

    def note(self, address: str) -> None:
        """Remember where a connection went."""
        if self._is_name and address:
            self._address = address

    def instead_of(self, failure: ConnectFailure) -> str | None:
        """What to try when connecting by name failed so; a name server that does not answer looks like a slow peer."""
        may_be_names = failure in {ConnectFailure.NAME_NOT_FOUND, ConnectFailure.TIMED_OUT}
        return self._address if may_be_names else None


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
