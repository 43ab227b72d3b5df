"""What every journal adapter must do: one class of tests, run on each adapter with a fixture `journal`.

class TestSqliteJournal(JournalConformance):
    @pytest.fixture
    async def journal(self, tmp_path): ...
"""

from datetime import timedelta

import pytest

from interceptor.action.lifecycle import LifecycleEvent, OrderState
from interceptor.journal.port import (
    IntakeDone,
    Journal,
    JournalRuleBroken,
)
from interceptor.journal.upkeep import Retention
from tests.support.journal_intake_conformance import (
    ConflictConformance,
    DuplicateConformance,
    IntakeConformance,
    StepConformance,
)
from tests.support.journal_outbox_conformance import DeadLetterConformance, OutboxConformance, claimed
from tests.support.journal_values import (
    NOW,
    change,
    decision,
    held_intake,
    identity_of,
    intake,
    message_bytes,
    release,
    step,
    take,
)


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
        assert [row.number for row in await journal.audit_rows(after=1, limit=1)] == [2]

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

    async def test_however_many_decisions_come_at_once_each_is_kept(self, journal: Journal) -> None:
        """Those of one statement, of several, and what is left over."""
        await journal.record_decisions([decision(order_key=f"P{number}^EHR") for number in range(64 + 16 + 4 + 3)])
        gone = [number for number in range(100) if await journal.has_gone(f"P{number}^EHR")]
        assert gone == list(range(87))

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


class JournalConformance(
    DuplicateConformance,
    IntakeConformance,
    StepConformance,
    ConflictConformance,
    OutboxConformance,
    DeadLetterConformance,
    RecordConformance,
):
    """Everything."""
