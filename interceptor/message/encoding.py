r"""The delimiters of one message, as MSH-1 and MSH-2 state them.

    MSH|^~\&#      field |   component ^   repetition ~   escape \   subcomponent &   truncation # (2.7 and later)

Source: HL7 v2.9 chapter 2, 2.5.4 message delimiters, 2.14.9.1 and 2.14.9.2.
"""

from dataclasses import dataclass

_USUAL_COUNT = 4
_MOST_COUNT = 5


@dataclass(frozen=True, slots=True)
class EncodingCharacters:
    """The delimiters as byte values.

    Attributes:
        field: MSH-1.
        component: First character of MSH-2.
        repetition: Second character; None when MSH-2 is shorter.
        escape: Third character; None when MSH-2 is shorter.
        subcomponent: Fourth character; None when MSH-2 is shorter.
        truncation: Fifth character (2.7 and later); None when MSH-2 is shorter.
    """

    field: int
    component: int
    repetition: int | None = None
    escape: int | None = None
    subcomponent: int | None = None
    truncation: int | None = None

    @property
    def values(self) -> tuple[int, ...]:
        """Every delimiter that the message states, in the order of MSH-1 and MSH-2."""
        stated = (self.field, self.component, self.repetition, self.escape, self.subcomponent, self.truncation)
        return tuple(value for value in stated if value is not None)

    @property
    def is_safe(self) -> bool:
        """Whether text can be added: four delimiters or more in MSH-2, no two alike.

        With a doubled delimiter or no escape character nothing that we add could be told from structure.
        """
        values = self.values
        return len(values) > _USUAL_COUNT and len(set(values)) == len(values)

    @property
    def raw(self) -> bytes:
        r"""MSH-1 and MSH-2 as they stand in the message, e.g. `|^~\&`."""
        return bytes(self.values)


def _is_delimiter(value: int) -> bool:
    """Whether a byte can be a delimiter: printable ASCII, neither letter nor digit nor space."""
    # Letters and digits would swallow text, and "MSH|APP|..." (MSH-2 left out) would read as five delimiters.
    return 0x21 <= value <= 0x7E and not chr(value).isalnum()


USUAL_ENCODING = EncodingCharacters(0x7C, 0x5E, 0x7E, 0x5C, 0x26)
_KNOWN: dict[bytes, EncodingCharacters] = {b"|^~\\&": USUAL_ENCODING}


def parse_encoding(separator: bytes, characters: bytes) -> EncodingCharacters | None:
    """Read the delimiters from MSH-1 and MSH-2; None when they cannot be delimiters.

    Refused: a letter, digit, blank, control or non-ASCII byte, an empty MSH-2, more than five characters.
    """
    stated = separator + characters
    known = _KNOWN.get(stated)
    if known is not None:
        return known
    if len(separator) != 1 or not 1 <= len(characters) <= _MOST_COUNT:
        return None
    if not all(_is_delimiter(value) for value in stated):
        return None
    return EncodingCharacters(*stated)
