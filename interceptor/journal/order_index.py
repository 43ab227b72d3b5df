"""What is ours now, in memory: orders by key and set, keys that wait in the outbox, bytes that were taken.

Values in, answers out; nothing here waits, reads the journal or decides. `Custody` keeps it in step with the
journal. Of several orders under one key the newest counts: an older one that has ended says nothing any more.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from interceptor.action.lifecycle import OPEN_STATES, UNSEEN_ENDS, WAITING_STATES, OrderState
from interceptor.decision.message_decision import order_key
from interceptor.journal.patient_number import PatientNumber, numbers_of_order
from interceptor.journal.port import Entry, EntryId
from interceptor.message.group import order_groups
from interceptor.message.header import NotHl7
from interceptor.message.view import MessageView

ENDED_STATES = UNSEEN_ENDS | {OrderState.DEAD}
"""Ends after which a message about the order cannot simply pass."""
ENDED_COUNT_MAX = 100_000
"""Ended orders kept; the oldest are forgotten (their placers have, too)."""
DIGEST_COUNT_MAX = 200_000
"""Digests kept, about 20 MB; the journal finds older resends of what is still ours by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOrder:
    """What the index knows of one order; the rest is in the journal. `patients`: the numbers of its patient, while open."""

    entry_id: EntryId
    route: str
    order_key: str
    set_key: str
    state: OrderState
    version: int
    priority: str
    taken_at: datetime
    deadline_at: datetime | None
    patients: frozenset[PatientNumber] = frozenset()


class QueuedKeys:
    """Keys of the orders that messages in the outbox are about: nothing later may overtake those."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self.change_count = 0

    def __bool__(self) -> bool:
        return bool(self._counts)

    def __contains__(self, order_key: object) -> bool:
        return order_key in self._counts

    def any_of(self, order_keys: Iterable[str]) -> bool:
        """Whether messages about any of these orders wait in the outbox."""
        return any(key in self._counts for key in order_keys)

    def add(self, content: bytes, kind: str) -> None:
        """A message went into the outbox."""
        if kind != "notice":
            self.change_count += 1
            self._counts.update(keys_of_content(content))

    def drop(self, content: bytes, kind: str) -> None:
        """The message has left the outbox, to the filler or to the dead letters."""
        self.change_count += 1
        for key in keys_of_content(content) if kind != "notice" else ():
            self._counts[key] -= 1
            if self._counts[key] <= 0:
                del self._counts[key]

    def replace(self, contents: Iterable[tuple[bytes, str]]) -> None:
        """What waits in the outbox, content and kind, all of it: for when a row left whose bytes say nothing any more."""
        self._counts.clear()
        for content, kind in contents:
            self.add(content, kind)


class OrderIndex:
    """Orders that are parked, held or queued, and those that ended without the filler's having taken them."""

    def __init__(self, *, ended_count_max: int = ENDED_COUNT_MAX, digest_count_max: int = DIGEST_COUNT_MAX) -> None:
        """Both limits are counts; beyond them the oldest go."""
        self._ended_count_max = ended_count_max
        self._digest_count_max = digest_count_max
        self._open: dict[EntryId, OpenOrder] = {}
        # Ordered: the oldest of a plain dict is found behind all that were deleted before it, slower with each.
        self._ended: OrderedDict[EntryId, OpenOrder] = OrderedDict()
        self._by_key: dict[str, set[EntryId]] = {}
        self._by_set: dict[str, set[EntryId]] = {}
        self._digests: OrderedDict[bytes, None] = OrderedDict()
        self.queued = QueuedKeys()

    def __bool__(self) -> bool:
        # False when no message can be about anything of ours.
        return bool(self._by_key or self.queued or self._digests)

    def find(self, entry_id: EntryId) -> OpenOrder | None:
        """One order."""
        return self._open.get(entry_id) or self._ended.get(entry_id)

    def orders(self) -> tuple[OpenOrder, ...]:
        """All orders that are PARKED, HELD or QUEUED, the earliest first."""
        return tuple(self._open[entry_id] for entry_id in sorted(self._open))

    def of_key(self, order_key: str) -> tuple[OpenOrder, ...]:
        """Orders under this key, the earliest first."""
        return self._all(self._by_key.get(order_key, ()))

    def of_set(self, set_key: str) -> tuple[OpenOrder, ...]:
        """Orders of this set that wait here, the earliest first."""
        return tuple(order for order in self._all(self._by_set.get(set_key, ())) if order.state in WAITING_STATES)

    def knows(self, order_key: str) -> bool:
        """Whether an order under this key is ours, or messages about it wait in the outbox."""
        return order_key in self._by_key or order_key in self.queued

    def has_taken(self, digest: bytes) -> bool:
        """Whether these very bytes (SHA-256) were taken before."""
        return digest in self._digests

    def remember(self, entry: Entry) -> None:
        """Show *entry* as it stands now; one that the filler has taken is shown no more."""
        known = self.find(entry.entry_id)
        if known is not None and known.version > entry.version:
            return  # Read before the step that is shown already.
        self.forget(entry.entry_id)
        self._forget_older(entry)
        if entry.state not in OPEN_STATES | ENDED_STATES:
            return
        order = OpenOrder(
            entry_id=entry.entry_id,
            route=entry.route,
            order_key=entry.order_key,
            set_key=entry.set_key,
            state=entry.state,
            version=entry.version,
            priority=entry.priority,
            taken_at=entry.taken_at,
            deadline_at=entry.deadline_at,
            patients=numbers_of_order(entry.content, entry.summary) if entry.state in OPEN_STATES else frozenset(),
        )
        (self._open if entry.state in OPEN_STATES else self._ended)[order.entry_id] = order
        if order.order_key:
            self._by_key.setdefault(order.order_key, set()).add(order.entry_id)
        if order.set_key:
            self._by_set.setdefault(order.set_key, set()).add(order.entry_id)
        if len(self._ended) > self._ended_count_max:
            self.forget(next(iter(self._ended)))

    def forget(self, entry_id: EntryId) -> None:
        """Show this order no more."""
        order = self._open.pop(entry_id, None) or self._ended.pop(entry_id, None)
        if order is not None:
            _discard(self._by_key, order.order_key, entry_id)
            _discard(self._by_set, order.set_key, entry_id)

    def add_digest(self, digest: bytes) -> None:
        """These bytes were taken."""
        self._digests[digest] = None
        if len(self._digests) > self._digest_count_max:
            self._digests.popitem(last=False)

    def _forget_older(self, entry: Entry) -> None:
        older = [one for one in self._by_key.get(entry.order_key, ()) if one < entry.entry_id and one in self._ended]
        for entry_id in older:
            self.forget(entry_id)

    def _all(self, entry_ids: Iterable[EntryId]) -> tuple[OpenOrder, ...]:
        found = (self.find(entry_id) for entry_id in sorted(entry_ids))
        return tuple(order for order in found if order is not None)


def order_keys_of(view: MessageView) -> tuple[str, ...]:
    """Keys of the orders of a message; none for one without orders. An order without a number has no key."""
    return tuple(dict.fromkeys(key for group in order_groups(view) if (key := order_key(view, group))))


def keys_of_content(content: bytes) -> tuple[str, ...]:
    """`order_keys_of` for bytes that may be anything."""
    try:
        return order_keys_of(MessageView(content))
    except NotHl7:
        return ()


def _discard(index: dict[str, set[EntryId]], key: str, entry_id: EntryId) -> None:
    ids = index.get(key)
    if ids is not None:
        ids.discard(entry_id)
        if not ids:
            del index[key]
