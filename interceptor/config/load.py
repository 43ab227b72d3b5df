"""Read the configuration file, and report every problem of it at once.

A path in, a `Config` out, or `ConfigError` with one line for each problem, each with file, line and key.
The cross-checks (a route's destination exists, no two listeners share a port ...) run even when single
values are wrong, as far as what they compare was readable.

Failures: a file that cannot be opened or is not TOML is one problem like any other.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from interceptor.config.cross_check import cross_check, warn
from interceptor.config.schema import Config, NodeTable
from interceptor.config.toml_lines import KeyPath, find_key_lines

_TableT = TypeVar("_TableT", bound=BaseModel)
_TOML_POSITION = re.compile(r"\s*\(at line (\d+), column \d+\)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigProblem:
    """One thing that is wrong, or worth a warning.

    Attributes:
        file: Path of the file as it was given.
        line: Line of the key, counted from 1; None when it stands nowhere (a missing key has its table's line).
        key: Dotted path of the key, e.g. "route.main.listen"; "" for the file as a whole.
        what: What is wrong, in words.
    """

    file: str
    line: int | None
    key: str
    what: str

    def __str__(self) -> str:
        """One line for a person: `file:line: key: what`."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(part for part in (place, self.key, self.what) if part)


class ConfigError(ValueError):
    """The configuration cannot be used.

    Attributes:
        problems: All of them, in the order of the file.
    """

    def __init__(self, problems: Sequence[ConfigProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def load_config(path: Path) -> Config:
    """Read and check one configuration file; relative paths in it start at its folder.

    Raises:
        ConfigError: It cannot be used, with every problem that could be found.
    """
    text = _read(path)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_problem(path, str(error))]) from None
    lines = find_key_lines(text)
    found: list[tuple[KeyPath, str]] = []
    config: Config | None = None
    try:
        config = Config.model_validate_json(json.dumps(document, default=str))
    except ValidationError as error:
        found.extend(_explain(detail) for detail in error.errors(include_url=False))
    found.extend(cross_check(document))
    if config is None or found:
        raise ConfigError(_place(path, lines, found))
    return _with_absolute_files(config, path.absolute().parent)


def find_node_table(path: Path) -> NodeTable | None:
    """The [node] table alone, when it is sound: so that what it names can be checked beside other problems."""
    try:
        table = tomllib.loads(_read(path)).get("node")
        node = NodeTable.model_validate_json(json.dumps(table, default=str))
    except (ConfigError, tomllib.TOMLDecodeError, ValidationError):
        return None
    return _with_absolute_files(node, path.absolute().parent)


def find_warnings(path: Path, config: Config) -> tuple[ConfigProblem, ...]:
    """What a careful person would want to know of a valid configuration, with its place in the file."""
    return tuple(_place(path, find_key_lines(_read(path)), warn(config)))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        what = f"cannot be read: {error.strerror or type(error).__name__}"
    except UnicodeDecodeError as error:
        what = f"is not UTF-8 text (byte {error.start})"
    raise ConfigError([ConfigProblem(file=str(path), line=None, key="", what=what)])


def _syntax_problem(path: Path, message: str) -> ConfigProblem:
    position = _TOML_POSITION.search(message)
    line = int(position.group(1)) if position else None
    what = "is not TOML: " + _TOML_POSITION.sub("", message)
    return ConfigProblem(file=str(path), line=line, key="", what=what)


def _place(path: Path, lines: Mapping[KeyPath, int], found: Iterable[tuple[KeyPath, str]]) -> list[ConfigProblem]:
    problems = [
        ConfigProblem(file=str(path), line=_line_of(key, lines), key=".".join(key), what=what)
        for key, what in dict.fromkeys(found)
    ]
    return sorted(problems, key=lambda problem: (problem.line is None, problem.line or 0))


def _line_of(key: KeyPath, lines: Mapping[KeyPath, int]) -> int | None:
    """The key's own line, else that of the nearest table around it (a missing key has no line of its own)."""
    return next((lines[key[:size]] for size in range(len(key), 0, -1) if key[:size] in lines), None)


def _explain(detail: ErrorDetails) -> tuple[KeyPath, str]:
    # A wrong name of a route or destination is reported below the name, at a part called "[key]".
    key = tuple(f"[{part + 1}]" if isinstance(part, int) else part for part in detail["loc"])
    if key[-1:] == ("[key]",):
        return key[:-1], "is not a name: use a-z, 0-9, - and _, beginning with a letter or digit, at most 32 characters"
    return key, _words(detail, key)


def _words(detail: ErrorDetails, key: KeyPath) -> str:
    value = detail["input"]
    shown = json.dumps(value, default=str) if isinstance(value, str | int | float | bool) else "the value"
    limits: Mapping[str, Any] = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            return "missing"
        case "extra_forbidden":
            return f"unknown key{_suggestion(key)}"
        case "literal_error":
            return f"{shown} is not one of {limits['expected'].replace(chr(39), '').replace(' or ', ', ')}"
        case "greater_than_equal" | "less_than_equal" | "greater_than" | "less_than":
            return f"{shown} is not {_range_of(key)}"
        case "string_pattern_mismatch":
            return (
                f"{shown} is not a name: use a-z, 0-9, - and _, beginning with a letter or digit, at most 32 characters"
            )
        case "too_short":
            return f"needs at least one [{key[0]}.NAME] table" if len(key) == 1 else "is empty"
        case "value_error":
            return str(limits["error"])
        case "model_type" | "dict_type" | "model_attributes_type":
            return f"is a table: write [{'.'.join(key)}]"
        case _:
            return f"{shown}: {detail['msg'][0].lower()}{detail['msg'][1:]}"


def _table_at(key: KeyPath) -> type[BaseModel] | None:
    """The schema of the table that this path leads to; names of routes and destinations may be anything."""
    table: Any = Config
    for part in key:
        table = _without_none(table)
        if get_origin(table) is not None:  # Mapping[Name, SomeTable] or tuple[SomeTable, ...]: a name, or a number.
            table = get_args(table)[0 if get_origin(table) is tuple else 1]
            continue
        field = table.model_fields.get(part) if isinstance(table, type) and issubclass(table, BaseModel) else None
        if field is None:
            return None
        table = field.annotation
    table = _without_none(table)
    return table if isinstance(table, type) and issubclass(table, BaseModel) else None


def _without_none(annotation: Any) -> Any:
    """A table that may be left out is the table."""
    if get_origin(annotation) in (UnionType, Union):
        return next(member for member in get_args(annotation) if member is not type(None))
    return annotation


def _suggestion(key: KeyPath) -> str:
    table = _table_at(key[:-1])
    close = difflib.get_close_matches(key[-1], table.model_fields, n=1) if table else []
    return f'; did you mean "{close[0]}"?' if close else ""


def _range_of(key: KeyPath) -> str:
    table = _table_at(key[:-1])
    assert table is not None, "only keys of tables have ranges"
    return describe_range(table, key[-1])


def describe_range(table: type[BaseModel], key: str) -> str:
    """The bounds of a number in words, e.g. "1 to 200" or "above 0 and at most 300"; "" when it has none."""
    bounds = dict(_bounds(table.model_fields[key].metadata))
    if "ge" in bounds and "le" in bounds:
        return f"{bounds['ge']} to {bounds['le']}"
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return " and ".join(f"{words[name]} {limit}" for name, limit in bounds.items())


def _bounds(metadata: Sequence[object]) -> Iterator[tuple[str, object]]:
    for item in metadata:
        for name in ("ge", "gt", "le", "lt"):
            if (limit := getattr(item, name, None)) is not None:
                yield name, limit


def _with_absolute_files(table: _TableT, folder: Path) -> _TableT:
    """The same table, every path in it and in the tables below it starting at *folder*."""
    return table.model_copy(update={name: _absolute(getattr(table, name), folder) for name in type(table).model_fields})


def _absolute(value: object, folder: Path) -> object:
    if isinstance(value, Path):
        return folder / value.expanduser()
    if isinstance(value, BaseModel):
        return _with_absolute_files(value, folder)
    if isinstance(value, Mapping):
        return {key: _absolute(each, folder) for key, each in value.items()}
    return value
