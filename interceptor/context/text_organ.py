"""Settle ambiguous words, and find the organ of a cancer.

Elements in, the same elements with their terms and organs settled. "CA" is a cancer beside an organ or a cue and
calcium elsewhere; "SCC" is a carcinoma beside an organ and cord compression beside a word of the cord; "met" is spread
only beside a cancer. Each condition looks at a few neighbours or at one fact of the whole text: linear time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from interceptor.context.text_element import ONCOLOGY, Element, accept_terms
from interceptor.context.text_reading import TextLabel
from interceptor.context.text_table import BreakerKind, CueKind, Needs

_THERAPY = frozenset({TextLabel.THERAPY})

_CANCERS = ONCOLOGY - {TextLabel.THERAPY}

_NEAR = 4
"""How many elements an organ may stand from its cancer."""

_CUES_OF_CANCER = frozenset(
    {CueKind.HISTORY, CueKind.NEGATION, CueKind.SUSPICION, CueKind.RELATIVE, CueKind.AFFIRMATION}
)

_CALCIUM_WORDS = frozenset(
    ["serum", "ionized", "corrected", "total", "mg", "vit", "vitamin", "phos", "mag", "calcium", "supplement", "level"]
)

_DEVICE_WORDS = frozenset(["hardware", "device", "screw", "fluid", "water"])

_CORD_WORDS = frozenset(
    ["cord", "spine", "spinal", "level", "t", "l", "c", "thoracic", "epidural", "weakness", "paraparesis"]
)

_NOT_WALL = frozenset({BreakerKind.AND, BreakerKind.OR, BreakerKind.SLASH, BreakerKind.JOINER, BreakerKind.STATE})

_CAPITALS_FOLLOWERS = frozenset(
    [
        "on",
        "in",
        "s",
        "w",
        "with",
        "dx",
        "since",
        "now",
        "relapse",
        "relapsed",
        "remission",
        "r",
        "c",
        "h",
        "year",
        "status",
    ]
)

_YEARS = range(1930, 2100)


_LATE = frozenset({Needs.CANCER_IN_TEXT, Needs.TREATMENT_WORD, Needs.SPREAD, Needs.CORD_BESIDE})


@dataclass(slots=True)
class _Text:
    """The elements and what is true of the text as a whole, so that no condition has to search it again."""

    elements: Sequence[Element]
    originals: Sequence[str]
    has_cancer: bool = False
    has_cord: bool = False

    def look(self) -> None:
        labels = [element.labels for element in self.elements if element.terms]
        self.has_cancer = any(not some.isdisjoint(_CANCERS) for some in labels)
        self.has_cord = any(TextLabel.DEFICIT in some for some in labels) or any(
            element.word in _CORD_WORDS for element in self.elements
        )


def settle_terms(elements: Sequence[Element], originals: Sequence[str]) -> None:
    """Give each ambiguous element the terms whose condition holds, then each cancer its organ.

    Args:
        elements: The elements of one text; changed in place.
        originals: The first token of each element as it was written, for words that depend on capitals; may be left
            out when no element is ambiguous.
    """
    ambiguous = [index for index, element in enumerate(elements) if element.ambiguous]
    text = _Text(elements, originals)
    # Words that need only neighbours come first, so that "cancer in the text" sees them.
    for late in (False, True) if ambiguous else ():
        text.look()
        for index in ambiguous:
            _settle(text, index, late=late)
    for index, element in enumerate(elements):
        if element.terms and not element.labels.isdisjoint(ONCOLOGY):
            _attach_organ(elements, index)


def _settle(text: "_Text", index: int, *, late: bool) -> None:
    """Accept the ambiguous terms of one element whose condition holds, of those that come now."""
    element = text.elements[index]
    for term in element.ambiguous:
        if (term.needs in _LATE) is late and _CONDITIONS[term.needs](text, index):
            accept_terms(element, (term,) if term.label is not None else ())


def _attach_organ(elements: Sequence[Element], index: int) -> None:
    element = elements[index]
    own = next((term for term in element.terms if term.organ and term.organ != "squamous"), None)
    if own is not None:
        element.organ_name, element.bone_tropic = own.organ, own.bone_tropic
        return
    if TextLabel.METASTASIS in element.labels and element.terms[0].detail != "adjective":
        return
    organ_index = _organ_near(elements, index)
    if organ_index < 0 or element.labels == _THERAPY:
        # A lumpectomy of the breast may have been benign; only the words that are sure name an organ themselves.
        return
    organ = elements[organ_index].organ
    assert organ is not None
    element.organ_name, element.bone_tropic = organ.name, organ.bone_tropic


def _organ_near(elements: Sequence[Element], index: int) -> int:
    """Return the index of the organ that belongs to the word at *index*, -1 for none."""
    before = _organ_in(elements, range(index - 1, max(-1, index - 1 - _NEAR), -1), through_joiners=False)
    if before >= 0:
        return before
    return _organ_in(elements, range(index + 1, min(len(elements), index + 1 + _NEAR)), through_joiners=True)


def _organ_in(elements: Sequence[Element], places: range, *, through_joiners: bool) -> int:
    found = -1
    for place in places:
        element = elements[place]
        if element.organ is not None:
            # "colon and breast ca": of joined organs the bone-tropic one is kept.
            if found < 0 or element.organ.bone_tropic:
                found = place
            continue
        if found >= 0 and element.breaker in (BreakerKind.AND, BreakerKind.SLASH, BreakerKind.OR):
            continue
        if found >= 0:
            return found
        if _is_wall(element, opens=through_joiners):
            return -1
    return found


def _is_wall(element: Element, *, opens: bool) -> bool:
    if element.is_mention:
        # "met[astatic] breast ca" and "ca, met, breast": words of one cancer do not part it from its organ.
        return element.labels.isdisjoint(ONCOLOGY) or opens
    if element.cue is not None and element.breaker is None and not element.filler:
        return True
    if element.breaker is None or element.breaker in _NOT_WALL:
        return False
    return not (opens and element.word in ("(", ":", "-"))


def _organ_beside(text: _Text, index: int) -> bool:
    elements = text.elements
    return _organ_near(elements, index) >= 0 or _cancer_adjacent(elements, index)


def _cancer_adjacent(elements: Sequence[Element], index: int) -> bool:
    before, after = _neighbour(elements, index, -1), _neighbour(elements, index, 1)
    return any(e is not None and not e.labels.isdisjoint(ONCOLOGY) for e in (before, after))


def _neighbour(elements: Sequence[Element], index: int, step: int) -> Element | None:
    """Return the next element that is no article or joiner."""
    place = index + step
    while 0 <= place < len(elements):
        element = elements[place]
        if element.breaker is not BreakerKind.JOINER and not (element.filler and element.organ is None):
            return element
        if abs(place - index) > _NEAR:
            return None
        place += step
    return None


def _organ_or_cue(text: _Text, index: int) -> bool:
    elements = text.elements
    before, after = _neighbour(elements, index, -1), _neighbour(elements, index, 1)
    number = elements[index + 1].number if index + 1 < len(elements) else None
    if (
        number is not None
        and int(number) not in _YEARS
        and not _organ_beside(text, index)
        and not _listed(elements, index)
    ):
        return False
    if (before is not None and before.word in _CALCIUM_WORDS) or (after is not None and after.word in _CALCIUM_WORDS):
        return False
    if _organ_beside(text, index):
        return True
    cue = before.cue if before is not None else None
    if cue is None and after is not None and after.cue is not None and after.cue.backward:
        cue = after.cue
    if cue is not None and cue.kind in _CUES_OF_CANCER:
        return True
    if before is not None and before.breaker is BreakerKind.QUESTION:
        return True
    # "no trauma, ca or weakness": a list of denials names cancer, hardly calcium.
    return _listed(elements, index)


def _listed(elements: Sequence[Element], index: int) -> bool:
    for place in range(index - 1, max(-1, index - 10), -1):
        element = elements[place]
        if element.cue is not None and element.cue.kind in (CueKind.NEGATION, CueKind.HISTORY, CueKind.SUSPICION):
            return True
        if element.breaker is BreakerKind.SENTENCE:
            return False
    return False


def _spread(text: _Text, index: int) -> bool:
    elements = text.elements
    before, after = _neighbour(elements, index, -1), _neighbour(elements, index, 1)
    if (before is not None and before.number is not None and before.onset_word is None) or (
        after is not None and after.number is not None
    ):
        return False
    for element in (before, after):
        if element is None:
            continue
        if element.organ is not None or not element.labels.isdisjoint(ONCOLOGY):
            return True
        if any(term.needs in (Needs.ORGAN_OR_CUE, Needs.ORGAN_BESIDE) for term in element.ambiguous):
            return True
    if _organ_near(elements, index) >= 0:
        return True
    suspected = before is not None and before.cue is not None and before.cue.kind is CueKind.SUSPICION
    asked = before is not None and before.breaker is BreakerKind.QUESTION
    return suspected or asked


def _cord_beside(text: _Text, index: int) -> bool:
    elements = text.elements
    if TextLabel.CANCER in elements[index].labels:
        return False
    before = _neighbour(elements, index, -1)
    suspected = before is not None and (
        before.breaker is BreakerKind.QUESTION or (before.cue is not None and before.cue.kind is CueKind.SUSPICION)
    )
    return suspected or text.has_cord


def _cancer_in_text(text: _Text, _index: int) -> bool:
    return text.has_cancer


def _not_after_number(text: _Text, index: int) -> bool:
    elements = text.elements
    return index == 0 or elements[index - 1].number is None or elements[index - 1].is_mention


def _capitals_alone(text: _Text, index: int) -> bool:
    elements = text.elements
    if text.originals[index] != text.originals[index].upper():
        return False
    before = elements[index - 1] if index else None
    after = elements[index + 1] if index + 1 < len(elements) else None
    opens = before is None or before.breaker is not None or before.cue is not None
    closes = after is None or (after.breaker is not None and after.breaker is not BreakerKind.JOINER)
    return opens and (closes or (after is not None and (after.word in _CAPITALS_FOLLOWERS or after.cue is not None)))


def _not_gene(text: _Text, index: int) -> bool:
    elements = text.elements
    after = elements[index + 1] if index + 1 < len(elements) else None
    return after is None or (after.number is None and after.word not in ("carrier", "gene", "mutation", "mutated", "+"))


def _treatment_word(text: _Text, index: int) -> bool:
    elements = text.elements
    # "LBP with radiation to L foot" is no treatment; "s/p RT" and "breast ca RT" are.
    after = elements[index + 1] if index + 1 < len(elements) else None
    if after is not None and after.word in ("to", "into", "down", "of", "side", "leg", "arm"):
        return False
    return _cancer_in_text(text, index) or (index > 0 and elements[index - 1].word == "s")


def _not_device_word(text: _Text, index: int) -> bool:
    elements = text.elements
    return index == 0 or elements[index - 1].word not in _DEVICE_WORDS


def _not_a_code(text: _Text, index: int) -> bool:
    elements = text.elements
    after = elements[index + 1] if index + 1 < len(elements) else None
    return after is None or (after.number is None and after.word not in ("code", "codes", "dx"))


def _not_a_year(text: _Text, index: int) -> bool:
    elements = text.elements
    after = elements[index + 1] if index + 1 < len(elements) else None
    return after is None or after.number is None or after.number not in _YEARS


def _cue_after(text: _Text, index: int) -> bool:
    elements = text.elements
    return index > 0 and elements[index - 1].word in ("after", "while", "from", "since", "following", "s")


def _at_least_100(text: _Text, index: int) -> bool:
    elements = text.elements
    number = elements[index].number
    return number is not None and number >= 100


def _below_30(text: _Text, index: int) -> bool:
    elements = text.elements
    number = elements[index].number
    return number is not None and number < 30


def _at_most_30(text: _Text, index: int) -> bool:
    elements = text.elements
    number = elements[index].number
    return number is not None and number <= 30


_CONDITIONS: dict[Needs, Callable[[_Text, int], bool]] = {
    Needs.NOTHING: lambda _text, _index: True,
    Needs.ORGAN_OR_CUE: _organ_or_cue,
    Needs.ORGAN_BESIDE: _organ_beside,
    Needs.CORD_BESIDE: _cord_beside,
    Needs.SPREAD: _spread,
    Needs.CANCER_IN_TEXT: _cancer_in_text,
    Needs.NOT_AFTER_NUMBER: _not_after_number,
    Needs.CAPITALS_ALONE: _capitals_alone,
    Needs.NOT_GENE: _not_gene,
    Needs.TREATMENT_WORD: _treatment_word,
    Needs.NOT_DEVICE_WORD: _not_device_word,
    Needs.NOT_A_CODE: _not_a_code,
    Needs.NOT_A_YEAR: _not_a_year,
    Needs.CUE_AFTER: _cue_after,
    Needs.AT_LEAST_100: _at_least_100,
    Needs.BELOW_30: _below_30,
    Needs.AT_MOST_30: _at_most_30,
}
