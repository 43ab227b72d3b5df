"""Draft orders as a FHIR client sends them to a CDS service, and what is decided of them."""

from datetime import UTC, datetime
from typing import Any

from interceptor.decision.message_decision import OrderDecision, decide_message
from interceptor.evidence.fhir_bundle import bundle_of
from interceptor.message.view import MessageView
from interceptor.review.draft_order import DraftMessage, build_draft_message
from tests.support.clinical import shipped_content

AT = datetime(2026, 3, 2, 14, tzinfo=UTC)
CPT = "http://www.ama-assn.org/go/cpt"
ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
PATIENT = {"resourceType": "Patient", "id": "p1", "birthDate": "1960-01-02", "gender": "female"}
BREAST_CANCER = {
    "resourceType": "Condition",
    "id": "c1",
    "subject": {"reference": "Patient/p1"},
    "clinicalStatus": {"coding": [{"code": "active"}]},
    "code": {"coding": [{"system": ICD10, "code": "C50.911"}]},
}


def service_request(cpt: str, **more: object) -> dict[str, Any]:
    """One draft request for a study by its CPT number; *more* overrides its elements."""
    request: dict[str, Any] = {
        "resourceType": "ServiceRequest",
        "id": f"r{cpt}",
        "status": "draft",
        "intent": "order",
        "subject": {"reference": "Patient/p1"},
        "priority": "routine",
        "code": {"coding": [{"system": CPT, "code": cpt}]},
        "reasonCode": [{"text": "new back pain"}],
    }
    return request | more


def bundle(*resources: dict[str, Any]) -> dict[str, Any]:
    """A Bundle of these resources."""
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in resources]}


def draft(*requests: dict[str, Any], **more: Any) -> DraftMessage:
    """The message of these draft requests of patient p1."""
    parts: dict[str, Any] = {"patient": PATIENT, "encounter": None, "conditions": {}, "patient_id": "p1", "at": AT}
    return build_draft_message(bundle(*requests), **(parts | more))


def decisions(message: DraftMessage, *known: dict[str, Any]) -> tuple[OrderDecision, ...]:
    """What the shipped policy decides, when these resources are known of the patient."""
    evidence = bundle_of([PATIENT, *known]).for_patient(["p1"])
    return decide_message(MessageView(message.raw), content=shipped_content(), evidence=evidence, as_of=AT).orders
