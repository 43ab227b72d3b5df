"""From the text of a policy file to a `PolicyDocument`, or to every problem in it with file and line.

Nothing is half-loaded: one problem anywhere refuses the file. Beyond its shape the reader checks that each
row can decide something in each profile that has it, and that no order is left undecided.
"""

import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from interceptor.context.vocabulary import ProcedureClass
from interceptor.decision.condition import Condition, ConditionError, parse_condition
from interceptor.decision.decision import Disposition
from interceptor.decision.policy_check import check_coverage, check_references
from interceptor.decision.policy_document import (
    STRENGTHS,
    Give,
    PolicyDocument,
    Profile,
    Reason,
    Row,
    Source,
    Switch,
)
from interceptor.decision.policy_line import LineIndex, Path

FORMAT = 1
PLACEHOLDERS = ("exception", "urgency")
"""What a sentence may hold in braces."""

_CODE = re.compile(r"^[AHPS]-[A-Z-]+$")
_PLACEHOLDER = re.compile(r"\{([^}]*)\}")
_FORBIDDEN = ("requires", "required by", "no cancer", "nothing found", "cancer-free", "no evidence of cancer")
"""Words that no sentence may hold: no college "requires" anything, and no message says that a patient has no cancer."""


class PolicyError(ValueError):
    """The policy cannot be loaded.

    Attributes:
        problems: Every problem, each "file:line: key: what is wrong".
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def read_policy(text: str, *, file: str) -> PolicyDocument:
    """Read and check a policy file.

    Args:
        text: The file's content, decoded as UTF-8 without changing a line end.
        file: Its name, for problems.

    Raises:
        PolicyError: Anything is wrong with it.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"\(at line (\d+)", str(error))
        line = where[1] if where else str(text.count("\n") + 1)
        raise PolicyError([f"{file}:{line}: not TOML: {error}"]) from None
    reader = _Reader(file, LineIndex(text))
    document = reader.document(tables, sha256=hashlib.sha256(text.encode()).hexdigest())
    if not reader.problems:
        check_references(document, reader.problem)
    if not reader.problems:
        check_coverage(document, reader.problem)
    if reader.problems:
        raise PolicyError([problem for _, problem in sorted(reader.problems, key=lambda found: found[0])])
    return document


