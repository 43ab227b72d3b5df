"""The routes and feeds of a node as they are now, and the one step in which all of them become others.

A message takes its route's parts when it begins and keeps them to its end; the next one takes those that are in force
then. What a route remembers stays with it: its breaker, the siblings that have just left, what waits in custody.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from interceptor.action.breaker import HoldBreaker
from interceptor.action.plan import RouteMode
from interceptor.config.schema import Config, RouteTable
from interceptor.context.patient import PatientEvidence
from interceptor.context.recent_member import RecentMembers
from interceptor.decision.clinical_content import ClinicalContent
from interceptor.decision.second_look import SeenMessages
from interceptor.delivery.destination import Destination
from interceptor.evidence.registry_sql import SqlRegistry
from interceptor.feed import FeedParts
from interceptor.feed_wiring import FeedWiring, build_feeds, study_note
from interceptor.journal.custody import Custody
from interceptor.journal.patient_merge import PatientMerges
from interceptor.journal.recorder import Recorder
from interceptor.journal.route_mode import HoldGate, RouteModes
from interceptor.message.view import MessageView
from interceptor.node_parts import InForce, NodeParts, utc_now
from interceptor.route import Route, RouteWiring, build_route, mode_changer, would_be_held
from interceptor.sources import Evidence

SEEN_COUNT_MAX = 500
"""Messages with imaging orders that are remembered for a reload's second look: 1.5 MB at the usual size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingParts:
    """What routes and feeds are plugged to, whatever the configuration says of them."""

    node: NodeParts
    custody: Custody
    destinations: Mapping[str, Destination]
    modes: RouteModes
    recorder: Recorder
    registry: SqlRegistry
    evidence: Evidence
    merges: PatientMerges


def would_be_held_now(
    current: InForce, view: MessageView, evidence: PatientEvidence, at: datetime
) -> tuple[Mapping[str, object], ...]:
    """The orders of a message that would have been held, by the content that is in force when this is called."""
    return would_be_held(current.content, view, evidence, at)


class Routing:
    """Every route and feed, by name. The mappings are the same objects for the node's life; their values change."""

    def __init__(self, parts: RoutingParts) -> None:
        """Build what the node's configuration and content say."""
        self._parts = parts
        self._gates: dict[str, HoldGate] = {}
        self._recent: dict[str, tuple[float, RecentMembers]] = {}
        self.seen = SeenMessages(count_max=SEEN_COUNT_MAX)
        self.routes: dict[str, Route] = {}
        self.feeds: dict[str, FeedParts] = {}
        self.take(parts.node.current.config, parts.node.current.content)

    def take(self, config: Config, content: ClinicalContent) -> None:
        """Build all of them anew, and only then put them in force, all at once; the names stay the same.

        Raises:
            ValueError: One of them cannot be built; nothing has changed then.
        """
        feeding = self._feed_wiring(config, content)
        routes = {name: self._build(name, table, config, content, feeding) for name, table in config.route.items()}
        feeds = {feed.name: feed for feed in build_feeds(feeding)}
        for route in self.routes.values():
            # What has left in shadow mode is decided by the content that was in force then.
            route.parts.shadow.finish()
        # No await between these: no message sees one route of before and another of after.
        self.routes.update(routes)
        self.feeds.update(feeds)
        self._parts.node.current.config, self._parts.node.current.content = config, content

    def _build(
        self, name: str, table: RouteTable, config: Config, content: ClinicalContent, feeding: FeedWiring
    ) -> Route:
        parts, node = self._parts, self._parts.node
        return build_route(
            RouteWiring(
                name=name,
                table=table,
                config=config,
                content=content,
                custody=parts.custody,
                destination=parts.destinations[table.destination],
                modes=parts.modes,
                gate=self._gate(name, table),
                recent=self._recent_members(name, config.hold.set_window_seconds),
                seen=self.seen,
                merges=parts.merges,
                recorder=parts.recorder,
                metrics=node.metrics,
                log=node.log,
                spawn=node.spawn,
                give_up=node.give_up,
                change_mode=mode_changer(parts.modes, spawn=node.spawn, now=utc_now, log=node.log),
                now=utc_now,
                ask=parts.evidence.ask,
                undecided=parts.evidence.retrospective.note,
                note_study=study_note(name, feeding),
            )
        )

    def _gate(self, name: str, table: RouteTable) -> HoldGate:
        if name not in self._gates:
            modes = self._parts.modes
            self._gates[name] = HoldGate(
                breaker=HoldBreaker(holds_max=table.holds_max_per_10_min),
                heartbeat_seconds_max=self._parts.node.config.review_heartbeat_seconds,
                monotonic=time.monotonic,
                is_enforcing=lambda: modes.mode(name) is RouteMode.ENFORCE,
            )
        return self._gates[name]

    def _recent_members(self, name: str, window_seconds: float) -> RecentMembers:
        """Those of before, unless they were kept for another window."""
        known = self._recent.get(name)
        if known is None or known[0] != window_seconds:
            known = self._recent[name] = (window_seconds, RecentMembers(window_seconds=window_seconds))
        return known[1]

    def _feed_wiring(self, config: Config, content: ClinicalContent) -> FeedWiring:
        parts, node = self._parts, self._parts.node
        return FeedWiring(
            config=config,
            content=content,
            receivers=parts.destinations,
            registry=parts.registry,
            journal=node.journal,
            metrics=node.metrics,
            log=node.log,
            spawn=node.spawn,
            give_up=node.give_up,
            now=utc_now,
            merged=parts.merges.note,
            merges_settled=parts.merges.settled,
        )
