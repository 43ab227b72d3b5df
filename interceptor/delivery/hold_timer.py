"""Watch the deadlines of waiting orders: a parked one becomes held, a held one leaves unreviewed.

The timer is the promise that no order waits for ever. It looks at every waiting order twice a second. Age is
the greater of wall clock and monotonic clock since the order was first seen here, so that a clock set back
holds nothing longer; one set forward releases early, which is the safe side.

Failures:
    somebody else moved the order   looked at again in half a second
    journal unavailable             tried again in half a second. `GRACE_SECONDS` after its deadline the order is handed to the
                                    filler past the outbox, once, and recorded when the journal is back: as delivered
                                    where the filler has acknowledged it, else it is sent again with the same bytes and
                                    MSH-10. After a restart in between it is sent again with a new note. An order that
                                    cannot be read either stays overdue
    the order's bytes are damaged   they must not be sent: told once, and left for a person
    our own fault with one order    told, and tried again after `PAUSE_SECONDS`; the other orders do not wait for it
    journal broken                  ends with JournalBroken; the node stops

Cancelling stops the watch; a release that is being written is written all the same.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime

from interceptor.action.lifecycle import LifecycleEvent, OrderState, decide_transition
from interceptor.journal.custody import Custody
from interceptor.journal.order_index import OpenOrder
from interceptor.journal.port import Entry, EntryChange, EntryId, JournalError, JournalUnavailable, OutgoingMessage
from interceptor.telemetry.events import (
    ORDER_DAMAGED,
    ORDER_HANDED_OVER,
    ORDER_MOVED,
    ORDER_RELEASED_UNREVIEWED,
    TIMER_FAILED,
    EventLog,
)
from interceptor.telemetry.redaction import describe_error

INTERVAL_SECONDS = 0.5
GRACE_SECONDS = 10.0
"""How long past its deadline an order waits for a journal that cannot be written."""
PAUSE_SECONDS = 30.0
"""How long an order that could not be released rests before it is tried again."""


class HoldTimer:
    """The clock of everything that waits."""

    def __init__(
        self,
        custody: Custody,
        *,
        build_change: Callable[[Entry, datetime], Awaitable[EntryChange]],
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        log: EventLog,
        hand_over: Callable[[OutgoingMessage], Awaitable[OutgoingMessage | None]] | None = None,
    ) -> None:
        """*build_change* says what the end of an order's wait does to it; *now* is aware UTC.

        *hand_over* sends a message past the outbox: see `Courier.hand_over`; None: nothing ever leaves that way.
        """
        self._custody = custody
        self._build_change = build_change
        self._now = now
        self._monotonic = monotonic
        self._log = log
        self._hand_over = hand_over
        self._due_at: dict[tuple[EntryId, datetime], float] = {}
        self._resting_until: dict[EntryId, float] = {}
        self._told_damaged: set[EntryId] = set()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(INTERVAL_SECONDS)

    async def look(self) -> None:
        """End the wait of every order whose deadline has passed."""
        waiting = [order for order in self._custody.index.orders() if order.deadline_at is not None]
        known = {(order.entry_id, order.deadline_at) for order in waiting}
        self._due_at = {key: due for key, due in self._due_at.items() if key in known}
        is_journal_away = False
        for order in waiting:
            if order.state is OrderState.QUEUED or not self._is_due(order) or self._is_resting(order.entry_id):
                continue
            if is_journal_away and not self._is_due(order, grace_seconds=GRACE_SECONDS):
                continue
            try:
                await self._end_wait(order)
            except JournalUnavailable:
                is_journal_away = True
            except JournalError:
                raise
            except Exception as error:  # noqa: BLE001 - one order that we cannot release must not keep the others
                self._resting_until[order.entry_id] = self._monotonic() + PAUSE_SECONDS
                self._log.event(TIMER_FAILED, entry=order.entry_id, **describe_error(error))

    def _is_resting(self, entry_id: EntryId) -> bool:
        if self._monotonic() < self._resting_until.get(entry_id, float("-inf")):
            return True
        self._resting_until.pop(entry_id, None)
        return False

    def _is_due(self, order: OpenOrder, *, grace_seconds: float = 0.0) -> bool:
        assert order.deadline_at is not None
        remaining = (order.deadline_at - self._now()).total_seconds()
        monotonic = self._monotonic()
        due = self._due_at.setdefault((order.entry_id, order.deadline_at), monotonic + remaining)
        return remaining <= -grace_seconds or monotonic >= due + grace_seconds

    async def _end_wait(self, order: OpenOrder) -> None:
        async with self._custody.turn((order.order_key,)):
            entry = await self._custody.journal.entry(order.entry_id)
            if entry is None or entry.version != order.version:
                # Somebody moved it, or was cancelled after writing: either way the journal knows better than we.
                await self._custody.refresh(order.entry_id)
                return
            if entry.damaged:
                self._tell_damaged(entry.entry_id)
                return
            at = self._now()
            change = await self._build_change(entry, at)
            try:
                done = await self._custody.move([change], at=at)
            except JournalUnavailable:
                if self._is_due(order, grace_seconds=GRACE_SECONDS):
                    await self._hand_over_order(order, change, at)
                raise
        if not isinstance(done, tuple):
            return
        waited = round((at - entry.taken_at).total_seconds(), 3)
        if change.event is LifecycleEvent.DEADLINE_PASSED:
            self._log.event(ORDER_RELEASED_UNREVIEWED, entry=entry.entry_id, waiting_seconds=waited)
        else:
            self._log.event(
                ORDER_MOVED,
                entry=entry.entry_id,
                step=change.event.value,
                state=change.state.value,
                was=entry.state.value,
                actor=change.actor,
                waiting_seconds=waited,
            )

    async def _hand_over_order(self, order: OpenOrder, change: EntryChange, at: datetime) -> None:
        """Give the filler what *change* would have queued for it; what became of that is recorded when it can be."""
        messages = [message for message in change.outgoing if message.kind != "notice"]
        if self._hand_over is None or not messages:
            return
        sent: list[OutgoingMessage] = []
        for message in messages:
            # Nothing goes ahead of what may not have arrived.
            if sent and sent[-1].acknowledgment is None:
                break
            given = await self._hand_over(message)
            if given is None:
                break
            sent.append(given)
        if not sent:
            return
        notices = tuple(message for message in change.outgoing if message.kind == "notice")
        detail = {**change.detail, "handed_over": True}
        settled = [replace(change, outgoing=(*sent, *messages[len(sent) :], *notices), detail=detail)]
        if sent[0].acknowledgment is not None:
            settled.append(_delivered(change, order))
        self._custody.handed_over(order, settled, at=at)
        self._log.event(
            ORDER_HANDED_OVER,
            entry=order.entry_id,
            destination=sent[0].destination,
            answer="accepted" if sent[0].acknowledgment is not None else "unknown",
            waiting_seconds=round((at - order.taken_at).total_seconds(), 3),
        )

    def _tell_damaged(self, entry_id: EntryId) -> None:
        if entry_id not in self._told_damaged:
            self._told_damaged.add(entry_id)
            self._log.event(ORDER_DAMAGED, entry=entry_id)


def _delivered(change: EntryChange, order: OpenOrder) -> EntryChange:
    """The step behind *change*: the filler has acknowledged the order."""
    event = LifecycleEvent.ACKNOWLEDGED
    transition = decide_transition(change.state, event)
    return EntryChange(
        entry_id=order.entry_id,
        expected_version=order.version + 1,
        expected_state=change.state,
        event=event,
        state=transition.state,
        actor="filler",
        reason=transition.reason,
    )
