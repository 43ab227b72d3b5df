"""Where things stand in a policy file: from the path of a TOML value to its line.

The TOML reader of the standard library gives values without places. Policies are written by hand, so a
problem needs a line. This module finds the lines of table headers and keys; it trusts that the text has
already been read as TOML.
"""

import re

Path = tuple[str | int, ...]
"""Steps to a table: names, and 0-based indexes into arrays of tables."""

_ARRAY_HEADER = re.compile(r"^\s*\[\[\s*([^\]]+?)\s*\]\]")
_TABLE_HEADER = re.compile(r"^\s*\[\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"""^\s*([A-Za-z0-9_-]+|"[^"]*")\s*=""")


class LineIndex:
    """Lines of one TOML text, counted from 1."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        self._tables: dict[Path, int] = {(): 1}
        self._keys: dict[tuple[Path, str], int] = {}
        counts: dict[Path, int] = {}
        current: Path = ()
        for number, line in enumerate(self._lines, start=1):
            if array := _ARRAY_HEADER.match(line):
                current = _resolve(array[1], counts)
                counts[current] = counts.get(current, 0) + 1
                current = (*current, counts[current] - 1)
                self._tables[current] = number
            elif table := _TABLE_HEADER.match(line):
                current = _resolve(table[1], counts)
                self._tables[current] = number
            elif key := _KEY.match(line):
                self._keys.setdefault((current, key[1].strip('"')), number)

    def line_of(self, path: Path, key: str | None = None, item: str | None = None) -> int:
        """Line of a table, of a key in it, or of one text item in the key's value; the nearest one known."""
        if key is None or (path, key) not in self._keys:
            return self._tables.get(path) or (self.line_of(path[:-1]) if path else 1)
        line = self._keys[(path, key)]
        if item is None:
            return line
        end = min([start for start in self._keys.values() if start > line], default=len(self._lines) + 1)
        return next((number for number in range(line, end) if item in self._lines[number - 1]), line)


def _resolve(dotted: str, counts: dict[Path, int]) -> Path:
    """Path of a header, with the index of the latest table where a step is an array of tables."""
    path: Path = ()
    names = [name.strip().strip('"') for name in re.findall(r'"[^"]*"|[^.]+', dotted)]
    for position, name in enumerate(names):
        path = (*path, name)
        if path in counts and position < len(names) - 1:
            path = (*path, counts[path] - 1)
    return path
