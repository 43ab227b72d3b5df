"""Who has which order in hand now, from the stored claims: a claim is a lease and ends by itself. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from interceptor.journal.review_record import Claim
from interceptor.review.claim_mark import UNCLAIMED, ClaimMark


@dataclass(frozen=True, slots=True)
class ClaimMarks:
    """Claims by order."""

    marks: Mapping[int, ClaimMark]

    def of(self, entry_id: int) -> ClaimMark:
        """Who has this order; nobody where nobody has."""
        return self.marks.get(entry_id, UNCLAIMED)


def claim_marks(claims: Iterable[Claim], person_name: str, now: datetime) -> ClaimMarks:
    """The claims that hold now, as *person_name* sees them."""
    return ClaimMarks({one.entry_id: _mark(one, person_name, now) for one in claims})


def _mark(claim: Claim, person_name: str, now: datetime) -> ClaimMark:
    name = claim.claimed_by.removeprefix("user:")
    is_held = claim.claimed_until is not None and claim.claimed_until > now
    snoozed = claim.snoozed_until if claim.snoozed_until is not None and claim.snoozed_until > now else None
    return ClaimMark(
        name=name if is_held else "",
        until=claim.claimed_until if is_held else None,
        is_mine=is_held and name == person_name,
        snoozed_until=snoozed,
        released_by=claim.released_by.removeprefix("user:"),
        leaves_at=claim.leaves_at,
    )
