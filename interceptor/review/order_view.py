"""One order as a page shows it: the patient, what the orderer wrote with the matched words marked, and the verdict. Pure.

In: the order as stored, the policy that is loaded. Out: values that a template prints. Whatever was concluded was
concluded by the decision; here it is put beside the words that said so.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from interceptor.decision.policy import Policy
from interceptor.journal.port import AuditRow
from interceptor.journal.review_record import OrderRecord, OrderRow
from interceptor.message.group import order_groups
from interceptor.message.segment import Segment
from interceptor.message.view import MessageView
from interceptor.review import plain_words as words
from interceptor.review.held_reason import Chip, evidence_chip, why_sentence
from interceptor.review.shown_text import short, shown
from interceptor.review.worklist import patient_texts

_MARKED_FACTS = frozenset({"oncology", "symptom", "onset", "exception"})
TEXTS_MAX = 60
"""Lines of diagnoses, results or notes on the page: more of a hostile message is on the message page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedText:
    """A text of the message in pieces; pieces that were matched name the fact that they speak for."""

    path: str
    name: str
    pieces: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One diagnosis, allergy or result, with where it stands."""

    path: str
    code: str
    text: str
    date: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonView:
    """One reason code with everything that a reader may want to check."""

    code: str
    sentence: str
    means: str
    prevents: str
    row_name: str
    row_number: int | None
    strength: str
    source_title: str
    source_edition: str
    source_worth: str
    source_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceLine:
    """One piece of evidence with the facts that it speaks for, in words."""

    title: str
    chip: Chip


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderView:
    """Everything on the page that is not about the person who looks at it."""

    patient: str
    demographics: str
    mrn: str
    authority: str
    because: str
    is_hold: bool
    reasons: tuple[ReasonView, ...]
    evidence: tuple[EvidenceLine, ...]
    reason_texts: tuple[MarkedText, ...]
    diagnoses: tuple[Statement, ...]
    allergies: tuple[Statement, ...]
    results: tuple[Statement, ...]
    policy: str
    is_other_policy: bool
    lookup: str
    damaged: bool
    follower_count: int


def order_view(record: OrderRecord, policy: Policy, *, now: datetime, is_masked: bool = False) -> OrderView:
    """The order as its page shows it."""
    row = record.row
    name, demographics, mrn = patient_texts(row.summary, now, is_masked=is_masked)
    view = MessageView(record.content)
    evidence = _evidence(row.decision)
    asked_nothing = row.decision.get("not_asked")
    not_asked = asked_nothing if isinstance(asked_nothing, list) else []
    decided_by = short(row.summary.get("policy") or "")
    return OrderView(
        patient=name,
        demographics=demographics,
        mrn=mrn,
        authority=short(row.summary.get("patient_id_authority") or "", 40),
        because=why_sentence(row.decision, row.summary),
        is_hold=row.decision.get("disposition") in (None, "hold"),
        reasons=tuple(_reasons(row, policy)),
        evidence=_merged(evidence),
        reason_texts=tuple(_reason_texts(view, evidence)),
        diagnoses=tuple(_statements(view, "DG1", code=3, date=5)),
        allergies=tuple(_statements(view, "AL1", code=3, date=6)),
        results=tuple(_results(view)),
        policy=decided_by,
        is_other_policy=decided_by != f"{policy.identity.policy_id} {policy.identity.version}",
        lookup="" if "lookup" in not_asked else _LOOKUPS.get(str(row.decision.get("lookup")), ""),
        damaged=record.damaged,
        follower_count=record.follower_count,
    )


def _merged(evidence: Iterable[Mapping[str, object]]) -> tuple[EvidenceLine, ...]:
    """The evidence in the reader's order, cancer first; what one place said of two facts is one line."""
    lines: dict[tuple[str, str, str], EvidenceLine] = {}
    rank = {fact: number for number, fact in enumerate(_FACT_ORDER)}
    chips = [evidence_chip(one) for one in evidence if one.get("fact") in rank]
    for chip in sorted(chips, key=lambda one: rank[one.fact]):
        key = (chip.text.casefold(), chip.code, chip.path or chip.source)
        known = lines.get(key)
        title = words.said(words.FACTS, chip.fact)
        if known is None:
            lines[key] = EvidenceLine(title=title, chip=chip)
        elif title not in known.title:
            lines[key] = EvidenceLine(title=f"{known.title}, {title.lower()}", chip=known.chip)
    return tuple(lines.values())


