"""The CDS Hooks service `order-sign`: the policy's advice while the order is still being written.

    request (hook, context, prefetch)  ->  draft message + evidence  ->  decisions  ->  cards

The same readers and the same policy as on the wire: what is a hold there is a warning here. What the client did not
prefetch counts as not looked up; nothing is fetched from the client's server. This module sees values only.

Failures: a request that is not understood is a `RequestProblem` with the place of the problem, never with content.

Source: CDS Hooks 2.0; hook order-sign 1.1; FHIR R4.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from interceptor.context.patient import PatientEvidence
from interceptor.decision.clinical_content import ClinicalContent
from interceptor.decision.message_decision import OrderDecision, decide_message
from interceptor.evidence.fhir_bundle import bundle_of, with_failed_lookup
from interceptor.message.view import MessageView
from interceptor.review.cds_card import CardParts, build_cards
from interceptor.review.draft_order import DraftError, Resource, build_draft_message

SERVICE_ID: Final = "spine-oncology"
HOOK: Final = "order-sign"
_SEARCHES: Final[Mapping[str, str]] = {
    "patient": "Patient/{{context.patientId}}",
    "encounter": "Encounter/{{context.encounterId}}",
    "conditions": "Condition?patient={{context.patientId}}&category=problem-list-item,encounter-diagnosis",
    "allergies": "AllergyIntolerance?patient={{context.patientId}}",
    "results": "Observation?patient={{context.patientId}}&code=",
    "studies": "ImagingStudy?patient={{context.patientId}}&modality=MR",
}
NEEDED: Final = ("conditions", "allergies")
"""Without these the patient counts as not looked up: silence would be reassurance."""
RESOURCES_MAX: Final = 2000
FEEDBACK_MAX: Final = 100
OUTCOMES: Final = ("accepted", "overridden")


class RequestProblem(ValueError):  # noqa: N818 - named as in the answers (RFC 9457)
    """The request is not understood; `place` says where, without content."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.place = place


def describe_services(content: ClinicalContent) -> dict[str, Any]:
    """The discovery document: the service, and what a client should prefetch for it."""
    searches = dict(_SEARCHES)
    searches["results"] += ",".join(content.tables.codes.filtration_rate_codes())
    return {
        "services": [
            {
                "id": SERVICE_ID,
                "hook": HOOK,
                "title": content.policy.document.title,
                "description": "Compares spine studies that are about to be signed with the site's policy on known or "
                "suspected cancer with a new spine symptom. Advice only; nothing is blocked.",
                "prefetch": searches,
            }
        ]
    }


def decide_request(
    document: object, *, content: ClinicalContent, at: datetime
) -> tuple[tuple[OrderDecision, ...], tuple[Resource, ...]]:
    """The decisions on the draft orders of one request, and the requests that they are about.

    Args:
        document: The request's JSON value.
        content: Tables, site profile and policy.
        at: Now (aware).

    Raises:
        RequestProblem: Not a request of this hook.
    """
    request = _object(document, "request")
    if request.get("hook") != HOOK:
        raise RequestProblem("hook", f"is not {HOOK}")
    if not isinstance(request.get("hookInstance"), str):
        raise RequestProblem("hookInstance", "is missing")
    context = _object(request.get("context"), "context")
    patient_id = context.get("patientId")
    if not isinstance(patient_id, str) or not patient_id:
        raise RequestProblem("context.patientId", "is missing")
    prefetch = _object(request.get("prefetch") or {}, "prefetch")
    patient = _resource(prefetch.get("patient"), "Patient")
    if patient is not None and patient.get("id", patient_id) != patient_id:
        raise RequestProblem("prefetch.patient", "is another patient than context.patientId")
    evidence, conditions = _evidence(prefetch, patient, patient_id)
    try:
        draft = build_draft_message(
            context.get("draftOrders"),
            patient=patient,
            encounter=_resource(prefetch.get("encounter"), "Encounter"),
            conditions=conditions,
            patient_id=patient_id,
            at=at,
        )
    except DraftError as error:
        raise RequestProblem(error.place, str(error).partition(": ")[2]) from None
    return decide_message(MessageView(draft.raw), content=content, evidence=evidence, as_of=at).orders, draft.requests


