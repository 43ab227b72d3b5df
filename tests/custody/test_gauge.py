"""What the gauges show each second: what waits, what is dead, whether the journal writes; and what they tell of."""

import math
from pathlib import Path

import apsw
import pytest

from interceptor.action.breaker import HoldBreaker
from interceptor.action.lifecycle import OrderState
from interceptor.action.plan import NoHoldReason
from interceptor.journal.gauge import Gauges
from interceptor.journal.port import JournalReason, JournalUnavailable
from interceptor.journal.route_mode import HoldGate
from interceptor.journal.turn_parts import PassOn
from interceptor.telemetry.health import DegradedReason, Health
from tests.support.delivery import metric, new_metrics
from tests.support.metric_page import sample
from tests.support.ward import Ward, in_state, said, ward


def gauges_of(place: Ward, health: Health, *, mode_enforces: bool = True) -> tuple[Gauges, HoldGate]:
    gate = HoldGate(
        breaker=HoldBreaker(holds_max=1),
        heartbeat_seconds_max=60.0,
        monotonic=place.clock.monotonic,
        is_enforcing=lambda: mode_enforces,
    )
    metrics = new_metrics()
    gauges = Gauges(
        place.custody, {"main": gate}, metrics=metrics, health=health, now=place.clock.now, log=place.events.log
    )
    return gauges, gate


async def test_a_journal_that_cannot_write_is_shown_and_recovers_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ward(tmp_path) as place:
        health = Health()
        gauges, gate = gauges_of(place, health)
        gate.review_seen()
        probe, is_full = place.journal.probe, True

        async def probing(**named: object) -> None:
            if is_full:
                raise JournalUnavailable(JournalReason.FULL)
            await probe(**named)  # type: ignore[arg-type]  # passed on as it came

        monkeypatch.setattr(place.journal, "probe", probing)
        await gauges.look()
        assert (health.journal_writable, gate.no_hold()) == (False, NoHoldReason.JOURNAL_UNAVAILABLE)
        assert DegradedReason.JOURNAL_UNAVAILABLE in health.degraded
        is_full = False
        await gauges.look()
        assert (health.journal_writable, gate.no_hold(), list(health.degraded)) == (True, None, [])
        assert place.events.names == ["journal_unavailable", "node_degraded", "node_recovered"]


@pytest.mark.hazard("H23")
@pytest.mark.parametrize("mode_enforces", [True, False])
async def test_only_a_route_that_would_hold_misses_its_review(tmp_path: Path, mode_enforces: bool) -> None:
    async with ward(tmp_path) as place:
        health = Health()
        gauges, _ = gauges_of(place, health, mode_enforces=mode_enforces)
        await gauges.look()
        assert (DegradedReason.REVIEW_AWAY in health.degraded) is mode_enforces


@pytest.mark.hazard("H4")
async def test_a_damaged_message_is_told_once_and_what_is_said_of_its_order_goes_on(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.QUEUED)
        await in_state(place, "A2", OrderState.QUEUED)
        with apsw.Connection(str(tmp_path / "journal" / "journal.db")) as file:
            file.execute("DROP TRIGGER outbox_content_never_changes")
            file.execute("UPDATE outbox SET content = x'00' WHERE kind = 'order' AND entry_id = 1")
        gauges, _ = gauges_of(place, Health())
        await place.deliver()
        assert place.custody.index.queued.any_of(("A1^EPIC",))
        await gauges.look()
        await gauges.look()
        assert [(told["entry"], told["reason"]) for told in place.events.of("delivery_given_up")] == [(1, "damaged")]
        assert not place.custody.index.queued.any_of(("A1^EPIC", "A2^EPIC"))
        assert await place.state("A1") is OrderState.DEAD
        assert isinstance(await place.receive(said("A2", "CA")), PassOn)


async def test_what_waits_and_what_is_dead_are_counted(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.DEAD)
        await in_state(place, "A2", OrderState.PARKED)
        await in_state(place, "A3", OrderState.HELD)
        await in_state(place, "A4", OrderState.QUEUED)
        gauges, _ = gauges_of(place, Health())
        await gauges.look()
        metrics = gauges._metrics
        assert metric(metrics, "interceptor_outbox_pending") == 1
        assert metric(metrics, "interceptor_dead_letters") == 1
        page = metrics.render()
        assert b'interceptor_parked_orders{route="main"} 1.0' in page
        await place.deliver()
        await gauges.look()
        assert metric(metrics, "interceptor_outbox_pending") == 0


@pytest.mark.hazard("H2")
async def test_the_share_of_its_time_that_a_held_order_has_waited_is_shown_until_it_is_gone(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        gauges, _ = gauges_of(place, Health())
        (order,) = place.custody.index.orders()

        async def shown() -> float:
            await gauges.look()
            return sample(gauges._metrics.render(), "interceptor_held_order_wait_ratio", priority=order.priority)

        assert order.deadline_at is not None
        granted = (order.deadline_at - order.taken_at).total_seconds()
        place.clock.move(seconds=granted / 4 - (place.clock.now() - order.taken_at).total_seconds())
        assert await shown() == pytest.approx(0.25)
        place.clock.move(seconds=granted)
        assert await shown() == pytest.approx(1.25)
        await place.receive(said("A1", "CA"))
        assert math.isnan(await shown())


async def test_lines_that_the_log_s_reader_was_too_slow_for_are_counted(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        gauges, _ = gauges_of(place, Health())
        lost = 0
        place.events.log.dropped_count = lambda: lost
        await gauges.look()
        assert b"interceptor_log_lines_dropped_total 0.0" in gauges._metrics.render()
        lost = 7
        await gauges.look()
        assert b"interceptor_log_lines_dropped_total 7.0" in gauges._metrics.render()
