"""A message as rows: segments, fields by the standard's names, empty ones collapsed, patients masked on request. Pure.

Names come from hl7apy, which is slow: callers run `message_page` in a thread.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import hl7apy
from hl7apy.exceptions import HL7apyException

from interceptor.message.view import MessageView
from interceptor.review.inspection import InspectedSegment, InspectedValue, inspect_message
from interceptor.review.shown_text import with_visible_controls

PATIENT_SEGMENTS = frozenset({"PID", "PD1", "NK1", "GT1", "IN1", "IN2", "IN3", "MRG", "ACC", "NTE", "OBX", "PV1"})
"""Segments whose values may name a person; masked as a whole."""
MASK = "•••"
SEGMENTS_MAX = 300
FIELDS_MAX = 400
VALUE_LENGTH_MAX = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRow:
    """One field or component. `anchor` is what evidence refers to: "OBR-31.2"."""

    path: str
    anchor: str
    name: str
    datatype: str
    text: str
    is_component: bool
    is_said: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRow:
    """One segment: its fields that have a value; `empty_names` are those that have none."""

    name: str
    occurrence: int
    title: str
    fields: tuple[FieldRow, ...]
    empty_names: str
    is_said: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePage:
    """One message for people."""

    message_type: str
    control_id: str
    version: str
    version_used: str
    size: int
    segments: tuple[SegmentRow, ...]
    raw_lines: tuple[str, ...]
    left_out: int


def message_page(raw: bytes, *, said: frozenset[str] = frozenset(), is_masked: bool = False) -> MessagePage:
    """One message as rows.

    Args:
        raw: Its bytes.
        said: Paths that evidence was read from, to be marked.
        is_masked: Put dots in place of whatever may name a person.
    """
    view = MessageView(raw)
    inspection = inspect_message(view)
    rows = [
        _segment_row(one, inspection.version_used, said, is_masked=is_masked)
        for one in inspection.segments[:SEGMENTS_MAX]
    ]
    lines = (view.charset.decode(segment.raw_bytes) for segment in view.segments[:SEGMENTS_MAX])
    raw_lines = tuple(_masked_line(line, is_masked=is_masked) for line in lines)
    return MessagePage(
        message_type=inspection.message_type,
        control_id=inspection.control_id,
        version=inspection.version,
        version_used=inspection.version_used,
        size=len(raw),
        segments=tuple(rows),
        raw_lines=raw_lines,
        left_out=max(0, len(inspection.segments) - SEGMENTS_MAX),
    )


def _masked_line(line: str, *, is_masked: bool) -> str:
    if is_masked and line[:3] in PATIENT_SEGMENTS:
        return f"{line[:4]}{MASK}"
    return with_visible_controls(line, VALUE_LENGTH_MAX)


def _segment_row(segment: InspectedSegment, version: str, said: frozenset[str], *, is_masked: bool) -> SegmentRow:
    hide = is_masked and segment.name in PATIENT_SEGMENTS
    fields: list[FieldRow] = []
    for value in segment.values[:FIELDS_MAX]:
        fields.extend(_field_rows(value, said, hide=hide))
    return SegmentRow(
        name=segment.name,
        occurrence=segment.occurrence,
        title=segment_title(segment.name, version),
        fields=tuple(fields),
        empty_names=", ".join(_empty_names(segment, version)),
        is_said=any(field.is_said for field in fields),
    )


def _field_rows(value: InspectedValue, said: frozenset[str], *, hide: bool) -> Iterator[FieldRow]:
    yield _field_row(value, said, hide=hide, is_component=False)
    if len(value.components) > 1:
        for component in value.components:
            yield _field_row(component, said, hide=hide, is_component=True)


def _field_row(value: InspectedValue, said: frozenset[str], *, hide: bool, is_component: bool) -> FieldRow:
    # Evidence names the first component of a field that has only one as "OBR-4.1".
    is_said = value.path in said or (not is_component and not value.components and f"{value.path}.1" in said)
    return FieldRow(
        path=value.path,
        anchor=value.path,
        name=value.name,
        datatype=value.datatype,
        text=MASK if hide else with_visible_controls(value.text, VALUE_LENGTH_MAX),
        is_component=is_component,
        is_said=is_said,
    )


def segment_title(name: str, version: str) -> str:
    """The standard's title of a segment, "" where hl7apy has none (it has titles of few)."""
    return _TITLES.get(name, "Site segment" if name.startswith("Z") else "") if version else ""


_TITLES = {
    "MSH": "Message header",
    "MSA": "Message acknowledgment",
    "ERR": "Error",
    "PID": "Patient identification",
    "PD1": "Patient additional demographic",
    "NK1": "Next of kin",
    "PV1": "Patient visit",
    "PV2": "Patient visit, additional",
    "AL1": "Patient allergy",
    "DG1": "Diagnosis",
    "GT1": "Guarantor",
    "IN1": "Insurance",
    "IN2": "Insurance, additional",
    "ORC": "Common order",
    "OBR": "Observation request",
    "OBX": "Observation, result",
    "NTE": "Notes and comments",
    "TQ1": "Timing, quantity",
    "IPC": "Imaging procedure control",
    "FT1": "Financial transaction",
    "CTI": "Clinical trial identification",
    "PRB": "Problem",
    "MRG": "Merge patient",
    "EVN": "Event type",
    "SPM": "Specimen",
}


def _empty_names(segment: InspectedSegment, version: str) -> Iterator[str]:
    """Names of the fields of the standard that have no value, as "PID-2 Patient id"."""
    try:
        definitions = hl7apy.load_reference(segment.name, "Segment", version)[1]
    except HL7apyException:
        return
    present = {value.path.partition("-")[2].partition("[")[0] for value in segment.values}
    for number, definition in enumerate(definitions, start=1):
        if str(number) not in present:
            name = str(definition[1][3] or "").replace("_", " ").capitalize()
            yield f"{segment.name}-{number} {name}".rstrip()
