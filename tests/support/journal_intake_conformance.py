"""What every journal must do with messages that we take custody of, and with the steps of their orders."""

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
)
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
    release,
    step,
    take,
)


class DuplicateConformance:
    """The same bytes again, and what only looks like them."""

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

    async def test_a_resend_is_answered_from_the_journal_and_changes_nothing(self, journal: Journal) -> None:
        first = await journal.record_intake(held_intake("1", duplicates_since=WEEK_AGO))
        second = await journal.record_intake(held_intake("1", duplicates_since=WEEK_AGO))
        assert isinstance(first, IntakeDone)
        assert isinstance(second, AlreadyTaken)
        assert (second.answer.message_id, second.answer.acknowledgment) == (first.message_id, ANSWER)
        assert len(await journal.open_entries()) == 1

    async def test_one_message_on_many_connections_at_once_is_taken_once(self, journal: Journal) -> None:
        done = await asyncio.gather(
            *(journal.record_intake(held_intake("1", duplicates_since=WEEK_AGO)) for _ in range(20))
        )
        assert sum(isinstance(one, IntakeDone) for one in done) == 1
        assert len(await journal.open_entries()) == 1

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


class StepConformance:
    """Steps of an order."""

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

    async def test_several_changes_that_fit_are_all_applied(self, journal: Journal) -> None:
        first = await take(journal, held_intake("1"))
        second = await take(journal, held_intake("2", order="P2"))
        steps = tuple(step(entry_id, LifecycleEvent.CANCELLED, version=1) for entry_id in (first, second))
        done = await journal.apply_changes(steps, at=NOW)
        assert isinstance(done, tuple)
        assert [one.state for one in done] == [OrderState.WITHDRAWN] * 2

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
        behind = await journal.entries(states=[OrderState.HELD, OrderState.QUEUED], after=soon)
        assert [entry.entry_id for entry in behind] == [late, queued]
        assert (await journal.entry_counts())[OrderState.HELD] == 2

    async def test_the_latest_entry_of_an_order_is_found_open_or_ended(self, journal: Journal) -> None:
        first = await take(journal, held_intake("1"))
        await change(journal, step(first, LifecycleEvent.CANCELLED))
        second = await take(journal, held_intake("2"))
        await change(journal, step(second, LifecycleEvent.RETURNED_TO_ORDERER))
        found = await journal.latest_entry_for("P1^EHR")
        assert found is not None
        assert (found.entry_id, found.state) == (second, OrderState.RETURNED)


class ConflictConformance:
    """Steps that do not fit, and steps that are our own mistake."""

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

    async def test_one_caller_s_refused_work_does_not_take_the_others_with_it(self, journal: Journal) -> None:
        entry_id = await take(journal, held_intake("1"))
        good = [journal.record_intake(held_intake(str(number), order=f"P{number}")) for number in range(2, 8)]
        bad = journal.apply_change(step(entry_id, LifecycleEvent.RELEASED), at=NOW)
        done = await asyncio.gather(*good[:3], bad, *good[3:], return_exceptions=True)
        assert isinstance(done[3], JournalRuleBroken)
        assert sum(isinstance(one, IntakeDone) for one in done) == 6
        assert len(await journal.open_entries()) == 7

    async def test_a_follower_makes_a_stale_release_conflict(self, journal: Journal) -> None:
        value = held_intake("1")
        entry_id = await take(journal, value)
        await follow(journal, entry_id, "2")
        assert isinstance(await journal.apply_change(release(entry_id, value.raw, version=1), at=NOW), Conflict)
