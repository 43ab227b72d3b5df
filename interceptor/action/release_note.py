"""The note that an order carries when it leaves our custody.

It says that the order was kept, why, who or what ended that, and by which policy it was kept. It never says
what the patient has or has not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from interceptor.action.annotate import Annotation, Rating, annotate, can_annotate
from interceptor.action.lifecycle import LifecycleEvent
from interceptor.message.group import order_groups
from interceptor.message.view import MessageView

_SENTENCES = {
    LifecycleEvent.RELEASED: "Released as ordered after review by {actor} at {at}.",
    LifecycleEvent.PROCEDURE_CHANGED: "Procedure changed and released after review by {actor} at {at}.",
    LifecycleEvent.OVERRIDDEN: "Released at {at}: the orderer answered the order question.",
    LifecycleEvent.RELEASE_GRANTED: "Released at {at} at the orderer's request.",
    LifecycleEvent.DEADLINE_PASSED: "Released unreviewed at {at}: nobody decided before the deadline.",
    LifecycleEvent.HOLD_UNAVAILABLE: "Released unreviewed at {at}: no review was available.",
}
_REVIEWED = frozenset(
    {
        LifecycleEvent.RELEASED,
        LifecycleEvent.PROCEDURE_CHANGED,
        LifecycleEvent.OVERRIDDEN,
        LifecycleEvent.RELEASE_GRANTED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldStory:
    """What a released order's note tells.

    Attributes:
        event: What ended the hold.
        actor: Name of the reviewer, "" for a timer.
        comment: The reviewer's coded reason or words, "" for none.
        findings: Why it was kept, one sentence each, the deciding one first.
        policy: Policy id and version that kept it.
        released_at: Aware time.
        ordered: The procedure as it was ordered, where a reviewer changed it.
    """

    event: LifecycleEvent
    actor: str
    comment: str
    findings: Sequence[str]
    policy: str
    released_at: datetime
    ordered: str = ""


def with_release_note(content: bytes, story: HoldStory, *, note_length: int) -> tuple[bytes, bytes | None]:
    """Return the order with its note, and the original bytes for a filler that refuses the note.

    A message that cannot be written into leaves as it is, with None.

    Raises:
        SpliceError: The proof failed; send *content*.
    """
    view = MessageView(content)
    groups = order_groups(view)
    if not can_annotate(view) or not groups or groups[0].obr is None:
        return content, None
    at = story.released_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    lines = [_SENTENCES[story.event].format(actor=story.actor or "a reviewer", at=at)]
    if story.ordered:
        lines.append(f"Ordered was: {story.ordered}")
    if story.comment:
        lines.append(f"Reason given: {story.comment}")
    lines.extend(f"Held because: {finding}" for finding in story.findings)
    lines.append(f"Policy {story.policy}.")
    reviewed = story.event in _REVIEWED
    annotation = Annotation(
        group_number=1,
        lines=tuple(lines),
        rating=Rating.REVIEWED if reviewed else Rating.NOT_REVIEWED,
        summary=lines[0],
    )
    return annotate(view, groups[:1], [annotation], note_length=note_length), content
