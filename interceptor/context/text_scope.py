"""Say for each mention whether it is affirmed, suspected, past, negated, another person's or hypothetical.

Elements in; their `assertion` and `cue_index` set. A cue reaches forward (`text_list.py` has the rules of lists) or
backward ("weakness denied", "breast ca, NED", "lung ca (father)") until something parts it from the mention. Question
marks, answers ("pacemaker: no"), years and treatments of the past are read here too. Each walk is bounded: linear time.

Source: the idea of NegEx (Chapman 2001) and ConText (Harkema 2009); the rules are our own, docs/clinical/text.md.
"""

from collections.abc import Sequence

from interceptor.context.text_element import ONCOLOGY, Element
from interceptor.context.text_list import CANCERS, SYMPTOMS, WINDOW, are_joined, reached_forward
from interceptor.context.text_reading import Assertion, TextLabel
from interceptor.context.text_table import BreakerKind, Cue, CueKind, Reach
from interceptor.context.vocabulary import Onset

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


_ASKED_FORWARD = Cue(kind=CueKind.SUSPICION, forward=True, backward=False, reach=Reach.LIST, labels="all")

_ASKED_BACKWARD = Cue(kind=CueKind.SUSPICION, forward=False, backward=True, reach=Reach.NEAREST, labels="all")

_TREATED = Cue(kind=CueKind.HISTORY, forward=False, backward=True, reach=Reach.NEAREST, labels="oncology")


_TIMED = SYMPTOMS | {TextLabel.TRAUMA}

_ANSWERS = frozenset({BreakerKind.ANSWER_NO, BreakerKind.ANSWER_YES})

_QUESTIONS = _ANSWERS | {BreakerKind.QUESTION}

_SILENT = frozenset({CueKind.AFFIRMATION, CueKind.IGNORED})


def assign_assertions(elements: Sequence[Element]) -> None:
    """Set the assertion of every mention from the cues around it."""
    for element in elements:
        if element.terms and element.terms[0].detail == "negated":
            element.assertion = Assertion.NEGATED
        elif TextLabel.TRAUMA in element.labels and element.onset is Onset.NOT_NEW:
            element.assertion = Assertion.HISTORY
    # In a short text every cue is near, if there is a mention at all.
    near = _mentions_near(elements) if len(elements) > WINDOW else None
    for index, element in enumerate(elements):
        cue, breaker = element.cue, element.breaker
        if cue is None and breaker not in _QUESTIONS:
            continue
        # Far from any mention a cue speaks of nothing, nor does one that only says again what the next one says: a text
        # of nothing but cues must not take a walk for each.
        if (near is not None and not near[index]) or _is_said_again(elements, index):
            continue
        if breaker in _ANSWERS or _is_answer(elements, index):
            _answer(elements, index)
        elif breaker is BreakerKind.QUESTION:
            _question(elements, index)
        elif cue is not None and cue.kind not in _SILENT:
            # "Mets suspected, LBP" looks back, "suspected mets" forward.
            # "fx vs mets" both ways.
            backward_only = cue.backward and cue.kind is not CueKind.RELATIVE and _ends_item(elements, index)
            covered = cue.forward and not backward_only and _forward(elements, index, cue)
            around = cue.kind is CueKind.SUSPICION and cue.reach is Reach.ITEM
            if cue.backward and (around or not covered):
                _backward(elements, index, cue)
    _carry_treatment_back(elements)


def _mentions_near(elements: Sequence[Element]) -> list[bool]:
    """Tell for each element whether a mention stands within the window before or after it, or is itself."""
    near = [False] * len(elements)
    covered = 0
    for index, element in enumerate(elements):
        if element.terms:
            first, last = max(covered, index - 1 - WINDOW), min(len(elements), index + 2 + WINDOW)
            near[first:last] = [True] * (last - first)
            covered = last
    return near


def _is_said_again(elements: Sequence[Element], index: int) -> bool:
    """Tell whether the next element is the same cue ("no no", "???") and looks forward, as this one does."""
    if index + 1 >= len(elements):
        return False
    element, after = elements[index], elements[index + 1]
    if element.breaker is BreakerKind.QUESTION:
        is_run = after.breaker is BreakerKind.QUESTION
        return is_run and _asks_forward(elements, index) and _asks_forward(elements, index + 1)
    cue = element.cue
    is_repeated = cue is not None and cue is after.cue and element.word == after.word
    return is_repeated and cue is not None and not cue.backward and element.breaker is None and not element.terms


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
    if not element.labels.isdisjoint(_TIMED):
        return element.onset is not Onset.NEW
    return TextLabel.RENAL not in element.labels


def _forward(elements: Sequence[Element], index: int, cue: Cue) -> bool:
    """Cover what the cue speaks of; return whether there was any."""
    reached = reached_forward(elements, index, cue)
    for place in reached:
        _set(elements, place, _ASSERTION[cue.kind], index)
    return bool(reached)


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
            if covered >= 0 and not are_joined(elements, place, covered):
                return
            if cue.labels == "all" or not element.labels.isdisjoint(ONCOLOGY):
                _set(elements, place, _ASSERTION[cue.kind], index)
            covered = place
        elif covered < 0 and element.breaker is BreakerKind.RESET and element.word not in ("is", "are", "was", "-"):
            return


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
            if covered >= 0 and not are_joined(elements, place, covered) and not _one_cancer(elements, place, covered):
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
    wanted = CANCERS | {TextLabel.METASTASIS} if cue.labels == "lasting_too" else CANCERS
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
    if after is not None and (after.breaker in _ANSWERS):
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
            if element.labels & (CANCERS | {TextLabel.THERAPY, TextLabel.TRAUMA}):
                _set(elements, place, Assertion.HISTORY, index)
            if TextLabel.THERAPY in element.labels and element.assertion is Assertion.HISTORY:
                _history_backward(elements, place, _TREATED)
            return
        if element.breaker in (BreakerKind.SENTENCE, BreakerKind.SLASH) or element.word == "since":
            return
        if element.breaker is BreakerKind.COMMA and element.word != "(":
            return
