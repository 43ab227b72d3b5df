"""Read fields that hold a code, a text, or either: what real feeds put into CE, CWE and ST fields.

    "M54.50^Low back pain^I10"     one code with its words
    "new LBP x 3 wks"              a text in the place of the code
    "^breast ca & back pain"       a text with a delimiter that was not escaped

Every piece keeps its path, so that a reader can find it in the message. What a code means is not known here.

Source: HL7 v2.9 chapter 2A: CE (withdrawn in 2.6), CWE, CNE; CWE.9 original text.
"""

from dataclasses import dataclass

from interceptor.context.code import diagnosis_system_by_shape
from interceptor.message.view import HL7_NULL, Segment

_COMPONENT_TRIPLES = ((1, 2, 3), (4, 5, 6), (10, 11, 12))
_ORIGINAL_TEXT = 9
_COMPONENT_COUNT = 12


@dataclass(frozen=True, slots=True)
class StatedCode:
    """One code as received.

    Attributes:
        path: Where it stands, e.g. "DG1[2]-3.1".
        code: As received, without blanks around it.
        system: The coding system as received, "" when missing.
        words: The text that came with it, "" when none.
        words_path: Where these words stand.
    """

    path: str
    code: str
    system: str
    words: str = ""
    words_path: str = ""


@dataclass(frozen=True, slots=True)
class StatedText:
    """A piece of text as received (decoded), with its path, e.g. "OBR-31.2" or "NTE[2]-3"."""

    path: str
    text: str


def field_path(segment: Segment, number: int, component: int | None = None, repetition: int = 1) -> str:
    """The path of a field, in the one spelling of the project; a first occurrence and repetition is not written."""
    occurrence = f"[{segment.occurrence}]" if segment.occurrence > 1 else ""
    repeated = f"[{repetition}]" if repetition > 1 else ""
    part = "" if component is None else f".{component}"
    return f"{segment.name}{occurrence}-{number}{repeated}{part}"


def read_coded_field(segment: Segment, number: int) -> tuple[list[StatedCode], list[StatedText]]:
    """Return the codes and the texts of all repetitions of a field, in reading order.

    A text that stands where a code belongs is returned as text. A component that repeats an earlier one of its
    repetition is left out.
    """
    codes: list[StatedCode] = []
    texts: list[StatedText] = []
    raw = segment.raw_field(number)
    if not raw or raw == HL7_NULL:
        return codes, texts
    plain = segment.plain_text(number)
    if plain is not None:
        return _read_value(segment, number, 1, plain.strip())
    for repetition in range(1, segment.repetition_count(number) + 1):
        _read_repetition(segment, number, repetition, codes, texts)
    return codes, texts


def _is_code(code: str, system: str) -> bool:
    """Whether what stands in a code's place is one: words with a blank are not, whatever system they claim."""
    return bool(code) and " " not in code and bool(system or diagnosis_system_by_shape(code))


def _read_value(
    segment: Segment, number: int, repetition: int, value: str
) -> tuple[list[StatedCode], list[StatedText]]:
    """A repetition of one component: a code, a text, or nothing."""
    if _is_code(value, ""):
        return [StatedCode(field_path(segment, number, 1, repetition), value, "")], []
    return [], [StatedText(field_path(segment, number, None, repetition), value)] if value else []


def _read_repetition(
    segment: Segment, number: int, repetition: int, codes: list[StatedCode], texts: list[StatedText]
) -> None:
    components = [text.strip() for text in segment.components(number, repetition=repetition, subcomponent=None)]
    first = components[0] if components else ""
    if len(components) <= 1:
        own_codes, own_texts = _read_value(segment, number, repetition, first)
        codes += own_codes
        texts += own_texts
        return
    components.extend([""] * (_COMPONENT_COUNT - len(components)))
    seen: set[str] = set()

    def add_text(component: int) -> None:
        text = components[component - 1]
        if text and text.casefold() not in seen:
            seen.add(text.casefold())
            texts.append(StatedText(field_path(segment, number, component, repetition), text))

    for code_number, words_number, system_number in _COMPONENT_TRIPLES:
        code, words = components[code_number - 1], components[words_number - 1]
        system = components[system_number - 1]
        if _is_code(code, system):
            path = field_path(segment, number, code_number, repetition)
            words_path = field_path(segment, number, words_number, repetition)
            codes.append(StatedCode(path, code, system, words, words_path))
            seen.add(words.casefold())
        else:
            add_text(code_number)
            add_text(words_number)
    add_text(_ORIGINAL_TEXT)
