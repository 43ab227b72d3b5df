"""Read the text tables (mappings/text/*.csv) into one trie of phrases.

Table texts in, `TextTables` out, or every problem at once. Nothing here opens a file: the caller passes name and
content. A phrase is cut into tokens as texts are; `{name}` stands for a set of sets.csv, `{n}` for any number and
`{comma}` for a comma.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import product
from typing import TypeVar

from interceptor.context.text_reading import TextLabel
from interceptor.context.text_token import tokenise

PHRASE_WORDS_MAX = 12
"""Longest phrase in tokens; it bounds the steps per token of the matcher."""

PHRASES_MAX = 200_000
"""More than this from one folder is a mistake in a set, not a table (the shipped ones make about 40,000)."""

SPELLING_LENGTH_MIN = 7
"""Words shorter than this are never taken for a misspelling: too many real words lie one letter apart."""

NUMBER = "<number>"
"""The key of a trie node that any number matches; no token of a text is spelled so."""

_NUMBER_SIGN = "#"

_BUILT_IN_SETS = {"n": (_NUMBER_SIGN,), "comma": (",",)}


class TextTableError(ValueError):
    """The text tables cannot be used.

    Attributes:
        problems: Every problem, each "file:line: what is wrong".
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class CueKind(StrEnum):
    """What a cue does to the mentions in its reach."""

    NEGATION = "negation"
    SUSPICION = "suspicion"
    HISTORY = "history"
    RELATIVE = "relative"
    HYPOTHETICAL = "hypothetical"
    AFFIRMATION = "affirmation"
    IGNORED = "ignored"


class Reach(StrEnum):
    """How far a cue reaches."""

    ITEM = "item"
    LIST = "list"
    FIRST = "first"
    NEAREST = "nearest"


class BreakerKind(StrEnum):
    """How a word or sign divides a text."""

    SENTENCE = "sentence"
    COMMA = "comma"
    OR = "or"
    AND = "and"
    SLASH = "slash"
    RESET = "reset"
    CAUSE = "cause"
    STATE = "state"
    LABEL = "label"
    QUESTION = "question"
    JOINER = "joiner"
    ANSWER_YES = "answer_yes"
    ANSWER_NO = "answer_no"


class OnsetKind(StrEnum):
    """What a word of time says."""

    NEW = "new"
    WORSE = "worse"
    OLD = "old"
    DAYS = "days"
    NUMBER = "number"
    RECENT = "recent"
    AGO = "ago"
    FILLER = "filler"


class Needs(StrEnum):
    """What an ambiguous word needs beside it to be a mention."""

    NOTHING = ""
    ORGAN_OR_CUE = "organ_or_cue"
    ORGAN_BESIDE = "organ_beside"
    CORD_BESIDE = "cord_beside"
    SPREAD = "spread"
    CANCER_IN_TEXT = "cancer_in_text"
    NOT_AFTER_NUMBER = "not_after_number"
    CAPITALS_ALONE = "capitals_alone"
    NOT_GENE = "not_gene"
    TREATMENT_WORD = "treatment_word"
    NOT_DEVICE_WORD = "not_device_word"
    NOT_A_CODE = "not_a_code"
    NOT_A_YEAR = "not_a_year"
    CUE_AFTER = "cue_after"
    AT_LEAST_100 = "at_least_100"
    BELOW_30 = "below_30"
    AT_MOST_30 = "at_most_30"


@dataclass(frozen=True, slots=True)
class Term:
    """A phrase that is a mention. `label` None is a phrase that is none ("cancer center")."""

    label: TextLabel | None
    organ: str
    bone_tropic: bool
    detail: str
    needs: Needs


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """A phrase that says how a mention is meant."""

    kind: CueKind
    forward: bool
    backward: bool
    reach: Reach
    labels: str


@dataclass(frozen=True, slots=True)
class Organ:
    """A word for the organ of a cancer beside it."""

    name: str
    bone_tropic: bool


@dataclass(frozen=True, slots=True)
class OnsetWord:
    """A word of time; `value` is days per unit, the number, or days."""

    kind: OnsetKind
    value: float


@dataclass(slots=True)
class Phrase:
    """All that the tables say about one phrase; it may have several roles.

    Attributes:
        terms: Every meaning.
        settled: The meanings that need nothing beside them.
        ambiguous: The meanings that need something beside them.
        labels: The labels of the settled meanings.
        idle: True for filler that is nothing else.
    """

    terms: list[Term] = field(default_factory=list)
    settled: tuple[Term, ...] = ()
    ambiguous: tuple[Term, ...] = ()
    labels: frozenset[TextLabel] = frozenset()
    cue: Cue | None = None
    breaker: BreakerKind | None = None
    organ: Organ | None = None
    onset: OnsetWord | None = None
    filler: bool = False
    idle: bool = False


