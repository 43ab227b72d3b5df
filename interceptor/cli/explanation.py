"""A decision in words that a radiologist can check: what was decided, why, by which words of which field.

Text from orders and charts comes from elsewhere: every piece passes `printable` before it reaches a terminal.
"""

import textwrap
from collections.abc import Iterator, Sequence

from interceptor.cli.terminal import printable
from interceptor.context.order_facts import Evidence, Procedure
from interceptor.context.vocabulary import (
    Contrast,
    LookupStatus,
    OncologyTier,
    Onset,
    ProcedureClass,
    ProcedureSource,
    Region,
    SymptomClass,
    UrgencyClass,
)
from interceptor.decision.decision import Disposition
from interceptor.decision.policy import Policy
from interceptor.decision.policy_document import Row
from interceptor.replay.simulation import CONSUMED_CODES, MessageOutcome, OrderOutcome

WIDTH = 110
"""Longest line of a sentence; evidence lines are as long as the evidence."""

_VERDICTS = {
    Disposition.PASS: "PASS      goes on unchanged",
    Disposition.ANNOTATE: "ANNOTATE  goes on with a note",
    Disposition.HOLD: "HOLD      waits for a radiologist",
}
_CONSUMED = "PASS      met an order that we hold; nothing new goes on"
_REGIONS = {Region.CERVICAL: "cervical", Region.THORACIC: "thoracic", Region.LUMBAR: "lumbar"}
_CONTRASTS = {
    Contrast.WITHOUT: "without contrast",
    Contrast.WITH: "with contrast only",
    Contrast.WITHOUT_AND_WITH: "without and with contrast",
    Contrast.UNKNOWN: "contrast not stated",
}
_CLASSES = {
    ProcedureClass.COMPLETE_WO_W: "complete spine MRI without and with contrast",
    ProcedureClass.COMPLETE_WO: "complete spine MRI without contrast",
    ProcedureClass.COMPLETE_W: "complete spine MRI with contrast only",
    ProcedureClass.THORACOLUMBAR_WO_W: "thoracic and lumbar MRI without and with contrast",
    ProcedureClass.REGIONAL_MR: "MRI of part of the spine, or with mixed contrast",
    ProcedureClass.OTHER_MODALITY: "spine study other than MRI",
    ProcedureClass.BODY_SURVEY: "body-wide study (bone scan, PET, whole-body MRI)",
    ProcedureClass.RADIOGRAPH: "radiographs",
    ProcedureClass.UNMAPPED: "spine study whose region or contrast is not known",
    ProcedureClass.OUT_OF_SCOPE: "procedure that the policy does not judge",
    ProcedureClass.NOT_SPINE: "not a spine study",
}
_SOURCES = {
    ProcedureSource.SITE: "code map of the site",
    ProcedureSource.CPT: "CPT number",
    ProcedureSource.LOINC: "LOINC number",
    ProcedureSource.NAME: "name only",
    ProcedureSource.NONE: "no code or name that says",
}
_TIERS = {
    OncologyTier.METASTATIC: "metastatic cancer",
    OncologyTier.ACTIVE: "active cancer",
    OncologyTier.SUSPECTED: "suspected cancer",
    OncologyTier.HISTORY_BONE_TROPIC: "history of a cancer that tends to return in bone",
    OncologyTier.HISTORY: "history of another cancer",
    OncologyTier.NONE: "none on record where we looked",
}
_SYMPTOMS = {
    SymptomClass.DEFICIT: "neurologic deficit",
    SymptomClass.RADICULAR: "radicular symptoms",
    SymptomClass.PAIN: "pain",
    SymptomClass.OTHER_REASON: "another reason (staging, follow-up, trauma ...)",
    SymptomClass.UNKNOWN: "no reason stated",
}
_ONSETS = {Onset.NEW: "new", Onset.NOT_NEW: "long-standing", Onset.UNKNOWN: "onset not stated, taken as new"}
_URGENCIES = {
    UrgencyClass.STAT: "stat",
    UrgencyClass.EMERGENCY: "emergency",
    UrgencyClass.ASAP: "as soon as possible",
    UrgencyClass.IMMINENT: "starts within hours",
    UrgencyClass.INPATIENT: "routine, inpatient",
    UrgencyClass.ROUTINE: "routine, outpatient",
}
_LOOKUPS = {
    LookupStatus.OK: "other sources answered",
    LookupStatus.STALE: "other sources gave old data",
    LookupStatus.FAILED: "other sources could not be asked",
    LookupStatus.NOT_CONFIGURED: "only the order itself was read",
}


def explain_message(outcome: MessageOutcome, *, count: int, policy: Policy) -> Iterator[str]:
    """Lines about one message: its verdict, then each order.

    Args:
        outcome: The message and the fate of its orders.
        count: How many messages the input has.
        policy: The policy that decided.
    """
    control_id = printable(outcome.view.control_id.decode("latin-1")) or "(no control id)"
    kind = printable(str(outcome.view.message_type))
    yield f"Message {outcome.position} of {count}: {kind} {control_id}, arrived {outcome.arrived_at:%Y-%m-%d %H:%M:%S}"
    if not outcome.orders:
        yield f"  {_VERDICTS[Disposition.PASS]}: it carries no order"
    for order in outcome.orders:
        yield ""
        yield from _explain_order(order, policy)


def explain_policy(policy: Policy) -> Iterator[str]:
    """Lines that name the policy."""
    identity = policy.identity
    yield f"Policy {identity.policy_id} {identity.version}, profile {identity.profile}, sha256 {identity.sha256[:16]}"
    yield "No medical device. A radiologist decides."


