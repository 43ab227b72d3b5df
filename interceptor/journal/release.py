"""One way out of a hold: the change that sends a waiting order to the filler, whoever wants it to go.

The desk, the timer and the placer's own RL all release through here, so an order never leaves without its
note, without what was said about it meanwhile behind it, or without its notice to the placer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from interceptor.action.lifecycle import LifecycleEvent, Notice, decide_transition
from interceptor.action.release_note import HoldStory, with_release_note
from interceptor.journal.port import Entry, EntryChange, Journal, OutgoingMessage
from interceptor.message.splice import SpliceError
from interceptor.message.view import MessageView

NoticeBuilder = Callable[[MessageView, Notice, tuple[str, ...]], OutgoingMessage | None]
"""Builds the notice to the placer about an order; None where none is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseParts:
    """What a release needs of its route."""

    journal: Journal
    destination: str
    note_length: int
    notice: NoticeBuilder


@dataclass(frozen=True, slots=True)
class ChangedOrder:
    """An order with the procedure that a reviewer chose, and the ordered one in words."""

    content: bytes
    ordered: str


def released_content(
    entry: Entry,
    event: LifecycleEvent,
    *,
    actor: str,
    comment: str,
    at: datetime,
    note_length: int,
    changed: ChangedOrder | None = None,
) -> tuple[bytes, bytes | None]:
    """The bytes of a waiting order with the note that says why it leaves; the bare order when no note can be added."""
    bare = entry.content if changed is None else changed.content
    story = HoldStory(
        event=event,
        actor=actor.removeprefix("user:") if actor.startswith("user:") else "",
        comment=comment,
        findings=_sentences(entry.summary),
        policy=str(entry.summary.get("policy", "")),
        released_at=at,
        ordered="" if changed is None else changed.ordered,
    )
    try:
        return with_release_note(bare, story, note_length=note_length)
    except SpliceError:
        return bare, None


def _sentences(summary: Mapping[str, object]) -> tuple[str, ...]:
    found = summary.get("why", ())
    return tuple(str(sentence) for sentence in found) if isinstance(found, list | tuple) else ()


async def release_change(
    entry: Entry,
    event: LifecycleEvent,
    parts: ReleaseParts,
    *,
    actor: str,
    comment: str,
    at: datetime,
    changed: ChangedOrder | None = None,
) -> EntryChange:
    """Build the change that sends *entry* to the filler because of *event*.

    Args:
        entry: A parked or held order, as just read.
        event: One that releases (RELEASED, DEADLINE_PASSED, ...).
        parts: Its route's.
        actor: "user:NAME", "timer" or "placer".
        comment: The reason given; "" takes the table's.
        at: Aware time of the release.
        changed: The order as a reviewer changed it; None as it was placed.
    """
    transition = decide_transition(entry.state, event)
    content, original = released_content(
        entry, event, actor=actor, comment=comment, at=at, note_length=parts.note_length, changed=changed
    )
    order = OutgoingMessage(
        destination=parts.destination,
        content=content,
        original=original,
        control_id=entry.control_id,
        kind="order",
        entry_id=entry.entry_id,
    )
    behind = tuple(
        OutgoingMessage(
            destination=parts.destination,
            content=follower.content,
            control_id=follower.control_id,
            kind="message",
            entry_id=entry.entry_id,
        )
        for follower in await parts.journal.followers(entry.entry_id)
    )
    notices = notices_of(entry, transition.notice, (transition.reason, comment), parts.notice)
    return EntryChange(
        entry_id=entry.entry_id,
        expected_version=entry.version,
        expected_state=entry.state,
        event=event,
        state=transition.state,
        actor=actor,
        reason=comment or transition.reason,
        detail={"code": transition.reason},
        outgoing=(order, *behind, *notices),
    )


def notices_of(
    entry: Entry, notice: Notice | None, reasons: tuple[str, ...], build: NoticeBuilder
) -> tuple[OutgoingMessage, ...]:
    """The notice to the placer that a step of *entry* asks for, as outgoing messages: none or one."""
    # A notice that named another order, because the bytes are damaged, would be worse than none.
    if notice is None or entry.damaged:
        return ()
    message = build(MessageView(entry.content), notice, reasons)
    return () if message is None else (message,)


def end_of_window(entry: Entry, build: NoticeBuilder, *, deadline: datetime) -> EntryChange:
    """No sibling came in time: the parked order is held, until *deadline*, and the placer is told."""
    event = LifecycleEvent.SET_WINDOW_ENDED
    transition = decide_transition(entry.state, event)
    return EntryChange(
        entry_id=entry.entry_id,
        expected_version=entry.version,
        expected_state=entry.state,
        event=event,
        state=transition.state,
        actor="timer",
        reason=transition.reason,
        deadline_at=deadline,
        outgoing=notices_of(entry, transition.notice, (transition.reason, *_sentences(entry.summary)), build),
    )
