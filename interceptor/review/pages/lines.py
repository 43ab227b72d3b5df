"""Routes and destinations: what comes in, what goes out, in which mode; the mode switch and the pause."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from interceptor.journal.review_record import ModeRecord
from interceptor.review import plain_words as words
from interceptor.review.guard import Guard, GuardedRoute
from interceptor.review.list_export import csv_response, json_response
from interceptor.review.node_client import Answer
from interceptor.review.node_state import NodeState, node_state, read_time
from interceptor.review.parts import ReviewParts
from interceptor.review.rendering import render
from interceptor.review.rights import Action
from interceptor.review.shown_text import short

MODES: Mapping[str, str] = {
    "shadow": "Shadow: decide and record only",
    "annotate": "Annotate: add notes, never hold",
    "enforce": "Enforce: hold",
}
_EXPORT = ("route", "listen", "destination", "custody", "mode", "connections", "messages", "last_message_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteView:
    """One route in words."""

    name: str
    listen: str
    destination: str
    custody: str
    mode: str
    mode_words: str
    set_by: str
    not_holding: str
    breaker_open: bool
    connections: int
    messages: int
    last_message: str
    acks: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationView:
    """One destination in words; `delivered_by` is the node that has its lease, "" where none has or there is but one."""

    name: str
    delivered_by: str
    address: str
    is_up: bool
    since: str
    is_paused: bool
    queued: int
    oldest: str
    waiting: int
    dead: int
    acks: tuple[tuple[str, int], ...]


def route_views(state: NodeState, modes: Mapping[str, ModeRecord], now: datetime) -> tuple[RouteView, ...]:
    """The routes as their page shows them."""
    return tuple(_route_view(name, one, modes.get(name), now) for name, one in state.part("routes").items())


def _route_view(name: str, one: Mapping[str, Any], record: ModeRecord | None, now: datetime) -> RouteView:
    mode = str(one.get("mode", ""))
    if record is not None and record.mode == mode:
        reason = f": {short(record.reason)}" if record.reason else ""
        set_by = f"set by {words.actor_words(record.actor)} {words.ago_words(record.at, now)}{reason}"
    else:
        set_by = "as configured"
    return RouteView(
        name=name,
        listen=str(one.get("listen", "")),
        destination=str(one.get("destination", "")),
        custody=str(one.get("custody", "")),
        mode=mode,
        mode_words=MODES.get(mode, mode),
        set_by=set_by,
        not_holding=str(one.get("not_holding", "")).replace("_", " "),
        breaker_open=bool(one.get("breaker_open")),
        connections=int(one.get("connections") or 0),
        messages=int(one.get("messages") or 0),
        last_message=words.ago_words(read_time(one.get("last_message_at")), now) or "none yet",
        acks=_counts(one.get("acks")),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """One node on this journal, in words; `delivers` are the destinations whose lease it has."""

    name: str
    is_self: bool
    is_live: bool
    seen: str
    delivers: tuple[str, ...]


def node_views(state: NodeState, now: datetime) -> tuple[NodeView, ...]:
    """The nodes on this journal; none where there is but one."""
    listed = state.status.get("nodes")
    return tuple(
        NodeView(
            name=str(one.get("name", "")),
            is_self=bool(one.get("self")),
            is_live=bool(one.get("live")),
            seen=words.ago_words(now - timedelta(seconds=float(one.get("seen_seconds") or 0.0)), now),
            delivers=tuple(map(str, one.get("delivers") or ())),
        )
        for one in (listed if isinstance(listed, list) else ())
        if isinstance(one, Mapping)
    )


def destination_views(state: NodeState, now: datetime) -> tuple[DestinationView, ...]:
    """The destinations as their page shows them."""
    nodes = [node for node in node_views(state, now) if node.is_live]
    return tuple(
        DestinationView(
            name=name,
            delivered_by=", ".join(node.name for node in nodes if name in node.delivers),
            address=str(one.get("address", "")),
            is_up=bool(one.get("up")),
            since=words.ago_words(read_time(one.get("since")), now).removesuffix(" ago"),
            is_paused=bool(one.get("paused")),
            queued=int(one.get("queued") or 0),
            oldest=words.ago_words(read_time(one.get("oldest")), now),
            waiting=int(one.get("waiting") or 0),
            dead=int(one.get("dead") or 0),
            acks=_counts(one.get("acks")),
        )
        for name, one in state.part("destinations").items()
    )


def _counts(value: object) -> tuple[tuple[str, int], ...]:
    return tuple((str(name), int(count)) for name, count in value.items()) if isinstance(value, Mapping) else ()


def routes(parts: ReviewParts, guard: Guard) -> Sequence[GuardedRoute]:
    """The routes of the routes page."""

    async def show(request: Request) -> Response:
        return await _show(parts, request)

    async def live(request: Request) -> Response:
        return await _show(parts, request, template="_lines.html")

    async def export(request: Request) -> Response:
        state = node_state(await parts.node.ask("lines"))
        rows = [{"route": name, **dict(one)} for name, one in state.part("routes").items()]
        return csv_response("routes", _EXPORT, rows) if request.url.path.endswith(".csv") else json_response(rows)

    async def set_mode(request: Request) -> Response:
        form, name = await request.form(), request.path_params["route"]
        typed, mode, reason = (short(str(form.get(one, "")).strip(), 200) for one in ("typed", "mode", "reason"))
        if typed != name:
            return await _show(parts, request, problem=f"Type the route's name, {name}, to change its mode.")
        reply = await parts.node.ask("mode_set", route=name, mode=mode, actor=request.state.person.name, reason=reason)
        return await _after(parts, request, reply, f"Route {name} is in mode {mode} now.")

    async def pause(request: Request) -> Response:
        form, name = await request.form(), request.path_params["destination"]
        is_pause = form.get("act") != "resume"
        reason = short(str(form.get("reason", "")), 200)
        reply = await parts.node.ask(
            "lane_pause", destination=name, paused=is_pause, actor=request.state.person.name, reason=reason
        )
        done = f"Delivery to {name} is paused: its queue is kept." if is_pause else f"Delivery to {name} goes on."
        return await _after(parts, request, reply, done)

    return (
        guard.route("/routes", show, action=Action.SEE_ROUTES, name="routes"),
        guard.route("/routes.csv", export, action=Action.SEE_ROUTES, name="routes_csv"),
        guard.route("/routes.json", export, action=Action.SEE_ROUTES, name="routes_json"),
        guard.route("/routes/live", live, action=Action.SEE_ROUTES, is_background=True, name="routes_live"),
        guard.route("/routes/{route}/mode", set_mode, action=Action.SET_MODE, methods=("POST",)),
        guard.route("/destinations/{destination}/pause", pause, action=Action.SET_MODE, methods=("POST",)),
    )


async def _after(parts: ReviewParts, request: Request, reply: object, done: str) -> Response:
    if isinstance(reply, Answer):
        return RedirectResponse("/routes", status_code=303)
    return await _show(parts, request, problem=f"Not done: {getattr(reply, 'message', done)}")


async def _show(parts: ReviewParts, request: Request, *, template: str = "routes.html", problem: str = "") -> Response:
    now = parts.now()
    state = node_state(await parts.node.ask("lines", timeout_seconds=2.0))
    return render(
        parts,
        request,
        template,
        status_code=422 if problem else 200,
        state=state,
        route_views=route_views(state, await parts.records.route_modes(), now),
        destinations=destination_views(state, now),
        nodes=node_views(state, now),
        modes=MODES,
        problem=problem,
        can_switch=request.state.person.can(Action.SET_MODE),
    )
