"""Decisions as a test wants them, on real messages: what becomes of an order then is what is tested."""

from collections.abc import Callable, Container, Mapping, Sequence
from datetime import UTC, datetime

from interceptor.context.extract import OrderFacts
from interceptor.context.order_facts import Procedure
from interceptor.context.order_set import SetMember, SetPart, set_key
from interceptor.context.patient import NO_EVIDENCE, PatientEvidence
from interceptor.context.vocabulary import ProcedureClass
from interceptor.decision.decision import Decision, Disposition, Finding, PolicyIdentity
from interceptor.decision.message_decision import MessageDecision, OrderDecision, order_key
from interceptor.message.group import OrderGroup, order_groups
from interceptor.message.view import MessageView
from tests.support.clinical import shipped_content

NOW = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)
POLICY = PolicyIdentity(policy_id="spine-oncology", version="1", profile="default", sha256="0" * 64)
PASS, ANNOTATE, HOLD = Disposition.PASS, Disposition.ANNOTATE, Disposition.HOLD

_REASONS = {PASS: (), ANNOTATE: ("A-WOONLY",), HOLD: ("H-REGIONAL",)}


def decided(
    view: MessageView,
    group: OrderGroup,
    disposition: Disposition,
    *,
    procedure_class: ProcedureClass = ProcedureClass.UNMAPPED,
    sentence: str = "The ordered study differs from the guidance.",
) -> OrderDecision:
    """The order with this verdict; a member of its set when its class can have siblings."""
    procedure = Procedure(procedure_class=procedure_class)
    findings = tuple(Finding(reason=reason, row=0, sentence=sentence) for reason in _REASONS[disposition])
    member = None
    if procedure_class is not ProcedureClass.UNMAPPED:
        member = SetMember(
            order_key=order_key(view, group), set_key=set_key(view, group), procedure=procedure, arrived_at=NOW
        )
    return OrderDecision(
        group=group,
        order_control=group.orc.text(1),
        placer_order_number=group.orc.text(2),
        order_key=order_key(view, group),
        set_key=member.set_key if member else "",
        decision=Decision(disposition=disposition, findings=findings, policy=POLICY, procedure=procedure),
        member=member,
        set_part=SetPart.ALONE,
        completes_set=False,
        facts=OrderFacts(view, group, tables=shipped_content().tables, evidence=NO_EVIDENCE, as_of=NOW),
    )


def decisions(view: MessageView, *dispositions: Disposition) -> list[OrderDecision]:
    """One verdict for each order of the message."""
    return [decided(view, group, one) for group, one in zip(order_groups(view), dispositions, strict=True)]


Decide = Callable[[MessageView, PatientEvidence | None, datetime, Sequence[SetMember], Container[str]], MessageDecision]


def decide_by_procedure(words: Mapping[str, Disposition] | None = None) -> Decide:
    """A decision that reads one word, OBR-4.1: HOLD, NOTE or PASS; new orders and changes only.

    Orders whose OBR-4.1 is PART-n-of-m hold until all m parts of their set are there, or waiting, then pass.
    """
    known = {"HOLD": HOLD, "NOTE": ANNOTATE, "PASS": PASS} | dict(words or {})

    def decide(
        view: MessageView,
        _evidence: PatientEvidence | None,
        _as_of: datetime,
        members: Sequence[SetMember],
        withdrawn: Container[str],
    ) -> MessageDecision:
        groups = order_groups(view)
        keys = {order_key(view, group): group for group in groups if _is_judged(group)}
        own = {key: _word(group) for key, group in keys.items() if key not in withdrawn}
        orders = []
        for group in groups:
            word = _word(group) if _is_judged(group) else "PASS"
            if not word.startswith("PART-"):
                orders.append(decided(view, group, known[word]))
                continue
            others = {one.order_key: one.procedure.name for one in members if one.set_key == set_key(view, group)}
            parts = {name for name in {**others, **own}.values() if name.startswith("PART-")}
            is_complete = len(parts) == int(word.rsplit("-", 1)[1])
            orders.append(_part(view, group, PASS if is_complete else HOLD, word))
        return MessageDecision(orders=tuple(orders))

    return decide


def _is_judged(group: OrderGroup) -> bool:
    return group.orc.text(1) in ("NW", "XO", "XX", "RO")


def _word(group: OrderGroup) -> str:
    return group.obr.text(4) if group.obr is not None else "PASS"


def _part(view: MessageView, group: OrderGroup, disposition: Disposition, word: str) -> OrderDecision:
    order = decided(view, group, disposition, procedure_class=ProcedureClass.REGIONAL_MR)
    assert order.member is not None
    procedure = Procedure(procedure_class=ProcedureClass.REGIONAL_MR, name=word)
    member = SetMember(
        order_key=order.order_key, set_key=order.set_key, procedure=procedure, arrived_at=NOW, in_custody=True
    )
    return OrderDecision(
        group=order.group,
        order_control=order.order_control,
        placer_order_number=order.placer_order_number,
        order_key=order.order_key,
        set_key=order.set_key,
        decision=order.decision,
        member=member,
        set_part=SetPart.INCOMPLETE,
        completes_set=False,
        facts=order.facts,
    )
