"""A message with the names that the standard gives its fields, and what the standard finds wrong with it.

Bytes in, values out. Names, data types and the advisory checks come from hl7apy, for the version that the
message states (the nearest older one that hl7apy knows, else 2.5.1). Reading is our own: every byte that
was received is shown, also where hl7apy cannot read the message at all.

Source: HL7 v2.1 to v2.8.2 as hl7apy has them.
"""

import re
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import hl7apy
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.exceptions import HL7apyException
from hl7apy.parser import parse_message
from hl7apy.validation import Validator

from interceptor.message.header import HEADER_SEGMENTS
from interceptor.message.view import MessageView, Segment

VERSION_DEFAULT = "2.5.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectedValue:
    """One field repetition or one component.

    Attributes:
        path: E.g. "PID-3[2].1".
        name: In the standard's words, "" for fields that the standard does not have.
        datatype: E.g. "CX"; "" when unknown.
        text: Decoded; components of a field as received, with their delimiters.
        components: Those that are not empty, when the datatype has several.
    """

    path: str
    name: str
    datatype: str
    text: str
    components: tuple["InspectedValue", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectedSegment:
    """One segment with its fields that are not empty."""

    name: str
    occurrence: int
    values: tuple[InspectedValue, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """One message, for people.

    Attributes:
        version: What MSH-12 says.
        version_used: The version whose names are shown.
    """

    message_type: str
    control_id: str
    version: str
    version_used: str
    segments: tuple[InspectedSegment, ...]

    def as_json(self) -> dict[str, object]:
        """The same as plain JSON values."""
        return asdict(self)


def inspect_message(view: MessageView) -> Inspection:
    """Name everything in a message."""
    version = _known_version(view.version)
    return Inspection(
        message_type=str(view.message_type),
        control_id=view.control_id.decode("latin-1"),
        version=view.version,
        version_used=version,
        segments=tuple(
            _inspect_segment(segment, version, bytes((view.encoding.component,))) for segment in view.segments
        ),
    )


def validate_message(view: MessageView) -> tuple[str, ...]:
    """What hl7apy finds wrong, one sentence each, without the false findings that are known.

    Advisory: real messages that every receiver takes have findings. The sentences may quote the message.
    """
    text = "\r".join(view.charset.decode(segment.raw_bytes) for segment in view.segments) + "\r"
    try:
        message = parse_message(text, validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=True)
    except HL7apyException as error:
        return (f"hl7apy cannot read this message: {error or type(error).__name__}",)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        # hl7apy 1.3.5 lets these escape for messages without a structure it knows, e.g. an empty MSH-9.
        return (f"hl7apy cannot read this message ({type(error).__name__})",)
    return _curate(_find_errors(message))


def _find_errors(message: Any) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        try:
            Validator.validate(message, report_file=str(report))
        except HL7apyException as error:
            # It raises the first of the errors that it has written down.
            if not report.exists():
                return [str(error)]
        lines = report.read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("Error: ").removeprefix("Warning: ") for line in lines if line]


# An ORM^O01 order detail holds one of these segments. hl7apy 1.3.5 reads the choice as a sequence and reports all the
# others as missing. A detail with none of them has another finding: the choice group itself is missing.
_FALSE_FINDING = re.compile(r"Missing required child ORM_O01_(?:CHOICE|OBRRQD\w*)\.(?:OBR|RQD|RQ1|RXO|ODS|ODT)")


# hl7apy's words for a value with "&" or "^" in it where the datatype has no parts.
_PARTS_FINDING = re.compile(r"Datatype None is not correct for (\S+) \(it must be None\)")


def _curate(findings: list[str]) -> tuple[str, ...]:
    kept = (finding for finding in findings if not _FALSE_FINDING.fullmatch(finding))
    return tuple(
        dict.fromkeys(_PARTS_FINDING.sub(r"\1 has parts that its datatype does not have", one) for one in kept)
    )


def _known_version(version: str) -> str:
    supported = hl7apy.SUPPORTED_LIBRARIES
    if version in supported:
        return version
    older = [known for known in supported if _parts(known) <= _parts(version)]
    return max(older, key=_parts) if older and _parts(version) else VERSION_DEFAULT


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isascii() and part.isdigit())


def _inspect_segment(segment: Segment, version: str, component_delimiter: bytes) -> InspectedSegment:
    try:
        definitions = hl7apy.load_reference(segment.name, "Segment", version)[1]
    except HL7apyException:
        definitions = ()  # A Z segment, or a line that is no segment.
    values: list[InspectedValue] = []
    for number in range(1, segment.field_count + 1):
        definition = definitions[number - 1][1] if number <= len(definitions) else None
        values.extend(_inspect_field(segment, number, definition, component_delimiter))
    return InspectedSegment(name=segment.name, occurrence=segment.occurrence, values=tuple(values))


def _inspect_field(segment: Segment, number: int, definition: Any, component_delimiter: bytes) -> list[InspectedValue]:
    place = f"{segment.name}[{segment.occurrence}]" if segment.occurrence > 1 else segment.name
    if number <= 2 and segment.name in HEADER_SEGMENTS:
        text = segment.raw_field(number).decode("latin-1")
        return [InspectedValue(path=f"{place}-{number}", name=_name(definition), datatype="ST", text=text)]
    values: list[InspectedValue] = []
    count = segment.repetition_count(number)
    for repetition in range(1, count + 1):
        if not segment.raw(number, repetition, None):
            continue
        path = f"{place}-{number}[{repetition}]" if count > 1 else f"{place}-{number}"
        components = _inspect_components(
            segment, number, repetition, path, definition, component_delimiter=component_delimiter
        )
        values.append(
            InspectedValue(
                path=path,
                name=_name(definition),
                datatype=str(definition[2]) if definition else "",
                text=segment.text(number, None, repetition=repetition),
                components=components,
            )
        )
    return values


def _inspect_components(
    segment: Segment, number: int, repetition: int, path: str, definition: Any, *, component_delimiter: bytes
) -> tuple[InspectedValue, ...]:
    """Components of a repetition when there are several or the datatype says so; empty for a simple value."""
    known = definition[1] if definition and definition[0] == "sequence" else ()
    # Counted by the delimiter alone, which an escape of an Asian character set may contain: then the surplus is empty.
    count = segment.raw(number, repetition, None).count(component_delimiter) + 1
    if count <= 1 and not known:
        return ()
    return tuple(
        InspectedValue(
            path=f"{path}.{component}",
            name=_name(known[component - 1][1]) if component <= len(known) else "",
            datatype=str(known[component - 1][1][2]) if component <= len(known) else "",
            text=segment.text(number, component, repetition=repetition, subcomponent=None),
        )
        for component in range(1, count + 1)
        if segment.raw(number, repetition, component, None)
    )


def _name(definition: Any) -> str:
    """The standard's name of a field or component: "UNIVERSAL_SERVICE_ID" becomes "Universal service id"."""
    return str(definition[3]).replace("_", " ").capitalize() if definition and definition[3] else ""
