"""Notes and coded observations on an order, as byte-exact insertions.

    NTE|n|O|text                                    one per line, directly after the OBR and its NTEs
    OBX|n|CE|76515-6^Requested Procedure is Appropriate to Indication^LN|1|<rating>||||||F
    NTE|1|O|text                                    exactly one with the OBX, after the order's last DG1 or OBX

All text is plain ASCII, escaped with the message's own delimiters and cut to the site's line length. A
message whose encoding characters are not safe to write with is never annotated (`can_annotate`).

Source: HL7 v2 chapter 2 (NTE), chapter 4 (ORM, OMG, OMI), chapter 7 (OBX); the shape of the observation
follows IHE RAD CDS-OAT, whose table of ratings was not available: the shape is claimed, not conformance.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from interceptor.message.build import ascii_text, build_segment
from interceptor.message.group import OrderGroup
from interceptor.message.placement import next_set_id, note_offset, observation_offset
from interceptor.message.splice import Insertion, splice
from interceptor.message.view import MessageView

NOTE_LENGTH_DEFAULT = 100
"""Characters of one NTE-3 line; long enough for a sentence, short enough for filler screens of 120 columns."""
NOTE_LENGTH_MIN = 40
LINES_MAX = 24
"""A note longer than this hides the order from its reader."""

OBSERVATION = ("76515-6", "Requested Procedure is Appropriate to Indication", "LN")


class Rating(StrEnum):
    """The coded value of the observation; our own words, coding system 99INT."""

    NOT_IN_KEEPING = "not-in-keeping"
    UNDETERMINED = "undetermined"
    REVIEWED = "reviewed"
    NOT_REVIEWED = "not-reviewed"


_RATING_NAMES = {
    Rating.NOT_IN_KEEPING: "Differs from the guidance of the policy",
    Rating.UNDETERMINED: "Could not be determined",
    Rating.REVIEWED: "Released after review",
    Rating.NOT_REVIEWED: "Released without review",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """What one order is given on its way.

    Attributes:
        group_number: Order group, counted from 1.
        lines: Note lines for NTE-3; longer ones are wrapped.
        rating: Value of the coded observation; None adds no observation.
        summary: The one line of the observation's NTE; without one the first of the note's.
    """

    group_number: int
    lines: tuple[str, ...]
    rating: Rating | None = None
    summary: str = ""


def can_annotate(view: MessageView) -> bool:
    """Whether anything may be written into this message: its delimiters are distinct and text can be escaped."""
    return view.encoding.is_safe


def wrap_lines(lines: Sequence[str], *, length: int) -> tuple[str, ...]:
    """Return *lines* as ASCII, none longer than *length* characters, at most `LINES_MAX` of them."""
    width = max(length, NOTE_LENGTH_MIN)
    wrapped = [part for line in lines for part in textwrap.wrap(ascii_text(line), width=width)]
    return tuple(wrapped[:LINES_MAX])


def annotate(
    view: MessageView, groups: Sequence[OrderGroup], annotations: Sequence[Annotation], *, note_length: int
) -> bytes:
    """Return the message with *annotations* spliced in; every other byte is the received one.

    Raises:
        SpliceError: The result could not be proven to be the original plus the insertions.
    """
    by_number = {group.number: group for group in groups}
    insertions: list[Insertion] = []
    for annotation in annotations:
        insertions.extend(_insertions(view, by_number[annotation.group_number], annotation, note_length))
    return splice(view, insertions)


def _insertions(view: MessageView, group: OrderGroup, annotation: Annotation, note_length: int) -> list[Insertion]:
    encoding = view.encoding
    first_set_id = next_set_id(view, group, "NTE")
    notes = tuple(
        build_segment(encoding, "NTE", (str(first_set_id + index), "O", line))
        for index, line in enumerate(wrap_lines(annotation.lines, length=note_length))
    )
    insertions = [Insertion(offset=note_offset(view, group), segments=notes)]
    if annotation.rating is not None:
        insertions.append(
            Insertion(
                offset=observation_offset(view, group), segments=_observation(view, group, annotation, note_length)
            )
        )
    return insertions


def _observation(view: MessageView, group: OrderGroup, annotation: Annotation, note_length: int) -> tuple[bytes, bytes]:
    encoding = view.encoding
    rating = annotation.rating
    assert rating is not None
    value = (rating.value, _RATING_NAMES[rating], "99INT")
    set_id = str(next_set_id(view, group, "OBX"))
    observation = build_segment(encoding, "OBX", (set_id, "CE", OBSERVATION, "1", value, "", "", "", "", "", "F"))
    words = wrap_lines((annotation.summary, *annotation.lines, _RATING_NAMES[rating]), length=note_length)
    return observation, build_segment(encoding, "NTE", ("1", "O", words[0]))
