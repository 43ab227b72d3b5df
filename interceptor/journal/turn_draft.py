"""What one turn is going to write, while it is drafted: new orders, steps of known ones, messages that leave.

Nothing here decides or waits. A draft that is thrown away leaves nothing behind; one that is kept becomes part of one
`Intake`, one transaction. Orders that are released together leave in the order in which they arrived.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from interceptor.action.lifecycle import (
    HELD_BY_FILLER,
    TAKEN_AS,
    WAITING_STATES,
    LifecycleEvent,
    Notice,
    Transition,
    decide_transition,
)
from interceptor.action.notice import REPLACEMENT, REPLACEMENT_HELD, REPLACEMENT_TAKEN
from interceptor.action.plan import split_part
from interceptor.decision.message_decision import OrderDecision, order_key
from interceptor.decision.report import order_json
from interceptor.journal.port import Entry, EntryChange, EntryId, NewEntry, OutgoingKind, OutgoingMessage
from interceptor.journal.release import ReleaseParts
from interceptor.message.group import order_groups
from interceptor.message.view import MessageView


class Draft:
    """The drafted changes of one received message."""

    def __init__(self, view: MessageView, release: ReleaseParts) -> None:
        """*view*: the received message; *release*: its route's destination and notices."""
        self._view = view
        self._release = release
        self._entries: list[NewEntry] = []
        self._changes: list[EntryChange] = []
        self._outgoing: list[OutgoingMessage] = []
        self._current: dict[EntryId, Entry] = {}
        self._said: dict[str, Notice] = {}
        self._part_count = 0

    @property
    def entries(self) -> tuple[NewEntry, ...]:
        """Orders that begin their life with us."""
        return tuple(self._entries)

    @property
    def changes(self) -> tuple[EntryChange, ...]:
        """Steps of known orders, the earliest order first; several of one order in the order they were drafted."""
        return tuple(sorted(self._changes, key=lambda change: change.entry_id))

    @property
    def outgoing(self) -> tuple[OutgoingMessage, ...]:
        """What leaves because of the message itself."""
        return tuple(self._outgoing)

    @property
    def said(self) -> Mapping[str, Notice]:
        """What became of orders, by their key: the notice, or that they are on hold where none is due yet."""
        return self._said

    @property
    def next_part(self) -> int:
        """Number of the next part that is split off the message, from 0."""
        return self._part_count

    def current(self, entry: Entry) -> Entry:
        """*entry* as it stands after what was drafted: one message may say two things about one order."""
        return self._current.get(entry.entry_id, entry)

    def part(self, order: OrderDecision) -> tuple[bytes, bytes]:
        """The message with this order alone, and its control id: the received one for the first part."""
        part_number, self._part_count = self._part_count, self._part_count + 1
        return split_part(self._view, [order.group.number], part_number=part_number)

    def skip_parts(self, count: int) -> None:
        """So many parts were split off elsewhere (`plan_message`)."""
        self._part_count += count

    def message(
        self,
        content: bytes,
        control_id: bytes,
        *,
        original: bytes | None = None,
        entry: Entry | None = None,
        kind: OutgoingKind = "message",
    ) -> OutgoingMessage:
        """A message for the filler."""
        return OutgoingMessage(
            destination=self._release.destination,
            content=content,
            original=original,
            control_id=control_id,
            kind=kind,
            entry_id=entry.entry_id if entry is not None else None,
        )

    def send(self, content: bytes, control_id: bytes, *, original: bytes | None) -> None:
        """Let a message go that is no order of ours."""
        self._outgoing.append(self.message(content, control_id, original=original))

    def add_waiting(self, new: NewEntry, order: OrderDecision) -> None:
        """Keep an order."""
        taken = TAKEN_AS[new.state]
        view = MessageView(new.content)
        self._tell(view, taken.notice, (taken.reason, *_why(order)), entry_index=len(self._entries))
        self._entries.append(new)
        self._say(new.order_key, taken)

    def tell_of_replacement(self, view: MessageView, *, is_waiting: bool) -> None:
        """Tell the placer that the order of *view* was taken in the place of orders that the filler never saw."""
        self._tell(view, REPLACEMENT_HELD if is_waiting else REPLACEMENT_TAKEN, (REPLACEMENT,))

    def add_queued(self, new: NewEntry, content: bytes) -> None:
        """Take an order and let it go at once, as *content*, which may be annotated."""
        self._outgoing.append(
            OutgoingMessage(
                destination=self._release.destination,
                content=content,
                original=None if content == new.content else new.content,
                control_id=new.control_id,
                kind="order",
                entry_index=len(self._entries),
            )
        )
        self._entries.append(new)

    def add_step(
        self,
        entry: Entry,
        event: LifecycleEvent,
        *,
        outgoing: tuple[OutgoingMessage, ...] = (),
        order: OrderDecision | None = None,
        **values: Any,
    ) -> None:
        """Move *entry* by *event*; *order* is the new decision on it, *values* go into the change."""
        transition = decide_transition(entry.state, event)
        if order is not None:
            values["decision"] = order_json(order)
        change = EntryChange(
            entry_id=entry.entry_id,
            expected_version=entry.version,
            expected_state=entry.state,
            event=event,
            state=transition.state,
            actor="placer",
            reason=transition.reason,
            outgoing=outgoing,
            **values,
        )
        self._tell_of(entry, change, transition, order)
        self.add_change(entry, change)

    def add_change(self, entry: Entry, change: EntryChange) -> None:
        """Move *entry* by a change that is complete."""
        self._changes.append(change)
        self._say(entry.order_key, decide_transition(entry.state, change.event))
        self._current[entry.entry_id] = replace(
            entry,
            state=change.state,
            version=entry.version + 1,
            content=change.content or entry.content,
            control_id=change.control_id or entry.control_id,
            deadline_at=change.deadline_at or entry.deadline_at,
        )

    def _tell_of(self, entry: Entry, change: EntryChange, transition: Transition, order: OrderDecision | None) -> None:
        """Tell the placer of a step; why the order is kept, too, where it still is."""
        if transition.notice is None:
            return
        # Damaged bytes may be no message any more; the one at hand names the same order.
        content = self._own_part(entry.order_key) if entry.damaged else change.content or entry.content
        why = _why(order) if order is not None and transition.state in WAITING_STATES else ()
        self._tell(MessageView(content), transition.notice, (transition.reason, *why), entry_id=entry.entry_id)

    def _own_part(self, key: str) -> bytes:
        """The received message with the order of this key alone."""
        number = next(group.number for group in order_groups(self._view) if order_key(self._view, group) == key)
        return split_part(self._view, [number], part_number=0)[0]

    def _tell(self, view: MessageView, notice: Notice | None, reasons: Sequence[str], **about: Any) -> None:
        message = self._release.notice(view, notice, tuple(reasons)) if notice is not None else None
        if message is not None:
            self._outgoing.append(replace(message, **about))

    def _say(self, key: str, transition: Transition) -> None:
        if transition.notice is not None or transition.state in WAITING_STATES:
            self._said[key] = transition.notice or HELD_BY_FILLER


def _why(order: OrderDecision) -> tuple[str, ...]:
    """Why an order is kept, as a notice takes it: the deciding finding first."""
    return tuple(f"{finding.reason}: {finding.sentence}" for finding in order.decision.findings)
