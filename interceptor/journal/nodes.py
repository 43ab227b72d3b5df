"""What several nodes on one journal need of it beside `port.Journal`: who delivers, what the others did, who lives.

A journal that has one node has none of this.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from interceptor.journal.port import EntryId, OutboxId


@dataclass(frozen=True, slots=True)
class Position:
    """How far this node knows the journal: the newest audit link and message that it has looked at."""

    audit_number: int = 0
    message_id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What happened since a position, whoever did it.

    Attributes:
        position: How far this reaches.
        entry_ids: Orders that moved, in the order of their last step.
        has_new_modes: Whether a route's mode was set.
        digests: SHA-256 of messages that were taken on relay routes.
        waiting: Every message that waits in the outbox and that nothing may overtake, by number; content and kind of
            those that were not known before, None for the others.
    """

    position: Position
    entry_ids: tuple[EntryId, ...] = ()
    has_new_modes: bool = False
    digests: tuple[bytes, ...] = ()
    waiting: Mapping[OutboxId, tuple[bytes, str] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownNode:
    """One node: seconds since its last sign of life, and what it delivers to. `is_self`: this process."""

    name: str
    seen_seconds: float
    reviewed_seconds: float | None
    delivers: tuple[str, ...]
    is_self: bool


class Nodes(Protocol):
    """The part of a journal that several nodes share. Every method may raise JournalUnavailable."""

    async def position(self) -> Position:
        """The newest of everything."""

    async def news(self, since: Position, *, routes: Sequence[str], known: frozenset[OutboxId]) -> News:
        """What happened since then. *routes*: relay routes; *known*: waiting messages that were told of before."""

    async def take_over(self, destination: str, *, lease_seconds: float, wait_seconds: float) -> int | None:
        """Become the one that delivers to a destination; None when another node is or may still be sending.

        Nothing is claimed then, and what was in flight is pending, a possible duplicate: its count is returned.
        """

    async def renew(self, destinations: Mapping[str, float], *, lease_seconds: float) -> frozenset[str]:
        """Go on delivering; *destinations* have their wait in seconds. Returns those that are still ours."""

    async def release(self, destinations: Sequence[str]) -> None:
        """Stop delivering: nothing of ours is on its way, another node may begin at once."""

    async def beat(self, name: str, *, reviewed_seconds: float | None) -> tuple[KnownNode, ...]:
        """Give a sign of life; returns every node that gave one in the last day."""

    def listen(self, heard: Callable[[], None]) -> None:
        """Have *heard* called in the event loop after commits of other nodes; at the latest when one asks anyway."""
