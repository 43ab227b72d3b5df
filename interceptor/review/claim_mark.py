"""Who has an order in hand, as pages show it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimMark:
    """A claim is a lease: it ends by itself.

    Attributes:
        name: Who has it, "" for nobody.
        until: When the lease ends.
        is_mine: Whether the person who looks has it.
        snoozed_until: The order was put aside until then; its deadline stands.
        released_by: Who released it; it leaves at `leaves_at` unless that is called back. "" for nobody.
    """

    name: str = ""
    until: datetime | None = None
    is_mine: bool = False
    snoozed_until: datetime | None = None
    released_by: str = ""
    leaves_at: datetime | None = None


UNCLAIMED = ClaimMark()
