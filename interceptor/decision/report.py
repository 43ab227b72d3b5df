"""Decisions as JSON values, in the one format that `explain`, the journal and replay share (DESIGN 11).

Every key is always present and never null where a class is meant. A fact that the policy never asked for is
read now when the caller allows it (`explain` has all evidence at hand); otherwise it stands as its neutral
word and its name is listed under `not_asked`, so that "none" is never mistaken for an answer.
"""

from collections.abc import Sequence
from typing import Any

from interceptor.context.order_facts import Evidence, Oncology, Procedure, Symptom, Urgency
from interceptor.context.vocabulary import LookupStatus, OncologyTier, ProcedureClass, SymptomClass, UrgencyClass
from interceptor.decision.decision import Decision, Disposition, PolicyIdentity
from interceptor.decision.message_decision import MessageDecision, OrderDecision
from interceptor.message.view import MessageView

_UNASKED_PROCEDURE = Procedure(procedure_class=ProcedureClass.UNMAPPED)
_UNASKED_ONCOLOGY = Oncology(tier=OncologyTier.NONE)
_UNASKED_SYMPTOM = Symptom(symptom_class=SymptomClass.UNKNOWN)
_UNASKED_URGENCY = Urgency(urgency_class=UrgencyClass.ROUTINE)


def order_json(order: OrderDecision, *, read_all: bool = False) -> dict[str, Any]:
    """One order of a message.

    Args:
        order: The order with its decision.
        read_all: Read the facts that were not asked for. Only where the evidence sources have answered.
    """
    decision = order.decision
    facts = order.facts
    procedure = decision.procedure or (facts.procedure if read_all else None)
    oncology = decision.oncology or (facts.oncology if read_all else None)
    symptom = decision.symptom or (facts.symptom if read_all else None)
    urgency = decision.urgency or (facts.urgency if read_all else None)
    # Both need the sources' answer: how asking ended is known then, whether or not a row read it.
    is_asked = read_all or decision.oncology is not None or decision.exceptions is not None
    lookup = decision.lookup or (facts.lookup if is_asked else None)
    exceptions = decision.exceptions if decision.exceptions is not None else (facts.exceptions if read_all else None)
    evidence = facts.evidence if read_all else decision.evidence
    asked = {
        "lookup": lookup,
        "procedure": procedure,
        "oncology": oncology,
        "symptom": symptom,
        "urgency": urgency,
        "exceptions": exceptions,
    }
    found = {
        "placer_order_number": order.placer_order_number,
        "order_control": order.order_control,
        "disposition": decision.disposition.word,
        "escalate": decision.escalate,
        "reasons": list(decision.reasons),
        "lookup": str(lookup or LookupStatus.NOT_CONFIGURED),
        "procedure": _procedure_json(procedure or _UNASKED_PROCEDURE),
        "oncology": _oncology_json(oncology or _UNASKED_ONCOLOGY),
        "symptom": _symptom_json(symptom or _UNASKED_SYMPTOM),
        "urgency": {"class": str((urgency or _UNASKED_URGENCY).urgency_class)},
        "exceptions": [str(finding.kind) for finding in exceptions or ()],
        "evidence": [evidence_json(one) for one in evidence],
    }
    not_asked = [name for name, value in asked.items() if value is None]
    return found | ({"not_asked": not_asked} if not_asked else {})


def _procedure_json(procedure: Procedure) -> dict[str, Any]:
    return {
        "class": str(procedure.procedure_class),
        "modality": procedure.modality,
        "regions": [str(region) for region in procedure.regions],
        "contrast": str(procedure.contrast),
        "source": str(procedure.source),
    }


def _oncology_json(oncology: Oncology) -> dict[str, Any]:
    return {"tier": str(oncology.tier), "conflict": oncology.conflict}


def _symptom_json(symptom: Symptom) -> dict[str, Any]:
    return {"class": str(symptom.symptom_class), "onset": str(symptom.onset)}


def evidence_json(evidence: Evidence) -> dict[str, Any]:
    """One piece of evidence; null where the source gave nothing."""
    return {
        "fact": str(evidence.fact),
        "path": evidence.path,
        "source": str(evidence.source),
        "code": evidence.code,
        "text": evidence.text,
        "date": evidence.date.isoformat() if evidence.date else None,
    }


def policy_json(policy: PolicyIdentity) -> dict[str, str]:
    """Which policy decided."""
    return {"id": policy.policy_id, "version": policy.version, "profile": policy.profile, "sha256": policy.sha256}


def message_json(
    view: MessageView, decision: MessageDecision, *, policy: PolicyIdentity, read_all: bool = False
) -> dict[str, Any]:
    """One message with all its orders."""
    orders = [order_json(order, read_all=read_all) for order in decision.orders]
    return message_object(view, decision.disposition, orders, policy)


def message_object(
    view: MessageView, disposition: Disposition, orders: Sequence[dict[str, Any]], policy: PolicyIdentity
) -> dict[str, Any]:
    """The outer object, for orders that are already JSON."""
    kind = view.message_type
    return {
        "control_id": view.control_id.decode("latin-1"),
        "message_type": f"{kind.code}^{kind.trigger}" if kind.trigger else kind.code,
        "disposition": disposition.word,
        "orders": list(orders),
        "policy": policy_json(policy),
    }


def decision_reasons(decision: Decision) -> str:
    """Reason codes for one line of text, the deciding one first."""
    return ",".join(decision.reasons)
