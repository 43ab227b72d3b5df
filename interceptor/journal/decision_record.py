"""A decision on one order as the journal keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from interceptor.action.plan import RouteMode
from interceptor.context.vocabulary import ProcedureClass
from interceptor.decision.message_decision import OrderDecision
from interceptor.decision.report import order_json
from interceptor.message.view import MessageView

NOT_KEPT = frozenset({ProcedureClass.NOT_SPINE})
"""Decisions on studies that are plainly of another part of the body are counted, not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    """A decision on one imaging order, kept whether or not we took custody. `facts` is the JSON order object."""

    decided_at: datetime
    route: str
    mode: str
    control_id: str
    order_key: str
    placer_order_number: str
    disposition: str
    reasons: tuple[str, ...]
    policy_id: str
    policy_version: str
    policy_profile: str
    policy_sha256: str
    facts: Mapping[str, object]
    decide_again: bool = False
    unmapped_code: str = ""
    unmapped_name: str = ""


def decision_record(
    view: MessageView, order: OrderDecision, *, route: str, mode: RouteMode, at: datetime
) -> DecisionRecord:
    """Return what is kept of the decision on *order*, taken or not.

    The name of an unmapped study is kept with its code: it is the site's mapping worklist.
    """
    policy = order.decision.policy
    procedure = order.decision.procedure
    is_unmapped = procedure is not None and procedure.procedure_class is ProcedureClass.UNMAPPED
    return DecisionRecord(
        decided_at=at,
        route=route,
        mode=mode.value,
        control_id=view.control_id.decode("latin-1"),
        order_key=order.order_key,
        placer_order_number=order.placer_order_number,
        disposition=order.decision.disposition.word,
        reasons=order.decision.reasons,
        policy_id=policy.policy_id,
        policy_version=policy.version,
        policy_profile=policy.profile,
        policy_sha256=policy.sha256,
        facts=order_json(order),
        decide_again=order.decision.decide_again,
        unmapped_code=procedure.code if is_unmapped and procedure else "",
        unmapped_name=procedure.name if is_unmapped and procedure else "",
    )


def is_kept(order: OrderDecision) -> bool:
    """Whether a decision is worth keeping: not one on a study of another part of the body."""
    procedure = order.decision.procedure
    return procedure is not None and procedure.procedure_class not in NOT_KEPT
