"""All commands on orders, put together: the desk, claims, releases that can be called back, dead letters."""

from dataclasses import dataclass, replace

from interceptor.review.access_desk import Tables
from interceptor.review.claim_desk import ClaimDesk, ClaimLimits
from interceptor.review.dead_letter_desk import DeadLetterDesk
from interceptor.review.desk import Desk, DeskParts, Handler
from interceptor.review.release_desk import ReleaseDesk, ReleasePlans, ReleaseRules


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderDesks:
    """Command name to function, and the planned releases, whose `run` must live as long as the node."""

    handlers: dict[str, Handler]
    plans: ReleasePlans


def build_order_desks(parts: DeskParts, tables: Tables, *, rules: ReleaseRules, limits: ClaimLimits) -> OrderDesks:
    """The desks over one custody. `parts.planned` is replaced: the plans are made here."""
    plans = ReleasePlans(parts, tables)
    parts = replace(parts, planned=plans.find)
    desk = Desk(parts)
    handlers = {
        **desk.handlers(),
        **ReleaseDesk(desk, plans, parts, rules=rules).handlers(),
        **ClaimDesk(desk, tables, limits=limits, now=parts.now).handlers(),
        **DeadLetterDesk(parts).handlers(),
    }
    return OrderDesks(handlers=handlers, plans=plans)
