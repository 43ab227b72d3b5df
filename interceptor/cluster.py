"""A node beside others on one journal: who delivers, what the others did, who can review.

Every node takes messages in, holds, releases and serves reviewers; what it knows of the others it knows from the
journal. On a SQLite journal, which has one node, nothing of this runs.

Failures: a database that is away: no node delivers, would-be holds go on annotated, relay traffic flows; everything here
tries again by itself.
"""

import asyncio
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from interceptor.delivery.courier import Courier
from interceptor.journal.catching_up import CatchingUp
from interceptor.journal.custody import Custody
from interceptor.journal.leases import Leases
from interceptor.journal.nodes import KnownNode, Nodes
from interceptor.journal.order_index import OpenOrder
from interceptor.journal.port import JournalUnavailable
from interceptor.journal.route_mode import HoldGate, RouteModes
from interceptor.node_parts import NodeParts
from interceptor.route import Route

BEAT_SECONDS = 2.0
LIVE_SECONDS = 15.0
"""A node that was silent for longer counts as gone."""
REVIEW_SECONDS_MAX = 3600.0
"""A review that was seen so long ago is nothing to tell the others of."""


def lasting_seconds() -> float:
    """Seconds on a clock that goes on while the machine sleeps: a lease must not outlive a suspended guest."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(kw_only=True)
class Cluster:
    """This node among the others; `leases` is None where there are no others."""

    nodes: Nodes | None = None
    leases: Leases | None = None
    known: tuple[KnownNode, ...] = field(default=())

    def may_send(self, destination: str) -> bool:
        """Whether this node delivers to *destination* now."""
        return self.leases is None or self.leases.may_send(destination)

    def status(self) -> list[Mapping[str, object]]:
        """The nodes as `status` shows them."""
        return [
            {
                "name": one.name,
                "live": one.seen_seconds < LIVE_SECONDS,
                "seen_seconds": round(one.seen_seconds, 1),
                "delivers": list(one.delivers),
                "self": one.is_self,
            }
            for one in self.known
        ]

    async def close(self) -> None:
        """Give the leases back; nothing of ours is on its way any more."""
        if self.leases is not None:
            await self.leases.close()


def build_cluster(parts: NodeParts) -> Cluster:
    """The leases of this node's destinations, not yet asked for."""
    nodes = parts.journal.nodes
    if nodes is None:
        return Cluster()
    waits = {name: table.tcp_user_timeout_seconds for name, table in parts.config.destination.items()}
    leases = Leases(
        nodes, waits, lease_seconds=parts.config.database.lease_seconds, clock=lasting_seconds, log=parts.log
    )
    return Cluster(nodes=nodes, leases=leases)


def join(
    cluster: Cluster,
    parts: NodeParts,
    custody: Custody,
    *,
    couriers: Mapping[str, Courier],
    modes: RouteModes,
    routes: Mapping[str, Route],
) -> None:
    """Begin to deliver, to follow the others and to tell them that we live."""
    nodes, leases = cluster.nodes, cluster.leases
    if nodes is None or leases is None:
        return
    gates = {name: route.gate for name, route in routes.items()}
    for name, courier in couriers.items():
        leases.listen(name, courier.lease_changed)

    async def follow_modes() -> None:
        for route in await modes.follow():
            gates[route].close_breaker()

    def count_hold(order: OpenOrder) -> None:
        if order.route in gates:
            gates[order.route].count(is_hold=True)

    def wake_couriers() -> None:
        for courier in couriers.values():
            courier.wake()

    catching_up = CatchingUp(
        custody,
        nodes,
        relay_routes=[name for name, route in parts.config.route.items() if route.custody == "relay"],
        new_modes=follow_modes,
        taken_elsewhere=count_hold,
        changed=wake_couriers,
    )
    custody.catch_up = catching_up.catch_up
    nodes.listen(catching_up.wake)
    parts.run(catching_up.run(), name="catching-up")
    parts.run(leases.run(), name="leases")
    parts.run(_beat(cluster, parts, gates), name="node-beat")


async def _beat(cluster: Cluster, parts: NodeParts, gates: Mapping[str, HoldGate]) -> None:
    """Tell the others that we live and whether somebody reviews here; learn the same of them."""
    while True:
        with suppress(JournalUnavailable):
            await _beat_once(cluster, parts.config.node.name, gates.values())
        await asyncio.sleep(BEAT_SECONDS)


async def _beat_once(cluster: Cluster, name: str, gates: Collection[HoldGate]) -> None:
    assert cluster.nodes is not None
    own = min((gate.review_age_seconds for gate in gates), default=float("inf"))
    reviewed = own if own < REVIEW_SECONDS_MAX else None
    cluster.known = await cluster.nodes.beat(name, reviewed_seconds=reviewed)
    seen = min((one.reviewed_seconds for one in cluster.known if one.reviewed_seconds is not None), default=None)
    if seen is not None:
        for gate in gates:
            gate.review_seen_elsewhere(seen)
