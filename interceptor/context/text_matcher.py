"""Read a short clinical text: which words said what, and how they were meant.

Tables once, then any number of texts in and a `TextReading` out for each. Four passes over the same elements: split
(trie), settle ambiguous words and organs, attach words of time, assign assertions. No pass backtracks, every window is
bounded, and a text beyond the cap is read up to it and says so. Reading never raises and knows no clock.

Source: CLINICAL section 3; docs/clinical/text.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from interceptor.context.text_element import Element, Part, accept_terms, build_elements, split_parts
from interceptor.context.text_folding import fold_onset
from interceptor.context.text_onset import attach_onsets
from interceptor.context.text_organ import settle_terms
from interceptor.context.text_reading import NOTHING_READ, Assertion, Mention, TextLabel, TextReading
from interceptor.context.text_scope import assign_assertions
from interceptor.context.text_table import Needs, Term, TextTables, build_text_tables
from interceptor.context.text_token import Tokens, tokenise

TEXT_LENGTH_MAX = 8_000
"""Characters read of one text, and of all texts of one order together; a reason for exam of the corpus has at most a
few hundred. It bounds how long one order can keep the others waiting."""

_WORD_LENGTH_MIN = 3
"""Shorter unknown words state no reason: initials, marks, units."""

_SYMPTOMS = frozenset({TextLabel.DEFICIT, TextLabel.RADICULAR, TextLabel.PAIN})

_COUNTED = frozenset({Assertion.AFFIRMED, Assertion.SUSPECTED})

_NO_MENTION = {
    (other, truncated): TextReading(has_other_words=other, truncated=truncated)
    for other in (False, True)
    for truncated in (False, True)
}
"""The readings of texts without any term."""

_ANY_TERM = Term(TextLabel.OTHER_REASON, "", False, "", Needs.NOTHING)  # noqa: FBT003 - not bone-tropic


@dataclass(frozen=True, slots=True)
class TextMatcher:
    """Reads texts by one set of tables; it keeps nothing between texts."""

    tables: TextTables

    def read(self, text: str, *, length_max: int = TEXT_LENGTH_MAX) -> TextReading:
        """Return what *text* says; offsets count characters of *text* from 0, and `length_max` of them are read."""
        if not text:
            return NOTHING_READ
        tokens = tokenise(text[:length_max])
        parts = split_parts(tokens.words, self.tables)
        if not _has_terms(parts):
            return _NO_MENTION[_has_other_words(tokens.words, parts), len(text) > length_max]
        elements = self._elements(text, tokens, parts)
        assign_assertions(elements)
        mentions = _mentions(text, tokens, elements)
        return TextReading(
            mentions=mentions,
            onset=fold_onset(m.onset for m in mentions if m.label in _SYMPTOMS and m.assertion in _COUNTED),
            has_other_words=_has_other_words(tokens.words, parts),
            truncated=len(text) > length_max,
        )

    def assertion_at(self, text: str, start_offset: int, end_offset: int) -> Assertion:
        """Return how *text* means the words from *start_offset* to *end_offset*, whatever they are.

        For any clinical term, in the tables or not ("no evidence of pneumonia"). Affirmed when the span holds no word.
        """
        tokens = tokenise(text[:TEXT_LENGTH_MAX])
        elements = build_elements(tokens, split_parts(tokens.words, self.tables))
        inside = [
            index
            for index, element in enumerate(elements)
            if tokens.starts[element.first] < end_offset and tokens.ends[element.last - 1] > start_offset
        ]
        if not inside:
            return Assertion.AFFIRMED
        target = _target(elements, inside)
        merged = [*elements[: inside[0]], target, *elements[inside[-1] + 1 :]]
        settle_terms(merged, [text[tokens.starts[e.first] : tokens.ends[e.first]] for e in merged])
        attach_onsets(merged)
        assign_assertions(merged)
        return target.assertion

    def _elements(self, text: str, tokens: Tokens, parts: list[Part]) -> list[Element]:
        elements = build_elements(tokens, parts)
        starts, ends = tokens.starts, tokens.ends
        is_ambiguous = True in [phrase is not None and phrase.ambiguous != () for _, _, phrase in parts]
        settle_terms(elements, [text[starts[first] : ends[first]] for first, _, _ in parts] if is_ambiguous else ())
        attach_onsets(elements)
        return elements


def parse_text_tables(files: Mapping[str, str]) -> TextMatcher:
    """Return the matcher over the tables of mappings/text.

    Args:
        files: Content by file name, each of `text_table.TABLE_NAMES`.

    Raises:
        TextTableError: A file is missing or unknown, or a row is wrong; every problem with its file and line.
    """
    return TextMatcher(build_text_tables(files))


def _has_terms(parts: Sequence[Part]) -> bool:
    for _, _, phrase in parts:  # noqa: SIM110 - any() with a generator costs twice the time of the loop
        if phrase is not None and phrase.terms:
            return True
    return False


def _has_other_words(words: Sequence[str], parts: Sequence[Part]) -> bool:
    for first, _, phrase in parts:
        if phrase is None and len(words[first]) >= _WORD_LENGTH_MIN and words[first].isalpha():
            return True
    return False


def _target(elements: Sequence[Element], inside: Sequence[int]) -> Element:
    """Return one element for the asked span; a cue that was swallowed by a phrase of the tables is lost with it."""
    first, last = elements[inside[0]], elements[inside[-1]]
    target = Element(first.first, last.last, "")
    target.known = True
    accept_terms(target, (_ANY_TERM,))
    return target


def _mentions(text: str, tokens: Tokens, elements: Sequence[Element]) -> tuple[Mention, ...]:
    found = []
    starts, ends = tokens.starts, tokens.ends
    for element in elements:
        for term in element.terms:
            if term.label is None:
                continue
            start, end = starts[element.first], ends[element.last - 1]
            found.append(
                Mention(
                    label=term.label,
                    assertion=element.assertion,
                    start_offset=start,
                    end_offset=end,
                    words=text[start:end],
                    organ=term.organ if term.organ and term.organ != "squamous" else element.organ_name,
                    bone_tropic=term.bone_tropic or element.bone_tropic,
                    detail=term.detail,
                    cue=_cue_words(text, tokens, elements, element.cue_index),
                    onset=element.onset,
                )
            )
    return tuple(found)


def _cue_words(text: str, tokens: Tokens, elements: Sequence[Element], cue_index: int) -> str:
    if cue_index < 0:
        return ""
    cue = elements[cue_index]
    return text[tokens.starts[cue.first] : tokens.ends[cue.last - 1]]
