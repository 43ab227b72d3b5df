"""How the node and its lines stand, from its answer to `lines`, for bars and the routes page. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from interceptor.review import plain_words as words
from interceptor.review.node_client import Answer, Reply

FEED_SILENT_AFTER = timedelta(minutes=15)
"""A route that has had messages and has none for so long is told of: at night too, for a dead feed holds nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """What the node says of itself; `is_away` when it does not answer."""

    is_away: bool
    message: str
    status: Mapping[str, Any]

    def part(self, name: str) -> Mapping[str, Any]:
        """One object of the status, empty when the node does not tell."""
        found = self.status.get(name)
        return found if isinstance(found, Mapping) else {}


def node_state(reply: Reply) -> NodeState:
    """What a reply to `lines` says."""
    if isinstance(reply, Answer):
        return NodeState(is_away=False, message="", status=reply.result)
    return NodeState(is_away=True, message=reply.message, status={})


def problems(state: NodeState, now: datetime) -> Sequence[str]:
    """What everybody who works with the list must know, one sentence each."""
    if state.is_away:
        return (
            "The node does not answer: nothing is held and nothing can be released now. Orders pass as its bypass lets them.",
        )
    found = []
    for name, route in state.part("routes").items():
        if not isinstance(route, Mapping):
            continue
        if route.get("mode") == "enforce" and route.get("not_holding"):
            why = str(route["not_holding"]).replace("_", " ")
            found.append(f"Route {name} holds nothing now ({why}): orders that would be held leave with a note.")
        at = read_time(route.get("last_message_at"))
        if at is not None and now - at > FEED_SILENT_AFTER:
            found.append(f"No message on route {name} since {at:%Y-%m-%d %H:%M} UTC ({words.ago_words(at, now)}).")
    for name, destination in state.part("destinations").items():
        if isinstance(destination, Mapping) and destination.get("up") is False:
            waiting = destination.get("waiting") or 0
            found.append(f"Destination {name} is not connected; {waiting} messages wait for it.")
    degraded = state.status.get("degraded")
    found += [f"The node is degraded: {str(reason).replace('_', ' ')}." for reason in degraded or ()]
    return found


def read_time(value: object) -> datetime | None:
    """A time as the node writes it; None when it is none."""
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
