"""Releases that can be called back, changed procedures, and the preview of what would leave. In the node.

A routine order that is released waits `undo_seconds` more. The release is durable at once, as a plan: when the node is
killed within that time, the next one carries it out (docs/adr/0009). It is void when the order is no longer what was
released: cancelled or changed by its placer, its patient merged, decided otherwise. Orders that are not routine leave at once.

Failures: a plan that cannot be carried out while the journal is unavailable is tried again; the hold's own deadline
stands behind it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from interceptor.action.lifecycle import WAITING_STATES, LifecycleEvent, OrderState
from interceptor.action.procedure_change import change_procedure
from interceptor.context.vocabulary import UrgencyClass
from interceptor.control.protocol import ControlError
from interceptor.journal import desk_rows
from interceptor.journal.desk_rows import PlannedRelease
from interceptor.journal.port import Entry, EntryId, JournalUnavailable
from interceptor.journal.release import ChangedOrder, release_change, released_content
from interceptor.journal.stored_form import digest_of
from interceptor.message.splice import SpliceError
from interceptor.review.access_desk import Tables, text_of
from interceptor.review.desk import Desk, DeskParts, Handler, actor_argument, telling_of_the_journal, with_reason_code
from interceptor.review.reason import AUTHORITIES, read_reason
from interceptor.telemetry.events import ORDER_RELEASED, EventLog

INTERVAL_SECONDS = 0.25
_BEFORE_DEADLINE_SECONDS = 2.0
"""A release that is planned must leave as one: before the timer releases the order unreviewed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRules:
    """What a site has decided.

    Attributes:
        undo_seconds: How long a routine release can be called back; 0 never.
        change_procedure: Whether reviewers may change the procedure.
        complete_spine_code: What they change it to, as OBR-4.
    """

    undo_seconds: float
    change_procedure: bool
    complete_spine_code: str


class ReleasePlans:
    """The releases that can still be called back: in memory beside the journal, and carried out when they are due."""

    def __init__(self, parts: DeskParts, tables: Tables) -> None:
        """*parts* as the desk's; `run` carries out what is due."""
        self._custody = parts.custody
        self._tables = tables
        self._release_parts = parts.release_parts
        self._now = parts.now
        self._log = parts.log
        self._plans: dict[EntryId, PlannedRelease] = {}

    def find(self, entry_id: EntryId) -> PlannedRelease | None:
        """The planned release of an order, None for none."""
        return self._plans.get(entry_id)

    async def run(self) -> None:
        """Take up what an earlier node left, then carry out what is due, until cancelled."""
        is_loaded = False
        while True:
            try:
                if not is_loaded:
                    plans = await self._tables.read(desk_rows.list_plans)
                    self._plans = {plan.entry_id: plan for plan in plans} | self._plans
                    is_loaded = True
                await self.look()
            except JournalUnavailable:
                pass  # Looked at again: nothing is lost, and the hold's deadline stands behind it.
            await asyncio.sleep(INTERVAL_SECONDS)

    async def look(self) -> None:
        """Carry out every plan that is due."""
        for plan in sorted(self._plans.values(), key=lambda one: one.due_at):
            if plan.due_at <= self._now():
                await self._carry_out(plan)

    async def add(self, plan: PlannedRelease) -> bool:
        """Keep a plan, durably; False when the order has one already. The caller has the order's turn."""
        detail = {"code": "S-RELEASED", "reason_code": plan.reason_code, "due_at": plan.due_at.isoformat()}
        added = await self._tables.write_audited(
            lambda connection: desk_rows.insert_plan(connection, plan),
            at=plan.planned_at,
            actor=plan.actor,
            action="release_planned",
            describe=lambda done: detail if done else None,
            entry_id=plan.entry_id,
        )
        if added:
            self._plans[plan.entry_id] = plan
        return added

    async def call_back(self, entry_id: EntryId, *, actor: str) -> bool:
        """Forget a plan that was not carried out yet; False when there is none. The caller has the order's turn."""
        gone = await self._drop(entry_id, actor=actor, action="release_called_back")
        self._plans.pop(entry_id, None)
        return gone

    async def _carry_out(self, plan: PlannedRelease) -> None:
        async with self._custody.turn((plan.order_key,)):
            if self._plans.get(plan.entry_id) is not plan:
                return  # Called back while we waited for our turn.
            entry = await self._custody.journal.entry(plan.entry_id)
            if entry is not None and await self._is_released(entry, plan):
                await self._drop(plan.entry_id, actor=plan.actor, action=None)
            else:
                await self._drop(plan.entry_id, actor="node", action="release_voided")
            self._plans.pop(plan.entry_id, None)

    async def _is_released(self, entry: Entry, plan: PlannedRelease) -> bool:
        """Release the order as planned; False when it is no longer what was released."""
        if entry.state in (OrderState.QUEUED, OrderState.DELIVERED, OrderState.DEAD):
            return True  # Carried out by a node that was killed before it could forget the plan, or overtaken by the deadline.
        if entry.state not in WAITING_STATES or entry.damaged or digest_of(entry.content) != plan.digest:
            return False
        if await self._is_merged_since(entry.entry_id, plan):
            return False  # The person saw another patient's name above it: they have to look again.
        at, parts = self._now(), self._release_parts(entry.route)
        change = await release_change(
            entry, LifecycleEvent.RELEASED, parts, actor=plan.actor, comment=plan.comment, at=at
        )
        done = await self._custody.move([with_reason_code(change, plan.reason_code)], at=at)
        if isinstance(done, tuple):
            tell_release(self._log, entry, LifecycleEvent.RELEASED, at)
        return isinstance(done, tuple)

    async def _is_merged_since(self, entry_id: EntryId, plan: PlannedRelease) -> bool:
        history = await self._custody.journal.audit_rows(entry_id=entry_id)
        merged = LifecycleEvent.PATIENT_MERGED.value
        return any(row.action == merged and row.at >= plan.planned_at for row in history)

    async def _drop(self, entry_id: EntryId, *, actor: str, action: str | None) -> bool:
        return await self._tables.write_audited(
            lambda connection: desk_rows.drop_plan(connection, entry_id),
            at=self._now(),
            actor=actor,
            action=action or "",
            describe=lambda done: {} if done and action is not None else None,
            entry_id=entry_id,
        )


