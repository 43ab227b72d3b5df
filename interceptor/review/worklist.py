"""The worklist as a view: which orders, in which order, and what stands in each cell. Pure functions.

In: orders as the journal has them, a query as the address has it, the time. Out: values that a template prints.
All state is in the query, and the query never holds a patient: what is searched by name or number is posted.

Most urgent first: overdue, then time left to the minute, then priority, then age; behind them what still waits for its
siblings. `sort_key` is that order as text, so
that a browser puts a new row where the server would have put it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import urlencode

from interceptor.action.lifecycle import UNSEEN_ENDS, WAITING_STATES, OrderState
from interceptor.journal.port import AuditRow
from interceptor.journal.review_record import OrderRow
from interceptor.review import plain_words as words
from interceptor.review.claim_mark import ClaimMark
from interceptor.review.held_reason import Chip, SafetyItem, held_chips, safety_items, why_sentence
from interceptor.review.shown_text import short

PAGE_SIZES = (25, 50, 100)
SOON = timedelta(minutes=30)
NEAR = timedelta(hours=2)


class Tab(StrEnum):
    """Which orders."""

    MINE = "mine"
    UNCLAIMED = "unclaimed"
    HELD = "held"
    RETURNED = "returned"
    DECIDED = "decided"


TABS: Mapping[Tab, str] = {
    Tab.MINE: "Mine",
    Tab.UNCLAIMED: "Unclaimed",
    Tab.HELD: "All held",
    Tab.RETURNED: "Waiting on orderer",
    Tab.DECIDED: "Decided today",
}

COLUMNS: Mapping[str, str] = {
    "time": "Time left",
    "priority": "Priority",
    "patient": "Patient",
    "where": "Class, location",
    "ordered": "Ordered",
    "why": "Why held",
    "proposed": "Proposed",
    "safety": "Contrast safety",
    "orderer": "Orderer",
    "scheduled": "Scheduled",
    "claim": "Claimed by",
}
DEFAULT_COLUMNS = tuple(name for name in COLUMNS if name != "proposed")
"""What is proposed is the same for every order of a policy; the order's page says it."""
FACETS: Mapping[str, str] = {
    "priority": "Priority",
    "class": "Patient class",
    "modality": "Modality",
    "reason": "Reason code",
    "route": "Route",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorklistQuery:
    """What the address asks for.

    Attributes:
        facets: Facet to the value that is asked for; no facet: all.
        columns: Columns to show, in the list's own order; () shows `DEFAULT_COLUMNS`.
        page_number: From 1.
    """

    tab: Tab = Tab.HELD
    facets: tuple[tuple[str, str], ...] = ()
    columns: tuple[str, ...] = ()
    is_masked: bool = False
    page_number: int = 1
    page_size: int = PAGE_SIZES[0]

    @property
    def shown_columns(self) -> tuple[str, ...]:
        """Columns to show, never none."""
        return self.columns or DEFAULT_COLUMNS

    def address(self, path: str = "/", **changes: object) -> str:
        """The address of this view with *changes*; leaving a page number out begins at the first page."""
        changed = replace(self, **{"page_number": 1, **changes})  # type: ignore[arg-type]  # the fields above
        pairs = [("tab", changed.tab.value)] if changed.tab is not Tab.HELD else []
        pairs += list(changed.facets)
        if changed.columns:
            pairs.append(("columns", ".".join(changed.columns)))
        if changed.is_masked:
            pairs.append(("masked", "1"))
        if changed.page_number > 1:
            pairs.append(("page", str(changed.page_number)))
        if changed.page_size != PAGE_SIZES[0]:
            pairs.append(("size", str(changed.page_size)))
        return f"{path}?{urlencode(pairs)}" if pairs else path

    def with_facet(self, name: str, value: str) -> tuple[tuple[str, str], ...]:
        """The facets with *name* set to *value*, or without it when it stands there already."""
        others = tuple(pair for pair in self.facets if pair[0] != name)
        return others if (name, value) in self.facets else (*others, (name, value))


def read_query(values: Mapping[str, str]) -> WorklistQuery:
    """The query of an address. What it does not understand counts for nothing: old links go on working."""
    tab = values.get("tab", Tab.HELD)
    columns = values.get("columns", "").split(".")
    facets = tuple((name, short(values[name], 80)) for name in FACETS if values.get(name))
    page, size = values.get("page", ""), values.get("size", "")
    return WorklistQuery(
        tab=Tab(tab) if tab in TABS else Tab.HELD,
        facets=facets,
        columns=tuple(name for name in COLUMNS if name in columns),
        is_masked=values.get("masked") == "1",
        page_number=max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 7 else 1,
        page_size=int(size) if size in map(str, PAGE_SIZES) else PAGE_SIZES[0],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLeft:
    """How long an order may still wait: text, level (for icon and colour) and the deadline for the browser's clock."""

    text: str
    level: str
    deadline: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RowView:
    """One order as a row: texts only."""

    entry_id: int
    version: int
    sort_key: str
    state: str
    state_words: str
    is_waiting: bool
    time_left: TimeLeft
    priority: str
    priority_words: str
    patient: str
    demographics: str
    mrn: str
    where: tuple[str, ...]
    ordered: str
    ordered_code: str
    ordered_what: str
    why: str
    reason_codes: tuple[str, ...]
    chips: tuple[Chip, ...]
    proposed: str
    safety: tuple[SafetyItem, ...]
    orderer: str
    call_back: str
    scheduled: str
    claim: ClaimMark
    escalate: bool
    outcome: str


def sort_key(row: OrderRow) -> str:
    """Most urgent first, as text."""
    if row.deadline_at is None or row.state not in (OrderState.HELD, OrderState.PARKED):
        return f"z{10**12 - int(row.moved_at.timestamp()):013d}-{row.entry_id:012d}"
    if row.state is OrderState.PARKED:
        # Its deadline is the end of the wait for siblings, seconds away: no hurry of a person's.
        return f"b{int(row.taken_at.timestamp()):011d}-{row.entry_id:012d}"
    minute = int(row.deadline_at.timestamp()) // 60
    rank = words.PRIORITY_RANK.get(row.priority, len(words.PRIORITY_RANK))
    return f"a{minute:010d}-{rank}-{int(row.taken_at.timestamp()):011d}-{row.entry_id:012d}"


def time_left(row: OrderRow, now: datetime) -> TimeLeft:
    """How long *row* may still wait."""
    if row.deadline_at is None or row.state not in (OrderState.HELD, OrderState.PARKED):
        return TimeLeft(text=words.ago_words(row.moved_at, now), level="ended", deadline="")
    if row.state is OrderState.PARKED:
        return TimeLeft(text="waiting for siblings", level="calm", deadline="")
    left = row.deadline_at - now
    deadline = row.deadline_at.isoformat()
    if left <= timedelta(0):
        return TimeLeft(text=f"overdue {words.duration_words(left)}", level="overdue", deadline=deadline)
    level = "soon" if left < SOON else "near" if left < NEAR else "calm"
    return TimeLeft(text=f"{words.duration_words(left)} left", level=level, deadline=deadline)


def row_view(
    row: OrderRow, claim: ClaimMark, *, now: datetime, is_masked: bool = False, history: Iterable[AuditRow] = ()
) -> RowView:
    """One order as a row; its *history* tells who ended its wait."""
    summary = row.summary
    procedure = _object(row.decision.get("procedure"))
    name, demographics, mrn = patient_texts(summary, now, is_masked=is_masked)
    what = [words.said(words.REGIONS, region) for region in _list(procedure.get("regions"))]
    contrast = words.said(words.CONTRASTS, procedure.get("contrast", "unknown"))
    place = (words.said(words.PATIENT_CLASSES, _text(summary, "patient_class")), short(_text(summary, "location")))
    return RowView(
        entry_id=row.entry_id,
        version=row.version,
        sort_key=sort_key(row),
        state=row.state.value,
        state_words=words.said(words.STATES, row.state),
        is_waiting=row.state in (OrderState.HELD, OrderState.PARKED),
        time_left=time_left(row, now),
        priority=row.priority,
        priority_words=words.said(words.PRIORITIES, row.priority),
        patient=name,
        demographics=demographics,
        mrn=mrn,
        where=tuple(filter(None, place)),
        ordered=short(_text(summary, "procedure")) or "study not named",
        ordered_code=short(_text(summary, "procedure_code"), 40),
        ordered_what=" · ".join(filter(None, (str(procedure.get("modality") or ""), ", ".join(what), contrast))),
        why=why_sentence(row.decision, summary),
        reason_codes=tuple(short(code, 40) for code in _list(row.decision.get("reasons"))),
        chips=held_chips(row.decision),
        proposed=words.PROPOSED,
        safety=safety_items(row.decision),
        orderer=short(_text(summary, "orderer")),
        call_back=short(_text(summary, "call_back"), 40),
        scheduled=words.day_words(short(_text(summary, "scheduled"), 26)),
        claim=claim,
        escalate=bool(row.decision.get("escalate")),
        outcome="" if row.state in (OrderState.HELD, OrderState.PARKED) else outcome_words(row, history),
    )


def patient_texts(summary: Mapping[str, object], now: datetime, *, is_masked: bool) -> tuple[str, str, str]:
    """Name, age and sex, patient identifier. Masked: initials and the last two characters, for a shared screen."""
    name, mrn = short(_text(summary, "patient_name")), short(_text(summary, "patient_id"), 40)
    age = words.age_words(_text(summary, "birth_date"), now)
    sex = words.said(words.SEXES, short(_text(summary, "sex"), 12))
    if is_masked:
        name = " ".join(f"{part[:1]}•••" for part in name.replace(",", " ").split()[:3])
        mrn = f"•••{mrn[-2:]}" if mrn else ""
    return name or "name not stated", " · ".join(filter(None, (age, sex))), mrn


def outcome_words(row: OrderRow, history: Iterable[AuditRow] = ()) -> str:
    """What became of an order that does not wait any more, and who ended its wait, as far as *history* has it."""
    state = words.said(words.STATES, row.state)
    ends = [one for one in history if one.detail.get("from") in WAITING_STATES]
    if not ends or row.state in UNSEEN_ENDS:
        # Cancelled, returned, replaced: the state says already what was done.
        return f"{state} · {words.actor_words(ends[-1].actor if ends else row.moved_by)}"
    what = words.EVENTS.get(ends[-1].action, "")
    return f"{state} · {what[:1].lower()}{what[1:]}, {words.actor_words(ends[-1].actor)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FacetValue:
    """One value to filter by, with the number of orders that have it."""

    value: str
    text: str
    count: int
    is_chosen: bool
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facet:
    """One thing to filter by."""

    name: str
    title: str
    values: tuple[FacetValue, ...]


def facet_value(row: OrderRow, name: str) -> str:
    """What *row* has for one facet."""
    match name:
        case "priority":
            return row.priority
        case "class":
            return short(_text(row.summary, "patient_class"), 12)
        case "modality":
            return short(_object(row.decision.get("procedure")).get("modality") or "", 12)
        case "reason":
            return short(next(iter(_list(row.decision.get("reasons"))), ""), 40)
        case _:
            return row.route


def select(rows: Iterable[OrderRow], facets: Sequence[tuple[str, str]]) -> list[OrderRow]:
    """The rows that have every value asked for, most urgent first."""
    return sorted((row for row in rows if all(facet_value(row, name) == value for name, value in facets)), key=sort_key)


def facets_of(rows: Sequence[OrderRow], query: WorklistQuery) -> tuple[Facet, ...]:
    """What the orders of this tab can be filtered by. A facet with one value only is no choice, unless it is chosen."""
    found = []
    for name, title in FACETS.items():
        others = tuple(pair for pair in query.facets if pair[0] != name)
        counts = Counter(facet_value(row, name) for row in rows if all(facet_value(row, one) == v for one, v in others))
        chosen = dict(query.facets).get(name)
        if len(counts) < 2 and chosen is None:
            continue
        values = tuple(
            FacetValue(
                value=value,
                text=_facet_words(name, value),
                count=count,
                is_chosen=value == chosen,
                address=query.address(facets=query.with_facet(name, value)),
            )
            for value, count in counts.most_common(12)
            if value
        )
        found.append(Facet(name=name, title=title, values=values))
    return tuple(found)


def _facet_words(name: str, value: str) -> str:
    table = {"priority": words.PRIORITIES, "class": words.PATIENT_CLASSES}.get(name)
    return words.said(table, value) if table else value


def page_of(rows: Sequence[OrderRow], query: WorklistQuery) -> Sequence[OrderRow]:
    """The rows of the page that is asked for; the last page when there are not so many."""
    last = max(1, -(-len(rows) // query.page_size))
    first = (min(query.page_number, last) - 1) * query.page_size
    return rows[first : first + query.page_size]


def _text(summary: Mapping[str, object], name: str) -> str:
    return str(summary.get(name) or "")


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()
