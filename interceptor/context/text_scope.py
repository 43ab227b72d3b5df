"""Say for each mention whether it is affirmed, suspected, past, negated, another person's or hypothetical.

Elements in; their `assertion` and `cue_index` set. A cue reaches forward or backward until something parts it from the
mention: a sentence end, a new statement ("but", "presents with"), another cue, a comma that the list does not cross.
Whether a list crosses a comma is the hard part of requisitions: "no hx ca, trauma or weakness" denies three things,
"no trauma, LBP x 3 wks" and "no fever, new leg weakness" deny one. Each walk is bounded: linear time.

Source: the idea of NegEx (Chapman 2001) and ConText (Harkema 2009); the rules of lists are our own, docs/clinical/text.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from interceptor.context.text_element import ONCOLOGY, Element
from interceptor.context.text_reading import Assertion, TextLabel
from interceptor.context.text_table import BreakerKind, Cue, CueKind, OnsetKind, Reach
from interceptor.context.vocabulary import Onset

WINDOW = 40
"""Elements that a cue can reach; the longest list of denials seen is 30."""

_ITEM_WORDS_MAX = 4
"""More words than this and an item of a list says something of its own."""

_SYMPTOMS = frozenset({TextLabel.DEFICIT, TextLabel.RADICULAR, TextLabel.PAIN})

_CANCERS = frozenset({TextLabel.CANCER, TextLabel.HAEMATOLOGIC})

_ASSERTION = {
    CueKind.NEGATION: Assertion.NEGATED,
    CueKind.SUSPICION: Assertion.SUSPECTED,
    CueKind.HISTORY: Assertion.HISTORY,
    CueKind.RELATIVE: Assertion.RELATIVE,
    CueKind.HYPOTHETICAL: Assertion.HYPOTHETICAL,
}

# Of several cues on one mention the first of these speaks.
_STRENGTH = {
    Assertion.NEGATED: 5,
    Assertion.RELATIVE: 4,
    Assertion.HYPOTHETICAL: 3,
    Assertion.SUSPECTED: 2,
    Assertion.HISTORY: 1,
    Assertion.AFFIRMED: 0,
}

_LIST_BREAKERS = frozenset({BreakerKind.OR, BreakerKind.AND, BreakerKind.SLASH})

# What gives a cause is told, not denied or asked ("cannot walk because of pain").
_ENDS = frozenset({BreakerKind.SENTENCE, BreakerKind.CAUSE})

# "Eval for progression of mets" asks about what is known to be there.
_KNOWN_WORDS = frozenset({"progression", "extent", "known", "documented", "proven"})

_OPEN_FOR_HISTORY = frozenset({TextLabel.METASTASIS})


_ASKED_FORWARD = Cue(kind=CueKind.SUSPICION, forward=True, backward=False, reach=Reach.LIST, labels="all")

_ASKED_BACKWARD = Cue(kind=CueKind.SUSPICION, forward=False, backward=True, reach=Reach.NEAREST, labels="all")

_TREATED = Cue(kind=CueKind.HISTORY, forward=False, backward=True, reach=Reach.NEAREST, labels="oncology")


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


def assign_assertions(elements: Sequence[Element]) -> None:
    """Set the assertion of every mention from the cues around it."""
    for element in elements:
        if element.terms and element.terms[0].detail == "negated":
            element.assertion = Assertion.NEGATED
    for index, element in enumerate(elements):
        cue = element.cue
        if element.breaker in (BreakerKind.ANSWER_NO, BreakerKind.ANSWER_YES) or _is_answer(elements, index):
            _answer(elements, index)
        elif element.breaker is BreakerKind.QUESTION:
            _question(elements, index)
        elif cue is None or cue.kind in (CueKind.AFFIRMATION, CueKind.IGNORED):
            continue
        else:
            # "Mets suspected, LBP" looks back, "suspected mets" forward.
            # "fx vs mets" both ways.
            backward_only = cue.backward and cue.kind is not CueKind.RELATIVE and _ends_item(elements, index)
            covered = cue.forward and not backward_only and _forward(elements, index, cue)
            around = cue.kind is CueKind.SUSPICION and cue.reach is Reach.ITEM
            if cue.backward and (around or not covered):
                _backward(elements, index, cue)
    _carry_treatment_back(elements)


def _ends_item(elements: Sequence[Element], index: int) -> bool:
    after = elements[index + 1].breaker if index + 1 < len(elements) else BreakerKind.SENTENCE
    return index > 0 and after in (BreakerKind.SENTENCE, BreakerKind.COMMA) and elements[index - 1].breaker is None


def _set(elements: Sequence[Element], index: int, assertion: Assertion, cue_index: int) -> None:
    element = elements[index]
    if assertion is Assertion.HISTORY:
        if elements[cue_index].word == "resolved" and element.labels.isdisjoint(ONCOLOGY):
            # A resolved cancer is a history of it; a resolved symptom is none.
            assertion = Assertion.NEGATED
        elif not _can_be_past(element):
            return
    if _STRENGTH[assertion] > _STRENGTH[element.assertion]:
        element.assertion = assertion
        element.cue_index = cue_index


def _can_be_past(element: Element) -> bool:
    # "Three weeks' history of back pain" and "h/o CKD 4" speak of today.
    if not element.labels.isdisjoint(_SYMPTOMS):
        return element.onset is not Onset.NEW
    return TextLabel.RENAL not in element.labels


def _forward(elements: Sequence[Element], index: int, cue: Cue) -> bool:
    walk = _walk_forward(elements, index, cue)
    if cue.reach in (Reach.FIRST, Reach.NEAREST):
        walk.members = _first_members(elements, walk)
    covered = False
    for position, (place, item) in enumerate(walk.members):
        if _reaches(elements, walk, position, cue):
            before = elements[place].assertion
            _set(elements, place, _ASSERTION[cue.kind], index)
            covered = covered or elements[place].assertion is not before or item == 0
    return covered


def _first_members(elements: Sequence[Element], walk: _Walk) -> list[tuple[int, int]]:
    """Return the first mention and what is joined to it, of the first item only."""
    kept: list[tuple[int, int]] = []
    for place, item in walk.members:
        if item or (kept and not _joined(elements, kept[-1][0], place)):
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
        breaker = element.breaker
        if breaker in _ENDS or (breaker is BreakerKind.QUESTION and content_seen) or _is_known(element, cue):
            break
        if breaker is BreakerKind.COMMA or breaker in _LIST_BREAKERS:
            if breaker is BreakerKind.COMMA and content_seen and not crosses:
                break
            walk.divide(element, content_seen=content_seen)
            previous = element
            continue
        fresh = previous is cue_element or (previous.cue is not None and not content_seen)
        joined = previous.breaker is BreakerKind.OR
        if content_seen and not joined and not fresh and _parts(element, cue):
            if walk.item and breaker is not BreakerKind.RESET:
                walk.stated.add(walk.item)
            break
        content_seen = walk.take(place, element, is_content=_is_content(element, cue)) or content_seen
        if breaker is not BreakerKind.JOINER and not element.filler:
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
    if not element.labels.isdisjoint(_CANCERS) and element.organ_name:
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
    if any(elements[between].breaker in _LIST_BREAKERS for between in range(before_place + 1, place)):
        return False
    if TextLabel.PAIN in element.labels:
        return TextLabel.RADICULAR not in before.labels and TextLabel.PAIN not in before.labels
    return bool(element.organ_name) and before.labels.isdisjoint(ONCOLOGY)


def _suspicion_reaches(elements: Sequence[Element], walk: _Walk, position: int) -> bool:
    place, item = walk.members[position]
    element = elements[place]
    if TextLabel.THERAPY in element.labels or TextLabel.DEVICE in element.labels:
        return False
    owner = not element.labels.isdisjoint(_CANCERS) and (element.organ_name or TextLabel.HAEMATOLOGIC in element.labels)
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
    return not any(elements[between].breaker in _LIST_BREAKERS for between in range(before + 1, place))


def _history_reaches(elements: Sequence[Element], walk: _Walk, position: int, cue: Cue) -> bool:
    place, item = walk.members[position]
    element = elements[place]
    if not element.labels.isdisjoint(_OPEN_FOR_HISTORY) and cue.labels != "lasting_too":
        return False
    if not element.labels.isdisjoint(_SYMPTOMS):
        return item == 0 and position == 0 and not _follows_time(elements, place)
    if item and element.labels.isdisjoint(ONCOLOGY):
        return False
    return item == 0 or cue.reach is Reach.LIST


def _follows_time(elements: Sequence[Element], place: int) -> bool:
    return any(
        elements[before].onset_word is not None or elements[before].breaker is BreakerKind.LABEL
        for before in range(max(0, place - 3), place)
    )


def _backward(elements: Sequence[Element], index: int, cue: Cue) -> None:
    if cue.kind is CueKind.RELATIVE:
        _relative_backward(elements, index)
    elif cue.kind is CueKind.HISTORY:
        _history_backward(elements, index, cue)
    else:
        _item_backward(elements, index, cue)


def _item_backward(elements: Sequence[Element], index: int, cue: Cue) -> None:
    """Cover the nearest mention before the cue, and those joined to it."""
    covered = -1
    for place in range(index - 1, max(-1, index - 1 - WINDOW), -1):
        element = elements[place]
        if element.breaker in (BreakerKind.SENTENCE, BreakerKind.COMMA):
            if element.word in "()" and covered < 0:
                continue
            return
        if element.terms:
            if covered >= 0 and not _joined(elements, place, covered):
                return
            if cue.labels == "all" or not element.labels.isdisjoint(ONCOLOGY):
                _set(elements, place, _ASSERTION[cue.kind], index)
            covered = place
        elif covered < 0 and element.breaker is BreakerKind.RESET and element.word not in ("is", "are", "was", "-"):
            return


def _joined(elements: Sequence[Element], place: int, following: int) -> bool:
    if any(elements[between].breaker in _LIST_BREAKERS for between in range(place + 1, following)):
        return True
    # "metastatic breast ca?" asks for both words of one thing.
    adjective = bool(elements[place].terms) and elements[place].terms[0].detail == "adjective"
    return adjective and not elements[following].labels.isdisjoint(_CANCERS)


def _history_backward(elements: Sequence[Element], index: int, cue: Cue) -> None:
    """Cover the nearest cancer before the cue, over commas ("breast ca, NED") and over an empty sentence start."""
    covered = -1
    words_since = 0
    for place in range(index - 1, max(-1, index - 1 - WINDOW), -1):
        element = elements[place]
        if element.breaker is BreakerKind.SENTENCE:
            if covered >= 0 or words_since:
                return
            continue
        if element.breaker is BreakerKind.COMMA and covered >= 0:
            return
        if element.terms and _takes_history_back(element, cue):
            if covered >= 0 and not _joined(elements, place, covered) and not _one_cancer(elements, place, covered):
                return
            _set(elements, place, Assertion.HISTORY, index)
            covered = place
        elif element.terms and cue.labels == "all":
            return
        elif not element.filler and element.breaker is None:
            words_since += 1


def _takes_history_back(element: Element, cue: Cue) -> bool:
    if cue.labels == "all":
        return TextLabel.METASTASIS not in element.labels
    wanted = _CANCERS | {TextLabel.METASTASIS} if cue.labels == "lasting_too" else _CANCERS
    return not element.labels.isdisjoint(wanted)


def _one_cancer(elements: Sequence[Element], place: int, following: int) -> bool:
    return not any(
        elements[between].terms or elements[between].breaker for between in range(place + 1, following)
    ) and (TextLabel.METASTASIS in elements[place].labels or TextLabel.METASTASIS in elements[following].labels)


def _relative_backward(elements: Sequence[Element], index: int) -> None:
    """Cover the cancer before a relative: "breast ca in mother", "lung ca (father)", "breast ca mother"."""
    after = elements[index + 1] if index + 1 < len(elements) else None
    ends = after is None or after.breaker in (BreakerKind.SENTENCE, BreakerKind.COMMA, BreakerKind.AND)
    for place in range(index - 1, max(-1, index - 5), -1):
        element = elements[place]
        if element.terms:
            if not element.labels.isdisjoint(ONCOLOGY):
                _set(elements, place, Assertion.RELATIVE, index)
            return
        opens = element.word in ("in", "(", "-", ":", "of", "her", "his", "and", "maternal", "paternal") or (
            element.cue is not None and element.cue.kind is CueKind.RELATIVE
        )
        if not opens and not (ends and (element.filler or element.organ is not None)):
            return


def _is_answer(elements: Sequence[Element], index: int) -> bool:
    element = elements[index]
    if element.cue is None or element.cue.kind is not CueKind.NEGATION or element.word not in ("no", "none", "neg"):
        return False
    if index == 0 or elements[index - 1].breaker not in (BreakerKind.LABEL, BreakerKind.QUESTION):
        return False
    after = elements[index + 1] if index + 1 < len(elements) else None
    return after is None or after.breaker in (BreakerKind.SENTENCE, BreakerKind.COMMA)


def _answer(elements: Sequence[Element], index: int) -> None:
    """Read "pacemaker: no", "h/o cancer? yes": the answer speaks of what stands before the sign."""
    if index == 0 or elements[index - 1].breaker not in (BreakerKind.LABEL, BreakerKind.QUESTION):
        return
    affirms = elements[index].breaker is BreakerKind.ANSWER_YES
    for place in range(index - 2, max(-1, index - 2 - WINDOW), -1):
        element = elements[place]
        if element.breaker in (BreakerKind.SENTENCE, BreakerKind.COMMA):
            return
        if element.terms:
            if affirms and element.assertion is Assertion.SUSPECTED:
                element.assertion, element.cue_index = Assertion.AFFIRMED, -1
            elif not affirms:
                _set(elements, place, Assertion.NEGATED, index)


def _question(elements: Sequence[Element], index: int) -> None:
    """Read a question mark: "?mets" asks forward, "mets?" backward."""
    after = elements[index + 1] if index + 1 < len(elements) else None
    if after is not None and (after.breaker in (BreakerKind.ANSWER_NO, BreakerKind.ANSWER_YES)):
        return
    if after is not None and _is_answer(elements, index + 1):
        return
    if _asks_forward(elements, index):
        _forward(elements, index, _ASKED_FORWARD)
    else:
        _item_backward(elements, index, _ASKED_BACKWARD)


def _asks_forward(elements: Sequence[Element], index: int) -> bool:
    element = elements[index]
    if index + 1 >= len(elements) or elements[index + 1].breaker in (BreakerKind.COMMA, BreakerKind.SENTENCE):
        return False
    if index == 0 or element.joins_next:
        return True
    return not element.joins_previous


def _carry_treatment_back(elements: Sequence[Element]) -> None:
    """Make a cancer past when its own item names a treatment of the past or a year ("breast ca s/p XRT", "ca 2011")."""
    for index, element in enumerate(elements):
        if TextLabel.THERAPY in element.labels and element.assertion is Assertion.HISTORY:
            start = element.cue_index if 0 <= element.cue_index < index else index
            _history_backward(elements, start, _TREATED)
        elif element.number is not None and _is_year(element) and not element.terms:
            _year(elements, index)


def _is_year(element: Element) -> bool:
    return element.last == element.first + 1 and element.number is not None and 1950 <= element.number < 2100


def _year(elements: Sequence[Element], index: int) -> None:
    for place in range(index - 1, max(-1, index - 6), -1):
        element = elements[place]
        if element.terms:
            if element.labels & (_CANCERS | {TextLabel.THERAPY, TextLabel.TRAUMA}):
                _set(elements, place, Assertion.HISTORY, index)
            return
        if element.breaker in (BreakerKind.SENTENCE, BreakerKind.SLASH) or element.word == "since":
            return
        if element.breaker is BreakerKind.COMMA and element.word != "(":
            return