def _explain_order(outcome: OrderOutcome, policy: Policy) -> Iterator[str]:
    order = outcome.order
    number = printable(order.placer_order_number) or "(no placer order number)"
    name = printable(order.facts.procedure.name or order.facts.procedure.code) or "(no procedure)"
    yield f"  Order {number} ({printable(order.order_control) or 'no order control'}): {name}"
    verdict = _CONSUMED if outcome.reasons[0] in CONSUMED_CODES else _VERDICTS[outcome.disposition]
    yield f"  {verdict}   [{', '.join(outcome.reasons)}]"
    yield from _sentences(outcome, policy)
    if order.decision.escalate and outcome.disposition is not Disposition.PASS:
        yield "    ! A person is told at once."
    yield from _fate(outcome)
    yield ""
    yield from _facts(outcome)
    yield from _evidence(order.facts.evidence)
    yield from _grounds(outcome, policy)


def _sentences(outcome: OrderOutcome, policy: Policy) -> Iterator[str]:
    found = {finding.reason: finding.sentence for finding in outcome.order.decision.findings}
    for code in outcome.reasons:
        sentence = found.get(code) or policy.reasons[code].says
        yield from _wrapped(f"    {code}: ", sentence)


def _fate(outcome: OrderOutcome) -> Iterator[str]:
    if outcome.ended_by is not None:
        yield f"    Message {outcome.ended_by} of this input ended the hold."
    elif outcome.disposition is Disposition.HOLD and outcome.deadline_at is not None:
        yield f"    Leaves unreviewed at the latest {outcome.deadline_at:%Y-%m-%d %H:%M %Z}."


def _facts(outcome: OrderOutcome) -> Iterator[str]:
    """All facts, those included that the policy did not ask for: the reader may."""
    facts, decision = outcome.order.facts, outcome.order.decision
    procedure = decision.procedure or facts.procedure
    oncology, symptom, urgency = facts.oncology, facts.symptom, facts.urgency
    yield f"    Study      {_study(procedure)}"
    organ = f", {printable(oncology.organ)}" if oncology.organ else ""
    conflict = "; other evidence contradicts this" if oncology.conflict else ""
    yield f"    Cancer     {_TIERS[oncology.tier]}{organ}{conflict} ({_LOOKUPS[facts.lookup]})"
    onset = f", {_ONSETS[symptom.onset]}" if symptom.symptom_class in _WITH_ONSET else ""
    yield f"    Symptom    {_SYMPTOMS[symptom.symptom_class]}{onset}"
    stated = f" ({urgency.path} {printable(urgency.stated)!r})" if urgency.path else ""
    yield f"    Urgency    {_URGENCIES[urgency.urgency_class]}{stated}"
    for finding in facts.exceptions:
        yield f"    Exception  {finding.kind.replace('_', ' ')}: {printable(finding.phrase)}"


_WITH_ONSET = frozenset({SymptomClass.DEFICIT, SymptomClass.RADICULAR, SymptomClass.PAIN})


def _study(procedure: Procedure) -> str:
    regions = ", ".join(_REGIONS[region] for region in procedure.regions)
    detail = f"; this order: {regions}, {_CONTRASTS[procedure.contrast]}" if regions else ""
    return f"{_CLASSES[procedure.procedure_class]}{detail} (by {_SOURCES[procedure.source]})"


def _evidence(evidence: Sequence[Evidence]) -> Iterator[str]:
    if not evidence:
        return
    yield "    Evidence"
    for one in evidence:
        place = one.path or one.source
        day = f" of {one.date.isoformat()}" if one.date else ""
        what = " ".join(filter(None, (one.code, f"'{one.text}'" if one.text else None)))
        meaning = f" = {one.meaning}" if one.meaning else ""
        doubt = "" if one.assertion == "affirmed" else f", {one.assertion}"
        unused = "" if one.counted else " (not counted)"
        yield f"      {place:<14} {one.fact:<10} {printable(what)}{day}{printable(meaning)}{doubt}{unused}"


def _grounds(outcome: OrderOutcome, policy: Policy) -> Iterator[str]:
    """What would have prevented it, and the source of the row that decided."""
    if outcome.disposition is not Disposition.PASS:
        prevents = dict.fromkeys(policy.reasons[code].prevents for code in outcome.reasons)
        for text in filter(None, prevents):
            yield from _wrapped("    Would have prevented it: ", text)
    row = _deciding_row(outcome, policy)
    if row is not None and row.strength != "operational":
        source = policy.sources[row.source]
        yield from _wrapped("    Asked:    ", f"{row.asks} (row {row.number}, {row.name})")
        ground = f"{source.title}, {source.edition}; strength: {row.strength}. {source.worth}"
        yield from _wrapped("    Guidance: ", ground)


def _wrapped(start: str, text: str) -> Iterator[str]:
    """A sentence over as many lines as it needs, the later ones indented."""
    yield from textwrap.wrap(
        printable(text), WIDTH, initial_indent=start, subsequent_indent="      ", break_on_hyphens=False
    )


def _deciding_row(outcome: OrderOutcome, policy: Policy) -> Row | None:
    first = outcome.order.decision.findings[0]
    if first.reason not in outcome.reasons:
        return None
    disposition = outcome.order.decision.disposition
    for compiled in policy.rows:
        gives = {give.code for give in compiled.gives}
        if compiled.row.number == first.row and compiled.row.disposition is disposition and first.reason in gives:
            return compiled.row
    return None
