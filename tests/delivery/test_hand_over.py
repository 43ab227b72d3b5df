"""The journal cannot be written when a held order is due: the filler gets it all the same, once, and that is recorded."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from interceptor.action.lifecycle import OrderState
from interceptor.delivery.courier import Courier, CourierOptions
from interceptor.delivery.hold_timer import GRACE_SECONDS, HoldTimer
from interceptor.journal.custody import Custody
from interceptor.journal.port import JournalReason, JournalUnavailable, OutgoingMessage
from tests.support.delivery import SeenEvents, utc_now, way_to
from tests.support.hostile_filler import Step, answer, close, hostile_filler
from tests.support.ward import Ward, all_words, in_state, said, ward

pytestmark = [pytest.mark.hazard("H2"), pytest.mark.fault(3)]
HandOver = Callable[[OutgoingMessage], Awaitable[OutgoingMessage | None]]


class Away:
    """The journal's writes, refused while `is_away`."""

    def __init__(self, place: Ward, patch: pytest.MonkeyPatch) -> None:
        self.is_away = True
        for name in ("apply_changes", "record_intake"):
            patch.setattr(place.journal, name, self._guarded(getattr(place.journal, name)))

    def _guarded(self, write: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def guarded(*values: object, **named: object) -> object:
            if self.is_away:
                raise JournalUnavailable(JournalReason.FULL)
            return await write(*values, **named)

        return guarded


class Handed:
    """Plays the courier: keeps what it was given, and says of each whether it was accepted."""

    def __init__(self, *acknowledgments: bytes | None, is_reachable: bool = True) -> None:
        self.sent: list[bytes] = []
        self.is_reachable = is_reachable
        self._acknowledgments = iter(acknowledgments)

    async def __call__(self, message: OutgoingMessage) -> OutgoingMessage | None:
        if not self.is_reachable:
            return None
        self.sent.append(message.content)
        found = next(self._acknowledgments, b"AA")
        return OutgoingMessage(
            destination=message.destination,
            content=message.content,
            control_id=message.control_id,
            original=message.original,
            kind=message.kind,
            entry_id=message.entry_id,
            possible_duplicate=found is None,
            acknowledgment=found,
        )


def timer_of(place: Ward, hand_over: HandOver) -> HoldTimer:
    return HoldTimer(
        place.custody,
        build_change=place.timer._build_change,
        now=place.clock.now,
        monotonic=place.clock.monotonic,
        log=place.events.log,
        hand_over=hand_over,
    )


async def test_it_is_handed_over_after_the_grace_once_and_recorded_as_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        await place.take(said("A1", "SC"))
        away, handed = Away(place, monkeypatch), Handed()
        timer = timer_of(place, handed)
        place.clock.move(hours=4, seconds=GRACE_SECONDS - 1)
        await timer.look()
        assert handed.sent == []
        place.clock.move(seconds=1)
        for _ in range(3):
            await timer.look()
        assert all_words(handed.sent) == ["NW A1 HOLD", "SC A1 HOLD"]
        assert b"Released unreviewed at 2026-03-02 13:00 UTC" in handed.sent[0]
        assert place.events.of("order_handed_over") == [
            {"entry": 1, "destination": "ris", "answer": "accepted", "waiting_seconds": 14400.0 + GRACE_SECONDS}
        ]
        away.is_away = False
        await timer.look()
        assert await place.state("A1") is OrderState.DELIVERED
        assert (await place.leaving(), place.custody.index.queued.any_of(("A1^EPIC",))) == ([], False)
        assert (await place.notices())[-1] == "A1 OE IP"
        steps = [row for row in await place.journal.audit_rows() if row.entry_id == 1][-2:]
        assert [row.action for row in steps] == ["deadline_passed", "acknowledged"]
        assert steps[0].detail["handed_over"] is True


async def test_without_an_answer_it_is_queued_again_as_a_possible_duplicate_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        await place.take(said("A1", "SC"))
        away, handed = Away(place, monkeypatch), Handed(None)
        timer = timer_of(place, handed)
        place.clock.move(hours=5)
        await timer.look()
        assert all_words(handed.sent) == ["NW A1 HOLD"], "nothing goes ahead of what may not have arrived"
        place.clock.move(hours=1)
        away.is_away = False
        await timer.look()
        rows = [row for row in await place.journal.undelivered_rows() if row.kind != "notice"]
        assert [(row.kind, row.possible_duplicate) for row in rows] == [("order", True), ("message", False)]
        assert rows[0].content == handed.sent[0]
        assert await place.state("A1") is OrderState.QUEUED


async def test_a_cancel_that_comes_first_goes_to_the_filler_behind_the_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal still says held: ended here, the cancel would leave the filler with the order."""
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        away, handed = Away(place, monkeypatch), Handed(None)
        place.clock.move(hours=5)
        await timer_of(place, handed).look()
        with pytest.raises(JournalUnavailable):
            await place.receive(said("A1", "CA"))
        away.is_away = False
        await place.take(said("A1", "CA"))
        assert all_words(await place.deliver()) == ["NW A1 HOLD", "CA A1 HOLD"]


async def test_what_did_not_leave_is_tried_again_and_one_order_does_not_keep_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        await in_state(place, "A2", OrderState.HELD)
        Away(place, monkeypatch)
        handed = Handed(is_reachable=False)
        timer = timer_of(place, handed)
        place.clock.move(hours=5)
        await timer.look()
        assert place.events.of("order_handed_over") == []
        handed.is_reachable = True
        await timer.look()
        await timer.look()
        assert all_words(handed.sent) == ["NW A1 HOLD", "NW A2 HOLD"]


MESSAGE = b"MSH|^~\\&|EPIC|H|RIS|R|20260101||ORM^O01|C1|T|2.3.1\rORC|NW|A1^EPIC\rNTE|1||ours\r"


@asynccontextmanager
async def courier_to(port: int, folder: Path) -> AsyncIterator[Courier]:
    async with ward(folder) as place, way_to(port, ack_timeout_seconds=5.0) as way:
        custody: Custody = place.custody
        yield Courier(
            way.destination,
            custody,
            options=CourierOptions(),
            now=utc_now,
            jitter=lambda: 0.5,
            log=SeenEvents().log,
        )


def outgoing(**values: object) -> OutgoingMessage:
    return OutgoingMessage(destination="ris", content=MESSAGE, control_id=b"C1", **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(("step", "is_accepted"), [(answer("AA"), True), (answer("AE"), False), (close, False)])
async def test_the_courier_tells_what_became_of_it(tmp_path: Path, step: Step, is_accepted: bool) -> None:
    async with hostile_filler(step) as ris, courier_to(ris.port, tmp_path) as courier:
        given = await courier.hand_over(outgoing())
        assert given is not None
        assert (given.acknowledgment is not None, given.possible_duplicate) == (is_accepted, not is_accepted)
        assert given.content == MESSAGE


async def test_the_courier_sends_the_original_where_the_note_is_refused(tmp_path: Path) -> None:
    original = MESSAGE.removesuffix(b"NTE|1||ours\r")
    async with hostile_filler(answer("AE"), answer("AA")) as ris, courier_to(ris.port, tmp_path) as courier:
        given = await courier.hand_over(outgoing(original=original))
        assert given is not None
        assert (given.content, given.original) == (original, None)
        assert given.acknowledgment is not None


async def test_a_paused_lane_hands_nothing_over(tmp_path: Path) -> None:
    async with hostile_filler(answer("AA")) as ris, courier_to(ris.port, tmp_path) as courier:
        courier.is_paused = True
        assert await courier.hand_over(outgoing()) is None
