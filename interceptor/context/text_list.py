"""Which mentions a cue reaches forward: the rules of lists.

A cue and the elements after it in, the indexes of the mentions it speaks of out; nothing is changed. An item is what
stands between two commas. "No hx ca, trauma or weakness" denies three items, "no trauma, LBP x 3 wks" one; what says
that an item stands for itself is a new statement, a time, or more words than a list item has. One bounded walk per cue.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from interceptor.context.text_element import ONCOLOGY, Element
from interceptor.context.text_reading import TextLabel
from interceptor.context.text_table import BreakerKind, Cue, CueKind, OnsetKind, Reach

WINDOW = 40
"""Elements that a cue can reach; the longest list of denials seen is 30."""

_ITEM_WORDS_MAX = 4
"""More words than this and an item of a list says something of its own."""

SYMPTOMS = frozenset({TextLabel.DEFICIT, TextLabel.RADICULAR, TextLabel.PAIN})

CANCERS = frozenset({TextLabel.CANCER, TextLabel.HAEMATOLOGIC})

LIST_BREAKERS = frozenset({BreakerKind.OR, BreakerKind.AND, BreakerKind.SLASH})

_DIVIDERS = LIST_BREAKERS | {BreakerKind.COMMA}

_OR = BreakerKind.OR

# "s/p fall", "after MVC": the injury is the reason for the order, not a thing of the past.
_EVENT_WORDS = frozenset({"s", "sp", "status", "post", "after", "following"})

# What gives a cause is told, not denied or asked ("cannot walk because of pain").
_ENDS = frozenset({BreakerKind.SENTENCE, BreakerKind.CAUSE})

# "Eval for progression of mets" asks about what is known to be there.
_KNOWN_WORDS = frozenset({"progression", "extent", "known", "documented", "proven"})

_OPEN_FOR_HISTORY = frozenset({TextLabel.METASTASIS})


@dataclass(slots=True)
class _Walk:
    """What a forward walk saw, item by item (an item is what stands between two commas)."""

    members: list[tuple[int, int]] = field(default_factory=list)
    or_items: set[int] = field(default_factory=set)
    words: dict[int, int] = field(default_factory=dict)
    stated: set[int] = field(default_factory=set)
    item: int = 0

    def divide(self, element: Element, *, content_seen: bool) -> None:
        """Take a comma or a joining word."""
        if element.breaker is BreakerKind.OR:
            self.or_items.add(self.item)
        elif element.breaker is BreakerKind.COMMA and (content_seen or element.word not in "()"):
            self.item += 1

    def take(self, place: int, element: Element, *, is_content: bool) -> bool:
        """Take any other element; return whether it is content."""
        if self.words and element.onset_word is not None and element.onset_word.kind is OnsetKind.DAYS:
            # "no trauma, LBP 3 weeks": what has lasted is there.
            self.stated.add(self.item)
        if element.terms:
            self.members.append((place, self.item))
        if is_content:
            self.words[self.item] = self.words.get(self.item, 0) + 1
        return is_content

    def is_bare(self, item: int) -> bool:
        return item not in self.stated and self.words.get(item, 0) <= _ITEM_WORDS_MAX


def reached_forward(elements: Sequence[Element], index: int, cue: Cue) -> list[int]:
    """Return the indexes of the mentions that *cue*, standing at *index*, speaks of, in order."""
    walk = _walk_forward(elements, index, cue)
    if cue.reach in (Reach.FIRST, Reach.NEAREST):
        walk.members = _first_members(elements, walk)
    after_event = elements[index].word in _EVENT_WORDS
    return [
        place
        for position, (place, _item) in enumerate(walk.members)
        if _reaches(elements, walk, position, cue) and not (after_event and TextLabel.TRAUMA in elements[place].labels)
    ]


def _first_members(elements: Sequence[Element], walk: _Walk) -> list[tuple[int, int]]:
    """Return the first mention and what is joined to it, of the first item only."""
    kept: list[tuple[int, int]] = []
    for place, item in walk.members:
        if item or (kept and not are_joined(elements, kept[-1][0], place)):
            break
        kept.append((place, item))
    return kept


def _walk_forward(elements: Sequence[Element], index: int, cue: Cue) -> _Walk:
    walk = _Walk()
    content_seen = False
    previous = cue_element = elements[index]
    crosses = cue.reach is Reach.LIST or cue.kind in (CueKind.NEGATION, CueKind.SUSPICION)
    for place in range(index + 1, min(len(elements), index + 1 + WINDOW)):
        element = elements[place]
        if element.idle:
            continue
        breaker = element.breaker
        if breaker is not None:
            if breaker in _ENDS or (content_seen and breaker is BreakerKind.QUESTION):
                break
            if content_seen and not crosses and breaker is BreakerKind.COMMA:
                break
            if breaker in _DIVIDERS:
                walk.divide(element, content_seen=content_seen)
                previous = element
                continue
        if element.cue is not None and _is_known(element, cue):
            break
        if content_seen and previous is not cue_element and _parts(element, cue) and previous.breaker is not _OR:
            if walk.item and breaker is not BreakerKind.RESET:
                walk.stated.add(walk.item)
            break
        content_seen = walk.take(place, element, is_content=_is_content(element, cue)) or content_seen
        if not element.filler and breaker is not BreakerKind.JOINER:
            previous = element
    return walk


def _is_known(element: Element, cue: Cue) -> bool:
    if cue.kind is not CueKind.SUSPICION or element.cue is None:
        return False
    return element.cue.kind is CueKind.AFFIRMATION and element.word in _KNOWN_WORDS


def _parts(element: Element, cue: Cue) -> bool:
    """Tell whether *element* begins a statement that *cue* does not speak of."""
    if element.terms:
        return False
    other = element.cue
    if other is not None and other.kind is not CueKind.IGNORED:
        return other.forward or other.kind is CueKind.AFFIRMATION
    match element.breaker:
        case BreakerKind.RESET:
            return not (cue.kind is CueKind.HYPOTHETICAL and element.word in ("her", "his", "she", "he", "new"))
        case BreakerKind.STATE:
            return cue.kind is not CueKind.SUSPICION
        case BreakerKind.LABEL:
            return True
        case _:
            return False


def _is_content(element: Element, cue: Cue) -> bool:
    if element.terms:
        return True
    if cue.kind in (CueKind.HISTORY, CueKind.RELATIVE, CueKind.HYPOTHETICAL):
        return False
    return not element.filler and element.breaker is None and element.cue is None and element.number is None


def _reaches(elements: Sequence[Element], walk: _Walk, position: int, cue: Cue) -> bool:
    place, item = walk.members[position]
    element = elements[place]
    if cue.labels != "all" and element.labels.isdisjoint(ONCOLOGY):
        return False
    match cue.kind:
        case CueKind.NEGATION:
            return _negation_reaches(elements, walk, position, cue)
        case CueKind.SUSPICION:
            return _suspicion_reaches(elements, walk, position)
        case CueKind.HISTORY:
            return _history_reaches(elements, walk, position, cue)
        case _:
            return item == 0 or cue.reach is Reach.LIST


def _negation_reaches(elements: Sequence[Element], walk: _Walk, position: int, cue: Cue) -> bool:
    place, item = walk.members[position]
    element = elements[place]
    if item == 0:
        return not _stands_alone(elements, walk, position)
    if any(not walk.is_bare(number) for number in range(1, item + 1)):
        return False
    if any(number >= item for number in walk.or_items):
        last_or = max(walk.or_items)
        return all(walk.is_bare(number) for number in range(1, last_or + 1))
    items = walk.item + 1
    is_list = cue.reach is Reach.LIST
    if not element.labels.isdisjoint({TextLabel.PAIN, TextLabel.RADICULAR}):
        return is_list and items >= 3 and position > 0 and _is_review(elements, walk)
    if not element.labels.isdisjoint(CANCERS) and element.organ_name:
        return is_list and items >= 3
    if TextLabel.DEFICIT in element.labels:
        return items >= 3 or walk.words.get(item, 0) <= 1
    if TextLabel.METASTASIS in element.labels:
        return is_list or items >= 3
    return is_list or items >= 3 or walk.words.get(item, 0) <= 2


def _is_review(elements: Sequence[Element], walk: _Walk) -> bool:
    """Tell whether a list begins with complaints: a review of systems, not circumstances before the reason."""
    first = elements[walk.members[0][0]]
    return TextLabel.TRAUMA not in first.labels and first.labels.isdisjoint(ONCOLOGY)


def _stands_alone(elements: Sequence[Element], walk: _Walk, position: int) -> bool:
    """Tell whether a pain or a cancer follows another mention without a joint ("no trauma LBP x 3")."""
    if position == 0:
        return False
    place, _item = walk.members[position]
    before_place, _before_item = walk.members[position - 1]
    element, before = elements[place], elements[before_place]
    if any(elements[between].breaker in LIST_BREAKERS for between in range(before_place + 1, place)):
        return False
    if TextLabel.PAIN in element.labels:
        return TextLabel.RADICULAR not in before.labels and TextLabel.PAIN not in before.labels
    return bool(element.organ_name) and before.labels.isdisjoint(ONCOLOGY)


def _suspicion_reaches(elements: Sequence[Element], walk: _Walk, position: int) -> bool:
    place, item = walk.members[position]
    element = elements[place]
    if TextLabel.THERAPY in element.labels or TextLabel.DEVICE in element.labels:
        return False
    owner = not element.labels.isdisjoint(CANCERS) and (element.organ_name or TextLabel.HAEMATOLOGIC in element.labels)
    if not owner:
        # "r/o SCC, leg weakness": the second is a complaint, not a question.
        complaint = TextLabel.DEFICIT in element.labels and element.terms[0].detail not in ("cord", "cauda")
        return not (item and complaint) or item in walk.or_items
    if item:
        return item in walk.or_items
    if position == 0:
        return True
    # "r/o mets breast ca": the mets are asked for, the cancer is known; "metastatic breast ca" is one thing.
    before = elements[walk.members[position - 1][0]]
    if before.terms[0].detail == "recurrence":
        return True
    if TextLabel.METASTASIS not in before.labels:
        return not _unjoined(elements, walk, position)
    return before.terms[0].detail == "adjective" or not _unjoined(elements, walk, position)


def _unjoined(elements: Sequence[Element], walk: _Walk, position: int) -> bool:
    place, before = walk.members[position][0], walk.members[position - 1][0]
    return not any(elements[between].breaker in LIST_BREAKERS for between in range(before + 1, place))


def _history_reaches(elements: Sequence[Element], walk: _Walk, position: int, cue: Cue) -> bool:
    place, item = walk.members[position]
    element = elements[place]
    if not element.labels.isdisjoint(_OPEN_FOR_HISTORY) and cue.labels != "lasting_too":
        return False
    if not element.labels.isdisjoint(SYMPTOMS):
        return item == 0 and position == 0 and not _follows_time(elements, place)
    if item and element.labels.isdisjoint(ONCOLOGY):
        return False
    return item == 0 or cue.reach is Reach.LIST


def _follows_time(elements: Sequence[Element], place: int) -> bool:
    return any(
        elements[before].onset_word is not None or elements[before].breaker is BreakerKind.LABEL
        for before in range(max(0, place - 3), place)
    )


def are_joined(elements: Sequence[Element], place: int, following: int) -> bool:
    """Tell whether two mentions are parts of one statement: joined by a word, or an adjective and its cancer."""
    if any(elements[between].breaker in LIST_BREAKERS for between in range(place + 1, following)):
        return True
    # "metastatic breast ca?" asks for both words of one thing.
    adjective = bool(elements[place].terms) and elements[place].terms[0].detail == "adjective"
    return adjective and not elements[following].labels.isdisjoint(CANCERS)
