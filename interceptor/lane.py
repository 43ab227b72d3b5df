"""One destination's connections and courier plugged together: the way out of the node.

Reconnects and retries are jittered, so that many nodes do not come back to one filler at the same moment.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial

from interceptor.config.schema import DestinationTable
from interceptor.delivery.connector import TlsClient, connector
from interceptor.delivery.courier import Courier, CourierOptions
from interceptor.delivery.destination import Destination, DestinationOptions
from interceptor.journal.custody import Custody
from interceptor.telemetry.events import EventLog
from interceptor.telemetry.metrics import DestinationMetrics
from interceptor.transport.options import ConnectionOptions


def build_destinations(
    tables: Mapping[str, DestinationTable],
    *,
    tls: Mapping[str, TlsClient],
    metrics: Mapping[str, DestinationMetrics],
    log: EventLog,
) -> dict[str, Destination]:
    """The connections to every destination; nothing is connected yet. *tls*: of those that are spoken to over TLS."""
    return {
        name: _build_destination(name, table, tls=tls.get(name), metrics=metrics[name], log=log)
        for name, table in tables.items()
    }


def _build_destination(
    name: str, table: DestinationTable, *, tls: TlsClient | None, metrics: DestinationMetrics, log: EventLog
) -> Destination:
    return Destination(
        DestinationOptions(
            name=name,
            connections_max=table.connections_max,
            ack_timeout_seconds=table.ack_timeout_seconds,
            reconnect_seconds_max=table.reconnect_seconds_max,
        ),
        connect=connector(
            table.address.host,
            table.address.port,
            options=ConnectionOptions(tcp_user_timeout_seconds=table.tcp_user_timeout_seconds),
            connect_timeout_seconds=table.connect_timeout_seconds,
            metrics=metrics,
            tls=tls,
        ),
        metrics=metrics,
        jitter=random.random,
        log=log,
    )


def _build_courier(
    custody: Custody,
    destination: Destination,
    table: DestinationTable,
    *,
    now: Callable[[], datetime],
    log: EventLog,
    may_send: Callable[[], bool],
) -> Courier:
    return Courier(
        destination,
        custody,
        options=CourierOptions(
            retry_seconds_max=table.reconnect_seconds_max,
            refusals_max=table.attempts_max,
            disconnects_max=table.attempts_max,
        ),
        now=now,
        jitter=random.random,
        log=log,
        may_send=may_send,
    )


def build_couriers(
    custody: Custody,
    destinations: Mapping[str, Destination],
    tables: Mapping[str, DestinationTable],
    *,
    now: Callable[[], datetime],
    log: EventLog,
    may_send: Callable[[str], bool],
) -> dict[str, Courier]:
    """One courier for each destination; *may_send*: whether this node delivers to a destination now."""
    return {
        name: _build_courier(custody, one, tables[name], now=now, log=log, may_send=partial(may_send, name))
        for name, one in destinations.items()
    }


def waker(couriers: Iterable[Courier]) -> Callable[[], None]:
    """A function that tells every courier that its outbox may have something new."""

    def wake() -> None:
        for courier in couriers:
            courier.wake()

    return wake