def tell_release(log: EventLog, entry: Entry, event: LifecycleEvent, at: datetime) -> None:
    """Log that a person released an order."""
    waited = round((at - entry.taken_at).total_seconds(), 3)
    log.event(ORDER_RELEASED, entry=entry.entry_id, step=event.value, actor="user", waiting_seconds=waited)


class ReleaseDesk:
    """Commands about releases."""

    def __init__(self, desk: Desk, plans: ReleasePlans, parts: DeskParts, *, rules: ReleaseRules) -> None:
        """*desk* has the order's own commands."""
        self._desk = desk
        self._plans = plans
        self._custody = parts.custody
        self._rules = rules
        self._release_parts = parts.release_parts
        self._reasons = parts.release_reasons
        self._now = parts.now
        self._log = parts.log

    def handlers(self) -> dict[str, Handler]:
        """Command name to function."""
        commands = {
            "held_release_soon": self.held_release_soon,
            "held_undo": self.held_undo,
            "held_change": self.held_change,
            "held_preview": self.held_preview,
        }
        return {name: telling_of_the_journal(command) for name, command in commands.items()}

    async def held_release_soon(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Release an order as ordered: a routine one after the time in which that can be called back, others at once."""
        actor, at = actor_argument(arguments), self._now()
        code, comment = read_reason(arguments, self._reasons, is_required=False)
        entry = await self._desk.entry(arguments)
        due_at = at + timedelta(seconds=self._rules.undo_seconds)
        is_urgent = entry.priority != UrgencyClass.ROUTINE.value
        if is_urgent or self._rules.undo_seconds == 0 or self._is_near_deadline(entry, due_at):
            return await self._desk.held_release(arguments)
        async with self._custody.turn((entry.order_key,)):
            had = self._plans.find(entry.entry_id)
            if had is not None and had.actor == actor and had.digest == digest_of(entry.content):
                # A double click, or a browser that sent its form twice: released once, answered alike.
                return _planned_json(entry, had) | {"repeated": True}
            entry = await self._desk.waiting(arguments)
            if entry.damaged:
                raise ControlError("damaged", "the stored bytes of this order are damaged; they must not be sent")
            plan = PlannedRelease(
                entry_id=entry.entry_id,
                order_key=entry.order_key,
                digest=digest_of(entry.content),
                actor=actor,
                reason_code=code,
                comment=comment,
                planned_at=at,
                due_at=due_at,
            )
            if not await self._plans.add(plan):
                raise ControlError("conflict", "somebody has just released this order")
        return _planned_json(entry, plan)

    def _is_near_deadline(self, entry: Entry, due_at: datetime) -> bool:
        # The deadline of a parked order ends its wait for siblings, not its wait for a reviewer: it is held then.
        if entry.state is not OrderState.HELD or entry.deadline_at is None:
            return False
        return entry.deadline_at - timedelta(seconds=_BEFORE_DEADLINE_SECONDS) <= due_at

    async def held_undo(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Call a planned release back: the order waits as before."""
        actor, entry = actor_argument(arguments), await self._desk.entry(arguments)
        async with self._custody.turn((entry.order_key,)):
            is_back = await self._plans.call_back(entry.entry_id, actor=actor)
        entry = await self._desk.entry(arguments)
        if not is_back:
            raise await self._desk.conflict(entry.entry_id, entry.state, actor=entry.changed_by, at=entry.changed_at)
        return {"entry": entry.entry_id, "state": entry.state.value, "version": entry.version}

    async def held_change(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Replace the procedure by the site's complete spine study and release: `authority`, `read_back`, reason."""
        actor, comment = actor_argument(arguments), self._authority(arguments)
        entry = await self._desk.entry(arguments)
        async with self._custody.turn((entry.order_key,)):
            entry, at = await self._desk.waiting(arguments), self._now()
            change = await release_change(
                entry,
                LifecycleEvent.PROCEDURE_CHANGED,
                self._release_parts(entry.route),
                actor=actor,
                comment=comment,
                at=at,
                changed=self._changed(entry),
            )
            answer = await self._desk.apply(with_reason_code(change, str(arguments["authority"])), at)
        tell_release(self._log, entry, LifecycleEvent.PROCEDURE_CHANGED, at)
        return answer

    async def held_preview(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """The bytes as received and those that would leave now (`action`: release or change), decoded one to one."""
        actor, entry = actor_argument(arguments), await self._desk.entry(arguments)
        is_change = arguments.get("action") == "change"
        if is_change:
            event, comment, changed = LifecycleEvent.PROCEDURE_CHANGED, self._authority(arguments), self._changed(entry)
        else:
            event, changed = LifecycleEvent.RELEASED, None
            _, comment = read_reason(arguments, self._reasons, is_required=False)
        content, _ = released_content(
            entry,
            event,
            actor=actor,
            comment=comment,
            at=self._now(),
            note_length=self._release_parts(entry.route).note_length,
            changed=changed,
        )
        return {
            "entry": entry.entry_id,
            "version": entry.version,
            "received": entry.content.decode("latin-1"),
            "leaving": content.decode("latin-1"),
        }

    def _authority(self, arguments: dict[str, Any]) -> str:
        """By what right the procedure is changed, as a sentence."""
        if not self._rules.change_procedure or not self._rules.complete_spine_code:
            raise ControlError("not_enabled", "this site does not let reviewers change the procedure")
        authority = text_of(arguments, "authority")
        if authority not in AUTHORITIES:
            raise ControlError("bad_argument", f"authority is one of {', '.join(AUTHORITIES)}")
        if authority == "verbal_order" and arguments.get("read_back") is not True:
            raise ControlError("reason_missing", "a verbal order counts when it was read back and confirmed")
        reason = str(arguments.get("reason", "")).strip()
        if not reason:
            raise ControlError("reason_missing", "name the person who gave the order, the protocol, or the error")
        return f"{AUTHORITIES[authority]}: {reason}"[:400]

    def _changed(self, entry: Entry) -> ChangedOrder:
        if entry.damaged:
            raise ControlError("damaged", "the stored bytes of this order are damaged; they must not be sent")
        try:
            content, ordered = change_procedure(entry.content, self._rules.complete_spine_code)
        except SpliceError as error:
            raise ControlError("cannot_change", "this order's OBR-4 cannot be replaced safely") from error
        return ChangedOrder(content=content, ordered=ordered)


def _planned_json(entry: Entry, plan: PlannedRelease) -> dict[str, object]:
    return {
        "entry": entry.entry_id,
        "state": entry.state.value,
        "version": entry.version,
        "due_at": plan.due_at.isoformat(),
    }
