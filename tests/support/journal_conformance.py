"""What every journal adapter must do: one class of tests, run on each adapter with a fixture `journal`.

class TestSqliteJournal(JournalConformance):
    @pytest.fixture
    async def journal(self, tmp_path): ...
"""

import asyncio
import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from interceptor.action.lifecycle import IllegalTransition, LifecycleEvent, OrderState
from interceptor.journal.port import (
    AlreadyTaken,
    ChangeDone,
    Conflict,
    EntryChange,
    EntryId,
    Follower,
    IntakeDone,
    Journal,
    JournalRuleBroken,
    OutboxId,
    OutboxRow,
    OutboxState,
)
from interceptor.journal.upkeep import Retention
from tests.support.journal_values import (
    ANSWER,
    DEADLINE,
    NOW,
    WEEK_AGO,
    change,
    decision,
    follow,
    held_intake,
    identity_of,
    intake,
    message_bytes,
    new_entry,
    outgoing,
    release,
    step,
    stored_intake,
    take,
)


async def claimed(journal: Journal) -> OutboxRow:
    """The next row for "ris", in flight."""
    row = await journal.claim_next("ris", at=NOW, inflight=True)
    assert row is not None
    return row


class IntakeConformance:
    """Messages that we take custody of."""

    async def test_a_taken_order_can_be_read_back_whole(self, journal: Journal) -> None:
        value = held_intake("1")
        entry_id = await take(journal, value)
        entry = await journal.entry(entry_id)
        assert entry is not None
        assert (entry.state, entry.version, entry.content) == (OrderState.HELD, 1, value.raw)
        assert (entry.order_key, entry.placer_order_number, entry.control_id) == ("P1^EHR", "P1", b"1")
        assert (entry.taken_at, entry.deadline_at, entry.closed_at) == (NOW, DEADLINE, None)
        assert (entry.summary, entry.decision) == ({"why": ["a reason"]}, {"reasons": ["H-REGIONAL"]})
        assert not entry.damaged

    async def test_an_unknown_order_is_none(self, journal: Journal) -> None:
        assert await journal.entry(EntryId(99)) is None
        assert await journal.latest_entry_for("P9^EHR") is None

    async def test_several_orders_of_one_message_keep_their_own_bytes(self, journal: Journal) -> None:
        raw = message_bytes("1")
        entries = (new_entry(b"part one", order_key="P1"), new_entry(b"part two", order_key="P2"))
        done = await journal.record_intake(intake(raw, "1", entries=entries))
        assert isinstance(done, IntakeDone)
        found = [await journal.entry(entry_id) for entry_id in done.entry_ids]
        assert [entry.content for entry in found if entry] == [b"part one", b"part two"]

    async def test_the_answer_to_a_taken_message_is_found_for_the_same_bytes_only(self, journal: Journal) -> None:
        value = held_intake("1")
        await take(journal, value)
        found = await journal.find_answer(value.identity, since=WEEK_AGO)
        assert found is not None
        assert (found.acknowledgment, found.received_at) == (ANSWER, NOW)
        other = identity_of(b"other bytes", "1")
        assert await journal.find_answer(other, since=WEEK_AGO) is None

    @pytest.mark.parametrize(
        "difference",
        [{"listener": "b"}, {"sending_application": b"B"}, {"sending_facility": b"B"}, {"control_id": b"2"}],
        ids=lambda difference: next(iter(difference)),
    )
    async def test_the_same_bytes_under_another_identity_are_not_ours(
        self, journal: Journal, difference: dict[str, Any]
    ) -> None:
        value = held_intake("1")
        await take(journal, value)
        other = dataclasses.replace(value.identity, **difference)
        assert await journal.find_answer(other, since=WEEK_AGO) is None

    async def test_an_answer_from_before_the_window_is_forgotten(self, journal: Journal) -> None:
        value = held_intake("1")
        await take(journal, value)
        assert await journal.find_answer(value.identity, since=NOW) is not None
        assert await journal.find_answer(value.identity, since=NOW + timedelta(microseconds=1)) is None

    async def test_a_message_that_needed_no_answer_is_found_all_the_same(self, journal: Journal) -> None:
        raw = message_bytes("1")
        value = intake(raw, "1", acknowledgment=None, entries=(new_entry(raw),))
        await take(journal, value)
        found = await journal.find_answer(value.identity, since=WEEK_AGO)
        assert found is not None
        assert found.acknowledgment is None

    @pytest.mark.fault(19)
    async def test_a_resend_is_answered_from_the_journal_and_changes_nothing(self, journal: Journal) -> None:
        first = await journal.record_intake(held_intake("1", duplicates_since=WEEK_AGO))
        second = await journal.record_intake(held_intake("1", duplicates_since=WEEK_AGO))
        assert isinstance(first, IntakeDone)
        assert isinstance(second, AlreadyTaken)
        assert (second.answer.message_id, second.answer.acknowledgment) == (first.message_id, ANSWER)
        assert len(await journal.open_entries()) == 1

    @pytest.mark.fault(19)
    @pytest.mark.hazard("H5")
    async def test_one_message_on_many_connections_at_once_is_taken_once(self, journal: Journal) -> None:
        done = await asyncio.gather(
            *(journal.record_intake(held_intake("1", duplicates_since=WEEK_AGO)) for _ in range(20))
        )
        assert sum(isinstance(one, IntakeDone) for one in done) == 1
        assert len(await journal.open_entries()) == 1

    @pytest.mark.fault(20)
    async def test_a_control_id_with_other_bytes_is_a_new_message_and_is_told(self, journal: Journal) -> None:
        first = await journal.record_intake(held_intake("1", duplicates_since=WEEK_AGO))
        again = await journal.record_intake(held_intake("1", order="P2^EHR", duplicates_since=WEEK_AGO))
        assert isinstance(first, IntakeDone)
        assert isinstance(again, IntakeDone)
        assert (first.control_id_reused, again.control_id_reused) == (False, True)
        assert await journal.find_control_id_reuse(held_intake("1").identity, since=WEEK_AGO)
        assert not await journal.find_control_id_reuse(identity_of(b"x", "7"), since=WEEK_AGO)

    async def test_an_empty_control_id_is_never_reused(self, journal: Journal) -> None:
        for order in ("P1", "P2"):
            raw = message_bytes("", order=order)
            done = await journal.record_intake(intake(raw, "", entries=(new_entry(raw),), duplicates_since=WEEK_AGO))
            assert isinstance(done, IntakeDone)
            assert not done.control_id_reused

    async def test_recent_digests_are_those_since(self, journal: Journal) -> None:
        value = held_intake("1")
        await take(journal, value)
        assert await journal.recent_digests(since=NOW) == (value.identity.digest,)
        assert await journal.recent_digests(since=NOW + timedelta(seconds=1)) == ()

    async def test_an_intake_with_a_conflict_leaves_nothing_behind(self, journal: Journal) -> None:
        entry_id = await take(journal, held_intake("1"))
        await change(journal, step(entry_id, LifecycleEvent.COMMENTED))
        raw = message_bytes("2", control="CA")
        late = step(entry_id, LifecycleEvent.CANCELLED, version=1, actor="placer")
        value = intake(raw, "2", changes=(late,), entries=(new_entry(raw, order_key="P2"),), decisions=(decision(),))
        done = await journal.record_intake(value)
        assert isinstance(done, Conflict)
        assert (done.state, done.version, done.actor) == (OrderState.HELD, 2, "user:ann")
        assert await journal.find_answer(value.identity, since=WEEK_AGO) is None
        assert len(await journal.open_entries()) == 1

    async def test_a_waiting_order_without_deadline_is_refused(self, journal: Journal) -> None:
        raw = message_bytes("1")
        with pytest.raises(JournalRuleBroken):
            await journal.record_intake(intake(raw, "1", entries=(new_entry(raw, deadline_at=None),)))
        assert await journal.open_entries() == ()

    async def test_a_queued_order_that_nothing_delivers_is_refused(self, journal: Journal) -> None:
        raw = message_bytes("1")
        with pytest.raises(JournalRuleBroken):
            await journal.record_intake(intake(raw, "1", entries=(new_entry(raw, state=OrderState.QUEUED),)))

    async def test_numbers_are_never_used_twice(self, journal: Journal) -> None:
        numbers = [await take(journal, held_intake(str(number), order=f"P{number}")) for number in range(1, 4)]
        assert numbers == sorted(set(numbers))
        assert numbers[0] > 0

    async def test_names_with_broken_characters_are_stored_all_the_same(self, journal: Journal) -> None:
        raw = message_bytes("1")
        await take(
            journal, intake(raw, "1", entries=(new_entry(raw, order_key="P\udcff1^E", summary={"name": "\udcff"}),))
        )
        found = await journal.latest_entry_for("P\udcff1^E")
        assert found is not None
        assert found.summary == {"name": "\udcff"}


