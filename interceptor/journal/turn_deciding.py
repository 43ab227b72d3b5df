"""Deciding within one turn: the message, its parts, and the siblings that wait, each with what is known so far.

The evidence sources are asked once in a turn, and only when a decision cannot do without.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from interceptor.action.lifecycle import WAITING_STATES
from interceptor.action.plan import MessagePlan, plan_message
from interceptor.context.extract import EvidenceNeeded
from interceptor.context.order_set import SetMember, set_key
from interceptor.context.patient import PatientEvidence
from interceptor.decision.message_decision import MessageDecision, OrderDecision, order_key
from interceptor.journal.custody import Custody, set_keys_of
from interceptor.journal.order_index import order_keys_of
from interceptor.journal.port import Entry
from interceptor.journal.turn_parts import TurnParts
from interceptor.message.group import order_groups
from interceptor.message.view import MessageView


@dataclass(frozen=True, slots=True, kw_only=True)
class Sibling:
    """A waiting order of the same set."""

    entry: Entry
    member: SetMember | None


def turn_sets(view: MessageView, custody: Custody) -> tuple[str, ...]:
    """The sets that a message may change: those that its orders name, and those that its orders of ours belong to.

    A cancel or change may name another day, or no group, than the order did.
    """
    known = [order.set_key for key in order_keys_of(view) for order in custody.index.of_key(key) if order.set_key]
    return tuple(dict.fromkeys((*set_keys_of(view), *known)))


class Deciding:
    """The decisions of one turn."""

    def __init__(self, view: MessageView, parts: TurnParts, *, evidence: PatientEvidence | None, at: datetime) -> None:
        """*view*: the received message; *evidence* is None when the sources were not asked yet."""
        self._view = view
        self._parts = parts
        self._journal = parts.custody.journal
        self._evidence = evidence
        self._now = at

    async def siblings(self) -> tuple[Sibling, ...]:
        """Waiting orders of the sets that this message's orders belong to, each with its own decision's member."""
        index = self._parts.custody.index
        own_keys = set(order_keys_of(self._view))
        waiting = {
            order.entry_id
            for key in turn_sets(self._view, self._parts.custody)
            for order in index.of_set(key)
            if order.order_key not in own_keys
        }
        found = []
        for entry_id in sorted(waiting):
            entry = await self._journal.entry(entry_id)
            if entry is not None and entry.state in WAITING_STATES and not entry.damaged:
                found.append(await self._sibling(entry))
        return tuple(found)

    async def _sibling(self, entry: Entry) -> Sibling:
        alone = await self.decide_entry(entry, ())
        member = alone.member and replace(
            alone.member, set_key=entry.set_key, in_custody=True, arrived_at=entry.taken_at
        )
        return Sibling(entry=entry, member=member)

    async def decide_entry(self, entry: Entry, members: Sequence[SetMember]) -> OrderDecision:
        """Decide a waiting order again beside *members*.

        It is decided within the whole message that it came in: a diagnosis or reason that stands in another order
        of the message counts for it, as it did the first time. The message's other orders that are ours, or that the
        message at hand is about, count for its set as they stand now, not as they came.
        """
        source = MessageView(entry.source)
        members = _as_named_in(source, entry, members)
        here = set(order_keys_of(self._view))
        index = self._parts.custody.index
        moved = {key for key in order_keys_of(source) if key in here or index.of_key(key)} - {entry.order_key}
        for order in (await self.decide(source, members, moved)).orders:
            if order.order_key == entry.order_key:
                content = MessageView(entry.content)
                return order.with_group(order_groups(content)[0])
        return (await self.decide(MessageView(entry.content), members)).orders[0]

    async def decide(
        self, view: MessageView, members: Sequence[SetMember], withdrawn: Container[str] = ()
    ) -> MessageDecision:
        """Decide *view* beside *members*; asks the evidence sources when the decision needs them."""
        try:
            return self._parts.decide(view, self._evidence, self._now, members, withdrawn)
        except EvidenceNeeded:
            self._evidence = await self._parts.lookup(view)
            return self._parts.decide(view, self._evidence, self._now, members, withdrawn)

    def plan(self, view: MessageView, orders: Sequence[OrderDecision], *, first_part: int) -> MessagePlan:
        """*first_part* 0: *view* is a part already, and keeps the control id that it was split off with."""
        return plan_message(
            view,
            orders,
            mode=self._parts.mode(),
            no_hold=self._parts.no_hold(),
            note_length=self._parts.release.note_length,
            first_part=first_part,
        )


def _as_named_in(source: MessageView, entry: Entry, members: Sequence[SetMember]) -> Sequence[SetMember]:
    """*members* under the key that *source* gives the order's set, which differs once its patient was merged."""
    for group in order_groups(source):
        if order_key(source, group) == entry.order_key and (key := set_key(source, group)) != entry.set_key:
            return [replace(one, set_key=key) if one.set_key == entry.set_key else one for one in members]
    return members
