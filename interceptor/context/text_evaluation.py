"""Measure the text matcher against lines with known answers.

A matcher and lines in, counts of right and wrong per label out. Nothing here reads a file or prints; the command
`interceptor policy eval` does both.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from interceptor.context.text_folding import read_oncology, read_symptom
from interceptor.context.text_matcher import TextMatcher
from interceptor.context.text_reading import Assertion, TextReading
from interceptor.context.vocabulary import OncologyTier, Onset, SymptomClass

KNOWN_OR_SUSPECTED = frozenset({OncologyTier.METASTATIC, OncologyTier.ACTIVE, OncologyTier.SUSPECTED})

_TIERS = tuple(OncologyTier)

_REQUISITION_COLUMNS = ("split", "text", "oncology", "symptom", "onset", "terms")

_NEGATION_COLUMNS = ("sentence", "term", "gold")


class EvaluationFileError(ValueError):
    """An evaluation file cannot be used.

    Attributes:
        problems: Every problem, each "line number: what is wrong".
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class RequisitionLine:
    """One requisition text with its answers, from the text alone.

    Attributes:
        split: "tune" or "held_out".
        terms: Words of the text and how they are meant.
    """

    text: str
    tier: OncologyTier
    symptom_class: SymptomClass
    onset: Onset
    terms: tuple[tuple[str, Assertion], ...] = ()
    split: str = "tune"


@dataclass(frozen=True, slots=True, kw_only=True)
class NegationLine:
    """One clinical sentence, a term in it, and whether the sentence denies the term."""

    text: str
    term: str
    negated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Counts for one label.

    Attributes:
        label: The label, e.g. "oncology metastatic".
        right: The matcher and the answer both say it.
        wrong: Only the matcher says it.
        missed: Only the answer says it.
    """

    label: str
    right: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float:
        """Share of what the matcher said that is right, 0-1; 1 when it said nothing."""
        said = self.right + self.wrong
        return self.right / said if said else 1.0

    @property
    def recall(self) -> float:
        """Share of what is true that the matcher said, 0-1; 1 when nothing is true."""
        true = self.right + self.missed
        return self.right / true if true else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 0-1."""
        total = 2 * self.right + self.wrong + self.missed
        return 2 * self.right / total if total else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """One line that the matcher read otherwise than its answer."""

    text: str
    about: str
    expected: str
    read: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationReport:
    """The scores in the order of the vocabulary, every miss, and the number of lines."""

    scores: tuple[Score, ...]
    misses: tuple[Miss, ...]
    line_count: int

    def score(self, label: str) -> Score:
        """Return the score of *label*.

        Raises:
            KeyError: No such label was measured.
        """
        for score in self.scores:
            if score.label == label:
                return score
        raise KeyError(label)


class _Tally:
    def __init__(self) -> None:
        self.counts: dict[str, list[int]] = {}
        self.misses: list[Miss] = []

    def compare(self, label: str, *, expected: bool, read: bool) -> None:
        counts = self.counts.setdefault(label, [0, 0, 0])
        if expected and read:
            counts[0] += 1
        elif read:
            counts[1] += 1
        elif expected:
            counts[2] += 1

    def compare_words(self, text: str, about: str, expected: str, read: str) -> None:
        for word in {expected, read}:
            self.compare(f"{about} {word}", expected=word == expected, read=word == read)
        if expected != read:
            self.misses.append(Miss(text=text, about=about, expected=expected, read=read))

    def report(self, line_count: int) -> EvaluationReport:
        scores = tuple(
            Score(label=label, right=right, wrong=wrong, missed=missed)
            for label, (right, wrong, missed) in sorted(self.counts.items())
        )
        return EvaluationReport(scores=scores, misses=tuple(self.misses), line_count=line_count)


