"""The policy: its rows as sentences, the vignettes that hold it, a message to try, and studies that nobody mapped."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from interceptor.context.patient import NO_EVIDENCE
from interceptor.decision.message_decision import decide_message
from interceptor.decision.report import order_json
from interceptor.message.header import NotHl7
from interceptor.message.view import MessageView
from interceptor.review.guard import Guard, GuardedRoute
from interceptor.review.held_reason import held_chips, held_sentence
from interceptor.review.list_export import csv_response, json_response
from interceptor.review.parts import ReviewParts
from interceptor.review.policy_view import policy_rows
from interceptor.review.rendering import render
from interceptor.review.rights import Action
from interceptor.review.vignette_view import VignetteView

MESSAGE_SIZE_MAX = 256 * 1024
UNMAPPED_MAX = 500
_COLUMNS = ("code", "name", "order_count", "last_at")
EXAMPLE = """MSH|^~\\&|PLACER|HOSP|FILLER|HOSP|20260301073000||ORM^O01|TRY1|T|2.5.1
PID|1||99000001^^^HOSP^MR||Nonesuch^Example||19600101|F
PV1|1|O
ORC|NW|A1^PLACER|||||^^^^^R
OBR|1|A1^PLACER||72148^MRI LUMBAR SPINE WITHOUT CONTRAST^C4|||||||||||||||||||||||^^^^^R||||^new low back pain x 3 weeks, hx of breast ca with bone mets
"""


class VignetteRun:
    """The vignettes' verdicts, found once for each process: policy and vignettes do not change while it runs."""

    def __init__(self) -> None:
        self._found: Sequence[VignetteView] | None = None
        self._lock = asyncio.Lock()

    async def results(self, parts: ReviewParts) -> Sequence[VignetteView]:
        """All vignettes with what the policy says of them."""
        async with self._lock:
            if self._found is None:
                self._found = await asyncio.to_thread(parts.run_vignettes)
            return self._found


def routes(parts: ReviewParts, guard: Guard) -> Sequence[GuardedRoute]:
    """The routes of the policy pages."""
    run = VignetteRun()

    async def policy(request: Request) -> Response:
        unmapped = await parts.records.unmapped_studies(limit=UNMAPPED_MAX)
        return render(
            parts,
            request,
            "policy.html",
            policy=parts.content.policy,
            rows=policy_rows(parts.content.policy),
            unmapped=unmapped,
            can_try=request.state.person.can(Action.TRY_POLICY),
        )

    async def vignettes(request: Request) -> Response:
        found = await run.results(parts)
        return render(parts, request, "vignettes.html", vignettes=found, policy=parts.content.policy)

    async def show_try(request: Request) -> Response:
        return render(parts, request, "policy_try.html", text=EXAMPLE, orders=None, problem="")

    async def try_message(request: Request) -> Response:
        text = str((await request.form()).get("message", ""))[:MESSAGE_SIZE_MAX]
        orders, problem = await asyncio.to_thread(try_text, text, parts)
        return render(parts, request, "policy_try.html", text=text, orders=orders, problem=problem)

    async def export_unmapped(request: Request) -> Response:
        rows = [
            {"code": one.code, "name": one.name, "order_count": one.order_count, "last_at": one.last_at.isoformat()}
            for one in await parts.records.unmapped_studies(limit=UNMAPPED_MAX)
        ]
        is_csv = request.url.path.endswith(".csv")
        return csv_response("unmapped-studies", _COLUMNS, rows) if is_csv else json_response(rows)

    return (
        guard.route("/policy", policy, action=Action.SEE_POLICY),
        guard.route("/policy/vignettes", vignettes, action=Action.SEE_POLICY),
        guard.route("/policy/try", show_try, action=Action.TRY_POLICY),
        guard.route("/policy/try", try_message, action=Action.TRY_POLICY, methods=("POST",)),
        guard.route("/policy/unmapped.csv", export_unmapped, action=Action.SEE_POLICY, name="unmapped_csv"),
        guard.route("/policy/unmapped.json", export_unmapped, action=Action.SEE_POLICY, name="unmapped_json"),
    )


def try_text(text: str, parts: ReviewParts) -> tuple[list[Mapping[str, Any]] | None, str]:
    """What the policy would say of a message that somebody typed, and what is wrong with it. Nothing is kept or sent.

    The message alone speaks: no evidence source is asked.
    """
    raw = text.strip("\x0b\x1c\r\n ").replace("\r\n", "\r").replace("\n", "\r").encode("utf-8") + b"\r"
    try:
        view = MessageView(raw)
        decision = decide_message(view, content=parts.content, evidence=NO_EVIDENCE, as_of=parts.now())
    except NotHl7 as error:
        return None, f"This is no HL7 v2 message: {error}"
    orders: list[Mapping[str, Any]] = []
    for order in decision.orders:
        found = order_json(order, read_all=True)
        sentences = [(finding.reason, finding.sentence) for finding in order.decision.findings]
        orders.append(
            {**found, "sentences": sentences, "because": held_sentence(found), "chips": held_chips(found, chips_max=12)}
        )
    return orders, "" if orders else "The message has no order."
