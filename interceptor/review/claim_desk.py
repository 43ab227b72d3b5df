"""Who looks at which order: claims, handing over, putting aside. In the node, the only writer.

A claim is a lease: it runs out by itself, and each look at the order by whoever has it begins its time anew. It keeps
nobody from deciding (a night shift must be able to act on an order that the day shift forgot); it says who is at it.
Neither a claim nor a snooze changes the order or moves its deadline.

Failures: somebody else has the order (conflict, with who and until when); a journal that is unavailable.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from interceptor.action.lifecycle import WAITING_STATES
from interceptor.control.protocol import ControlError
from interceptor.journal import desk_rows
from interceptor.journal.desk_rows import Claim
from interceptor.journal.port import EntryId
from interceptor.journal.sql import SqlConnection
from interceptor.review.access_desk import Tables, text_of
from interceptor.review.desk import Desk, Handler, actor_argument, number_argument, telling_of_the_journal


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimLimits:
    """How long a claim lasts, and the longest time an order can be put aside, in seconds."""

    claim_seconds: float
    snooze_seconds_max: float


class ClaimDesk:
    """Commands about who looks at an order."""

    def __init__(self, desk: Desk, tables: Tables, *, limits: ClaimLimits, now: Callable[[], datetime]) -> None:
        """*now* is aware UTC."""
        self._desk = desk
        self._tables = tables
        self._limits = limits
        self._now = now

    def handlers(self) -> dict[str, Handler]:
        """Command name to function."""
        commands = {
            "held_claim": self.held_claim,
            "held_unclaim": self.held_unclaim,
            "held_hand_over": self.held_hand_over,
            "held_snooze": self.held_snooze,
        }
        return {name: telling_of_the_journal(command) for name, command in commands.items()}

    async def held_claim(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Take an order to look at, or look at it again (`renew`: only where it is already the actor's, not audited)."""
        actor, at, is_renewal = actor_argument(arguments), self._now(), bool(arguments.get("renew", False))
        entry_id = await self._waiting(arguments)
        claim = Claim(claimed_by=actor, claimed_until=at + timedelta(seconds=self._limits.claim_seconds))

        def work(connection: SqlConnection) -> Claim | None:
            had = desk_rows.find_claim(connection, entry_id)
            is_taken = had is not None and had.claimed_by != actor and had.claimed_until > at
            is_own = had is not None and had.claimed_by == actor and had.claimed_until > at
            if is_taken or (is_renewal and not is_own):
                return had
            desk_rows.set_claim(connection, entry_id, claim)
            return claim

        got = await self._write(
            work, entry_id, actor, "order_claimed", lambda done: None if is_renewal or done != claim else _told(claim)
        )
        if got != claim:
            raise _taken(got)
        return {"entry": entry_id, **_told(claim)}

    async def held_unclaim(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Give an order back to everybody; only whoever has it can."""
        actor, entry_id = actor_argument(arguments), EntryId(number_argument(arguments, "entry"))

        def work(connection: SqlConnection) -> Claim | None:
            had = desk_rows.find_claim(connection, entry_id)
            if had is not None and had.claimed_by == actor:
                desk_rows.drop_claim(connection, entry_id)
                return None
            return had

        left = await self._write(work, entry_id, actor, "order_given_back", lambda had: None if had else {})
        if left is not None:
            raise _taken(left)
        return {"entry": entry_id, "claimed_by": None}

    async def held_hand_over(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Make an order somebody else's (`to`), with a word for them."""
        actor, at = actor_argument(arguments), self._now()
        receiver = actor_argument({"actor": text_of(arguments, "to")})
        comment = str(arguments.get("comment", "")).strip()[:400]
        entry_id = await self._waiting(arguments)
        claim = Claim(claimed_by=receiver, claimed_until=at + timedelta(seconds=self._limits.claim_seconds))

        def work(connection: SqlConnection) -> Claim:
            desk_rows.set_claim(connection, entry_id, claim)
            return claim

        detail = _told(claim) | ({"comment": comment} if comment else {})
        await self._write(work, entry_id, actor, "order_handed_over", lambda _claim: detail)
        return {"entry": entry_id, **_told(claim)}

    async def held_snooze(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Put an order aside for `minutes`; it comes back by itself, and its deadline stays what it was."""
        actor, at = actor_argument(arguments), self._now()
        entry_id, minutes = await self._waiting(arguments), number_argument(arguments, "minutes")
        if minutes * 60.0 > self._limits.snooze_seconds_max:
            raise ControlError("bad_argument", f"at most {self._limits.snooze_seconds_max / 60:g} minutes")
        until = at + timedelta(minutes=minutes)

        def work(connection: SqlConnection) -> None:
            desk_rows.set_snooze(connection, entry_id, by=actor, until=until)

        told = {"snoozed_until": until.isoformat()}
        await self._write(work, entry_id, actor, "order_snoozed", lambda _done: told)
        return {"entry": entry_id, **told}

    async def _waiting(self, arguments: dict[str, Any]) -> EntryId:
        """The order, when it still waits."""
        entry = await self._desk.entry(arguments)
        if entry.state not in WAITING_STATES:
            raise await self._desk.conflict(entry.entry_id, entry.state, actor=entry.changed_by, at=entry.changed_at)
        return entry.entry_id

    async def _write(
        self,
        work: Callable[[SqlConnection], Any],
        entry_id: EntryId,
        actor: str,
        action: str,
        describe: Callable[[Any], Mapping[str, object] | None],
    ) -> Any:
        return await self._tables.write_audited(
            work, at=self._now(), actor=actor, action=action, describe=describe, entry_id=entry_id
        )


def _told(claim: Claim) -> dict[str, object]:
    return {
        "claimed_by": claim.claimed_by.removeprefix("user:"),
        "claimed_until": claim.claimed_until.isoformat(),
    }


def _taken(claim: Claim | None) -> ControlError:
    if claim is None:
        return ControlError("conflict", "nobody has claimed this order")
    who, until = claim.claimed_by.removeprefix("user:"), claim.claimed_until.isoformat(timespec="seconds")
    return ControlError("conflict", f"claimed by {who} until {until}")