class LifecycleConformance:
    """Steps of an order."""

    @pytest.mark.hazard("H15")
    @pytest.mark.fault(44)
    async def test_of_two_reviewers_one_wins_and_the_other_learns_who(self, journal: Journal) -> None:
        value = held_intake("1")
        entry_id = await take(journal, value)
        one = release(entry_id, value.raw, version=1, actor="user:ann")
        two = release(entry_id, value.raw, version=1, actor="user:bob")
        at = NOW + timedelta(minutes=5)
        done = await asyncio.gather(journal.apply_change(one, at=at), journal.apply_change(two, at=at))
        winners = [each for each in done if isinstance(each, ChangeDone)]
        losers = [each for each in done if isinstance(each, Conflict)]
        assert (len(winners), len(losers)) == (1, 1)
        assert (losers[0].state, losers[0].version, losers[0].at) == (OrderState.QUEUED, 2, at)
        assert losers[0].actor == "user:ann"
        assert len(await journal.undelivered_rows()) == 1

    async def test_a_conflict_names_who_moved_the_order_not_who_commented_later(self, journal: Journal) -> None:
        value = held_intake("1")
        entry_id = await take(journal, value)
        await change(journal, release(entry_id, value.raw, actor="user:ann"))
        comment = step(entry_id, LifecycleEvent.COMMENTED, state=OrderState.QUEUED, actor="user:bob")
        await change(journal, comment, at=NOW + timedelta(minutes=1))
        found = await journal.apply_change(release(entry_id, value.raw, version=1), at=NOW)
        assert isinstance(found, Conflict)
        assert (found.actor, found.at) == ("user:ann", NOW)

    async def test_a_step_that_the_table_does_not_have_is_our_own_mistake(self, journal: Journal) -> None:
        entry_id = await take(journal, held_intake("1"))
        wrong_event = EntryChange(
            entry_id=entry_id,
            expected_version=1,
            expected_state=OrderState.HELD,
            event=LifecycleEvent.ACKNOWLEDGED,
            state=OrderState.DELIVERED,
            actor="filler",
        )
        with pytest.raises(IllegalTransition):
            await journal.apply_change(wrong_event, at=NOW)

    async def test_a_step_to_another_state_than_the_table_s_is_our_own_mistake(self, journal: Journal) -> None:
        entry_id = await take(journal, held_intake("1"))
        wrong_state = EntryChange(
            entry_id=entry_id,
            expected_version=1,
            expected_state=OrderState.HELD,
            event=LifecycleEvent.CANCELLED,
            state=OrderState.RETURNED,
            actor="placer",
        )
        with pytest.raises(IllegalTransition):
            await journal.apply_change(wrong_state, at=NOW)

    async def test_a_release_without_its_message_is_refused(self, journal: Journal) -> None:
        entry_id = await take(journal, held_intake("1"))
        with pytest.raises(JournalRuleBroken):
            await journal.apply_change(step(entry_id, LifecycleEvent.RELEASED), at=NOW)

    async def test_a_change_of_an_order_that_is_not_there_is_our_own_mistake(self, journal: Journal) -> None:
        with pytest.raises(JournalRuleBroken):
            await journal.apply_change(step(EntryId(99), LifecycleEvent.COMMENTED), at=NOW)

    async def test_new_values_replace_the_old_and_none_keeps_them(self, journal: Journal) -> None:
        entry_id = await take(journal, held_intake("1"))
        later = DEADLINE + timedelta(hours=1)
        changed = step(
            entry_id,
            LifecycleEvent.CHANGED,
            content=b"new content",
            control_id=b"2",
            summary={"why": ["another"]},
            decision={"reasons": []},
            deadline_at=later,
            set_key="S1",
            priority="urgent",
            reason="S-CHANGED",
        )
        await change(journal, changed, at=NOW + timedelta(minutes=1))
        await change(journal, step(entry_id, LifecycleEvent.COMMENTED), at=NOW + timedelta(minutes=2))
        entry = await journal.entry(entry_id)
        assert entry is not None
        assert (entry.content, entry.control_id, entry.version) == (b"new content", b"2", 3)
        assert (entry.summary, entry.decision) == ({"why": ["another"]}, {"reasons": []})
        assert (entry.deadline_at, entry.set_key, entry.priority) == (later, "S1", "urgent")
        assert (entry.reason, entry.changed_at) == ("S-CHANGED", NOW + timedelta(minutes=2))
        assert not entry.damaged

    async def test_content_cannot_change_once_the_order_is_queued(self, journal: Journal) -> None:
        value = held_intake("1", state=OrderState.QUEUED)
        entry_id = await take(journal, value)
        comment = step(entry_id, LifecycleEvent.COMMENTED, state=OrderState.QUEUED, content=b"other")
        with pytest.raises(JournalRuleBroken):
            await journal.apply_change(comment, at=NOW)

    async def test_several_changes_are_all_or_none(self, journal: Journal) -> None:
        first = await take(journal, held_intake("1"))
        second = await take(journal, held_intake("2", order="P2"))
        comments = (step(first, LifecycleEvent.COMMENTED), step(second, LifecycleEvent.COMMENTED, version=7))
        assert isinstance(await journal.apply_changes(comments, at=NOW), Conflict)
        entry = await journal.entry(first)
        assert entry is not None
        assert entry.version == 1

    async def test_several_changes_that_fit_are_all_applied(self, journal: Journal) -> None:
        first = await take(journal, held_intake("1"))
        second = await take(journal, held_intake("2", order="P2"))
        steps = tuple(step(entry_id, LifecycleEvent.CANCELLED, version=1) for entry_id in (first, second))
        done = await journal.apply_changes(steps, at=NOW)
        assert isinstance(done, tuple)
        assert [one.state for one in done] == [OrderState.WITHDRAWN] * 2

    async def test_one_caller_s_refused_work_does_not_take_the_others_with_it(self, journal: Journal) -> None:
        entry_id = await take(journal, held_intake("1"))
        good = [journal.record_intake(held_intake(str(number), order=f"P{number}")) for number in range(2, 8)]
        bad = journal.apply_change(step(entry_id, LifecycleEvent.RELEASED), at=NOW)
        done = await asyncio.gather(*good[:3], bad, *good[3:], return_exceptions=True)
        assert isinstance(done[3], JournalRuleBroken)
        assert sum(isinstance(one, IntakeDone) for one in done) == 6
        assert len(await journal.open_entries()) == 7

    async def test_an_ended_order_knows_when_it_ended_whatever_is_said_later(self, journal: Journal) -> None:
        entry_id = await take(journal, held_intake("1"))
        await change(journal, step(entry_id, LifecycleEvent.CANCELLED, actor="placer"))
        comment = step(entry_id, LifecycleEvent.COMMENTED, state=OrderState.WITHDRAWN)
        await change(journal, comment, at=NOW + timedelta(hours=1))
        entry = await journal.entry(entry_id)
        assert entry is not None
        assert (entry.state, entry.closed_at) == (OrderState.WITHDRAWN, NOW)

    async def test_what_follows_a_waiting_order_is_kept_in_its_order(self, journal: Journal) -> None:
        entry_id = await take(journal, held_intake("1"))
        await follow(journal, entry_id, "2")
        await follow(journal, entry_id, "3")
        found = await journal.followers(entry_id)
        assert found == (
            Follower(message_bytes("2", control="SC"), b"2"),
            Follower(message_bytes("3", control="SC"), b"3"),
        )

    async def test_a_follower_makes_a_stale_release_conflict(self, journal: Journal) -> None:
        value = held_intake("1")
        entry_id = await take(journal, value)
        await follow(journal, entry_id, "2")
        assert isinstance(await journal.apply_change(release(entry_id, value.raw, version=1), at=NOW), Conflict)

    async def test_lists_are_in_their_promised_orders(self, journal: Journal) -> None:
        late = await take(journal, held_intake("1"))
        raw = message_bytes("2", order="P2")
        soon_entry = new_entry(raw, order_key="P2", deadline_at=NOW + timedelta(minutes=1))
        soon = await take(journal, intake(raw, "2", entries=(soon_entry,)))
        queued = await take(journal, held_intake("3", order="P3", state=OrderState.QUEUED))
        assert [entry.entry_id for entry in await journal.open_entries()] == [late, soon, queued]
        held = await journal.entries(states=[OrderState.HELD, OrderState.QUEUED])
        assert [entry.entry_id for entry in held] == [soon, late, queued]
        first = await journal.entries(states=[OrderState.HELD], limit=1)
        assert [entry.entry_id for entry in first] == [soon]
        assert (await journal.entry_counts())[OrderState.HELD] == 2

    async def test_the_latest_entry_of_an_order_is_found_open_or_ended(self, journal: Journal) -> None:
        first = await take(journal, held_intake("1"))
        await change(journal, step(first, LifecycleEvent.CANCELLED))
        second = await take(journal, held_intake("2"))
        await change(journal, step(second, LifecycleEvent.RETURNED_TO_ORDERER))
        found = await journal.latest_entry_for("P1^EHR")
        assert found is not None
        assert (found.entry_id, found.state) == (second, OrderState.RETURNED)


