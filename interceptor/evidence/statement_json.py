"""Statements as JSON, for the way from the command line to the running node.

    Statement <-> {"said_at": "...", "identifiers": [["1001", "HOSP", "MR"]], "facts": [{...}], ...}

The node believes nothing of it unread: a wrong shape is a `StatementError` with the place, never with content.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from interceptor.context.patient import Coding
from interceptor.evidence.statement import (
    CODINGS_MAX,
    KEY_SIZE_MAX,
    TEXT_SIZE_MAX,
    Fact,
    FactKind,
    Link,
    PatientIdentifier,
    Snapshot,
    Standing,
    Statement,
)


class StatementError(ValueError):
    """What came is no statement."""


def statement_json(statement: Statement) -> dict[str, object]:
    """A statement as JSON values; what is empty is left out."""
    return _stated(
        said_at=statement.said_at.isoformat(),
        reference=statement.reference,
        identifiers=[_identifier_json(one) for one in statement.identifiers],
        birth_date=statement.birth_date,
        sex=statement.sex,
        facts=[_fact_json(fact) for fact in statement.facts],
        snapshots=[[one.kind.value, one.scope] for one in statement.snapshots],
        links=[
            [_identifier_json(one.given_up), _identifier_json(one.kept), one.is_merge, one.is_unlink]
            for one in statement.links
        ],
    )


def _stated(**values: object) -> dict[str, object]:
    return {name: value for name, value in values.items() if value not in ("", [], None)}


def _identifier_json(one: PatientIdentifier) -> list[str]:
    return [one.value, one.authority, one.type]


def _fact_json(fact: Fact) -> dict[str, object]:
    return _stated(
        kind=fact.kind.value,
        key=fact.key[:KEY_SIZE_MAX],
        scope=fact.scope[:KEY_SIZE_MAX],
        standing=fact.standing.value,
        codings=[[one.system, one.code, one.display[:TEXT_SIZE_MAX]] for one in fact.codings[:CODINGS_MAX]],
        text=fact.text[:TEXT_SIZE_MAX],
        detail=fact.detail[:TEXT_SIZE_MAX],
        value=fact.value,
        onset=fact.onset.isoformat() if fact.onset else "",
        recorded=fact.recorded.isoformat() if fact.recorded else "",
    )


def read_statement(value: object, *, source: str) -> Statement:
    """The statement that `statement_json` wrote.

    Raises:
        StatementError: It is none.
    """
    try:
        stated = _object(value)
        said_at = datetime.fromisoformat(_text(stated, "said_at"))
        if said_at.tzinfo is None:
            raise StatementError("said_at has no zone")
        return Statement(
            source=source,
            said_at=said_at,
            reference=_text(stated, "reference"),
            identifiers=tuple(_read_identifier(one) for one in _list(stated, "identifiers")),
            birth_date=_text(stated, "birth_date"),
            sex=_text(stated, "sex"),
            facts=tuple(_read_fact(_object(one)) for one in _list(stated, "facts")),
            snapshots=tuple(
                Snapshot(kind=FactKind(kind), scope=_string(scope)) for kind, scope in _list(stated, "snapshots")
            ),
            links=tuple(
                Link(
                    given_up=_read_identifier(given_up),
                    kept=_read_identifier(kept),
                    is_merge=bool(is_merge),
                    is_unlink=bool(is_unlink),
                )
                for given_up, kept, is_merge, is_unlink in _list(stated, "links")
            ),
        )
    except StatementError:
        raise
    except (ValueError, TypeError):
        raise StatementError("a value is not of its kind") from None


def _read_identifier(value: Any) -> PatientIdentifier:
    number, authority, kind = (_string(part) for part in value)
    if not number or not authority:
        raise StatementError("an identifier without value or authority")
    return PatientIdentifier(number, authority, kind)


def _read_fact(stated: Mapping[str, Any]) -> Fact:
    number = stated.get("value")
    if number is not None and (isinstance(number, bool) or not isinstance(number, int | float)):
        raise StatementError("value is no number")
    return Fact(
        kind=FactKind(_text(stated, "kind")),
        key=_text(stated, "key"),
        scope=_text(stated, "scope"),
        standing=Standing(_text(stated, "standing")),
        codings=tuple(
            Coding(system=_string(system), code=_string(code), display=_string(display))
            for system, code, display in _list(stated, "codings")
        ),
        text=_text(stated, "text"),
        detail=_text(stated, "detail"),
        value=None if number is None else float(number),
        onset=_day(_text(stated, "onset")),
        recorded=_day(_text(stated, "recorded")),
    )


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise StatementError("not an object")
    return value


def _list(stated: Mapping[str, Any], name: str) -> Sequence[Any]:
    value = stated.get(name, [])
    if not isinstance(value, list):
        raise StatementError(f"{name} is no list")
    return value


def _text(stated: Mapping[str, Any], name: str) -> str:
    return _string(stated.get(name, ""))


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise StatementError("a text is expected")
    return value


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None