_FACT_ORDER = ("oncology", "symptom", "onset", "procedure", "exception", "override")
_LOOKUPS: Mapping[str, str] = {
    "ok": "All sources answered.",
    "stale": "A source is behind: what it knows may be old.",
    "failed": "A source did not answer: there may be more than is shown.",
    "not_configured": "No source is configured beside the message.",
}


def _reasons(row: OrderRow, policy: Policy) -> Iterator[ReasonView]:
    why = row.summary.get("why")
    sentences = {}
    for line in why if isinstance(why, list) else ():
        code, _, sentence = str(line).partition(": ")
        sentences[code] = sentence
    codes = row.decision.get("reasons")
    for code in codes if isinstance(codes, list) else ():
        yield _reason(str(code), sentences.get(str(code), ""), policy)


def _reason(code: str, sentence: str, policy: Policy) -> ReasonView:
    reason = policy.reasons.get(code)
    row = next((one.row for one in policy.rows if any(give.code == code for give in one.row.gives)), None)
    source = policy.sources.get(row.source) if row is not None else None
    return ReasonView(
        code=short(code, 40),
        sentence=short(sentence or (reason.says if reason else ""), 400),
        means=reason.means if reason else "",
        prevents=reason.prevents if reason else "",
        row_name=row.name if row else "",
        row_number=row.number if row else None,
        strength=row.strength if row else "",
        source_title=source.title if source else "",
        source_edition=source.edition if source else "",
        source_worth=source.worth if source else "",
        source_url=source.url if source else "",
    )


