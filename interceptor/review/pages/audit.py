"""The audit chain: search, export, and whether every link is what it was when it was written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from interceptor.journal.port import AuditRow, EntryId
from interceptor.journal.review_record import AuditQuery, ChainCheck
from interceptor.review import plain_words as words
from interceptor.review.guard import Guard, GuardedRoute
from interceptor.review.list_export import csv_response, json_response
from interceptor.review.order_view import action_words
from interceptor.review.parts import ReviewParts
from interceptor.review.rendering import render
from interceptor.review.rights import Action
from interceptor.review.shown_text import short

PAGE_SIZE = 100
EXPORT_MAX = 5000
LINKS_PER_LOOK = 20_000
"""Links that one look at the page checks: about a quarter of a second; the next look goes on behind them."""
_FIELDS = ("actor", "action", "entry", "since", "until")
AUDIT_COLUMNS = ("number", "at", "actor", "action", "entry", "detail", "sha256")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLine:
    """One link in words."""

    number: int
    at: str
    who: str
    what: str
    entry_id: int | None
    detail: str


class ChainWatch:
    """How far the chain was checked by this process. One page checks it, the next goes on."""

    def __init__(self) -> None:
        self._known = ChainCheck(checked_to=0, last_number=0)

    async def look(self, parts: ReviewParts) -> ChainCheck:
        """Check on and tell how far it is."""
        self._known = await parts.records.check_chain(self._known, limit=LINKS_PER_LOOK)
        return self._known


def routes(parts: ReviewParts, guard: Guard) -> Sequence[GuardedRoute]:
    """The routes of the audit chain."""
    watch = ChainWatch()

    async def audit(request: Request) -> Response:
        values = read_values(request.query_params)
        rows = await parts.records.audit(read_audit_query(values, limit=PAGE_SIZE))
        actors, actions = await parts.records.audit_words()
        pairs = [(name, value) for name, value in values.items() if value and name != "before"]
        older = f"/audit?{urlencode([*pairs, ('before', rows[-1].number)])}" if len(rows) == PAGE_SIZE else ""
        return render(
            parts,
            request,
            "audit.html",
            values=values,
            lines=[audit_line(row) for row in rows],
            actors=[(one, words.actor_words(one)) for one in actors],
            actions=[(one, action_words(one)) for one in actions],
            chain=await watch.look(parts),
            older_address=older,
            csv_address=f"/audit.csv?{urlencode(pairs)}",
            json_address=f"/audit.json?{urlencode(pairs)}",
        )

    async def export(request: Request) -> Response:
        kind = "csv" if request.url.path.endswith(".csv") else "json"
        rows = await parts.records.audit(read_audit_query(read_values(request.query_params), limit=EXPORT_MAX))
        detail = {"list": "audit", "format": kind, "rows": len(rows)}
        await parts.node.ask("access_note", action="list_exported", actor=request.state.person.actor, detail=detail)
        plain = [plain_link(row) for row in rows]
        return csv_response("audit", AUDIT_COLUMNS, plain) if kind == "csv" else json_response(plain)

    return (
        guard.route("/audit", audit, action=Action.SEE_AUDIT),
        guard.route("/audit.csv", export, action=Action.SEE_AUDIT, name="audit_csv"),
        guard.route("/audit.json", export, action=Action.SEE_AUDIT, name="audit_json"),
    )


def read_values(values: Mapping[str, str]) -> dict[str, str]:
    """The fields of the search form, bounded."""
    return {name: short(values.get(name, ""), 80) for name in (*_FIELDS, "before")}


def read_audit_query(values: Mapping[str, str], *, limit: int) -> AuditQuery:
    """The query of a form. A day that is none, or a number that is none, asks for all."""
    until = _day(values["until"])
    return AuditQuery(
        actor=values["actor"],
        action=values["action"],
        entry_id=EntryId(int(values["entry"])) if _is_number(values["entry"]) else None,
        since=_day(values["since"]),
        until=until + timedelta(days=1) if until else None,
        before=int(values["before"]) if _is_number(values["before"]) else None,
        limit=limit,
    )


def audit_line(row: AuditRow) -> AuditLine:
    """One link in words."""
    said = [
        f"{name.replace('_', ' ')} {_words_of(value)}" for name, value in row.detail.items() if value not in (None, "")
    ]
    return AuditLine(
        number=row.number,
        at=row.at.strftime("%Y-%m-%d %H:%M:%S"),
        who=short(words.actor_words(row.actor)),
        what=action_words(row.action),
        entry_id=row.entry_id,
        detail=short(" · ".join(said), 300),
    )


def _words_of(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def plain_link(row: AuditRow) -> dict[str, object]:
    """One link as plain values, for a file."""
    return {
        "number": row.number,
        "at": row.at.isoformat(),
        "actor": row.actor,
        "action": row.action,
        "entry": row.entry_id,
        "detail": dict(row.detail),
        "sha256": row.sha256,
    }


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16


def _day(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) if text else None
    except ValueError:
        return None
