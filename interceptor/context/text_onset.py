"""Attach words of time to the symptom they speak of.

Elements in; the `onset` of symptom elements set. "Breast ca 2011, LBP x 3 wks": the year belongs to the cancer, the
weeks to the pain. Under twelve weeks is new; twelve weeks, months and years beyond are not, unless the text calls the
symptom worse. Each event looks at its own item first and at most WINDOW elements further: linear time.

Source: CLINICAL section 2, onset; docs/clinical/text.md.
"""

from collections.abc import Iterable, Sequence

from interceptor.context.text_element import Element
from interceptor.context.text_reading import TextLabel
from interceptor.context.text_table import BreakerKind, CueKind, OnsetKind
from interceptor.context.vocabulary import Onset

NEW_DAYS_BELOW = 84
"""Twelve weeks."""

WINDOW = 40

# "Since 2015": the reader knows no clock; a year is named for what lasts longer than twelve weeks.
_FIRST_YEAR, _LAST_YEAR = 1930, 2099

_YEAR_DAYS = 365

_SYMPTOMS = frozenset({TextLabel.DEFICIT, TextLabel.RADICULAR, TextLabel.PAIN})

# The time of an injury matters too: an old one is history.
_TIMED = _SYMPTOMS | {TextLabel.TRAUMA}

# A range or a phrase of time is at most this many elements: "2 to 3 weeks", "past few days".
_PHRASE_MAX = 4

_VAGUE_MONTHS = 3
"""How many units an unnumbered plural stands for: "for weeks" is new, "for months" and "for years" are not."""

_ITEM_ENDS = frozenset({BreakerKind.SENTENCE, BreakerKind.COMMA})

_FORWARD_WORDS = frozenset({"of", "hx", "history", "h"})


def attach_onsets(elements: Sequence[Element]) -> None:
    """Set the onset of every symptom from the words of time around it."""
    for index, element in enumerate(elements):
        for term in element.terms:
            if term.detail == "old" and element.onset is Onset.UNKNOWN:
                element.onset = Onset.NOT_NEW
        word = element.onset_word
        if word is None and index and elements[index - 1].word == "since" and _is_year(element.number):
            _attach_time(elements, index, index, _YEAR_DAYS)
        if word is None or _is_denied(elements, index):
            continue
        match word.kind:
            case OnsetKind.NEW:
                _attach_word(elements, index, Onset.NEW)
            case OnsetKind.OLD:
                _attach_word(elements, index, Onset.NOT_NEW)
            case OnsetKind.WORSE:
                _attach_worse(elements, index)
            case OnsetKind.RECENT:
                _attach_time(elements, index, index, word.value)
            case OnsetKind.DAYS:
                _attach_duration(elements, index)
            case _:
                pass


def _is_year(number: float | None) -> bool:
    return number is not None and _FIRST_YEAR <= number <= _LAST_YEAR


def _is_denied(elements: Sequence[Element], index: int) -> bool:
    before = elements[index - 1] if index else None
    return before is not None and before.cue is not None and before.cue.kind is CueKind.NEGATION


def _mark(element: Element, onset: Onset) -> bool:
    """Give *element* the onset; return True when it is a mention, whether or not a symptom."""
    if not element.terms:
        return False
    if not element.labels.isdisjoint(_TIMED) and element.onset is not Onset.NEW:
        element.onset = onset
    return True


def _before(elements: Sequence[Element], index: int, *, over_commas: bool = False) -> Iterable[int]:
    for place in range(index - 1, max(-1, index - 1 - WINDOW), -1):
        breaker = elements[place].breaker
        if breaker is BreakerKind.SENTENCE or (breaker is BreakerKind.COMMA and not over_commas):
            return
        yield place


def _after(elements: Sequence[Element], index: int) -> Iterable[int]:
    for place in range(index + 1, min(len(elements), index + 1 + WINDOW)):
        if elements[place].breaker in _ITEM_ENDS:
            return
        yield place


def _attach_word(elements: Sequence[Element], index: int, onset: Onset) -> None:
    """Attach "new" or "chronic" to the mention it stands before, else to the one it stands after."""
    for place in _after(elements, index):
        element = elements[place]
        if _mark(element, onset):
            # "New back and leg pain", "chronic neck pain and arm numbness": what is joined shares the word.
            _mark_joined(elements, place, onset)
            return
        if not element.filler and element.breaker is None and element.onset_word is None and element.cue is None:
            # "Chronic steroids", "new job": the word belongs to something else.
            return
        if element.breaker is BreakerKind.RESET and element.word in ("-", "but", "with"):
            break
    _attach_back(elements, index, onset)


