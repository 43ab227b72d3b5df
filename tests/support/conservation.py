"""Nothing is lost, doubled or reordered: counted from what placer and filler saw, and from what the journal keeps.

    acknowledged == delivered + held + queued + ended + dead

Each order in an acknowledged message is one unit, and so is a message without orders; at the end of a run every unit
must be in exactly one of these places. The messages are read here by cutting at "|" and CR, never by the code under
test. The load gives each order number each order control once, so that number and control name a unit.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

from interceptor.action.lifecycle import UNSEEN_ENDS, WAITING_STATES, OrderState
from interceptor.journal.port import Entry, OutboxRow
from tests.support.any_database import open_journal

NOTE_SEGMENTS = (b"NTE|", b"OBX|")
CANCELS = ("CA", "DC")

Unit = tuple[str, str]
"""Placer order number and order control; "" and the control id for a message without orders."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as a reader without our code sees it: MSH, the rest of the header, and the lines of each order."""

    raw: bytes
    control_id: str
    header: tuple[bytes, ...]
    orders: tuple[tuple[Unit, tuple[bytes, ...]], ...]

    @property
    def units(self) -> tuple[Unit, ...]:
        return tuple(unit for unit, _ in self.orders) or (("", self.control_id),)


def read_message(raw: bytes) -> Message:
    """Cut a message of the load, or what became of it, into header and orders."""
    lines = raw.removesuffix(b"\r").split(b"\r")
    starts = [number for number, line in enumerate(lines) if line.startswith(b"ORC|")]
    orders = []
    for start, end in pairwise([*starts, len(lines)]):
        fields = lines[start].split(b"|")
        unit = (fields[2].partition(b"^")[0].decode(), fields[1].decode())
        orders.append((unit, tuple(lines[start:end])))
    header = tuple(lines[: starts[0]] if starts else lines)
    return Message(raw, header[0].split(b"|")[9].decode(), header, tuple(orders))


@dataclass(slots=True)
class SentMessage:
    """One message of the placer: how often it left, on which connection, and the first answer's code."""

    message: Message
    connection: int
    sends: int = 0
    code: str = ""

    @property
    def is_accepted(self) -> bool:
        return self.code in ("AA", "CA")


