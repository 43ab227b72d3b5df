"""The desk: what people may do with held orders. It runs in the node and is the only writer.

Every act names the person and compares the version that the person saw; of two people who act at once one
wins, and the other is told who and when. An act, its outbox row, its audit row and its notice to the placer are
one transaction.

Failures: a journal that is unavailable is said so to the person; nothing happened then.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from interceptor.action.lifecycle import OPEN_STATES, WAITING_STATES, LifecycleEvent, OrderState, decide_transition
from interceptor.control.protocol import ControlError
from interceptor.journal.custody import Custody
from interceptor.journal.desk_rows import PlannedRelease
from interceptor.journal.port import (
    AuditRow,
    Conflict,
    Entry,
    EntryChange,
    EntryId,
    JournalUnavailable,
)
from interceptor.journal.release import ReleaseParts, notices_of, release_change
from interceptor.review.reason import read_reason
from interceptor.review.repeated import carried_out_once, with_request
from interceptor.telemetry.events import ORDER_RELEASED, ORDER_RETURNED, EventLog

COMMENT_SIZE_MAX = 400
LIST_COUNT_MAX = 1000

Handler = Callable[[dict[str, Any]], Awaitable[Mapping[str, object]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskParts:
    """What the desk is plugged to.

    Attributes:
        custody: All orders of ours.
        release_parts: What a release needs, by the name of the order's route.
        now: Aware UTC.
        wake: Tell the couriers that dead letters were queued again (`dead_letter_desk`).
        planned: The release of an order that can still be called back, None for none.
        release_reasons, return_reasons: Code to what people read.
    """

    custody: Custody
    release_parts: Callable[[str], ReleaseParts]
    now: Callable[[], datetime]
    wake: Callable[[], None]
    log: EventLog
    planned: Callable[[EntryId], PlannedRelease | None] = lambda _entry_id: None
    release_reasons: Mapping[str, str] = field(default_factory=dict)
    return_reasons: Mapping[str, str] = field(default_factory=dict)


class Desk:
    """People's commands on held orders."""

    def __init__(self, parts: DeskParts) -> None:
        """Register `handlers` with the control socket."""
        self._parts = parts
        self._custody = parts.custody
        self._journal = parts.custody.journal

    def handlers(self) -> dict[str, Handler]:
        """Command name to function."""
        commands = {
            "held_list": self.held_list,
            "held_show": self.held_show,
            "held_release": carried_out_once(self.held_release, self._history),
            "held_return": carried_out_once(self.held_return, self._history),
            "held_comment": carried_out_once(self.held_comment, self._history),
        }
        return {name: telling_of_the_journal(command) for name, command in commands.items()}

    async def held_list(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Orders in the states asked for (default: parked and held), the earliest deadline first, `limit` at a time.

        The answer's `next` is the `after` that gives those behind them; null when these are the last.
        """
        states = _states(arguments.get("states"))
        limit = min(number_argument(arguments, "limit"), LIST_COUNT_MAX) if "limit" in arguments else LIST_COUNT_MAX
        after = EntryId(number_argument(arguments, "after")) if arguments.get("after") is not None else None
        entries = await self._journal.entries(states=states, limit=limit + 1, after=after)
        shown = entries[:limit]
        behind = shown[-1].entry_id if len(entries) > limit else None
        return {"orders": [entry_json(entry) for entry in shown], "next": behind}

    async def held_show(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """One order with its history and its bytes (decoded for reading only)."""
        entry = await self.entry(arguments)
        history = await self._history(entry.entry_id)
        return {
            "order": entry_json(entry),
            "decision": dict(entry.decision),
            "content": entry.content.decode("latin-1"),
            "history": [audit_json(row) for row in history],
        }

    async def held_release(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Send the order to the filler as it was placed, with a note that says who released it and why."""
        actor = actor_argument(arguments)
        code, comment = read_reason(arguments, self._parts.release_reasons, is_required=False)
        entry = await self.entry(arguments)
        async with self._custody.turn((entry.order_key,)):
            entry = await self.waiting(arguments)
            if entry.damaged:
                raise ControlError("damaged", "the stored bytes of this order are damaged; they must not be sent")
            at = self._parts.now()
            parts = self._parts.release_parts(entry.route)
            change = await release_change(entry, LifecycleEvent.RELEASED, parts, actor=actor, comment=comment, at=at)
            change = with_request(with_reason_code(change, code), arguments)
            answer = await self.apply(change, at)
        waited = round((at - entry.taken_at).total_seconds(), 3)
        self._parts.log.event(
            ORDER_RELEASED,
            entry=entry.entry_id,
            step=LifecycleEvent.RELEASED.value,
            actor=actor.split(":", 1)[0],
            waiting_seconds=waited,
        )
        return answer

    async def held_return(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Send the order back to its orderer: the filler never sees it, the placer is told why."""
        actor = actor_argument(arguments)
        code, comment = read_reason(arguments, self._parts.return_reasons, is_required=True)
        entry = await self.entry(arguments)
        async with self._custody.turn((entry.order_key,)):
            entry = await self.waiting(arguments)
            change = self._step(entry, LifecycleEvent.RETURNED_TO_ORDERER, actor, comment)
            change = with_request(with_reason_code(change, code), arguments)
            answer = await self.apply(change, self._parts.now())
        self._parts.log.event(ORDER_RETURNED, entry=entry.entry_id, actor=actor.split(":", 1)[0], reason="returned")
        return answer

    async def held_comment(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Write a comment to the order's history."""
        actor, comment = actor_argument(arguments), _comment(arguments)
        if not comment:
            raise ControlError("comment_missing", "there is nothing to write")
        entry = await self.entry(arguments)
        async with self._custody.turn((entry.order_key,)):
            change = self._step(await self.entry(arguments), LifecycleEvent.COMMENTED, actor, "", comment=comment)
            return await self.apply(with_request(change, arguments), self._parts.now())

    async def entry(self, arguments: dict[str, Any]) -> Entry:
        """The order that a command is about.

        Raises:
            ControlError: There is none.
        """
        entry_id = EntryId(number_argument(arguments, "entry"))
        entry = await self._journal.entry(entry_id)
        if entry is None:
            raise ControlError("not_found", f"there is no order {entry_id}")
        return entry

    async def waiting(self, arguments: dict[str, Any]) -> Entry:
        """The order as it stands now, when it still waits and nobody changed it since the person looked."""
        entry = await self.entry(arguments)
        seen = number_argument(arguments, "version") if arguments.get("version") is not None else entry.version
        if entry.state not in WAITING_STATES or seen != entry.version:
            raise await self.conflict(entry.entry_id, entry.state, actor=entry.changed_by, at=entry.changed_at)
        if (plan := self._parts.planned(entry.entry_id)) is not None:
            raise ControlError("conflict", _already("released", plan.actor, plan.planned_at))
        return entry

    async def _history(self, entry_id: EntryId) -> Sequence[AuditRow]:
        return await self._journal.audit_rows(entry_id=entry_id)

    def _step(self, entry: Entry, event: LifecycleEvent, actor: str, reason: str, *, comment: str = "") -> EntryChange:
        transition = decide_transition(entry.state, event)
        parts = self._parts.release_parts(entry.route)
        return EntryChange(
            entry_id=entry.entry_id,
            expected_version=entry.version,
            expected_state=entry.state,
            event=event,
            state=transition.state,
            actor=actor,
            reason=reason,
            detail={"code": transition.reason} | ({"comment": comment} if comment else {}),
            outgoing=notices_of(entry, transition.notice, (transition.reason, reason), parts.notice),
        )

    async def apply(self, change: EntryChange, at: datetime) -> Mapping[str, object]:
        """Carry a step out, and say where the order stands then.

        Raises:
            ControlError: conflict: somebody was faster.
        """
        done = await self._custody.move([change], at=at)
        if isinstance(done, Conflict):
            raise await self.conflict(done.entry_id, done.state, actor=done.actor, at=done.at)
        return {"entry": change.entry_id, "state": done[0].state.value, "version": done[0].version}

    async def conflict(self, entry_id: EntryId, state: OrderState, *, actor: str, at: datetime) -> ControlError:
        """Who was faster, what they did and when. The filler's answer to a released order is not what ended its wait."""
        past = "changed"
        if state not in WAITING_STATES:
            past = _PAST_WORDS[state]
            history = await self._history(entry_id)
            end = next((row for row in reversed(history) if row.detail.get("from") in WAITING_STATES), None)
            actor, at = (end.actor, end.at) if end is not None else (actor, at)
        return ControlError("conflict", _already(past, actor, at))


def _already(past: str, actor: str, at: datetime) -> str:
    return f"already {past} by {actor.removeprefix('user:')} at {at.isoformat(timespec='seconds')}"


def with_reason_code(change: EntryChange, code: str) -> EntryChange:
    """*change*, whose audit row names the coded reason, where there is one."""
    return replace(change, detail={**change.detail, "reason_code": code}) if code else change


_PAST_WORDS = {
    OrderState.QUEUED: "released",
    OrderState.DELIVERED: "released",
    OrderState.DEAD: "released",
    OrderState.WITHDRAWN: "cancelled",
    OrderState.RETURNED: "returned",
    OrderState.REPLACED: "replaced",
}


def telling_of_the_journal(command: Handler) -> Handler:
    """*command*, which tells the person when the journal cannot be used."""

    async def run(arguments: dict[str, Any]) -> Mapping[str, object]:
        try:
            return await command(arguments)
        except JournalUnavailable as error:
            raise ControlError("journal_unavailable", f"nothing was changed: the journal is {error.reason}") from error

    return run


def _states(wanted: object) -> Sequence[OrderState]:
    if wanted is None:
        return sorted(WAITING_STATES)
    if wanted == "open":
        return sorted(OPEN_STATES)
    if not isinstance(wanted, list):
        raise ControlError("bad_argument", 'states is a list of states, or "open"')
    try:
        return [OrderState(state) for state in wanted]
    except ValueError as error:
        known = ", ".join(OrderState)
        raise ControlError("bad_argument", f"a state is one of {known}") from error


def number_argument(arguments: dict[str, Any], name: str) -> int:
    """A number from 1 that a command must have.

    Raises:
        ControlError: It is missing, or something else.
    """
    value = arguments.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ControlError("bad_argument", f"{name} is a number from 1")
    return value


def actor_argument(arguments: dict[str, Any]) -> str:
    """Who acts: a user's name, as the client vouches for it (the socket is open to the node's own user only)."""
    name = str(arguments.get("actor", "")).strip().removeprefix("user:")
    if not name:
        raise ControlError("bad_argument", "actor is the name of the person who acts")
    return f"user:{name[:80]}"


def _comment(arguments: dict[str, Any]) -> str:
    return str(arguments.get("reason") or arguments.get("comment") or "").strip()[:COMMENT_SIZE_MAX]


def entry_json(entry: Entry) -> dict[str, object]:
    """An order for the worklist. Patient data: for the reviewer only."""
    return {
        "entry": entry.entry_id,
        "route": entry.route,
        "state": entry.state.value,
        "version": entry.version,
        "placer_order_number": entry.placer_order_number,
        "priority": entry.priority,
        "taken_at": entry.taken_at.isoformat(),
        "changed_at": entry.changed_at.isoformat(),
        "changed_by": entry.changed_by,
        "deadline_at": entry.deadline_at.isoformat() if entry.deadline_at else None,
        "closed_at": entry.closed_at.isoformat() if entry.closed_at else None,
        "reason": entry.reason,
        "summary": dict(entry.summary),
        "reasons": entry.decision.get("reasons", []),
        "damaged": entry.damaged,
    }


def audit_json(row: AuditRow) -> dict[str, object]:
    """One link of the order's history."""
    return {"at": row.at.isoformat(), "actor": row.actor, "action": row.action, "detail": dict(row.detail)}
