"""Where a value stands in a message: `SEG[occurrence]-field[repetition].component.subcomponent`.

    OBR-4.1    PID-3[2].4.2    OBX[3]-5    DG1[2]

Everything counts from 1, so that a path maps one to one to ERL, the location in ERR-2.

Source: HL7 v2.9 chapter 2A, ERL; chapter 2, 2.14.5.2.
"""

import re
from dataclasses import dataclass

from interceptor.message.encoding import EncodingCharacters

GRAMMAR = "SEG[occurrence]-field[repetition].component.subcomponent, all counted from 1, e.g. OBR-4.1 or OBX[3]-5"
_NUMBER = "[1-9][0-9]{0,5}"
_PATH = re.compile(
    rf"([A-Z][A-Z0-9]{{2}})(?:\[({_NUMBER})\])?"
    rf"(?:-({_NUMBER})(?:\[({_NUMBER})\])?(?:\.({_NUMBER})(?:\.({_NUMBER}))?)?)?"
)
_SEGMENT = re.compile(rb"[A-Z][A-Z0-9]{2}")
_ERL_NUMBER = re.compile(_NUMBER.encode())
_ERL_COMPONENT_COUNT = 6


class PathError(ValueError):
    """A text is not a path, or an ERL names no place; the message carries the grammar, never the content."""


@dataclass(frozen=True, slots=True)
class FieldPath:
    """One place in a message. A part that is None was not stated: the path means the whole of the part before it.

    Attributes:
        segment: Name of the segment, three characters.
        occurrence: Which segment of that name, counted from 1.
        field: Number of the field, counted from 1; None for the whole segment.
        repetition: Counted from 1; None when not stated.
        component: Counted from 1; None for the whole repetition.
        subcomponent: Counted from 1; None for the whole component.
    """

    segment: str
    occurrence: int = 1
    field: int | None = None
    repetition: int | None = None
    component: int | None = None
    subcomponent: int | None = None

    def __str__(self) -> str:
        text = self.segment if self.occurrence == 1 else f"{self.segment}[{self.occurrence}]"
        if self.field is None:
            return text
        text += f"-{self.field}"
        if self.repetition is not None:
            text += f"[{self.repetition}]"
        if self.component is not None:
            text += f".{self.component}"
            if self.subcomponent is not None:
                text += f".{self.subcomponent}"
        return text

    def to_erl(self, encoding: EncodingCharacters) -> bytes:
        """Build the ERL of this place with the message's component separator: segment^sequence^field^repetition^...

        A part that was not stated is left empty; empty parts at the end are left out.
        """
        numbers = (self.occurrence, self.field, self.repetition, self.component, self.subcomponent)
        parts = [self.segment, *("" if number is None else str(number) for number in numbers)]
        while not parts[-1]:
            parts.pop()
        return chr(encoding.component).join(parts).encode("ascii")


def parse_path(text: str) -> FieldPath:
    """Read a path in its one spelling.

    Raises:
        PathError: Another spelling ("OBR.4.1", "OBR-4-1", "PID-3[0]", lower case); the message states the grammar.
    """
    match = _PATH.fullmatch(text)
    if match is None:
        msg = f"not a field path; write {GRAMMAR}"
        raise PathError(msg)
    numbers = [None if number is None else int(number) for number in match.groups()[1:]]
    occurrence, *rest = numbers
    return FieldPath(match[1], occurrence or 1, *rest)


def from_erl(raw: bytes, encoding: EncodingCharacters) -> FieldPath:
    """Read an ERL (ERR-2). An empty segment sequence means the first.

    Raises:
        PathError: The ERL has no segment name, a number that does not count from 1, or a gap in its parts
            (only the repetition may be left out).
    """
    parts = raw.split(bytes((encoding.component,)))
    names, numbers = parts[0], parts[1:_ERL_COMPONENT_COUNT]
    well_formed = _SEGMENT.fullmatch(names) and all(not part or _ERL_NUMBER.fullmatch(part) for part in numbers)
    if not well_formed:
        msg = "not an ERL: segment^sequence^field^repetition^component^subcomponent, all counted from 1"
        raise PathError(msg)
    values = [int(part) if part else None for part in numbers]
    values += [None] * (_ERL_COMPONENT_COUNT - 1 - len(values))
    occurrence, field, repetition, component, subcomponent = values
    no_field = field is None and (repetition, component, subcomponent) != (None, None, None)
    if no_field or (component is None and subcomponent is not None):
        msg = "not an ERL: a part is stated below one that is not"
        raise PathError(msg)
    return FieldPath(names.decode("ascii"), occurrence or 1, field, repetition, component, subcomponent)
