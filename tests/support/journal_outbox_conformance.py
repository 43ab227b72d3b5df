"""What every journal must do with outgoing messages."""

from datetime import timedelta

import pytest

from interceptor.action.lifecycle import LifecycleEvent, OrderState
from interceptor.journal.port import (
    Journal,
    JournalRuleBroken,
    OutboxId,
    OutboxRow,
    OutboxState,
)
from tests.support.journal_values import (
    NOW,
    change,
    held_intake,
    intake,
    message_bytes,
    new_entry,
    outgoing,
    step,
    stored_intake,
    take,
)


async def claimed(journal: Journal) -> OutboxRow:
    """The next row for "ris", in flight."""
    row = await journal.claim_next("ris", at=NOW, inflight=True)
    assert row is not None
    return row


class OutboxConformance:
    """Outgoing messages on their way."""

    async def test_rows_leave_in_the_order_they_were_queued_one_at_a_time(self, journal: Journal) -> None:
        for number in ("1", "2"):
            await journal.record_intake(stored_intake(number))
        first = await journal.claim_next("ris", at=NOW)
        assert first is not None
        assert (first.state, first.attempt_count, first.content) == (OutboxState.CLAIMED, 0, message_bytes("1"))
        assert await journal.claim_next("ris", at=NOW) is None
        await journal.record_inflight(first.outbox_id, at=NOW)
        assert await journal.claim_next("ris", at=NOW) is None
        await journal.record_acked(first.outbox_id, at=NOW, acknowledgment=b"AA")
        second = await claimed(journal)
        assert (second.state, second.attempt_count, second.control_id) == (OutboxState.INFLIGHT, 1, b"2")

    async def test_lanes_do_not_wait_for_each_other(self, journal: Journal) -> None:
        raw = message_bytes("1")
        both = tuple(outgoing(raw, kind="message", destination=name) for name in ("a", "b"))
        await journal.record_intake(intake(raw, "1", outgoing=both))
        assert await journal.claim_next("a", at=NOW) is not None
        assert await journal.claim_next("b", at=NOW) is not None
        assert await journal.claim_next("c", at=NOW) is None

    async def test_one_commit_acknowledges_a_row_and_claims_the_next(self, journal: Journal) -> None:
        for number in ("1", "2"):
            await journal.record_intake(stored_intake(number))
        first = await claimed(journal)
        second = await journal.record_acked(first.outbox_id, at=NOW, acknowledgment=b"AA", claim_next=True)
        assert second is not None
        assert (second.control_id, second.state) == (b"2", OutboxState.INFLIGHT)
        assert await journal.record_acked(second.outbox_id, at=NOW, acknowledgment=b"AA", claim_next=True) is None
        assert await journal.undelivered_rows() == ()

    async def test_a_row_that_is_not_due_blocks_those_behind_it(self, journal: Journal) -> None:
        for number in ("1", "2"):
            await journal.record_intake(stored_intake(number))
        first = await claimed(journal)
        due = NOW + timedelta(seconds=30)
        await journal.record_retry(
            first.outbox_id, at=NOW, next_attempt_at=due, error="no_answer", possible_duplicate=True
        )
        assert await journal.claim_next("ris", at=due - timedelta(microseconds=1)) is None
        again = await journal.claim_next("ris", at=due)
        assert again is not None
        assert (again.outbox_id, again.possible_duplicate, again.last_error) == (first.outbox_id, True, "no_answer")
        assert (again.content, again.control_id) == (first.content, first.control_id)

    async def test_a_possible_duplicate_stays_one(self, journal: Journal) -> None:
        await journal.record_intake(stored_intake("1"))
        for possible in (True, False):
            row = await claimed(journal)
            await journal.record_retry(
                row.outbox_id, at=NOW, next_attempt_at=NOW, error="x", possible_duplicate=possible
            )
        assert (await claimed(journal)).possible_duplicate

    async def test_an_acknowledged_order_is_delivered_in_the_same_transaction(self, journal: Journal) -> None:
        entry_id = await take(journal, held_intake("1", state=OrderState.QUEUED))
        row = await claimed(journal)
        await journal.record_acked(row.outbox_id, at=NOW, acknowledgment=b"AA")
        entry = await journal.entry(entry_id)
        assert entry is not None
        assert (entry.state, entry.changed_by, entry.closed_at) == (OrderState.DELIVERED, "filler", NOW)

    async def test_a_comment_meanwhile_does_not_hinder_the_acknowledgment(self, journal: Journal) -> None:
        entry_id = await take(journal, held_intake("1", state=OrderState.QUEUED))
        row = await claimed(journal)
        await change(journal, step(entry_id, LifecycleEvent.COMMENTED, state=OrderState.QUEUED))
        done = step(entry_id, LifecycleEvent.ACKNOWLEDGED, state=OrderState.QUEUED, version=1, actor="filler")
        await journal.record_acked(row.outbox_id, at=NOW, acknowledgment=b"AA", change=done)
        entry = await journal.entry(entry_id)
        assert entry is not None
        assert entry.state is OrderState.DELIVERED

    async def test_a_notice_never_moves_the_order(self, journal: Journal) -> None:
        raw = message_bytes("1")
        notice = outgoing(b"notice", "N1", kind="notice", destination="ehr", entry_index=0)
        entry_id = await take(journal, intake(raw, "1", entries=(new_entry(raw),), outgoing=(notice,)))
        row = await journal.claim_next("ehr", at=NOW, inflight=True)
        assert row is not None
        await journal.record_dead(row.outbox_id, at=NOW, error="AE", acknowledgment=b"AE")
        entry = await journal.entry(entry_id)
        assert entry is not None
        assert entry.state is OrderState.HELD

    async def test_a_refused_addition_is_replaced_by_the_original_once(self, journal: Journal) -> None:
        raw = message_bytes("1")
        await journal.record_intake(intake(raw, "1", outgoing=(outgoing(b"with note", original=raw, kind="message"),)))
        row = await claimed(journal)
        assert (row.content, row.original) == (b"with note", raw)
        await journal.record_replaced_content(row.outbox_id, at=NOW, error="AE")
        again = await claimed(journal)
        assert (again.outbox_id, again.content, again.original, again.last_error) == (row.outbox_id, raw, None, "AE")
        with pytest.raises(JournalRuleBroken):
            await journal.record_replaced_content(again.outbox_id, at=NOW, error="AE")

    async def test_the_depth_tells_how_many_wait_and_since_when(self, journal: Journal) -> None:
        assert await journal.outbox_depth() == {}
        await journal.record_intake(stored_intake("1"))
        await journal.record_intake(stored_intake("2", received_at=NOW + timedelta(seconds=5)))
        assert await journal.outbox_depth() == {"ris": (2, NOW)}
        await claimed(journal)
        assert await journal.outbox_depth() == {"ris": (2, NOW)}


