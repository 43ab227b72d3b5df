"""One order in custody as lines for a terminal, from the JSON that the node answers with (review/desk.py)."""

from collections.abc import Iterator, Mapping
from typing import Any

from interceptor.cli.terminal import printable


def list_line(order: Mapping[str, Any]) -> str:
    """One line of `held list`: our number, state, route, the placer's number, study, reasons, deadline."""
    parts = (
        f"{order['entry']:>6}",
        order["state"],
        order["route"],
        order["placer_order_number"],
        str(order["summary"].get("procedure", "")),
        _reasons(order),
        f"leaves by {order['deadline_at']}" if order["deadline_at"] else "",
        "damaged" if order["damaged"] else "",
    )
    return printable("  ".join(part for part in parts if part))


def missed_line(message: Mapping[str, Any], order: Mapping[str, Any]) -> str:
    """One line of `held list --retrospective`: our number, when it went on, route, the placer's number, study, reasons."""
    reasons = order["decision"].get("reasons", ())
    parts = (
        f"{message['number']:>6}",
        f"went on {message['noted_at']}",
        message["route"],
        order["placer_order_number"],
        str(order["summary"].get("procedure", "")),
        ", ".join(map(str, reasons)),
    )
    return printable("  ".join(part for part in parts if part))


def show_lines(shown: Mapping[str, Any]) -> Iterator[str]:
    """The lines of `held show`: the order, why it is held, what happened to it, and its message."""
    order = shown["order"]
    for key, value in order.items():
        if key not in ("summary", "reasons") and value not in (None, "", False):
            yield printable(f"{key.replace('_', ' ')}: {value}")
    yield f"reasons: {_reasons(order)}"
    for key, value in order["summary"].items():
        yield printable(f"  {key}: {value}")
    yield "evidence:"
    for one in shown["decision"].get("evidence", ()):
        words = (one.get(key) for key in ("fact", "path", "source", "code", "text", "date"))
        yield printable("  " + "  ".join(str(word) for word in words if word))
    yield "history:"
    for row in shown["history"]:
        detail = ", ".join(f"{key} {value}" for key, value in row["detail"].items() if value)
        yield printable(f"  {row['at']}  {row['actor']}  {row['action']}  {detail}".rstrip())
    yield "message:"
    yield from (printable(f"  {line}") for line in shown["content"].splitlines())


def _reasons(order: Mapping[str, Any]) -> str:
    return ", ".join(map(str, order["reasons"]))
