"""What the upkeep of a journal takes and gives: retention, what was pruned, what a check found."""

from dataclasses import dataclass

DAMAGED = "damaged"
"""`last_error` of an outbox row whose bytes are not those that were stored: it is never sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What `journal verify` found; empty `problems` means sound. Each problem is a sentence without content.

    `audit_number` and `audit_sha256` are the end of the audit chain (0 and zeros when empty): keep them elsewhere
    and a later check can tell whether the chain was cut short or written anew.
    """

    rows_checked: int
    problems: tuple[str, ...]
    audit_number: int
    audit_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How many days ended things are kept. What is undelivered, dead and undiscarded, or audit is kept for ever.

    `message_days` below 7 would make the journal forget duplicates too soon and is refused.
    """

    message_days: int = 30
    entry_days: int = 365
    decision_days: int = 365
    quarantine_days: int = 30

    def __post_init__(self) -> None:
        if self.message_days < 7 or min(self.entry_days, self.decision_days, self.quarantine_days) < 1:
            message = "message_days must be 7 or more, the others 1 or more"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How many rows `prune` removed."""

    outbox_count: int = 0
    entry_count: int = 0
    message_count: int = 0
    decision_count: int = 0
    quarantine_count: int = 0