class TrieNode(dict[str, "TrieNode"]):
    """Next token to next node; `phrase` is set where a phrase ends."""

    __slots__ = ("phrase",)

    def __init__(self) -> None:
        super().__init__()
        self.phrase: Phrase | None = None


@dataclass(frozen=True, slots=True)
class TextTables:
    """The compiled tables.

    Attributes:
        root: The trie of all phrases.
        vocabulary: Every word of every phrase.
        skipped: Words that may stand inside a phrase without being part of it ("pain in the left leg").
        deletions: A long vocabulary word with one letter left out, to the word; for misspellings.
    """

    root: TrieNode
    vocabulary: frozenset[str]
    skipped: frozenset[str]
    deletions: Mapping[str, str]


_Word = TypeVar("_Word", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class _Row:
    place: str
    values: Mapping[str, str]


class _Builder:
    """Collects phrases and problems from the tables."""

    def __init__(self) -> None:
        self.root = TrieNode()
        self.sets: dict[str, tuple[str, ...]] = dict(_BUILT_IN_SETS)
        self.vocabulary: set[str] = set()
        self.problems: list[str] = []
        self.count = 0

    def add_sets(self, rows: Iterable[_Row]) -> None:
        for row in rows:
            alternatives = tuple(part.strip() for part in row.values["alternatives"].split("|"))
            if not all(alternatives) or not row.values["set"]:
                self.problems.append(f"{row.place}: alternatives: an empty set or alternative")
            self.sets[row.values["set"]] = alternatives

    def phrases(self, row: _Row) -> Iterator[Phrase]:
        """Return the trie's phrases for the words of *row*, one for each way to fill its sets."""
        try:
            texts = _expand(row.values["words"], self.sets)
        except KeyError as error:
            self.problems.append(f"{row.place}: words: no set {error.args[0]!r} in sets.csv")
            return
        for text in texts:
            words = [NUMBER if word == _NUMBER_SIGN else word for word in tokenise(text).words]
            if not words or len(words) > PHRASE_WORDS_MAX:
                self.problems.append(f"{row.place}: words: a phrase has 1 to {PHRASE_WORDS_MAX} words")
                return
            self.count += 1
            node = self.root
            for word in words:
                node = node.setdefault(word, TrieNode())
            self.vocabulary.update(words)
            if node.phrase is None:
                node.phrase = Phrase()
            yield node.phrase

    def read(self, kind: type[_Word], row: _Row, column: str) -> _Word | None:
        """Return the word of *column* as a member of the closed set *kind*; None is a recorded problem."""
        try:
            return kind(row.values[column])
        except ValueError:
            self.problems.append(f"{row.place}: {column}: {row.values[column]!r} is not one of {', '.join(kind)}")
            return None

    def add_terms(self, rows: Iterable[_Row]) -> None:
        for row in rows:
            needs = self.read(Needs, row, "needs")
            label = None if row.values["label"] == "none" else self.read(TextLabel, row, "label")
            if needs is None:
                continue
            values = row.values
            term = Term(label, values["organ"], values["bone_tropic"] == "yes", values["detail"], needs)
            for phrase in self.phrases(row):
                if all(known.label is not label for known in phrase.terms):
                    phrase.terms.append(term)
                    phrase.settled = tuple(t for t in phrase.terms if t.label is not None and not t.needs)
                    phrase.ambiguous = tuple(t for t in phrase.terms if t.needs)
                    phrase.labels = frozenset(t.label for t in phrase.settled if t.label is not None)

    def add_cues(self, rows: Iterable[_Row]) -> None:
        for row in rows:
            kind = self.read(CueKind, row, "kind")
            reach = Reach.ITEM if not row.values["reach"] else self.read(Reach, row, "reach")
            direction, labels = row.values["direction"], row.values["labels"]
            if direction not in ("forward", "backward", "both", "") or labels not in (
                "all",
                "oncology",
                "lasting_too",
                "",
            ):
                self.problems.append(f"{row.place}: direction or labels is not one of the words in the header")
            if kind is None or reach is None:
                continue
            cue = Cue(
                kind=kind,
                forward=direction in ("forward", "both"),
                backward=direction in ("backward", "both"),
                reach=reach,
                labels=labels or "all",
            )
            for phrase in self.phrases(row):
                if phrase.cue is not None and phrase.cue != cue:
                    self.problems.append(f"{row.place}: words: given twice, with different meanings")
                phrase.cue = cue

    def add_breakers(self, rows: Iterable[_Row]) -> None:
        for row in rows:
            kind = self.read(BreakerKind, row, "kind")
            for phrase in self.phrases(row):
                phrase.breaker = kind

    def add_organs(self, rows: Iterable[_Row]) -> None:
        for row in rows:
            organ = Organ(row.values["organ"], row.values["bone_tropic"] == "yes")
            for phrase in self.phrases(row):
                phrase.organ = organ

    def add_onsets(self, rows: Iterable[_Row]) -> None:
        for row in rows:
            kind = self.read(OnsetKind, row, "kind")
            try:
                value = float(row.values["value"] or 0)
            except ValueError:
                self.problems.append(f"{row.place}: value: {row.values['value']!r} is not a number")
                continue
            if kind is None:
                continue
            for phrase in self.phrases(row):
                phrase.onset = OnsetWord(kind, value)

    def add_fillers(self, rows: Iterable[_Row]) -> None:
        for row in rows:
            for phrase in self.phrases(row):
                phrase.filler = True
                # Fillers are read last, so every other role of the phrase is known by now.
                others = (phrase.terms, phrase.cue, phrase.breaker, phrase.organ, phrase.onset)
                phrase.idle = not any(others)


_COLUMNS = {
    "sets.csv": ("set", "alternatives"),
    "terms_oncology.csv": ("words", "label", "organ", "bone_tropic", "detail", "needs"),
    "terms_symptom.csv": ("words", "label", "organ", "bone_tropic", "detail", "needs"),
    "cues.csv": ("words", "kind", "direction", "reach", "labels"),
    "breakers.csv": ("words", "kind"),
    "organs.csv": ("words", "organ", "bone_tropic"),
    "onset.csv": ("words", "kind", "value"),
    "fillers.csv": ("words",),
}

TABLE_NAMES = tuple(_COLUMNS)
"""The files that `build_text_tables` expects, by name."""


def build_text_tables(files: Mapping[str, str]) -> TextTables:
    """Return the compiled tables.

    Args:
        files: Content by file name, each of TABLE_NAMES.

    Raises:
        TextTableError: A file is missing or unknown, or a row is wrong; all problems at once.
    """
    builder = _Builder()
    builder.problems.extend(f"{name}: missing" for name in TABLE_NAMES if name not in files)
    builder.problems.extend(f"{name}: unknown file" for name in sorted(set(files) - set(TABLE_NAMES)))
    rows = {name: list(_read_rows(name, files.get(name, ""), builder.problems)) for name in TABLE_NAMES}
    builder.add_sets(rows["sets.csv"])
    builder.add_terms(rows["terms_oncology.csv"])
    builder.add_terms(rows["terms_symptom.csv"])
    builder.add_cues(rows["cues.csv"])
    builder.add_breakers(rows["breakers.csv"])
    builder.add_organs(rows["organs.csv"])
    builder.add_onsets(rows["onset.csv"])
    builder.add_fillers(rows["fillers.csv"])
    if builder.count > PHRASES_MAX:
        builder.problems.append(f"sets.csv: the tables make {builder.count} phrases, more than {PHRASES_MAX}")
    if builder.problems:
        raise TextTableError(tuple(builder.problems))
    _open_numbers(builder.root)
    skipped = frozenset(builder.sets.get("skip", ()))
    return TextTables(builder.root, frozenset(builder.vocabulary), skipped, _deletions(builder.vocabulary))


def _read_rows(name: str, content: str, problems: list[str]) -> Iterator[_Row]:
    columns = _COLUMNS[name]
    header_seen = False
    for line_number, line in enumerate(content.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        values = next(csv.reader([line]))
        if not header_seen:
            header_seen = True
            if tuple(values) != columns:
                problems.append(f"{name}:{line_number}: the header must be {','.join(columns)}")
                return
        elif len(values) != len(columns):
            problems.append(f"{name}:{line_number}: {len(values)} columns instead of {len(columns)}")
        else:
            yield _Row(f"{name}:{line_number}", {c: v.strip() for c, v in zip(columns, values, strict=True)})


def _expand(words: str, sets: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    choices = [_choices(part, sets) for part in words.split()]
    return (" ".join(part for part in way if part) for way in product(*choices))


def _choices(part: str, sets: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    if not (part.startswith("{") and part.endswith("}")):
        return (part,)
    return sets[part[1:-1]]


def _open_numbers(root: TrieNode) -> None:
    """Let a number that is written out in one phrase still match the {n} of another at the same place."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        any_number = node.get(NUMBER)
        if any_number is not None:
            for child in [child for word, child in node.items() if word[0].isdigit()]:
                _merge(child, any_number)
        waiting.extend(node.values())


def _merge(target: TrieNode, source: TrieNode) -> None:
    if target.phrase is None:
        target.phrase = source.phrase
    for word, child in source.items():
        if word in target:
            _merge(target[word], child)
        else:
            target[word] = child


def _deletions(vocabulary: Iterable[str]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for word in sorted(vocabulary):
        if len(word) >= SPELLING_LENGTH_MIN and word.isalpha():
            for index in range(1, len(word)):
                found.setdefault(word[:index] + word[index + 1 :], word)
            found.setdefault(word, word)
    return found