class OutboxConformance:
    """Outgoing messages."""

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

    @pytest.mark.hazard("H12")
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

    @pytest.mark.hazard("H4")
    async def test_a_dead_order_that_was_cancelled_can_never_be_sent(self, journal: Journal) -> None:
        entry_id = await take(journal, held_intake("1", state=OrderState.QUEUED))
        row = await claimed(journal)
        await journal.record_dead(row.outbox_id, at=NOW, error="AR", acknowledgment=b"AR")
        await change(journal, step(entry_id, LifecycleEvent.CANCELLED, state=OrderState.DEAD, actor="placer"))
        assert not await journal.requeue_dead(row.outbox_id, at=NOW, actor="user:ann")
        assert await journal.claim_next("ris", at=NOW) is None

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

    @pytest.mark.hazard("H5")
    async def test_a_stored_message_cannot_be_queued_twice(self, journal: Journal) -> None:
        raw = message_bytes("1")
        twice = (outgoing(raw, kind="message"), outgoing(raw, kind="message"))
        with pytest.raises(JournalRuleBroken):
            await journal.record_intake(intake(raw, "1", outgoing=twice))

    async def test_the_depth_tells_how_many_wait_and_since_when(self, journal: Journal) -> None:
        assert await journal.outbox_depth() == {}
        await journal.record_intake(stored_intake("1"))
        await journal.record_intake(stored_intake("2", received_at=NOW + timedelta(seconds=5)))
        assert await journal.outbox_depth() == {"ris": (2, NOW)}
        await claimed(journal)
        assert await journal.outbox_depth() == {"ris": (2, NOW)}


