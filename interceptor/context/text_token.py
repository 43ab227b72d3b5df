"""Cut a short clinical text into words, numbers and signs, with their places.

Text in, tokens out. Requisitions are written without care ("x3wks", "T10", "mother's", "non-small cell"), so letters
and digits part, apostrophes vanish, a hyphen inside a word is no sign, and a full stop counts only where a sentence
ends. Phrases of the tables are cut by the same function, so both sides always agree.
"""

import re
from dataclasses import dataclass

# One pass, no alternative can match the same characters twice: linear time.
_TOKEN = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+(?:\.\d+)?|[\r\n]+|[^\w\s]|_")

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


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one text: three tuples of one length.

    Attributes:
        words: Lower case, without apostrophes; a sentence or line end is ".", a soft line end ",".
        starts: Offset of the first character, from 0.
        ends: Offset after the last character.
    """

    words: list[str]
    starts: list[int]
    ends: list[int]


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
    words: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for match in _TOKEN.finditer(lowered):
        word = match[0]
        start, end = match.span()
        first = word[0]
        if not first.isalnum():
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
        elif "'" in word:
            word = word.replace("'", "")
        words.append(word)
        starts.append(start)
        ends.append(end)
    return Tokens(words, starts, ends)


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