class DeadLetterConformance:
    """Messages that the filler refused for good, and what a crash leaves."""

    async def test_a_dead_row_lets_the_lane_go_on_and_is_shown(self, journal: Journal) -> None:
        entry_id = await take(journal, held_intake("1", state=OrderState.QUEUED))
        await journal.record_intake(stored_intake("2"))
        row = await claimed(journal)
        await journal.record_dead(row.outbox_id, at=NOW, error="AR", acknowledgment=b"AR")
        assert (await claimed(journal)).control_id == b"2"
        (dead,) = await journal.dead_letters()
        assert (dead.outbox_id, dead.state, dead.last_error) == (row.outbox_id, OutboxState.DEAD, "AR")
        entry = await journal.entry(entry_id)
        assert entry is not None
        assert (entry.state, entry.reason) == (OrderState.DEAD, "AR")

    async def test_a_dead_order_can_be_sent_again(self, journal: Journal) -> None:
        entry_id = await take(journal, held_intake("1", state=OrderState.QUEUED))
        row = await claimed(journal)
        await journal.record_dead(row.outbox_id, at=NOW, error="AR", acknowledgment=b"AR")
        assert await journal.requeue_dead(row.outbox_id, at=NOW, actor="user:ann")
        assert not await journal.requeue_dead(row.outbox_id, at=NOW, actor="user:ann")
        again = await claimed(journal)
        assert (again.content, again.attempt_count, again.possible_duplicate) == (row.content, 1, True)
        entry = await journal.entry(entry_id)
        assert entry is not None
        assert (entry.state, entry.closed_at) == (OrderState.QUEUED, None)

    async def test_a_dead_message_without_an_order_can_be_sent_again(self, journal: Journal) -> None:
        await journal.record_intake(stored_intake("1"))
        row = await claimed(journal)
        await journal.record_dead(row.outbox_id, at=NOW, error="AR", acknowledgment=b"AR")
        assert await journal.requeue_dead(row.outbox_id, at=NOW, actor="user:ann")
        assert (await claimed(journal)).outbox_id == row.outbox_id

    async def test_a_dead_message_about_an_order_is_no_step_of_the_order(self, journal: Journal) -> None:
        entry_id = await take(journal, held_intake("1", state=OrderState.QUEUED))
        cancel = outgoing(message_bytes("2", control="CA"), "2", kind="message")
        await change(journal, step(entry_id, LifecycleEvent.CANCELLED, state=OrderState.QUEUED, outgoing=(cancel,)))
        await journal.record_acked((await claimed(journal)).outbox_id, at=NOW, acknowledgment=b"AA")
        row = await claimed(journal)
        await journal.record_dead(row.outbox_id, at=NOW, error="AR", acknowledgment=b"AR")
        assert await journal.requeue_dead(row.outbox_id, at=NOW, actor="user:ann")
        entry = await journal.entry(entry_id)
        assert entry is not None
        assert (entry.state, entry.version) == (OrderState.DELIVERED, 3)
        actions = [audit.action for audit in await journal.audit_rows(entry_id=entry_id)]
        assert actions == ["taken", "cancelled", "acknowledged", "message_requeued"]

    async def test_a_discarded_row_is_no_dead_letter_and_cannot_come_back(self, journal: Journal) -> None:
        await take(journal, held_intake("1", state=OrderState.QUEUED))
        row = await claimed(journal)
        await journal.record_dead(row.outbox_id, at=NOW, error="AR", acknowledgment=b"AR")
        assert await journal.discard_dead(row.outbox_id, at=NOW, actor="user:ann", reason="ordered on paper")
        assert not await journal.discard_dead(row.outbox_id, at=NOW, actor="user:ann", reason="again")
        assert not await journal.requeue_dead(row.outbox_id, at=NOW, actor="user:ann")
        assert await journal.dead_letters() == ()

    async def test_a_dead_order_that_was_cancelled_can_never_be_sent(self, journal: Journal) -> None:
        entry_id = await take(journal, held_intake("1", state=OrderState.QUEUED))
        row = await claimed(journal)
        await journal.record_dead(row.outbox_id, at=NOW, error="AR", acknowledgment=b"AR")
        await change(journal, step(entry_id, LifecycleEvent.CANCELLED, state=OrderState.DEAD, actor="placer"))
        assert not await journal.requeue_dead(row.outbox_id, at=NOW, actor="user:ann")
        assert await journal.claim_next("ris", at=NOW) is None

    @pytest.mark.parametrize("event", [LifecycleEvent.CANCELLED, LifecycleEvent.REPLACED_BY])
    async def test_an_order_that_died_before_its_queued_cancel_can_never_be_sent_behind_it(
        self, journal: Journal, event: LifecycleEvent
    ) -> None:
        entry_id = await take(journal, held_intake("1", state=OrderState.QUEUED))
        cancel = outgoing(message_bytes("2", control="CA"), "2", kind="message")
        await change(journal, step(entry_id, event, state=OrderState.QUEUED, outgoing=(cancel,)))
        row = await claimed(journal)
        await journal.record_dead(row.outbox_id, at=NOW, error="AR", acknowledgment=b"AR")
        assert not await journal.requeue_dead(row.outbox_id, at=NOW, actor="user:ann")
        assert (await claimed(journal)).control_id == b"2"
        assert await journal.discard_dead(row.outbox_id, at=NOW, actor="user:ann", reason="was cancelled")

    async def test_what_is_not_dead_can_be_neither_requeued_nor_discarded(self, journal: Journal) -> None:
        await journal.record_intake(stored_intake("1"))
        row = await claimed(journal)
        assert not await journal.requeue_dead(row.outbox_id, at=NOW, actor="user:ann")
        assert not await journal.discard_dead(row.outbox_id, at=NOW, actor="user:ann", reason="")
        assert not await journal.requeue_dead(OutboxId(99), at=NOW, actor="user:ann")

    async def test_after_a_crash_the_claimed_go_again_and_the_in_flight_as_possible_duplicates(
        self, journal: Journal
    ) -> None:
        for number in ("1", "2"):
            raw = message_bytes(number)
            value = outgoing(raw, number, kind="message", destination=f"lane{number}")
            await journal.record_intake(intake(raw, number, outgoing=(value,)))
        await journal.claim_next("lane1", at=NOW)
        await journal.claim_next("lane2", at=NOW, inflight=True)
        assert await journal.recover_outbox(at=NOW) == 1
        one = await journal.claim_next("lane1", at=NOW)
        two = await journal.claim_next("lane2", at=NOW)
        assert one is not None
        assert two is not None
        assert (one.possible_duplicate, two.possible_duplicate) == (False, True)
        assert (two.content, two.control_id) == (message_bytes("2"), b"2")

    @pytest.mark.parametrize("operation", ["inflight", "acked", "retry", "replaced", "dead"])
    async def test_a_row_that_has_ended_is_not_moved_again(self, journal: Journal, operation: str) -> None:
        await journal.record_intake(stored_intake("1"))
        row = await claimed(journal)
        await journal.record_acked(row.outbox_id, at=NOW, acknowledgment=b"AA")
        number = row.outbox_id
        moves = {
            "inflight": journal.record_inflight(number, at=NOW),
            "acked": journal.record_acked(number, at=NOW, acknowledgment=b""),
            "retry": journal.record_retry(number, at=NOW, next_attempt_at=NOW, error="", possible_duplicate=False),
            "replaced": journal.record_replaced_content(number, at=NOW, error=""),
            "dead": journal.record_dead(number, at=NOW, error="", acknowledgment=b""),
        }
        for name, move in moves.items():
            if name != operation:
                move.close()
        with pytest.raises(JournalRuleBroken):
            await moves[operation]

    async def test_a_stored_message_cannot_be_queued_twice(self, journal: Journal) -> None:
        raw = message_bytes("1")
        twice = (outgoing(raw, kind="message"), outgoing(raw, kind="message"))
        with pytest.raises(JournalRuleBroken):
            await journal.record_intake(intake(raw, "1", outgoing=twice))
