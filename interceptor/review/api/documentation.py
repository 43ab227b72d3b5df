"""The API's description for people, read from its OpenAPI document: no script, nothing from elsewhere. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One parameter, or one field of a body or an answer."""

    name: str
    place: str
    kind: str
    is_required: bool
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method on one path."""

    method: str
    path: str
    summary: str
    description: str
    fields: tuple[Field, ...]
    answer: str
    answer_fields: tuple[Field, ...]


def describe_operations(document: Mapping[str, Any]) -> Sequence[Operation]:
    """Every operation of an OpenAPI document, in its order."""
    schemas = document.get("components", {}).get("schemas", {})
    found = []
    for path, methods in document.get("paths", {}).items():
        for method, operation in methods.items():
            answer = operation["responses"].get("200", {})
            schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
            name, fields = _body(schema, schemas, "answer")
            found.append(
                Operation(
                    method=method.upper(),
                    path=path,
                    summary=operation.get("summary", ""),
                    description=operation.get("description", ""),
                    fields=tuple(_inputs(operation, schemas)),
                    answer=name,
                    answer_fields=tuple(fields),
                )
            )
    return tuple(found)


def _inputs(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[Field]:
    for one in operation.get("parameters", ()):
        yield Field(
            name=one["name"],
            place=one["in"],
            kind=_kind(one.get("schema", {})),
            is_required=one.get("required", False),
            description=one.get("description", ""),
        )
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    yield from _body(schema, schemas, "body")[1]


def _body(schema: Mapping[str, Any], schemas: Mapping[str, Any], place: str) -> tuple[str, list[Field]]:
    """Name and fields of the object that a schema stands for; a list's are those of its items."""
    is_list = schema.get("type") == "array"
    reference = (schema.get("items", {}) if is_list else schema).get("$ref", "")
    name = reference.rsplit("/", 1)[-1]
    target = schemas.get(name, {})
    required = target.get("required", ())
    fields = [
        Field(
            name=field,
            place=place,
            kind=_kind(described),
            is_required=field in required,
            description=described.get("description", ""),
        )
        for field, described in target.get("properties", {}).items()
    ]
    return (f"list of {name}" if is_list else name), fields


def _kind(schema: Mapping[str, Any]) -> str:
    """A type in words."""
    if "enum" in schema:
        return " | ".join(str(one) for one in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type") or "any")
