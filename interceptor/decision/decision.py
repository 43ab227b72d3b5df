"""A decision: what the policy says of one order, why, and by which exact policy."""

from dataclasses import dataclass
from enum import IntEnum

from interceptor.context.order_facts import Evidence, ExceptionFinding, Oncology, Procedure, Symptom, Urgency
from interceptor.context.vocabulary import LookupStatus


class Disposition(IntEnum):
    """What becomes of an order; a stronger one wins over a weaker one."""

    PASS = 0
    ANNOTATE = 1
    HOLD = 2

    @property
    def word(self) -> str:
        """The stored and printed word: pass, annotate or hold."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyIdentity:
    """Which policy decided. `sha256` covers every byte of the policy file (hexadecimal, 64 characters)."""

    policy_id: str
    version: str
    profile: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One reason behind a decision.

    Attributes:
        reason: Reason code, e.g. "H-REGIONAL" (docs/clinical/reasons/).
        row: Number of the row in the decision table that gave it (`number` in the policy file); None for listed extras.
        sentence: One plain ASCII sentence for people, from the policy.
    """

    reason: str
    row: int | None
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The verdict on one order.

    Attributes:
        disposition: Pass, annotate or hold.
        findings: Why, the deciding finding first.
        escalate: True when a person must be told at once, whatever the disposition.
        hold_deadline_seconds: A shorter deadline than the site's, when the row sets one (strict: deficit, 15 min).
        decide_again: True when the order should be decided again once the lookup answers (A-UNKNOWN-ONC).
        policy: Which policy decided.
        procedure, oncology, symptom, urgency, exceptions, lookup, evidence: The facts that were read;
            None for a fact that the policy never asked for.
    """

    disposition: Disposition
    findings: tuple[Finding, ...]
    policy: PolicyIdentity
    escalate: bool = False
    hold_deadline_seconds: float | None = None
    decide_again: bool = False
    procedure: Procedure | None = None
    oncology: Oncology | None = None
    symptom: Symptom | None = None
    urgency: Urgency | None = None
    exceptions: tuple[ExceptionFinding, ...] | None = None
    lookup: LookupStatus | None = None
    evidence: tuple[Evidence, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reason codes, the deciding one first."""
        return tuple(finding.reason for finding in self.findings)
