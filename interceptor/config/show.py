"""A configuration as TOML or JSON for people, and the JSON Schema that editors check the file with."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from interceptor.config.schema import Config

REDACTED: Final = "(left out)"
_PRIVATE_KEY = re.compile(r"(_file|_env)$|^client_id$")
"""Keys that say where a secret is found, or who we are to another server."""
_BARE_KEY = re.compile(r"^[A-Za-z0-9_-]+$")


def config_values(config: Config, *, effective: bool, redact: bool) -> dict[str, Any]:
    """The configuration as plain values, in the order of the schema; keys without a value are left out.

    Args:
        config: As it was loaded: paths are absolute.
        effective: Defaults too; else only what differs from them.
        redact: `REDACTED` in place of where secrets are found.
    """
    values: dict[str, Any] = config.model_dump(mode="json", exclude_none=True, exclude_defaults=not effective)
    return _redacted(values) if redact else values


def to_json_text(values: Mapping[str, Any]) -> str:
    """*values* as indented JSON."""
    return json.dumps(values, indent=2) + "\n"


def to_toml(values: Mapping[str, Any]) -> str:
    """*values* as TOML: one [table] for each mapping of tables, other mappings inline."""
    return "\n".join(_tables((), values)).lstrip("\n") + "\n"


def build_config_schema() -> str:
    """The JSON Schema of the configuration file (draft 2020-12), indented; it does not know what is compared between keys."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Interceptor configuration",
        **_without_titles(Config.model_json_schema(mode="validation")),
    }
    schema["title"] = "Interceptor configuration"
    return json.dumps(schema, indent=2) + "\n"


def _without_titles(value: Any) -> Any:
    """Pydantic gives each key its name as a title again: editors show the key itself."""
    if isinstance(value, dict):
        return {
            name: _without_titles(inner)
            for name, inner in value.items()
            if not (name == "title" and isinstance(inner, str))
        }
    if isinstance(value, list):
        return [_without_titles(inner) for inner in value]
    return value


def _redacted(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _redacted(value)
        if isinstance(value, dict)
        else REDACTED
        if _PRIVATE_KEY.search(name) and isinstance(value, str)
        else value
        for name, value in values.items()
    }


def _tables(path: tuple[str, ...], table: Mapping[str, Any]) -> Iterator[str]:
    inner = {name: value for name, value in table.items() if isinstance(value, dict) and _is_table((*path, name))}
    lines = [f"{_key(name)} = {_value(value)}" for name, value in table.items() if name not in inner]
    if path and lines:
        yield f"\n[{'.'.join(map(_key, path))}]"
    yield from lines
    for name, value in inner.items():
        yield from _tables((*path, name), value)


def _is_table(path: tuple[str, ...]) -> bool:
    """Top-level tables, the named ones of routes and the like, and tables in those; deeper mappings are values."""
    if len(path) == 1:
        return True
    if path[0] in _NAMED:
        return len(path) == 2 or path[-1] in ("tls", "tolerances")
    return False


_NAMED: Final = frozenset(name for name, field in Config.model_fields.items() if "Mapping" in str(field.annotation))


def _key(name: str) -> str:
    return name if _BARE_KEY.match(name) else json.dumps(name)


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str() | int() | float():
            # A JSON string is a TOML basic string; numbers are spelled alike.
            return json.dumps(value, ensure_ascii=False)
        case list():
            return f"[{', '.join(_value(one) for one in value)}]"
        case dict():
            return (
                "{}"
                if not value
                else "{ " + ", ".join(f"{_key(name)} = {_value(one)}" for name, one in value.items()) + " }"
            )
        case _:
            raise AssertionError(f"no TOML for a {type(value).__name__}")