def parse_requisitions(content: str) -> tuple[RequisitionLine, ...]:
    """Return the lines of a requisition file: tab-separated, a header, "#" comments.

    Raises:
        EvaluationFileError: A column, a word of the vocabulary or a term is wrong; all problems at once.
    """
    problems: list[str] = []
    lines = []
    for number, values in _rows(content, _REQUISITION_COLUMNS, problems):
        split, text, tier, symptom, onset, terms = values
        pairs = [pair.partition("=") for pair in terms.split(";") if pair]
        problems.extend(f"{number}: {words!r} does not stand in the text" for words, _, _ in pairs if words not in text)
        try:
            lines.append(
                RequisitionLine(
                    text=text,
                    tier=OncologyTier(tier),
                    symptom_class=SymptomClass(symptom),
                    onset=Onset(onset),
                    terms=tuple((words, Assertion(meant)) for words, _, meant in pairs),
                    split=split,
                )
            )
        except ValueError as error:
            problems.append(f"{number}: {error}")
    if problems:
        raise EvaluationFileError(tuple(problems))
    return tuple(lines)


def parse_negations(content: str) -> tuple[NegationLine, ...]:
    """Return the lines of a negation file: sentence, term, "negated" or "affirmed".

    Raises:
        EvaluationFileError: A column, an answer or a term is wrong; all problems at once.
    """
    problems: list[str] = []
    lines = []
    for number, (sentence, term, gold) in _rows(content, _NEGATION_COLUMNS, problems):
        if term not in sentence:
            problems.append(f"{number}: {term!r} does not stand in the sentence")
        if gold not in ("negated", "affirmed"):
            problems.append(f"{number}: {gold!r} is not negated or affirmed")
        lines.append(NegationLine(text=sentence, term=term, negated=gold == "negated"))
    if problems:
        raise EvaluationFileError(tuple(problems))
    return tuple(lines)


def _rows(content: str, columns: tuple[str, ...], problems: list[str]) -> Iterable[tuple[int, list[str]]]:
    header_seen = False
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        values = line.split("\t")
        if not header_seen:
            header_seen = True
            if tuple(values) != columns:
                problems.append(f"{number}: the header must be {' '.join(columns)}, parted by tabs")
                return
        elif len(values) != len(columns):
            problems.append(f"{number}: {len(values)} columns instead of {len(columns)}")
        else:
            yield number, values


def evaluate_lines(matcher: TextMatcher, lines: Sequence[RequisitionLine]) -> EvaluationReport:
    """Return the scores over requisition lines.

    Labels: "cancer known or suspected" (tiers metastatic, active, suspected), "cancer any" (also histories), each
    "oncology TIER", "symptom CLASS", "onset WORD", and "assertion WORD" over the listed terms.
    """
    tally = _Tally()
    for line in lines:
        reading = matcher.read(line.text)
        tier = strongest_tier(reading)
        symptom = read_symptom([reading])
        tally.compare(
            "cancer known or suspected", expected=line.tier in KNOWN_OR_SUSPECTED, read=tier in KNOWN_OR_SUSPECTED
        )
        tally.compare("cancer any", expected=line.tier is not OncologyTier.NONE, read=tier is not OncologyTier.NONE)
        tally.compare_words(line.text, "oncology", line.tier, tier)
        tally.compare_words(line.text, "symptom", line.symptom_class, symptom.symptom_class)
        tally.compare_words(line.text, "onset", line.onset, symptom.onset)
        for words, meant in line.terms:
            tally.compare_words(line.text, "assertion", meant, _assertion_of(reading, line.text, words))
    return tally.report(len(lines))


def strongest_tier(reading: TextReading) -> OncologyTier:
    """Return the strongest tier that *reading* speaks for."""
    tiers = (finding.tier for finding in read_oncology(reading.mentions))
    return min(tiers, key=_TIERS.index, default=OncologyTier.NONE)


def _assertion_of(reading: TextReading, text: str, words: str) -> str:
    start = text.index(words)
    end = start + len(words)
    found = {m.assertion for m in reading.mentions if m.start_offset < end and m.end_offset > start}
    return found.pop() if len(found) == 1 else "not read" if not found else "divided"


def evaluate_negations(matcher: TextMatcher, lines: Sequence[NegationLine]) -> EvaluationReport:
    """Return the scores over general clinical sentences; labels "negation negated" and "negation affirmed"."""
    tally = _Tally()
    for line in lines:
        start = line.text.index(line.term)
        assertion = matcher.assertion_at(line.text, start, start + len(line.term))
        read = "negated" if assertion is Assertion.NEGATED else "affirmed"
        tally.compare_words(line.text, "negation", "negated" if line.negated else "affirmed", read)
    return tally.report(len(lines))