def marked(text: str, matches: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """*text* in pieces, the matched words with their fact.

    Args:
        text: As the orderer wrote it.
        matches: Words and the fact that they speak for; found wherever they stand, whatever their case. Where two
            overlap, the longer one is marked.
    """
    facts = {found.casefold(): fact for found, fact in matches if found.strip()}
    if not facts:
        return ((text, ""),)
    longest_first = sorted(facts, key=len, reverse=True)[:50]
    pattern = re.compile("|".join(re.escape(found) for found in longest_first), re.IGNORECASE)
    pieces: list[tuple[str, str]] = []
    end = 0
    for match in pattern.finditer(text):
        if match.start() > end:
            pieces.append((text[end : match.start()], ""))
        pieces.append((match[0], facts.get(match[0].casefold(), "symptom")))
        end = match.end()
    if end < len(text):
        pieces.append((text[end:], ""))
    return tuple(pieces)


def _reason_texts(view: MessageView, evidence: Sequence[Mapping[str, object]]) -> Iterator[MarkedText]:
    """What the orderer wrote: reason for study, relevant clinical information, notes; each with its matches."""
    for path, name, text in _written(view):
        base = path.partition(".")[0]
        matches = [
            (str(one.get("text")), str(one.get("fact")))
            for one in evidence
            if one.get("fact") in _MARKED_FACTS and one.get("text") and str(one.get("path") or "").startswith(base)
        ]
        yield MarkedText(path=path, name=name, pieces=marked(shown(text), matches))


def _written(view: MessageView) -> Iterator[tuple[str, str, str]]:
    groups = order_groups(view)
    obr = groups[0].obr if groups else None
    if obr is not None:
        yield from _reasons_for_study(obr)
        if text := obr.text(13, None, subcomponent=None):
            yield "OBR-13", "Relevant clinical information", text
    for note in view.segments_named("NTE")[:TEXTS_MAX]:
        if text := note.text(3, None, subcomponent=None):
            yield f"{_place(note)}-3", "Note", text


def _reasons_for_study(obr: Segment) -> Iterator[tuple[str, str, str]]:
    count = obr.repetition_count(31)
    for number in range(1, min(count, TEXTS_MAX) + 1):
        place = f"OBR-31[{number}]" if count > 1 else "OBR-31"
        texts = ((part, obr.text(31, part, repetition=number, subcomponent=None)) for part in (2, 1))
        yield from ((f"{place}.{part}", "Reason for study", text) for part, text in texts if text)


def _statements(view: MessageView, name: str, *, code: int, date: int) -> Iterator[Statement]:
    for segment in view.segments_named(name)[:TEXTS_MAX]:
        text = segment.text(code, 2) or segment.text(4)
        yield Statement(
            path=f"{_place(segment)}-{code}",
            code=short(segment.text(code), 40),
            text=short(text, 200),
            date=words.day_words(short(segment.text(date), 26)),
            source="this message",
        )


def _results(view: MessageView) -> Iterator[Statement]:
    for segment in view.segments_named("OBX")[:TEXTS_MAX]:
        value = " ".join(filter(None, (segment.text(5, None), segment.text(6))))
        yield Statement(
            path=f"{_place(segment)}-5",
            code=short(segment.text(3), 40),
            text=short(f"{segment.text(3, 2) or segment.text(3)}: {value}", 200),
            date=words.day_words(short(segment.text(14), 26)),
            source="this message",
        )


def _place(segment: Segment) -> str:
    return f"{segment.name}[{segment.occurrence}]" if segment.occurrence > 1 else segment.name


def _evidence(decision: Mapping[str, object]) -> list[Mapping[str, object]]:
    evidence = decision.get("evidence")
    return [one for one in evidence if isinstance(one, Mapping)] if isinstance(evidence, list) else []


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierOrder:
    """Another order of the same patient."""

    entry_id: int
    placed: str
    ordered: str
    state: str


def earlier_orders(rows: Iterable[OrderRow], current: OrderRow) -> tuple[EarlierOrder, ...]:
    """The patient's other orders of ours, the newest first."""
    return tuple(
        EarlierOrder(
            entry_id=row.entry_id,
            placed=row.taken_at.strftime("%Y-%m-%d %H:%M"),
            ordered=short(row.summary.get("procedure") or ""),
            state=words.said(words.STATES, row.state),
        )
        for row in rows
        if row.entry_id != current.entry_id
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryLine:
    """One link of an order's history in words."""

    at: str
    who: str
    what: str
    detail: str
    number: int


def history_lines(rows: Iterable[AuditRow]) -> tuple[HistoryLine, ...]:
    """The audit rows of an order in words, the newest first."""
    return tuple(reversed([_history_line(row) for row in rows]))


_OWN_CODE = re.compile(r"S-[A-Z-]+")
_TOLD_DETAILS = ("comment", "reason", "authority", "until")
_OTHER_ACTIONS: Mapping[str, str] = {
    "order_opened": "Opened",
    "message_opened": "Message opened",
    "missed_opened": "Missed holds opened",
    "order_claimed": "Claimed",
    "order_given_back": "Claim given back",
    "order_handed_over": "Handed over",
    "order_snoozed": "Put aside",
    "order_escalated": "Nobody has decided yet",
    "release_planned": "Released as ordered; can be called back",
    "release_called_back": "Release called back",
    "release_voided": "Release void: the order was changed",
    "access_refused": "Access refused",
}


def _history_line(row: AuditRow) -> HistoryLine:
    said = [str(row.detail[key]) for key in _TOLD_DETAILS if row.detail.get(key)]
    if row.action == "order_handed_over":
        said.insert(0, f"to {row.detail.get('claimed_by')}")
    if row.action == "order_escalated":
        said.append(f"{row.detail.get('percent')} % of its time have passed")
    return HistoryLine(
        at=row.at.strftime("%Y-%m-%d %H:%M:%S"),
        who=words.actor_words(row.actor),
        what=action_words(row.action),
        # Codes of our own lifecycle say nothing that the line does not say.
        detail=short(" · ".join(one for one in said if not _OWN_CODE.fullmatch(one)), 600),
        number=row.number,
    )


def action_words(action: str) -> str:
    """An action of the audit chain in words."""
    return words.EVENTS.get(action) or _OTHER_ACTIONS.get(action) or short(action.replace("_", " ").capitalize())
