"""Dead letters: what a receiver refused for good, grouped by what it said; sent again or given up, one or a group."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from interceptor.journal.review_record import SentRecord
from interceptor.review.filler_answer import last_answer
from interceptor.review.guard import Guard, GuardedRoute
from interceptor.review.list_export import csv_response, json_response
from interceptor.review.node_client import Answer
from interceptor.review.parts import ReviewParts
from interceptor.review.person import Person
from interceptor.review.rendering import render
from interceptor.review.rights import Action
from interceptor.review.shown_text import short

LETTERS_MAX = 500
_COLUMNS = ("outbox", "destination", "kind", "order", "placer_order_number", "attempts", "queued_at", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterGroup:
    """Dead letters of one destination with one reason."""

    destination: str
    error: str
    letters: tuple[SentRecord, ...]


def groups_of(letters: Sequence[SentRecord]) -> tuple[LetterGroup, ...]:
    """The letters by destination and reason, the largest group first."""
    found: dict[tuple[str, str], list[SentRecord]] = {}
    for letter in letters:
        found.setdefault((letter.destination, reason_of(letter)), []).append(letter)
    groups = [
        LetterGroup(destination=destination, error=short(error, 300), letters=tuple(members))
        for (destination, error), members in found.items()
    ]
    return tuple(sorted(groups, key=lambda group: -len(group.letters)))


def reason_of(letter: SentRecord) -> str:
    """Why a message is dead: our word for it, and what the receiver said, where it said something."""
    words, answer = letter.last_error.replace("_", " "), last_answer(letter)
    return words if answer is None else f"{words}: {answer.code} {answer.text}".strip()


def routes(parts: ReviewParts, guard: Guard) -> Sequence[GuardedRoute]:
    """The routes of dead letters."""

    async def show(request: Request) -> Response:
        return await _show(parts, request)

    async def export(request: Request) -> Response:
        rows = [
            {
                "outbox": letter.outbox_id,
                "destination": letter.destination,
                "kind": letter.kind,
                "order": letter.entry_id,
                "placer_order_number": letter.order_number,
                "attempts": letter.attempt_count,
                "queued_at": letter.queued_at.isoformat(),
                "error": reason_of(letter),
            }
            for letter in await _letters(parts, request.state.person)
        ]
        return (
            csv_response("dead-letters", _COLUMNS, rows) if request.url.path.endswith(".csv") else json_response(rows)
        )

    async def retry(request: Request) -> Response:
        return await _each(parts, request, "dead_retry")

    async def discard(request: Request) -> Response:
        if not str((await request.form()).get("reason", "")).strip():
            return await _show(parts, request, problem="Say why the messages are given up.")
        return await _each(parts, request, "dead_discard")

    return (
        guard.route("/dead-letters", show, action=Action.SEE_DEAD_LETTERS, name="dead_letters"),
        guard.route("/dead-letters.csv", export, action=Action.SEE_DEAD_LETTERS, name="dead_letters_csv"),
        guard.route("/dead-letters.json", export, action=Action.SEE_DEAD_LETTERS, name="dead_letters_json"),
        guard.route("/dead-letters/retry", retry, action=Action.RETRY_DEAD_LETTER, methods=("POST",)),
        guard.route("/dead-letters/discard", discard, action=Action.DISCARD_DEAD_LETTER, methods=("POST",)),
    )


async def _each(parts: ReviewParts, request: Request, command: str) -> Response:
    """Give *command* for every chosen letter; what the node refused is told, the others are done."""
    form = await request.form()
    reason = short(str(form.get("reason", "")), 200) or None
    chosen = [text for text in map(str, form.getlist("letter")) if text.isascii() and text.isdigit()][:LETTERS_MAX]
    refused = []
    for text in chosen:
        reply = await parts.node.ask(command, outbox_id=int(text), actor=request.state.person.name, reason=reason)
        if not isinstance(reply, Answer):
            refused.append(f"{text}: {reply.message}")
    if refused or not chosen:
        problem = (
            f"Not done for {len(refused)} of {len(chosen)}: {'; '.join(refused[:5])}" if chosen else "Choose a message."
        )
        return await _show(parts, request, problem=problem)
    return RedirectResponse("/dead-letters", status_code=303)


async def _letters(parts: ReviewParts, person: Person) -> Sequence[SentRecord]:
    """The dead letters; for a person without a right to messages without what may name a patient or an order."""
    letters = await parts.records.dead_letters(limit=LETTERS_MAX)
    if person.can(Action.SEE_MESSAGE):
        return letters
    return [replace(one, order_number="", content=b"", acknowledgment=None) for one in letters]


async def _show(parts: ReviewParts, request: Request, *, problem: str = "") -> Response:
    person = request.state.person
    letters = await _letters(parts, person)
    return render(
        parts,
        request,
        "dead_letters.html",
        status_code=422 if problem else 200,
        groups=groups_of(letters),
        count=len(letters),
        problem=problem,
        can_retry=person.can(Action.RETRY_DEAD_LETTER),
        can_discard=person.can(Action.DISCARD_DEAD_LETTER),
        can_open=person.can(Action.OPEN_ORDER),
    )
