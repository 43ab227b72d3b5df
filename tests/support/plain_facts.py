"""Facts as plain values, for tests of what is decided from them."""

from dataclasses import dataclass
from pathlib import Path

from interceptor.context.order_facts import Evidence, ExceptionFinding, Oncology, Procedure, Symptom, Urgency
from interceptor.context.vocabulary import (
    ControlKind,
    ExceptionKind,
    LookupStatus,
    OncologyTier,
    Onset,
    ProcedureClass,
    SymptomClass,
    UrgencyClass,
)
from interceptor.decision.policy import Policy, parse_policy

POLICY_FILE = Path(__file__).parents[2] / "mappings" / "policies" / "spine-oncology.toml"


def shipped_policy(profile: str = "default") -> Policy:
    """The policy that ships, in one profile."""
    return parse_policy(POLICY_FILE.read_bytes().decode(), file="spine-oncology.toml", profile=profile)


@dataclass(frozen=True, kw_only=True)
class PlainFacts:
    """Facts of one order."""

    control: ControlKind
    procedure: Procedure
    override: bool
    oncology: Oncology
    lookup: LookupStatus
    symptom: Symptom
    urgency: Urgency
    exceptions: tuple[ExceptionFinding, ...]
    evidence: tuple[Evidence, ...] = ()


def facts(
    *,
    control: str = "new",
    procedure: str = "regional_mr",
    override: bool = False,
    oncology: str = "active",
    lookup: str = "ok",
    symptom: str = "pain",
    onset: str = "new",
    urgency: str = "routine",
    exceptions: tuple[str, ...] = (),
) -> PlainFacts:
    """Facts by the words of the policy file; the defaults are those of an order that is held for a regional study."""
    return PlainFacts(
        control=ControlKind(control),
        procedure=Procedure(procedure_class=ProcedureClass(procedure)),
        override=override,
        oncology=Oncology(tier=OncologyTier(oncology)),
        lookup=LookupStatus(lookup),
        symptom=Symptom(symptom_class=SymptomClass(symptom), onset=Onset(onset)),
        urgency=Urgency(urgency_class=UrgencyClass(urgency)),
        exceptions=tuple(ExceptionFinding(kind=ExceptionKind(kind), phrase=f"{kind} phrase") for kind in exceptions),
    )
