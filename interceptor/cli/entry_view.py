"""One order in custody, as JSON and as lines for a terminal.

The JSON is the same whether the node answers or the journal is read: keys are those of the journal's
entry, times are UTC in RFC 3339, bytes are text with every byte kept (ISO 8859-1).
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from interceptor.cli.terminal import printable

if TYPE_CHECKING:
    from interceptor.journal.port import Entry

_WHY_UNKNOWN = "no reason recorded"


def describe_entry(entry: "Entry") -> dict[str, object]:
    """The JSON of one order."""
    return {
        "entry": entry.entry_id,
        "version": entry.version,
        "state": entry.state.value,
        "route": entry.route,
        "placer_order_number": entry.placer_order_number,
        "priority": entry.priority,
        "taken_at": entry.taken_at.isoformat(),
        "changed_at": entry.changed_at.isoformat(),
        "changed_by": entry.changed_by,
        "deadline_at": entry.deadline_at.isoformat() if entry.deadline_at else None,
        "reason": entry.reason,
        "summary": dict(entry.summary),
        "decision": dict(entry.decision),
        "content": entry.content.decode("latin-1"),
    }


def list_line(entry: Mapping[str, object]) -> str:
    """One line of `held list`."""
    deadline = f"leaves by {entry['deadline_at']}" if entry.get("deadline_at") else ""
    parts = (
        f"{entry['entry']:>6} {entry['state']}",
        str(entry.get("route", "")),
        f"order {entry.get('placer_order_number', '')}",
        _procedure(entry),
        _reasons(entry),
        deadline,
    )
    return printable("  ".join(part for part in parts if part))


def show_lines(entry: Mapping[str, object]) -> Iterator[str]:
    """The lines of `held show`: facts, then the message segment by segment."""
    for key, value in entry.items():
        if key in ("content", "decision", "summary", "history") or value in (None, ""):
            continue
        yield printable(f"{key.replace('_', ' ')}: {value}")
    if reasons := _reasons(entry):
        yield f"reasons: {reasons}"
    for title in ("summary", "history"):
        yield from _tree(title, entry.get(title))
    content = entry.get("content")
    if isinstance(content, str):
        yield "message:"
        yield from (f"  {printable(line)}" for line in content.splitlines())


def _reasons(entry: Mapping[str, object]) -> str:
    decision = entry.get("decision")
    reasons = decision.get("reasons") if isinstance(decision, dict) else entry.get("reasons")
    return ", ".join(map(str, reasons)) if isinstance(reasons, list | tuple) and reasons else _WHY_UNKNOWN


def _procedure(entry: Mapping[str, object]) -> str:
    summary = entry.get("summary")
    return str(summary.get("procedure", "")) if isinstance(summary, dict) else ""


def _tree(title: str, value: object) -> Iterator[str]:
    if isinstance(value, dict) and value:
        yield f"{title}:"
        yield from (printable(f"  {key}: {one}") for key, one in value.items())
    elif isinstance(value, list) and value:
        yield f"{title}:"
        yield from (printable(f"  {one}") for one in value)
