"""The parts that a text falls into: table phrases and single words, in order.

Tokens in, elements out: at each token the longest phrase of the trie, else the token alone. Phrases have a bounded
length, so the number of steps is linear in the number of tokens.
"""

from dataclasses import dataclass

from interceptor.context.text_reading import Assertion, TextLabel
from interceptor.context.text_table import (
    NUMBER,
    SPELLING_LENGTH_MIN,
    BreakerKind,
    Cue,
    OnsetWord,
    Organ,
    Phrase,
    Term,
    TextTables,
    TrieNode,
)
from interceptor.context.text_token import Tokens
from interceptor.context.vocabulary import Onset

SKIPPED_WORDS_MAX = 2
"""How many words of the set `skip` may stand inside one phrase ("pain in the left leg")."""

SPELLING_LENGTH_MAX = 24
"""Longer words are no misspelled words of medicine; the work per word stays bounded."""

_NO_TERMS: tuple[Term, ...] = ()

_NO_LABELS: frozenset[TextLabel] = frozenset()

ONCOLOGY = frozenset(
    {TextLabel.CANCER, TextLabel.HAEMATOLOGIC, TextLabel.METASTASIS, TextLabel.EXCLUDED_NEOPLASM, TextLabel.THERAPY}
)


@dataclass(slots=True)
class Element:
    """A phrase or a single word of one text, and what the passes over the text found out about it.

    Attributes:
        first: Index of the first token.
        last: Index after the last token.
        word: The first token.
        number: The value of the last number among the tokens, None when there is none.
        terms: What it is a mention of; ambiguous terms are left out until they are resolved.
        idle: True for filler that is nothing else; a walk passes over it.
        organ_name: The organ beside it, for a cancer.
        assertion: What the cues say, strongest so far.
        cue_index: Index of the element that set the assertion; -1 for none.
        joins_previous: For a question mark: True when no blank stands before it.
        joins_next: For a question mark: True when no blank stands after it.
        onset: What the words of time say, for a symptom.
    """

    first: int
    last: int
    word: str
    number: float | None = None
    terms: tuple[Term, ...] = _NO_TERMS
    ambiguous: tuple[Term, ...] = _NO_TERMS
    cue: Cue | None = None
    breaker: BreakerKind | None = None
    organ: Organ | None = None
    onset_word: OnsetWord | None = None
    filler: bool = False
    known: bool = False
    labels: frozenset[TextLabel] = _NO_LABELS
    idle: bool = False
    organ_name: str = ""
    bone_tropic: bool = False
    assertion: Assertion = Assertion.AFFIRMED
    cue_index: int = -1
    onset: Onset = Onset.UNKNOWN
    joins_previous: bool = False
    joins_next: bool = False

    @property
    def is_mention(self) -> bool:
        """True when a term with a label stands here."""
        return bool(self.terms)

    @property
    def is_oncologic(self) -> bool:
        """True for a word of cancer, its spread, its treatment, or an excluded neoplasm."""
        return not ONCOLOGY.isdisjoint(self.labels)


Part = tuple[int, int, Phrase | None]
"""A run of tokens: index of the first, index after the last, and the phrase that it is, None for a single other word."""


def split_parts(words: list[str], tables: TextTables) -> list[Part]:
    """Return the parts of the whole text, in order, without gaps; corrects the spelling of *words* first."""
    _correct_spelling(words, tables)
    root = tables.root
    count = len(words)
    parts: list[Part] = []
    index = 0
    while index < count:
        word = words[index]
        node = root.get(word)
        if node is None and word[0].isdigit():
            node = root.get(NUMBER)
        if node is None:
            parts.append((index, index + 1, None))
            index += 1
            continue
        phrase, end = _longest_phrase(words, index + 1, node, tables.skipped)
        parts.append((index, end, phrase))
        index = end
    return parts


def _longest_phrase(
    words: list[str], cursor: int, node: TrieNode | None, skipped: frozenset[str]
) -> tuple[Phrase | None, int]:
    """Walk the trie from the node of the word before *cursor*; return the longest phrase and the index after it."""
    best: Phrase | None = None
    best_end = cursor
    count = len(words)
    skips = 0
    while node is not None:
        if node.phrase is not None:
            best, best_end = node.phrase, cursor
        if not node:
            break
        following = None
        while cursor < count:
            word = words[cursor]
            cursor += 1
            following = node.get(word)
            if following is None and word[0].isdigit():
                following = node.get(NUMBER)
            if following is not None or word not in skipped or skips == SKIPPED_WORDS_MAX:
                break
            skips += 1
        node = following
    return best, best_end


def build_elements(tokens: Tokens, parts: list[Part]) -> list[Element]:
    """Return an element for each part."""
    words = tokens.words
    elements = [_element(words, first, last, phrase) for first, last, phrase in parts]
    for element in elements:
        if element.breaker is BreakerKind.QUESTION:
            first, last = element.first, element.last
            element.joins_previous = first > 0 and tokens.ends[first - 1] == tokens.starts[first]
            element.joins_next = last < len(words) and tokens.starts[last] == tokens.ends[last - 1]
    return elements


def _element(words: list[str], first: int, last: int, phrase: Phrase | None) -> Element:
    word = words[first]
    if phrase is None:
        return Element(first, last, word, _number(words, first, last) if word[0].isdigit() else None)
    return Element(
        first,
        last,
        word,
        None if last == first + 1 and not word[0].isdigit() else _number(words, first, last),
        phrase.settled,
        phrase.ambiguous,
        phrase.cue,
        phrase.breaker,
        phrase.organ,
        phrase.onset,
        phrase.filler,
        True,  # noqa: FBT003 - known; positions are faster here, and this runs for every word
        phrase.labels,
        phrase.idle,
    )


def _number(words: list[str], first: int, last: int) -> float | None:
    """Return the value of the last number among the tokens, None when there is none."""
    for index in range(last - 1, first - 1, -1):
        word = words[index]
        # isdigit is also true of signs that float() refuses (a superscript two).
        if word[0].isdigit() and word.isascii():
            return float(word)
    return None


def accept_terms(element: Element, terms: tuple[Term, ...]) -> None:
    """Make *terms* what *element* is a mention of, besides what it already is."""
    element.terms = element.terms + terms
    element.labels = frozenset(term.label for term in element.terms if term.label is not None)


def _correct_spelling(words: list[str], tables: TextTables) -> None:
    vocabulary = tables.vocabulary
    for index, word in enumerate(words):
        if len(word) >= SPELLING_LENGTH_MIN and word not in vocabulary and len(word) <= SPELLING_LENGTH_MAX:
            words[index] = _nearest_word(word, tables)


def _nearest_word(word: str, tables: TextTables) -> str:
    """Return the vocabulary word that is one letter or one swap away, else *word*; the first letter must be right."""
    found = tables.deletions.get(word)
    if found is not None:
        return found
    for index in range(1, len(word)):
        shorter = word[:index] + word[index + 1 :]
        if shorter in tables.vocabulary:
            return shorter
        found = tables.deletions.get(shorter)
        if found is not None and len(found) == len(word) and _is_one_slip(word, found):
            return found
    return word


def _is_one_slip(word: str, other: str) -> bool:
    wrong = [index for index, (a, b) in enumerate(zip(word, other, strict=True)) if a != b]
    if len(wrong) == 1:
        return True
    if len(wrong) != 2 or wrong[1] != wrong[0] + 1:
        return False
    return word[wrong[0]] == other[wrong[1]] and word[wrong[1]] == other[wrong[0]]
