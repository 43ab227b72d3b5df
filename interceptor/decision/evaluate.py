"""The policy's verdict on one order: the first row that matches decides.

Rows are tried in the order of the file and read facts only when they are reached. The policy reader has
proven that some row matches every order.
"""

from interceptor.decision.condition import Predicate
from interceptor.decision.decision import Decision, Finding
from interceptor.decision.fact import OrderCase, read_exceptions, read_procedure, read_urgency
from interceptor.decision.policy import CompiledGive, CompiledRow, Policy


def evaluate(policy: Policy, case: OrderCase) -> Decision:
    """Decide one order.

    Raises:
        EvidenceNeeded: A row needs a fact that only the evidence sources can give.
    """
    for compiled in policy.rows:
        if not compiled.when or _hold_all(compiled.when, case):
            gives = [give for give in compiled.gives if (give.only(case) if give.only else _hold_all(give.when, case))]
            if gives:
                return _decide(policy, compiled, gives, case)
    raise AssertionError("no row matched, though the policy was proven to decide every order")


def _hold_all(predicates: tuple[Predicate, ...], case: OrderCase) -> bool:
    for is_true in predicates:  # noqa: SIM110 - all() with a generator costs twice the time of the loop
        if not is_true(case):
            return False
    return True


def _decide(policy: Policy, compiled: CompiledRow, gives: list[CompiledGive], case: OrderCase) -> Decision:
    row = compiled.row
    findings = {gives[0].code: _finding(gives[0], row.number, case)}
    if row.lists_noncompliance:
        code = policy.noncompliant.get(read_procedure(case).procedure_class)
        if code is not None:
            findings.setdefault(code, Finding(reason=code, row=None, sentence=policy.reasons[code].says))
    for give in gives[1:]:
        findings.setdefault(give.code, _finding(give, row.number, case))
    escalate = gives[0].escalate if len(gives) == 1 else any(give.escalate for give in gives)
    return Decision(
        disposition=row.disposition,
        findings=tuple(findings.values()),
        policy=policy.identity,
        escalate=escalate,
        hold_deadline_seconds=row.hold_deadline_seconds,
        decide_again=row.decide_again,
        procedure=case.procedure,
        oncology=case.oncology,
        symptom=case.symptom,
        urgency=case.urgency,
        exceptions=case.exceptions,
        lookup=case.lookup,
        evidence=case.facts.evidence,
    )


def _finding(give: CompiledGive, row_number: int, case: OrderCase) -> Finding:
    if give.finding is not None:
        return give.finding
    sentence = give.sentence
    if "{exception}" in sentence:
        found = [finding for finding in read_exceptions(case) if finding.kind in give.exception_kinds]
        sentence = sentence.replace("{exception}", "; ".join(finding.phrase for finding in found))
    if "{urgency}" in sentence:
        sentence = sentence.replace("{urgency}", read_urgency(case).urgency_class)
    return Finding(reason=give.code, row=row_number, sentence=sentence)
