"""Find on which line of a TOML text each key stands: the parser of the standard library does not say.

Text in, line numbers out (counted from 1). This is no TOML parser: it reads texts that `tomllib` has
already accepted, and needs only to find where tables and keys begin. A key that it cannot place is
absent from the answer, which costs a message its line number and nothing else.
"""

import re
from collections.abc import Iterator

KeyPath = tuple[str, ...]

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=\s*")
_TABLE = re.compile(rf"\s*\[\[?\s*({_PART}(?:\s*\.\s*{_PART})*)\s*\]\]?")
_PARTS = re.compile(_PART)
# What matters inside a value: strings (so that brackets in them do not count), comments, and brackets.
_TOKENS = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}' "|'''.*?'{3,5}" r'|"(?:[^"\\\n]|\\.)*"' "|'[^'\n]*'" r"|\#[^\n]*|[\[\]{}]|\n",
    re.DOTALL,
)


def find_key_lines(text: str) -> dict[KeyPath, int]:
    """Map the path of each table and key to the line that it begins on; the first of several wins."""
    lines: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for offset, line in _statements(text):
        header = _TABLE.match(text, offset)
        if header is not None:
            table = _split(header.group(1))
            lines.setdefault(table, line)
            continue
        key = _KEY.match(text, offset)
        if key is not None:
            lines.setdefault((*table, *_split(key.group(1))), line)
    return lines


def _split(dotted: str) -> KeyPath:
    return tuple(part[1:-1] if part[0] in "\"'" else part for part in _PARTS.findall(dotted))


def _statements(text: str) -> Iterator[tuple[int, int]]:
    """Offset and line number of each line that begins a statement: those outside open strings and brackets."""
    yield 0, 1
    depth = 0
    line = 1
    for token in _TOKENS.finditer(text):
        word = token.group()
        line += word.count("\n")
        if word in ("[", "{"):
            depth += 1
        elif word in ("]", "}"):
            depth -= 1
        elif word == "\n" and depth == 0:
            yield token.end(), line