def answer_request(document: object, *, content: ClinicalContent, parts: CardParts, at: datetime) -> dict[str, Any]:
    """The response of the service: its cards, none for orders that pass.

    Raises:
        RequestProblem: Not a request of this hook.
    """
    orders, requests = decide_request(document, content=content, at=at)
    return {"cards": build_cards(orders, requests, parts)}


def read_feedback(document: object) -> tuple[dict[str, str], ...]:
    """What clinicians did with cards: card, outcome, and the coded reason of an override; never their words.

    Raises:
        RequestProblem: Not a feedback document.
    """
    items = _object(document, "feedback").get("feedback")
    if not isinstance(items, list) or not 1 <= len(items) <= FEEDBACK_MAX:
        raise RequestProblem("feedback", f"is a list of 1 to {FEEDBACK_MAX}")
    return tuple(_feedback(item, f"feedback[{index}]") for index, item in enumerate(items))


def _feedback(item: object, place: str) -> dict[str, str]:
    one = _object(item, place)
    card, outcome = one.get("card"), one.get("outcome")
    if not isinstance(card, str) or not 0 < len(card) <= 64:
        raise RequestProblem(f"{place}.card", "is the uuid of a card")
    if outcome not in OUTCOMES:
        raise RequestProblem(f"{place}.outcome", f"is one of {', '.join(OUTCOMES)}")
    reason = one.get("overrideReason")
    stated = reason.get("reason") if isinstance(reason, dict) else None
    code = stated.get("code") if isinstance(stated, dict) else None
    found = {"card": card, "outcome": str(outcome)}
    return found | ({"reason": code[:64]} if isinstance(code, str) and code else {})


def _evidence(
    prefetch: Mapping[str, Any], patient: Resource | None, patient_id: str
) -> tuple[PatientEvidence, dict[str, Resource]]:
    """What the client sent about the patient, and its conditions by reference."""
    resources = list(_prefetched(prefetch))[:RESOURCES_MAX]
    conditions = {
        f"Condition/{one['id']}": one
        for one in resources
        if one["resourceType"] == "Condition" and isinstance(one.get("id"), str)
    }
    # The patient stands in the bundle even when the client did not send one: entries of others must not count.
    of_whom = patient or {"resourceType": "Patient", "id": patient_id}
    known = bundle_of([of_whom, *resources]).for_patient([patient_id])
    is_whole = all(_is_answered(prefetch.get(key)) for key in NEEDED)
    return (known if is_whole else with_failed_lookup(known)), conditions


def _prefetched(prefetch: Mapping[str, Any]) -> Iterator[Resource]:
    for key in _SEARCHES:
        if key in ("patient", "encounter"):
            continue
        value = prefetch.get(key)
        if isinstance(value, dict) and value.get("resourceType") == "Bundle":
            yield from _entries(value)
        elif isinstance(value, dict) and isinstance(value.get("resourceType"), str):
            yield value


def _entries(bundle: Resource) -> Iterator[Resource]:
    entries = bundle.get("entry")
    for entry in entries if isinstance(entries, list) else ():
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(resource, dict) and isinstance(resource.get("resourceType"), str):
            yield resource


def _is_answered(value: object) -> bool:
    """Whether a search was answered in full: a Bundle without a further page."""
    if not isinstance(value, dict) or value.get("resourceType") != "Bundle":
        return False
    links = value.get("link")
    return not any(
        isinstance(link, dict) and link.get("relation") == "next" for link in (links if isinstance(links, list) else ())
    )


def _resource(value: object, kind: str) -> Resource | None:
    return value if isinstance(value, dict) and value.get("resourceType") == kind else None


def _object(value: object, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise RequestProblem(place, "is no object")
    return value
