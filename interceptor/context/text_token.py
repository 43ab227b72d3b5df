"""Cut a short clinical text into words, numbers and signs, with their places.

Text in, tokens out. Requisitions are written without care ("x3wks", "T10", "mother's", "non-small cell"), so letters
and digits part, apostrophes vanish, a hyphen inside a word is no sign, and a full stop counts only where a sentence
ends. Phrases of the tables are cut by the same function, so both sides always agree.
"""

import re

# One pass, no alternative can match the same characters twice: linear time.
_TOKEN = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+(?:\.\d+)?|[\r\n]+|[^\w\s]|_")

# What may be more or less than a token: an apostrophe, a hyphen, a line end. A full stop is looked for apart.
_SIGNS = frozenset("'-\r\n")

# Typographic signs of word processors, one character for one so that offsets hold.
_PLAIN = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u02bc": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u2010": "-",
        "\u2011": "-",
        "\u2012": "-",
        "\u2013": "-",
        "\u2014": "-",
        "\u2022": "*",
        "\u00d7": "x",
    }
)

# A full stop after these is no end of a sentence unless a capital follows.
_DOTTED = frozenset(
    [
        "hx",
        "pt",
        "pts",
        "dx",
        "rx",
        "tx",
        "sx",
        "fx",
        "vs",
        "dr",
        "mr",
        "mrs",
        "ms",
        "st",
        "lt",
        "rt",
        "bilat",
        "hist",
        "approx",
        "poss",
        "prob",
        "mult",
        "wk",
        "wks",
        "mo",
        "mos",
        "yr",
        "yrs",
        "yo",
        "eval",
        "susp",
        "diff",
        "neg",
        "pos",
        "inc",
        "incl",
        "gen",
        "mod",
        "sig",
        "malig",
        "abd",
        "ext",
        "lat",
        "r",
        "l",
        "c",
        "s",
        "t",
        "h",
        "b",
        "p",
        "w",
        "o",
    ]
)

# A line that ends in one of these goes on in the next.
_DANGLING = frozenset(
    [
        "of",
        "for",
        "with",
        "w",
        "no",
        "not",
        "and",
        "or",
        "to",
        "the",
        "a",
        "an",
        "in",
        "on",
        "from",
        "without",
        "denies",
        "hx",
        "ho",
        "r/o",
        "eval",
        "vs",
        "by",
        "/",
    ]
)


class Tokens:
    """The tokens of one text: three lists of one length.

    Most texts of an order hold no mention, and nobody asks where their words stand: places are found when asked for.

    Attributes:
        words: Lower case, without apostrophes; a sentence or line end is ".", a soft line end ",".
    """

    __slots__ = ("_lowered", "_places", "words")

    def __init__(self, lowered: str, words: list[str], places: tuple[list[int], list[int]] | None) -> None:
        self.words = words
        self._lowered = lowered
        self._places = places

    def _find_places(self) -> tuple[list[int], list[int]]:
        if self._places is None:
            spans = [match.span() for match in _TOKEN.finditer(self._lowered)]
            self._places = ([start for start, _ in spans], [end for _, end in spans])
        return self._places

    @property
    def starts(self) -> list[int]:
        """Offsets of the first character of each, from 0."""
        return self._find_places()[0]

    @property
    def ends(self) -> list[int]:
        """Offsets after the last character of each."""
        return self._find_places()[1]


def lower_same_length(text: str) -> str:
    """Return *text* in lower case with plain quotes and dashes, character for character."""
    plain = text.translate(_PLAIN) if not text.isascii() else text
    lowered = plain.lower()
    if len(lowered) == len(plain):
        return lowered
    # A few letters (U+0130) become two in lower case; those stay as they are.
    return "".join(low if len(low := character.lower()) == 1 else character for character in plain)


def tokenise(text: str) -> Tokens:
    """Return the tokens of *text*; every offset lies inside it."""
    lowered = lower_same_length(text)
    if _SIGNS.isdisjoint(lowered) and lowered.find(".", 0, -1) < 0:
        # Every token stands for itself; a full stop at the very end is always an end.
        return Tokens(lowered, _TOKEN.findall(lowered), None)
    words: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for match in _TOKEN.finditer(lowered):
        word = match[0]
        start, end = match.span()
        first = word[0]
        if first == "-":
            if _inside_word(lowered, start, end):
                continue
        elif first == ".":
            if words and not _ends_sentence(text, lowered, words[-1], end):
                continue
        elif first in "\r\n":
            if _line_goes_on(lowered, words, end):
                continue
            # A lower-case line may be a wrapped one: it divides no more than a comma does.
            word = "," if lowered[end] == text[end] and lowered[end].isalpha() else "."
        elif first.isalnum() and "'" in word:
            word = word.replace("'", "")
        words.append(word)
        starts.append(start)
        ends.append(end)
    return Tokens(lowered, words, (starts, ends))


def _inside_word(lowered: str, start: int, end: int) -> bool:
    return start > 0 and end < len(lowered) and lowered[start - 1].isalnum() and lowered[end].isalnum()


def _ends_sentence(text: str, lowered: str, previous: str, end: int) -> bool:
    rest = text[end : end + 2]
    if not rest:
        return True
    if rest[0].isspace():
        capital = len(rest) > 1 and rest[1].isupper() and not text[max(0, end - 3) : end - 1].isupper()
        return previous not in _DOTTED or capital
    # "pain.no fever" lacks a blank; "h.o." and "s.p" are abbreviations.
    follows = lowered[end : end + 2]
    return len(previous) > 1 and len(follows) == 2 and follows.isalpha() and previous not in _DOTTED


def _line_goes_on(lowered: str, words: list[str], end: int) -> bool:
    if not words or end >= len(lowered):
        return True
    return lowered[end].isspace() or words[-1] in _DANGLING