def _mark_joined(elements: Sequence[Element], index: int, onset: Onset) -> None:
    place = index + 1
    while place + 1 < len(elements) and elements[place].breaker in (BreakerKind.AND, BreakerKind.SLASH, BreakerKind.OR):
        following = elements[place + 1]
        if following.filler and place + 2 < len(elements):
            following, place = elements[place + 2], place + 1
        if not _mark(following, onset):
            return
        place += 2


def _attach_back(elements: Sequence[Element], index: int, onset: Onset) -> None:
    for place in _before(elements, index):
        if _mark(elements[place], onset):
            return
    # An item of its own ("LBP, chronic"): it speaks of what was named last, if that is a symptom.
    for place in _before(elements, index, over_commas=True):
        if _mark(elements[place], onset):
            return


def _attach_worse(elements: Sequence[Element], index: int) -> None:
    """Attach "worsening": to a symptom in its item, else to the last one named, else to the next."""
    for place in _after(elements, index):
        if elements[place].terms:
            if not elements[place].labels.isdisjoint(_SYMPTOMS):
                _mark(elements[place], Onset.NEW)
                _mark_joined(elements, place, Onset.NEW)
                return
            break
    for place in range(index - 1, max(-1, index - 1 - WINDOW), -1):
        if not elements[place].labels.isdisjoint(_SYMPTOMS):
            _mark(elements[place], Onset.NEW)
            return
    for place in range(index + 1, min(len(elements), index + 1 + WINDOW)):
        if not elements[place].labels.isdisjoint(_SYMPTOMS):
            _mark(elements[place], Onset.NEW)
            return


def _attach_duration(elements: Sequence[Element], index: int) -> None:
    """Read the count before a unit ("2-3 weeks", "several months", "for years") and attach the time."""
    unit = elements[index].onset_word
    assert unit is not None
    count, first = _count_before(elements, index)
    if count is None:
        if elements[index].word[-1] != "s" or len(elements[index].word) < 3 or not _names_duration(elements, index):
            return
        count = _VAGUE_MONTHS
    before = elements[first - 1] if first else None
    if before is not None and before.word in ("in", "every", "q", "within", "next"):
        return
    _attach_time(elements, first, index, count * unit.value)


def _count_before(elements: Sequence[Element], index: int) -> tuple[float | None, int]:
    count: float | None = None
    place = index - 1
    while place >= 0 and index - place <= _PHRASE_MAX:
        element = elements[place]
        word = element.onset_word
        if word is not None and word.kind is OnsetKind.NUMBER:
            count = word.value
        elif element.number is not None and not element.terms and element.last == element.first + 1:
            # Of a range the lower end is taken: "2-3 months" may be under twelve weeks.
            count = element.number
        elif element.word in ("a", "an") and count is None:
            return 1, place
        elif not (element.word in ("to", "-", "or", "~", "past", "last", "the") or element.filler) or count is None:
            break
        place -= 1
    return count, place + 1


def _names_duration(elements: Sequence[Element], index: int) -> bool:
    before = elements[index - 1].word if index else ""
    after = elements[index + 1].word if index + 1 < len(elements) else ""
    return before in ("for", "x", "of", "over", "past", "last", "since") or after in ("of", "ago", "duration")


def _attach_time(elements: Sequence[Element], first: int, last: int, days: float) -> None:
    onset = Onset.NEW if days < NEW_DAYS_BELOW else Onset.NOT_NEW
    following = elements[last + 1] if last + 1 < len(elements) else None
    forward_first = following is not None and following.word in _FORWARD_WORDS
    if not forward_first and _mark_first(elements, _before(elements, first), onset):
        return
    if _mark_first(elements, _after(elements, last), onset):
        return
    if forward_first and _mark_first(elements, _before(elements, first), onset):
        return
    _mark_first(elements, _before(elements, first, over_commas=True), onset)


def _mark_first(elements: Sequence[Element], places: Iterable[int], onset: Onset) -> bool:
    return any(_mark(elements[place], onset) for place in places)
