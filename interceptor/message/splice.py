"""Byte-exact edits, with a proof that nothing else changed.

    received   MSH...|PID...|ORC...|OBR...|DG1...
    spliced    MSH...|PID...|ORC...|OBR...|NTE...|DG1...
               ^^^^^^^ the same bytes ^^^^^^      ^^^^^^

The result is checked against the received bytes before anyone may send it. When the check fails the caller sends
the original: an order must never leave in a shape that nobody meant.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from interceptor.message.header import NotHl7
from interceptor.message.view import MessageView


class SpliceReason(StrEnum):
    """Why an edit was refused or its proof failed."""

    UNSAFE_ENCODING = "unsafe_encoding"
    NOT_A_BOUNDARY = "not_a_boundary"
    NOT_A_SEGMENT = "not_a_segment"
    NOT_IN_ONE_SEGMENT = "not_in_one_segment"
    OVERLAP = "overlap"
    FIELD_COUNT_CHANGED = "field_count_changed"
    LENGTH_DIFFERS = "length_differs"
    BYTES_DIFFER = "bytes_differ"
    SEGMENTS_DIFFER = "segments_differ"
    UNREADABLE = "unreadable"


class SpliceError(ValueError):
    """An edit would touch more than it says; nothing was changed.

    Attributes:
        reason: A stable word for logs and metrics.
        offset: Byte offset of the edit, or of the first byte that differs.
    """

    def __init__(self, reason: SpliceReason, offset: int) -> None:
        super().__init__(f"{reason} at byte {offset}")
        self.reason = reason
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Insertion:
    """Whole segments to add.

    Attributes:
        offset: Byte offset of a segment's start, or behind a segment's terminator, or the end of the message.
        segments: The segments in order, each without terminator.
    """

    offset: int
    segments: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Replacement:
    """A span within one segment to replace, e.g. a field's; its number of field separators must stay the same.

    Attributes:
        start: Byte offset of the first byte replaced.
        end: Byte offset after the last; equals `start` to fill an empty field.
        content: The new bytes.
    """

    start: int
    end: int
    content: bytes


Edit = Insertion | Replacement


@dataclass(frozen=True, slots=True)
class _Change:
    """One edit as plain bytes: replace [start, end) with `content`."""

    start: int
    end: int
    content: bytes


def _check_new_segment(view: MessageView, segment: bytes, offset: int) -> None:
    separator = bytes((view.encoding.field,))
    name = segment.partition(separator)[0]
    well_formed = len(name) == 3 and name.isalnum() and name[:1].isalpha() and name != b"MSH"
    if not well_formed or b"\r" in segment or b"\n" in segment:
        raise SpliceError(SpliceReason.NOT_A_SEGMENT, offset)


def _insertion_change(view: MessageView, edit: Insertion) -> _Change:
    for segment in edit.segments:
        _check_new_segment(view, segment, edit.offset)
    terminator = view.segment_terminator
    last = view.segments[-1]
    if edit.offset == last.end == last.end_with_terminator:
        # The message stops without a terminator, and so it shall after the edit.
        return _Change(edit.offset, edit.offset, b"".join([terminator + segment for segment in edit.segments]))
    first = view.segments[0]
    is_boundary = any(
        edit.offset == segment.end_with_terminator or (edit.offset == segment.start and segment is not first)
        for segment in view.segments
    )
    if not is_boundary:
        raise SpliceError(SpliceReason.NOT_A_BOUNDARY, edit.offset)
    return _Change(edit.offset, edit.offset, b"".join([segment + terminator for segment in edit.segments]))


def _replacement_change(view: MessageView, edit: Replacement) -> _Change:
    separator = bytes((view.encoding.field,))
    holds = any(segment.start + len(segment.name) < edit.start <= edit.end <= segment.end for segment in view.segments)
    if not holds or b"\r" in edit.content or b"\n" in edit.content:
        raise SpliceError(SpliceReason.NOT_IN_ONE_SEGMENT, edit.start)
    if edit.content.count(separator) != view.raw.count(separator, edit.start, edit.end):
        raise SpliceError(SpliceReason.FIELD_COUNT_CHANGED, edit.start)
    return _Change(edit.start, edit.end, edit.content)


def _ordered_changes(view: MessageView, edits: Sequence[Edit]) -> list[_Change]:
    """The edits as changes in the order of the message; insertions at one offset keep the order given."""
    changes = [
        _insertion_change(view, edit) if isinstance(edit, Insertion) else _replacement_change(view, edit)
        for edit in edits
    ]
    changes.sort(key=lambda change: (change.start, change.end))
    for earlier, later in pairwise(changes):
        if later.start < earlier.end:
            raise SpliceError(SpliceReason.OVERLAP, later.start)
    return changes


def _prove(view: MessageView, changes: Sequence[_Change], result: bytes, added: Sequence[bytes]) -> None:
    """Check that the result is the received bytes with exactly these changes, and that it reads back so.

    Works from the result, not from the pieces that it was joined of.

    Raises:
        SpliceError: It is not.
    """
    growth = sum(len(change.content) - (change.end - change.start) for change in changes)
    if len(result) != len(view.raw) + growth:
        raise SpliceError(SpliceReason.LENGTH_DIFFERS, 0)
    raw_offset = result_offset = 0
    for change in changes:
        kept = change.start - raw_offset
        if result[result_offset : result_offset + kept] != view.raw[raw_offset : change.start]:
            raise SpliceError(SpliceReason.BYTES_DIFFER, raw_offset)
        result_offset += kept
        if result[result_offset : result_offset + len(change.content)] != change.content:
            raise SpliceError(SpliceReason.BYTES_DIFFER, change.start)
        result_offset += len(change.content)
        raw_offset = change.end
    if result[result_offset:] != view.raw[raw_offset:]:
        raise SpliceError(SpliceReason.BYTES_DIFFER, raw_offset)
    try:
        after = MessageView(result)
    except NotHl7 as error:
        raise SpliceError(SpliceReason.UNREADABLE, error.offset) from None
    if len(after.segments) != len(view.segments) + len(added):
        raise SpliceError(SpliceReason.SEGMENTS_DIFFER, 0)
    remaining = list(added)
    for segment in after.segments:
        if remaining and segment.raw_bytes == remaining[0]:
            remaining.pop(0)
    if remaining or after.encoding != view.encoding:
        raise SpliceError(SpliceReason.SEGMENTS_DIFFER, 0)


def splice(view: MessageView, edits: Sequence[Edit]) -> bytes:
    """Build the message with these edits; without edits the very object that came in.

    New segments get the message's own terminator.

    Raises:
        SpliceError: An edit is not what it says, edits overlap, the message's delimiters cannot carry what we add,
            or the proof failed. Send the original then.
    """
    if not edits:
        return view.raw
    if not view.encoding.is_safe:
        raise SpliceError(SpliceReason.UNSAFE_ENCODING, view.header.start)
    changes = _ordered_changes(view, edits)
    pieces = []
    offset = 0
    for change in changes:
        pieces += [view.raw[offset : change.start], change.content]
        offset = change.end
    pieces.append(view.raw[offset:])
    result = b"".join(pieces)
    insertions = sorted((edit for edit in edits if isinstance(edit, Insertion)), key=lambda edit: edit.offset)
    _prove(view, changes, result, [segment for insertion in insertions for segment in insertion.segments])
    return result
