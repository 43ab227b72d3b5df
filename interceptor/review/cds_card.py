"""What a clinician is shown about orders that are about to be signed: cards of CDS Hooks.

A hold becomes a warning, an annotation a hint, a pass nothing. A card never says that a patient has no cancer, and never
that a college requires anything; it names the policy's own source. Nothing is blocked: the clinician may go on.

Source: CDS Hooks 2.0, cards, suggestions, override reasons.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from interceptor.decision.decision import Disposition
from interceptor.decision.message_decision import OrderDecision
from interceptor.decision.policy import Policy

SUMMARY_SIZE_MAX: Final = 139
"""A summary has fewer than 140 characters."""

_SUMMARIES: Final = {
    Disposition.HOLD: "Consider MRI of the complete spine without and with IV contrast",
    Disposition.ANNOTATE: "Spine study: please check against the guidance",
}
_INDICATORS: Final = {Disposition.HOLD: "warning", Disposition.ANNOTATE: "info"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedCode:
    """The site's code for MRI of the complete spine without and with contrast, as a FHIR coding."""

    system: str
    code: str
    name: str


def proposed_code(universal_service_id: str) -> ProposedCode | None:
    """The site's code from OBR-4 as the configuration has it, e.g. "72158^MRI COMPLETE SPINE WO+W^L"; None for ""."""
    code, _, rest = universal_service_id.partition("^")
    name, _, system = rest.partition("^")
    if not code:
        return None
    return ProposedCode(system=system.partition("^")[0] or "L", code=code, name=name or code)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardParts:
    """What cards are built from besides the decision.

    Attributes:
        policy: The policy that decided.
        proposed: What a suggestion puts in place of the ordered code; None where the site names none.
        override_reasons: Code and words of the reasons that a clinician may give for going on.
        new_id: A fresh UUID as text.
    """

    policy: Policy
    proposed: ProposedCode | None
    override_reasons: Mapping[str, str]
    new_id: Callable[[], str]


def build_cards(
    orders: Sequence[OrderDecision], requests: Sequence[Mapping[str, Any]], parts: CardParts
) -> list[dict[str, Any]]:
    """Cards for the orders of one signing, the strongest first; several orders with the same findings share one.

    Args:
        orders: The decisions, one a request.
        requests: The draft requests in the same order, as received.
        parts: Policy, proposal and reasons.
    """
    shown: dict[tuple[str, ...], list[int]] = {}
    for index, order in enumerate(orders):
        if order.decision.disposition is not Disposition.PASS:
            shown.setdefault(order.decision.reasons, []).append(index)
    ranked = sorted(shown.values(), key=lambda places: -orders[places[0]].decision.disposition)
    return [_card(orders[places[0]], [requests[place] for place in places], parts) for places in ranked]


def _card(order: OrderDecision, requests: Sequence[Mapping[str, Any]], parts: CardParts) -> dict[str, Any]:
    decision = order.decision
    card: dict[str, Any] = {
        "uuid": parts.new_id(),
        "summary": _SUMMARIES[decision.disposition][:SUMMARY_SIZE_MAX],
        "detail": "\n".join(_detail(order, parts.policy)),
        "indicator": _INDICATORS[decision.disposition],
        "source": {"label": f"{parts.policy.document.title} ({decision.policy.policy_id} {decision.policy.version})"},
    }
    if decision.disposition is Disposition.HOLD:
        card["overrideReasons"] = [
            {"code": code, "system": "urn:order-interceptor:override-reason", "display": words}
            for code, words in parts.override_reasons.items()
        ]
        if parts.proposed is not None:
            card["suggestions"] = [_suggestion(requests, parts.proposed, parts.new_id())]
            card["selectionBehavior"] = "at-most-one"
    return card


def _detail(order: OrderDecision, policy: Policy) -> Iterator[str]:
    """Markdown: why, what would have prevented the card, and what the claim rests on."""
    decision = order.decision
    for finding in decision.findings:
        yield f"- {finding.sentence} ({finding.reason})"
    prevents = policy.reasons[decision.findings[0].reason].prevents if decision.findings else ""
    if prevents:
        yield f"- What would avoid this: {prevents}"
    row = next(
        (one.row for one in policy.rows if decision.findings and one.row.number == decision.findings[0].row), None
    )
    if row is not None:
        source = policy.sources[row.source]
        yield f"- Source: {source.title}, {source.edition}; strength: {row.strength}. {source.worth}"


def _suggestion(requests: Sequence[Mapping[str, Any]], proposed: ProposedCode, new_id: str) -> dict[str, Any]:
    """Put the proposed code into the first request, and take its siblings out: one complete study replaces them."""
    first, *others = requests
    coding = {"system": proposed.system, "code": proposed.code, "display": proposed.name}
    actions = [
        {
            "type": "update",
            "description": f"Order {proposed.name} instead",
            "resource": {**first, "code": {"coding": [coding], "text": proposed.name}},
        }
    ]
    actions += [
        {
            "type": "delete",
            "description": "Remove the study that the complete one replaces",
            "resourceId": f"ServiceRequest/{request['id']}",
        }
        for request in others
        if isinstance(request.get("id"), str)
    ]
    return {"label": f"Order {proposed.name}", "uuid": new_id, "isRecommended": True, "actions": actions}
