"""A patient is merged while an order waits: shown under the survivor, sent as placed, never delayed."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from interceptor.action.lifecycle import OrderState
from interceptor.context.order_set import set_key
from interceptor.control.protocol import ControlError
from interceptor.decision.message_decision import OrderDecision
from interceptor.evidence.statement import Authorities
from interceptor.journal.patient_merge import PatientMerge, PatientMerges, is_merge, read_merges
from interceptor.journal.patient_number import PatientNumber
from interceptor.journal.port import JournalReason, JournalUnavailable
from interceptor.message.group import order_groups
from interceptor.message.header import peek_header
from interceptor.message.view import MessageView
from tests.support.feed_message import feed_message
from tests.support.ward import Ward, all_words, in_state, new_order, said, ward

pytestmark = [pytest.mark.hazard("H16"), pytest.mark.usefixtures("database")]


def merge_message(*, given_up: str = "1001^^^HOSP^MR", kept: str = "2002^^^HOSP^MR", kind: str = "ADT^A40") -> bytes:
    return feed_message(kind, f"MRG|{given_up}", patient=kept, control_id="M1")


def merges_of(place: Ward, authorities: Authorities | None = None) -> PatientMerges:
    spelling = authorities or Authorities()
    return PatientMerges(place.custody, spell=spelling.name, now=place.clock.now, log=place.events.log)


async def merge(place: Ward, raw: bytes, authorities: Authorities | None = None) -> None:
    """The message passes, and what follows from it is carried out."""
    merges = merges_of(place, authorities)
    header = peek_header(raw)
    assert header is not None
    merges.note_message(header, raw, source="main")
    await merges.work()


def summarize(view: MessageView, _order: OrderDecision) -> Mapping[str, object]:
    return {"patient_id": view.text("PID-3.1"), "patient_id_authority": view.text("PID-3.4"), "why": []}


@pytest.mark.parametrize("state", [OrderState.PARKED, OrderState.HELD, OrderState.QUEUED])
async def test_an_order_of_ours_is_shown_under_the_survivor_and_leaves_as_placed(
    tmp_path: Path, state: OrderState
) -> None:
    async with ward(tmp_path, summarize=summarize) as place:
        await in_state(place, "A1", state)
        before = await place.entry("A1")
        await merge(place, merge_message())
        after = await place.entry("A1")
        assert (after.summary["patient_id"], after.summary["merged_from"]) == ("2002", "1001")
        assert after.summary["merged"] == (
            "Patient 1001, whom the order names, was merged into 2002. Confirm the patient again."
        )
        assert (after.state, after.content, after.version) == (state, before.content, before.version + 1)
        assert (after.reason, after.deadline_at) == ("S-MERGED", before.deadline_at)
        (link,) = [row for row in await place.journal.audit_rows() if row.action == "patient_merged"]
        assert (link.detail["source"], link.detail["control_id"]) == ("main", "M1")
        assert not {"1001", "2002"} & set(str(link.detail).replace("'", " ").split())
        assert [told["step"] for told in place.events.of("order_moved")] == ["patient_merged"]


async def test_the_set_key_is_the_one_that_an_order_of_the_survivor_has(tmp_path: Path) -> None:
    for group in ("", "G1"):
        async with ward(tmp_path / f"g{group}", summarize=summarize) as place:
            await place.take(new_order("A1", "PART-1-2", group=group))
            await merge(place, merge_message())
            view = MessageView(new_order("A2", "PART-2-2", group=group, patient="2002"))
            assert (await place.entry("A1")).set_key == set_key(view, order_groups(view)[0])


async def test_a_sibling_under_the_surviving_number_completes_the_set(tmp_path: Path) -> None:
    async with ward(tmp_path, summarize=summarize) as place:
        first = new_order("A1", "PART-1-2", group="G1")
        await place.take(first)
        await merge(place, merge_message())
        await place.take(new_order("A2", "PART-2-2", group="G1", patient="2002"))
        assert [word[:5] for word in all_words(await place.deliver())] == ["NW A1", "NW A2"]
        assert place.arrived[0] == first


async def test_a_reviewer_who_looked_before_the_merge_has_to_look_again(tmp_path: Path) -> None:
    async with ward(tmp_path, summarize=summarize) as place:
        await in_state(place, "A1", OrderState.HELD)
        seen = (await place.entry("A1")).version
        await merge(place, merge_message())
        with pytest.raises(ControlError):
            await place.act("held_release", "A1", version=seen)
        assert await place.state("A1") is OrderState.HELD


async def test_a_chain_of_merges_ends_at_the_last_survivor_and_a_resend_changes_nothing(tmp_path: Path) -> None:
    second = merge_message(given_up="2002^^^HOSP^MR", kept="3003^^^HOSP^MR")
    async with ward(tmp_path, summarize=summarize) as place:
        await in_state(place, "A1", OrderState.HELD)
        await merge(place, merge_message())
        await merge(place, second)
        entry = await place.entry("A1")
        await merge(place, second)
        assert entry.summary["patient_id"] == "3003"
        assert await place.entry("A1") == entry
    async with ward(tmp_path, summarize=summarize) as place:
        await merge(place, merge_message(given_up="3003^^^HOSP^MR", kept="4004^^^HOSP^MR"))
        assert (await place.entry("A1")).summary["patient_id"] == "4004", "known after a restart, too"


@pytest.mark.parametrize(
    ("given_up", "is_same"),
    [
        ("1001^^^hosp^MR", True),
        ("1001^^^&1.2.3&ISO^MR", True),
        ("7^^^OTHER~1001^^^HOSP", True),
        ("1001", True),
        ("1001^^^OTHER^MR", False),
        ("10010^^^HOSP^MR", False),
        ("", False),
    ],
)
async def test_the_number_counts_together_with_its_authority(tmp_path: Path, given_up: str, is_same: bool) -> None:
    async with ward(tmp_path, summarize=summarize) as place:
        await in_state(place, "A1", OrderState.HELD)
        authorities = Authorities({"1.2.3": "HOSP"}, default="HOSP")
        await merge(place, merge_message(given_up=given_up), authorities)
        assert ((await place.entry("A1")).summary["patient_id"] == "2002") is is_same


async def test_without_a_default_a_bare_number_is_not_the_one_of_an_authority(tmp_path: Path) -> None:
    async with ward(tmp_path, summarize=summarize) as place:
        await in_state(place, "A1", OrderState.HELD)
        await merge(place, merge_message(given_up="1001"))
        assert (await place.entry("A1")).version == 1


async def test_a_change_that_still_names_the_old_number_keeps_the_warning_and_one_that_does_not_ends_it(
    tmp_path: Path,
) -> None:
    async with ward(tmp_path, summarize=summarize) as place:
        await in_state(place, "A1", OrderState.HELD)
        await merge(place, merge_message())
        merged = await place.entry("A1")
        await place.take(said("A1", "XO"))
        after = await place.entry("A1")
        assert (after.summary["merged"], after.set_key) == (merged.summary["merged"], merged.set_key)
        await place.take(said("A1", "XO", "2", patient="2002"))
        after = await place.entry("A1")
        assert (after.summary["patient_id"], "merged" in after.summary) == ("2002", False)


def test_only_merges_of_patients_count_and_each_number_goes_to_the_patient_before_it() -> None:
    assert not is_merge(MessageView(merge_message(kind="ADT^A08")))
    assert read_merges(MessageView(merge_message(kind="ADT^A47")), source="adt") == ()
    raw = merge_message() + b"PID|2||8^^^HOSP\rMRG|9^^^HOSP\r"
    assert [(one.given_up.value, one.kept.value) for one in read_merges(MessageView(raw), source="adt")] == [
        ("1001", "2002"),
        ("9", "8"),
    ]
    old = feed_message("ADT^A34", "MRG||||5005^^^HOSP", patient="2002^^^HOSP")
    assert read_merges(MessageView(old), source="adt")[0].given_up == PatientNumber("5005", "HOSP")


async def test_what_cannot_be_written_now_is_written_later_and_what_cannot_be_read_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interceptor.journal.patient_merge.RETRY_SECONDS", 0.0)
    async with ward(tmp_path, summarize=summarize) as place:
        await in_state(place, "A1", OrderState.HELD)
        write, failures = place.journal.apply_changes, iter((JournalReason.FULL, JournalReason.LOCKED))

        async def refusing(*values: object, **named: object) -> object:
            if (reason := next(failures, None)) is not None:
                raise JournalUnavailable(reason)
            return await write(*values, **named)  # type: ignore[arg-type]  # passed on as it came

        monkeypatch.setattr(place.journal, "apply_changes", refusing)
        merges = merges_of(place)
        header = peek_header(merge_message())
        assert header is not None
        merges.note_message(header, b"ADT, but not HL7", source="main")
        merges.note(
            [PatientMerge(given_up=PatientNumber("1001", "HOSP"), kept=PatientNumber("2", "HOSP"), source="adt")]
        )
        async with asyncio.timeout(20):
            await merges.work()
        assert (await place.entry("A1")).summary["patient_id"] == "2"
        assert place.events.names.count("merge_failed") == 1


async def test_a_release_that_can_be_called_back_is_void_when_the_patient_is_merged_meanwhile(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        await place.act("held_release_soon", "A1")
        await merge(place, merge_message())
        place.clock.move(seconds=10)
        await place.plans.look()
        assert await place.state("A1") is OrderState.HELD
        entry = await place.entry("A1")
        assert (await place.journal.audit_rows(entry_id=entry.entry_id))[-1].action == "release_voided"