@dataclass
class RunLedger:
    """What placer, filler and reviewers saw of a run. `disruptions`: kills, and connections that the filler dropped."""

    sent: dict[bytes, SentMessage] = field(default_factory=dict)
    received: list[Message] = field(default_factory=list)
    released: Counter[str] = field(default_factory=Counter)
    disruptions: int = 0

    def note_sent(self, connection: int, raw: bytes) -> None:
        """The placer writes these bytes, perhaps again."""
        if raw not in self.sent:
            self.sent[raw] = SentMessage(read_message(raw), connection)
        self.sent[raw].sends += 1

    def note_answer(self, raw: bytes, code: str) -> None:
        """The placer has got this answer; a resend may get another one only if the first was no."""
        one = self.sent[raw]
        assert not (one.is_accepted and code not in ("AA", "CA")), "accepted, and refused when sent again"
        one.code = code

    def note_received(self, raw: bytes) -> None:
        """The filler has got these bytes."""
        self.received.append(read_message(raw))

    def note_released(self, number: str) -> None:
        """A reviewer was told that the release of this order is done."""
        self.released[number] += 1

    @property
    def accepted(self) -> list[SentMessage]:
        return [one for one in self.sent.values() if one.is_accepted]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the journal has at the end.

    Attributes:
        states: Where the newest entry of each order stands, by placer order number.
        taken: SHA-256 of every message that we answered for.
        queued: What waits for the filler.
        dead: What the filler refused.
        problems: What the journal's own verification found.
    """

    states: dict[str, OrderState]
    taken: frozenset[bytes]
    queued: frozenset[Unit]
    dead: frozenset[Unit]
    problems: tuple[str, ...]


async def read_journal(path: Path) -> Kept:
    """Open the journal of a node that has ended, verify it, and read what it keeps."""
    async with open_journal(path) as journal:
        entries: dict[str, Entry] = {}
        for entry in await journal.entries(states=tuple(OrderState), limit=1_000_000):
            known = entries.get(entry.placer_order_number)
            if known is None or known.entry_id < entry.entry_id:
                entries[entry.placer_order_number] = entry
        return Kept(
            states={number: entry.state for number, entry in entries.items()},
            taken=frozenset(await journal.recent_digests(since=datetime(2000, 1, 1, tzinfo=UTC))),
            queued=_units(await journal.undelivered_rows()),
            dead=_units(await journal.dead_letters(limit=1_000_000)),
            problems=tuple((await journal.verify()).problems),
        )


_NUMBER = re.compile(r"C?P[0-9]+(?:CA|SC|P[0-9]+)?")


def problem_kinds(problems: Sequence[str], ledger: RunLedger, kept: Kept) -> Iterator[str]:
    """One line for each kind of problem, the most frequent first: how often, and for one of them what everybody saw."""
    kinds: dict[str, list[str]] = {}
    for problem in problems:
        kinds.setdefault(_NUMBER.sub("#", problem), []).append(problem)
    for kind, found in sorted(kinds.items(), key=lambda item: -len(item[1])):
        number = _NUMBER.search(found[0])
        seen = f"; e.g. {number.group()}: {what_was_seen(number.group(), ledger, kept)}" if number else ""
        yield f"{len(found)} x {kind}{seen}"


def what_was_seen(number: str, ledger: RunLedger, kept: Kept) -> str:
    """What placer, filler, reviewers and journal know of one order."""
    sent = [
        f"{control} sent {one.sends} times, answered {one.code or 'never'}"
        for one in ledger.sent.values()
        for (order_number, control) in one.message.units
        if order_number == number
    ]
    arrived = [unit[1] for message in ledger.received for unit in message.units if unit[0] == number]
    told = f"filler got {' '.join(arrived) or 'nothing'}, releases confirmed: {ledger.released[number]}"
    return f"{', '.join(sent) or 'never sent'}; {told}; journal: {kept.states.get(number, 'no entry')}"


def _units(rows: Sequence[OutboxRow]) -> frozenset[Unit]:
    return frozenset(unit for row in rows for unit in read_message(row.content).units)


@dataclass
class Balance:
    """The equation, counted in units, and every promise that was broken."""

    places: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        out = ", ".join(f"{count} {place}" for place, count in sorted(self.places.items()))
        return f"{self.places.total()} orders and messages acknowledged = {out}; {self.duplicates} duplicates"


def balance(ledger: RunLedger, kept: Kept, *, is_relay: bool = True) -> Balance:
    """Count everything. *is_relay*: what passes us without being queued is not behind what was queued before."""
    done = Balance(problems=[*kept.problems])
    copies: dict[Unit, list[Message]] = {}
    for message in ledger.received:
        for unit in message.units:
            copies.setdefault(unit, []).append(message)
    for one in ledger.accepted:
        for unit in one.message.units:
            done.places[_place(unit, copies, kept, done.problems)] += 1
    _check_copies(ledger, kept, copies, done)
    done.problems += _unknown(ledger, copies)
    done.problems += _cancel_problems(ledger, kept)
    done.problems += _inversions(ledger, kept, is_relay=is_relay)
    done.problems += [f"{number} was released {count} times" for number, count in ledger.released.items() if count > 1]
    return done


def _place(unit: Unit, copies: dict[Unit, list[Message]], kept: Kept, problems: list[str]) -> str:
    """Where an acknowledged unit is; anything but exactly one place is a problem."""
    state = kept.states.get(unit[0])
    places = []
    if unit in kept.dead:
        places.append("dead")
    elif unit in kept.queued:
        places.append("queued")
    elif unit in copies:
        places.append("delivered")
    if state in WAITING_STATES:
        places.append("held")
    if state in UNSEEN_ENDS:
        places.append("ended")
    if len(places) != 1:
        problems.append(f"{unit} is in {places or 'no place'}; its entry is {state}")
    return places[0] if places else "lost"


def _check_copies(ledger: RunLedger, kept: Kept, copies: dict[Unit, list[Message]], done: Balance) -> None:
    """Each copy is what was sent, notes aside; all copies are the same bytes; there are no more than may be."""
    ours_twice = 0
    for one in ledger.sent.values():
        was_ours = sha256(one.message.raw).digest() in kept.taken
        for unit in one.message.units:
            found = copies.get(unit, [])
            done.problems += [f"{unit} arrived altered" for copy in found if not _is_same(one.message, copy, unit)]
            if len({copy.raw for copy in found}) > 1:
                done.problems.append(f"{unit} arrived with different bytes")
            surplus = max(0, len(found) - 1)
            done.duplicates += surplus
            if was_ours:
                ours_twice += surplus
            elif len(found) > one.sends:
                done.problems.append(f"{unit} arrived {len(found)} times and was sent {one.sends} times")
    if ours_twice > ledger.disruptions:
        done.problems.append(f"{ours_twice} duplicates of ours in {ledger.disruptions} disruptions")


def _is_same(sent: Message, copy: Message, unit: Unit) -> bool:
    if not unit[0]:
        return copy.raw == sent.raw
    if copy.control_id != sent.control_id and not copy.control_id.startswith(f"{sent.control_id}P"):
        return False
    lines, arrived = dict(sent.orders)[unit], list(dict(copy.orders)[unit])
    for line in lines:
        while arrived and arrived[0] != line and arrived[0].startswith(NOTE_SEGMENTS):
            arrived.pop(0)
        if not arrived or arrived.pop(0) != line:
            return False
    return copy.header[1:] == sent.header[1:] and all(line.startswith(NOTE_SEGMENTS) for line in arrived)


def _unknown(ledger: RunLedger, copies: dict[Unit, list[Message]]) -> Iterator[str]:
    sent = {unit for one in ledger.sent.values() for unit in one.message.units}
    yield from (f"{unit} arrived and was never sent" for unit in copies.keys() - sent)


def _cancel_problems(ledger: RunLedger, kept: Kept) -> Iterator[str]:
    """The filler never hears of a cancel first, and the last that it hears of a cancelled order is its cancel, once that is out."""
    heard: dict[str, list[str]] = {}
    for message in ledger.received:
        for (number, control), _ in message.orders:
            heard.setdefault(number, []).append(control)
    units = {unit for one in ledger.accepted for unit in one.message.units if unit[1] in CANCELS}
    accepted = {number for number, _ in units - kept.queued}
    for number, controls in heard.items():
        if controls[0] in CANCELS:
            yield f"{number}: the cancel came before the order"
        ends = [place for place, control in enumerate(controls) if control in CANCELS]
        if ends and "NW" in controls[ends[0] :]:
            yield f"{number}: the order came after its cancel"
        if number in accepted and not ends:
            yield f"{number}: the cancel was answered, the filler has the order and no cancel"


def _inversions(ledger: RunLedger, kept: Kept, *, is_relay: bool) -> Iterator[str]:
    """Messages of one connection arrive in the order they were sent.

    Those aside that waited for siblings or people; and in relay what we answered for and queued: messages about other
    orders do not wait for it.
    """
    first: dict[Unit, int] = {}
    for number, message in enumerate(ledger.received):
        for unit in message.units:
            first.setdefault(unit, number)
    last: dict[int, int] = {}
    for one in ledger.sent.values():
        is_queued = is_relay and sha256(one.message.raw).digest() in kept.taken
        if is_queued or any(unit[0] in kept.states for unit in one.message.units):
            continue
        for unit in one.message.units:
            arrived = first.get(unit)
            if arrived is None:
                continue
            if arrived < last.get(one.connection, -1):
                yield f"{unit} arrived before an earlier one of its connection"
            last[one.connection] = arrived
            break
