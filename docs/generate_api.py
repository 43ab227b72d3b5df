"""Write the API's reference page: python docs/generate_api.py. A test compares it with the code."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from interceptor.review.api.app import build_api
from interceptor.review.api.documentation import Field, Operation, describe_operations

PAGE = Path(__file__).parent / "reference" / "api.md"

_INTRODUCTION = """# API

<!-- Generated from interceptor/review/api/ by docs/generate_api.py. Do not edit: change the descriptions there. -->

For programs, below `/api/v1` of the review pages' address. `openapi.json` there is this page for machines (OpenAPI 3.1), `docs`
the same for people. Send a token of [`interceptor token add`](commands.md) as `Authorization: Bearer`; its scopes say what it may do.

A refusal is a problem document (RFC 9457). A decision needs `If-Match` with the version that was read, so that nobody
decides about an order that has changed meanwhile; with an `Idempotency-Key` it can be sent again without being done
twice.
"""


async def _no_token(_: bytes) -> Any:
    return None


def operations() -> tuple[Operation, ...]:
    """Every operation. The parts that answer are not needed to describe them."""
    return tuple(describe_operations(build_api(cast("Any", SimpleNamespace()), _no_token).openapi()))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _rows(fields: tuple[Field, ...]) -> list[str]:
    head = ["| name | where | kind | required | meaning |", "|---|---|---|---|---|"]
    body = [
        f"| `{one.name}` | {one.place} | {_cell(one.kind)} | {'yes' if one.is_required else 'no'} | {_cell(one.description)} |"
        for one in fields
    ]
    return [*head, *body, ""]


def _section(operation: Operation) -> str:
    lines = [f"## {operation.method} {operation.path}", "", f"{operation.summary}.", ""]
    if operation.description:
        lines += [operation.description, ""]
    if operation.fields:
        lines += _rows(operation.fields)
    if operation.answer:
        lines += [f"Answer: {operation.answer}", ""]
    if operation.answer_fields:
        lines += _rows(operation.answer_fields)
    return "\n".join(lines)


def build_page() -> str:
    """The whole page."""
    return "\n".join([_INTRODUCTION, *(_section(operation) for operation in operations())])


if __name__ == "__main__":
    PAGE.write_text(build_page(), encoding="utf-8")