class _Reader:
    """Turns tables into values and notes every problem with its line; wrong values become harmless ones."""

    def __init__(self, file: str, lines: LineIndex) -> None:
        self.problems: list[tuple[int, str]] = []
        self._file = file
        self._lines = lines

    def problem(self, path: Path, key: str | None, what: str, item: str | None = None) -> None:
        """Note a problem with the table at *path*, its *key* and, in a list, the *item*."""
        line = self._lines.line_of(path, key, item)
        label = ".".join(str(step) for step in path if isinstance(step, str))
        name = ".".join(part for part in (label, key or "") if part)
        self.problems.append((line, f"{self._file}:{line}: {name or 'file'}: {what}"))

    def line_of(self, path: Path) -> int:
        """Line of a table's header."""
        return self._lines.line_of(path)

    def document(self, tables: Mapping[str, Any], *, sha256: str) -> PolicyDocument:
        """The whole file as values."""
        known = {"format", "policy", "source", "switch", "profile", "reason", "noncompliant", "row"}
        self._unknown_keys((), tables, known)
        if tables.get("format") != FORMAT:
            self.problem((), "format", f"is not {FORMAT}, the only format that this version reads")
        head = self._table((), tables, "policy")
        self._unknown_keys(("policy",), head, {"id", "version", "title", "question"})
        return PolicyDocument(
            policy_id=self._text(("policy",), head, "id"),
            version=self._text(("policy",), head, "version"),
            title=self._text(("policy",), head, "title"),
            question=self._text(("policy",), head, "question"),
            sources=tuple(self._source(name, table) for name, table in self._named(tables, "source")),
            switches=tuple(self._switch(name, table) for name, table in self._named(tables, "switch")),
            profiles=tuple(self._profile(name, table) for name, table in self._named(tables, "profile")),
            reasons=tuple(self._reason(index, table) for index, table in self._listed((), tables, "reason")),
            noncompliant=self._noncompliant(self._table((), tables, "noncompliant")),
            rows=tuple(self._row(index, table) for index, table in self._listed((), tables, "row")),
            sha256=sha256,
        )

    def _source(self, name: str, table: Mapping[str, Any]) -> Source:
        path = ("source", name)
        keys = ("title", "edition", "page", "read", "worth")
        self._unknown_keys(path, table, {*keys, "url"})
        url = self._text(path, table, "url", default="")
        if url and not url.startswith("https://"):
            self.problem(path, "url", "is not an https address")
        return Source(name=name, url=url, **{key: self._text(path, table, key) for key in keys})

    def _switch(self, name: str, table: Mapping[str, Any]) -> Switch:
        path = ("switch", name)
        self._unknown_keys(path, table, {"asks", "reason"})
        return Switch(name=name, asks=self._text(path, table, "asks"), reason=self._text(path, table, "reason"))

    def _profile(self, name: str, table: Mapping[str, Any]) -> Profile:
        path = ("profile", name)
        self._unknown_keys(path, table, {"title", "on"})
        return Profile(name=name, title=self._text(path, table, "title"), on=frozenset(self._texts(path, table, "on")))

    def _reason(self, index: int, table: Mapping[str, Any]) -> Reason:
        path = ("reason", index)
        self._unknown_keys(path, table, {"code", "says", "means", "prevents"})
        code = self._text(path, table, "code")
        if code and not _CODE.match(code):
            self.problem(path, "code", f"{code!r} is not A-, H-, P- or S- and capital letters")
        return Reason(
            code=code,
            says=self._sentence(path, table),
            means=self._text(path, table, "means"),
            prevents=self._text(path, table, "prevents", default=""),
        )

    def _noncompliant(self, table: Mapping[str, Any]) -> tuple[tuple[ProcedureClass, str], ...]:
        found = []
        for name in table:
            if name in set(ProcedureClass):
                found.append((ProcedureClass(name), self._text(("noncompliant",), table, name)))
            else:
                self.problem(("noncompliant",), name, f"unknown procedure class; known: {', '.join(ProcedureClass)}")
        return tuple(found)

    def _row(self, index: int, table: Mapping[str, Any]) -> Row:
        path = ("row", index)
        texts = {"name", "asks", "decides", "source", "strength", "switch", "unless_switch"}
        flags = {"lists_noncompliance", "decide_again"}
        self._unknown_keys(path, table, texts | flags | {"number", "needs", "when", "gives", "hold_deadline_minutes"})
        decides = self._text(path, table, "decides")
        words = {disposition.word: disposition for disposition in Disposition}
        if decides and decides not in words:
            self.problem(path, "decides", f"{decides!r} is not one of {', '.join(words)}")
        strength = self._text(path, table, "strength")
        if strength and strength not in STRENGTHS:
            self.problem(path, "strength", f"{strength!r} is not one of {', '.join(STRENGTHS)}")
        gives = tuple(self._give(path, give_index, give) for give_index, give in self._listed(path, table, "gives"))
        minutes = table.get("hold_deadline_minutes")
        if minutes is not None and (isinstance(minutes, bool) or not isinstance(minutes, (int, float)) or minutes <= 0):
            self.problem(path, "hold_deadline_minutes", "is not a number above 0")
            minutes = None
        row = Row(
            number=self._number(path, table, "number"),
            name=self._text(path, table, "name"),
            asks=self._text(path, table, "asks"),
            needs=self._texts(path, table, "needs"),
            when=self._conditions(path, table),
            gives=gives,
            disposition=words.get(decides, Disposition.PASS),
            source=self._text(path, table, "source"),
            strength=strength,
            switch=self._text(path, table, "switch", default=""),
            unless_switch=self._text(path, table, "unless_switch", default=""),
            lists_noncompliance=self._flag(path, table, "lists_noncompliance"),
            decide_again=self._flag(path, table, "decide_again"),
            hold_deadline_seconds=None if minutes is None else float(minutes) * 60,
            line=self.line_of(path),
        )
        self._check_needs(path, row)
        return row

    def _give(self, row: Path, index: int, table: Mapping[str, Any]) -> Give:
        path = (*row, "gives", index)
        self._unknown_keys(path, table, {"code", "when", "says", "escalate", "switch", "unless_switch"})
        return Give(
            code=self._text(path, table, "code"),
            when=self._conditions(path, table),
            says=self._sentence(path, table) if "says" in table else "",
            escalate=self._flag(path, table, "escalate"),
            switch=self._text(path, table, "switch", default=""),
            unless_switch=self._text(path, table, "unless_switch", default=""),
        )

    def _check_needs(self, path: Path, row: Row) -> None:
        conditions = [*row.when, *(condition for give in row.gives for condition in give.when)]
        used = {str(condition.fact) for condition in conditions}
        if any("{urgency}" in give.says for give in row.gives):
            used.add("urgency")
        if used != set(row.needs):
            self.problem(path, "needs", f"is not what the row reads: {', '.join(sorted(used)) or 'nothing'}")

    def _conditions(self, path: Path, table: Mapping[str, Any]) -> tuple[Condition, ...]:
        conditions = []
        for text in self._texts(path, table, "when", default=()):
            try:
                conditions.append(parse_condition(text))
            except ConditionError as error:
                self.problem(path, "when", str(error), item=text)
        return tuple(conditions)

    def _sentence(self, path: Path, table: Mapping[str, Any]) -> str:
        text = self._text(path, table, "says")
        if not text.isascii() or any(ord(character) < ord(" ") for character in text):
            self.problem(path, "says", "is not plain ASCII on one line")
        for word in _FORBIDDEN:
            if word in text.lower():
                self.problem(path, "says", f"says {word!r}, which no message may say")
        for name in _PLACEHOLDER.findall(text):
            if name not in PLACEHOLDERS:
                self.problem(path, "says", f"unknown placeholder {name!r}; known: {', '.join(PLACEHOLDERS)}")
        return text

    def _unknown_keys(self, path: Path, table: Mapping[str, Any], known: set[str]) -> None:
        for key in table:
            if key not in known:
                self.problem(path, key, "unknown key")

    def _table(self, path: Path, table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        value = table.get(key)
        if isinstance(value, dict):
            return value
        self.problem(path, key, "missing" if value is None else "is not a table")
        return {}

    def _named(self, table: Mapping[str, Any], key: str) -> list[tuple[str, Mapping[str, Any]]]:
        outer = self._table((), table, key) if key in table else {}
        return [(name, self._table((key,), outer, name)) for name in outer]

    def _listed(self, path: Path, table: Mapping[str, Any], key: str) -> list[tuple[int, Mapping[str, Any]]]:
        value = table.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
            self.problem(path, key, "missing" if not value else "is not an array of tables")
            return []
        return list(enumerate(value))

    def _text(self, path: Path, table: Mapping[str, Any], key: str, *, default: str | None = None) -> str:
        value = table.get(key, default)
        if isinstance(value, str) and (value.strip() or default is not None):
            return value
        self.problem(path, key, "missing" if value is None else "is not a text, or empty")
        return ""

    def _texts(
        self, path: Path, table: Mapping[str, Any], key: str, *, default: tuple[str, ...] | None = None
    ) -> tuple[str, ...]:
        value = table.get(key, default)
        if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
            return tuple(value)
        self.problem(path, key, "missing" if value is None else "is not a list of texts")
        return ()

    def _number(self, path: Path, table: Mapping[str, Any], key: str) -> int:
        value = table.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
        self.problem(path, key, "missing" if value is None else "is not a whole number above 0")
        return 0

    def _flag(self, path: Path, table: Mapping[str, Any], key: str) -> bool:
        value = table.get(key, False)
        if not isinstance(value, bool):
            self.problem(path, key, "is not true or false")
        return value is True
