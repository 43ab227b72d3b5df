"""What differs between an order as it came and as it leaves: in segments, in named fields, in a sentence. Pure.

    MSH|…                     same
    OBR|1|…                   same
    NTE|1||Released as …      added

A promise stands behind it: what is not listed as added, removed or changed is the same, byte for byte; `same_count`
counts those fields.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from interceptor.message.segment import Segment
from interceptor.message.view import MessageView
from interceptor.review.inspection import inspect_message
from interceptor.review.shown_text import with_visible_controls

LINES_MAX = 400
"""Segments that are compared line by line; an order has a few dozen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffLine:
    """One segment: "same", "added" or "removed"."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One named field: `before` is "" for one that was added, `after` for one that was removed."""

    path: str
    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDiff:
    """Two messages beside each other.

    Attributes:
        changed_count: Segments that are there before and after, with other fields.
        same_count: Fields that are the same, byte for byte, empty ones not counted.
        is_same: Whether the two are the same bytes.
    """

    lines: tuple[DiffLine, ...]
    changes: tuple[FieldChange, ...]
    changed_count: int
    same_count: int
    is_same: bool

    @property
    def sentence(self) -> str:
        """The difference in words."""
        if self.is_same:
            return f"Nothing is changed: {self.same_count} fields, byte for byte as received."
        added = sum(1 for line in self.lines if line.kind == "added") - self.changed_count
        removed = sum(1 for line in self.lines if line.kind == "removed") - self.changed_count
        parts = [f"{added} segments added" if added != 1 else "1 segment added"] if added else []
        parts += [f"{self.changed_count} changed"] if self.changed_count else []
        parts += [f"{removed} removed"] if removed else []
        return f"{', '.join(parts)}. Unchanged: {self.same_count} fields, byte for byte."


def message_diff(before: bytes, after: bytes) -> MessageDiff:
    """How *after* differs from *before*."""
    old, new = MessageView(before), MessageView(after)
    old_lines = [segment.raw_bytes for segment in old.segments[:LINES_MAX]]
    new_lines = [segment.raw_bytes for segment in new.segments[:LINES_MAX]]
    lines: list[DiffLine] = []
    changes: list[FieldChange] = []
    same: list[Segment] = []
    changed_segment_count = 0
    matcher = SequenceMatcher(None, old_lines, new_lines, autojunk=False)
    for tag, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if tag == "equal":
            same.extend(old.segments[old_from:old_to])
            lines.extend(_lines("same", old.segments[old_from:old_to], old))
            continue
        lines.extend(_lines("removed", old.segments[old_from:old_to], old))
        lines.extend(_lines("added", new.segments[new_from:new_to], new))
        pair = (old.segments[old_from:old_to], new.segments[new_from:new_to])
        changes.extend(_changes(*pair, (before, after)))
        names = [Counter(segment.name for segment in one) for one in pair]
        changed_segment_count += (names[0] & names[1]).total()
        same.extend(segment for segment in pair[0] if segment.name in names[1])
    changed_field_count = sum(1 for change in changes if change.before)
    return MessageDiff(
        lines=tuple(lines),
        changes=tuple(changes),
        changed_count=changed_segment_count,
        same_count=max(0, sum(map(_field_count, same)) - changed_field_count),
        is_same=before == after,
    )


def _lines(kind: str, segments: Sequence[Segment], view: MessageView) -> Iterator[DiffLine]:
    for segment in segments:
        yield DiffLine(kind=kind, text=with_visible_controls(view.charset.decode(segment.raw_bytes)))


def _field_count(segment: Segment) -> int:
    return sum(1 for number in range(1, segment.field_count + 1) if segment.raw_field(number))


def _changes(old: Sequence[Segment], new: Sequence[Segment], raws: tuple[bytes, bytes]) -> Iterator[FieldChange]:
    """What differs by name: field by field where a segment was changed, one line where a segment was added."""
    partners = {segment.name for segment in old}
    before = _named_fields(raws[0], old)
    after = _named_fields(raws[1], [segment for segment in new if segment.name in partners])
    for path in dict.fromkeys((*before, *after)):
        name, was = before.get(path, ("", ""))
        new_name, becomes = after.get(path, (name, ""))
        if was != becomes:
            yield FieldChange(path=path, name=name or new_name, before=was, after=becomes)
    for segment in new:
        if segment.name not in partners:
            yield _added(segment)


def _added(segment: Segment) -> FieldChange:
    """A segment of ours in one line: what it says, without its counters."""
    numbers = {"NTE": (3,), "OBX": (3, 5)}.get(segment.name, range(1, segment.field_count + 1))
    texts = [segment.text(number, None, subcomponent=None) for number in numbers]
    place = f"{segment.name}[{segment.occurrence}]" if segment.occurrence > 1 else segment.name
    return FieldChange(path=place, name="added", before="", after=" · ".join(filter(None, texts)))


def _named_fields(raw: bytes, segments: Sequence[Segment]) -> dict[str, tuple[str, str]]:
    wanted = {(segment.name, segment.occurrence) for segment in segments}
    if not wanted:
        return {}
    found = {}
    for segment in inspect_message(MessageView(raw)).segments:
        if (segment.name, segment.occurrence) in wanted:
            for value in segment.values:
                found[value.path] = (value.name, value.text)
    return found