class RecordConformance:
    """The audit chain, modes, small records and upkeep."""

    async def test_every_step_of_an_order_is_in_the_chain(self, journal: Journal) -> None:
        value = held_intake("1")
        entry_id = await take(journal, value)
        await change(journal, release(entry_id, value.raw, reason="S-RELEASED", detail={"comment": "seen"}))
        rows = await journal.audit_rows(entry_id=entry_id)
        assert [(row.action, row.actor) for row in rows] == [("taken", "node"), ("released", "user:ann")]
        assert rows[1].detail == {
            "comment": "seen", "from": "held", "to": "queued", "version": 2, "reason": "S-RELEASED",
        }  # fmt: skip
        assert len({row.sha256 for row in rows}) == 2

    async def test_a_step_of_a_message_names_the_message_and_the_new_bytes(self, journal: Journal) -> None:
        entry_id = await take(journal, held_intake("1"))
        raw = message_bytes("2", control="XO")
        value = step(entry_id, LifecycleEvent.CHANGED, content=raw, actor="placer")
        done = await journal.record_intake(intake(raw, "2", changes=(value,)))
        assert isinstance(done, IntakeDone)
        row = (await journal.audit_rows(entry_id=entry_id))[-1]
        assert row.detail["message"] == done.message_id
        assert row.detail["sha256"] == identity_of(raw, "2").digest.hex()

    async def test_links_are_numbered_and_listed_in_order(self, journal: Journal) -> None:
        for name in ("login", "logout", "export"):
            await journal.record_audit(at=NOW, actor="user:ann", action=name, entry_id=None, detail={"n": 1})
        assert [(row.number, row.action) for row in await journal.audit_rows()] == [
            (1, "login"), (2, "logout"), (3, "export"),
        ]  # fmt: skip
        assert len(await journal.audit_rows(limit=2)) == 2

    async def test_a_mode_set_at_run_time_is_kept_and_audited(self, journal: Journal) -> None:
        assert await journal.route_modes() == {}
        for mode in ("annotate", "shadow"):
            await journal.set_route_mode(route="main", mode=mode, actor="user:ann", at=NOW, reason="too many")
        assert await journal.route_modes() == {"main": "shadow"}
        assert [row.action for row in await journal.audit_rows()] == ["mode_set", "mode_set"]

    async def test_an_unknown_mode_is_refused(self, journal: Journal) -> None:
        with pytest.raises(JournalRuleBroken):
            await journal.set_route_mode(route="main", mode="stop", actor="user:ann", at=NOW, reason="")
        assert await journal.audit_rows() == ()

    async def test_small_records_are_taken(self, journal: Journal) -> None:
        await journal.record_decisions((decision(), decision(decide_again=True, unmapped_code="X1")))
        await journal.record_quarantine(route="main", reason="no_header", raw=b"\x00garbage", at=NOW)
        await journal.probe(at=NOW)

    async def test_an_unknown_disposition_is_refused(self, journal: Journal) -> None:
        with pytest.raises(JournalRuleBroken):
            await journal.record_decisions((decision(disposition="maybe"),))

    async def test_a_time_without_zone_is_refused(self, journal: Journal) -> None:
        with pytest.raises(ValueError, match="zone"):
            await journal.probe(at=NOW.replace(tzinfo=None))

    async def test_what_ended_long_ago_is_pruned_and_the_rest_is_not(self, journal: Journal) -> None:
        await take(journal, held_intake("1", state=OrderState.QUEUED))
        row = await claimed(journal)
        await journal.record_acked(row.outbox_id, at=NOW, acknowledgment=b"AA")
        waiting = await take(journal, held_intake("2", order="P2"))
        dead = await take(journal, held_intake("3", order="P3", state=OrderState.QUEUED))
        await journal.record_dead((await claimed(journal)).outbox_id, at=NOW, error="AR", acknowledgment=b"")
        queued = await take(journal, held_intake("4", order="P4", state=OrderState.QUEUED))
        await journal.record_decisions((decision(),))
        await journal.record_quarantine(route="main", reason="no_header", raw=b"x", at=NOW)

        young = await journal.prune(at=NOW + timedelta(days=7), retention=Retention(message_days=7))
        assert (young.outbox_count, young.message_count, young.decision_count) == (0, 0, 0)
        old = await journal.prune(at=NOW + timedelta(days=1000), retention=Retention())
        assert (old.outbox_count, old.entry_count, old.message_count) == (1, 1, 1)
        assert (old.decision_count, old.quarantine_count) == (1, 1)
        for entry_id in (waiting, dead, queued):
            assert await journal.entry(entry_id) is not None
        assert len(await journal.audit_rows(limit=100)) >= 7

    async def test_a_fresh_journal_is_not_restored(self, journal: Journal) -> None:
        assert not await journal.is_restored()


class JournalConformance(IntakeConformance, LifecycleConformance, OutboxConformance, RecordConformance):
    """Everything."""
