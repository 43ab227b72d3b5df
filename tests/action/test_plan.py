"""Plans: what leaves, what stays, and that nothing of a message is in both or in neither."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.action.annotate import Rating
from interceptor.action.plan import (
    MessagePlan,
    NoHoldReason,
    RouteMode,
    passing,
    plan_message,
    rating_of,
)
from interceptor.decision.decision import Disposition
from interceptor.message.group import order_groups
from interceptor.message.view import MessageView
from tests.support.clinical import shipped_content
from tests.support.decided import ANNOTATE, HOLD, PASS, decided, decisions
from tests.support.orders import order, order_group

NOTE_LENGTH = 100


def message(count: int, *, control_id: str = "C1") -> MessageView:
    """An ORM with so many orders, P1, P2 ..."""
    others = tuple(order_group(f"P{number}") for number in range(2, count + 1))
    return MessageView(order("P1", control_id=control_id, extra_orders=others))


def plan(
    view: MessageView,
    *dispositions: Disposition,
    mode: RouteMode = RouteMode.ENFORCE,
    no_hold: NoHoldReason | None = None,
    first_part: int = 0,
) -> MessagePlan:
    return plan_message(
        view,
        decisions(view, *dispositions),
        mode=mode,
        no_hold=no_hold,
        note_length=NOTE_LENGTH,
        first_part=first_part,
    )


def numbers_in(content: bytes | None) -> list[str]:
    """Placer order numbers of the orders in a message."""
    return [] if content is None else [group.orc.text(2) for group in order_groups(MessageView(content))]


def control_id_of(content: bytes) -> bytes:
    return MessageView(content).control_id


@given(
    st.lists(st.sampled_from((PASS, ANNOTATE, HOLD)), min_size=1, max_size=6),
    st.sampled_from(RouteMode),
    st.sampled_from((None, *NoHoldReason)),
    st.integers(min_value=0, max_value=3),
)
@settings(max_examples=150, deadline=None)
def test_each_order_leaves_or_stays_exactly_once(
    dispositions: list[Disposition], mode: RouteMode, no_hold: NoHoldReason | None, first_part: int
) -> None:
    """Whatever is decided, in whatever mode: every order is in `forward` or in exactly one held part, in its order."""
    view = message(len(dispositions))
    found = plan(view, *dispositions, mode=mode, no_hold=no_hold, first_part=first_part)
    leaving, staying = numbers_in(found.forward), [numbers_in(part.content) for part in found.held]
    assert all(len(numbers) == 1 for numbers in staying)
    everything = leaving + [numbers[0] for numbers in staying]
    assert sorted(everything) == [f"P{number}" for number in range(1, len(dispositions) + 1)]
    assert leaving == sorted(leaving)
    holds = mode is RouteMode.ENFORCE and no_hold is None
    assert len(staying) == (dispositions.count(HOLD) if holds else 0)


@given(
    st.lists(st.sampled_from((PASS, HOLD)), min_size=1, max_size=6),
    st.integers(min_value=0, max_value=3),
    st.sampled_from(("1", "12345678901234567890", "a-very-long-control-id-of-more-than-20-characters")),
)
@settings(max_examples=100, deadline=None)
def test_parts_have_control_ids_of_their_own(dispositions: list[Disposition], first_part: int, control_id: str) -> None:
    """No two parts share a control id, and what a plan says is what stands in the bytes."""
    view = message(len(dispositions), control_id=control_id)
    found = plan(view, *dispositions, first_part=first_part)
    ids = [part.control_id for part in found.held] + ([found.forward_control_id] if found.forward is not None else [])
    assert len(set(ids)) == len(ids)
    assert [control_id_of(part.content) for part in found.held] == [part.control_id for part in found.held]
    if found.forward is not None:
        assert control_id_of(found.forward) == found.forward_control_id
    if first_part == 0:
        assert control_id.encode() in ids


@pytest.mark.hazard("H11")
@given(st.lists(st.sampled_from((PASS, ANNOTATE, HOLD)), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_what_is_forwarded_is_the_received_bytes_and_whole_added_segments(dispositions: list[Disposition]) -> None:
    """Taking the added lines out again gives the received lines of the orders that go, unchanged and in order."""
    view = message(len(dispositions))
    found = plan(view, *dispositions)
    if found.forward is None:
        assert set(dispositions) == {HOLD}
        return
    plain = found.original if found.original is not None else found.forward
    kept = [line for line in found.forward.split(b"\r") if not line.startswith((b"NTE|", b"OBX|"))]
    assert kept == plain.split(b"\r")
    assert all(line in view.raw.split(b"\r") for line in plain.split(b"\r"))
    assert (found.original is None) is (ANNOTATE not in dispositions)


def test_a_message_that_passes_is_the_very_object_that_came() -> None:
    view = message(2)
    found = plan(view, PASS, PASS)
    assert found.forward is view.raw
    assert (found.original, found.held, found.not_held, found.disposition) == (None, (), None, PASS)


def test_shadow_changes_nothing_whatever_is_decided() -> None:
    view = message(3)
    found = plan(view, PASS, ANNOTATE, HOLD, mode=RouteMode.SHADOW)
    assert found.forward is view.raw
    assert (found.held, found.disposition, found.not_held) == ((), PASS, NoHoldReason.MODE)


@pytest.mark.parametrize("reason", [None, NoHoldReason.BREAKER_OPEN])
def test_annotate_mode_turns_a_hold_into_a_note(reason: NoHoldReason | None) -> None:
    found = plan(message(1), HOLD, mode=RouteMode.ANNOTATE, no_hold=reason)
    assert found.forward is not None
    assert b"H-REGIONAL: The ordered study differs" in found.forward
    assert (found.held, found.disposition, found.not_held) == ((), ANNOTATE, NoHoldReason.MODE)


@pytest.mark.hazard("H2")
@pytest.mark.parametrize(
    "reason", [NoHoldReason.REVIEW_AWAY, NoHoldReason.BREAKER_OPEN, NoHoldReason.JOURNAL_UNAVAILABLE]
)
def test_a_hold_that_may_not_be_goes_on_annotated_and_says_why(reason: NoHoldReason) -> None:
    found = plan(message(1), HOLD, no_hold=reason)
    assert found.forward is not None
    assert found.original == message(1).raw
    assert (found.held, found.disposition, found.not_held) == ((), ANNOTATE, reason)


def test_no_reason_is_given_when_nothing_would_be_held() -> None:
    assert plan(message(1), ANNOTATE, no_hold=NoHoldReason.REVIEW_AWAY).not_held is None


def test_the_first_part_keeps_the_control_id_whether_it_goes_or_stays() -> None:
    going = plan(message(2), PASS, HOLD)
    assert (going.forward_control_id, [part.control_id for part in going.held]) == (b"C1", [b"C1P1"])
    staying = plan(message(2), HOLD, HOLD)
    assert (staying.forward, [part.control_id for part in staying.held]) == (None, [b"C1", b"C1P1"])


def test_later_parts_never_take_the_control_id_of_the_first() -> None:
    """Parts that were split off before have the received one: whatever goes or stays now has another."""
    going = plan(message(2), PASS, PASS, first_part=1)
    assert (going.forward_control_id, control_id_of(going.forward or b"")) == (b"C1P1", b"C1P1")
    staying = plan(message(2), PASS, HOLD, first_part=2)
    assert (staying.forward_control_id, staying.held[0].control_id) == (b"C1P2", b"C1P3")


def test_a_held_order_alone_in_its_message_is_kept_as_it_came() -> None:
    view = message(1)
    (part,) = plan(view, HOLD).held
    assert part.content is view.raw


@pytest.mark.fault(36)
@pytest.mark.parametrize(
    "raw",
    [
        b"BHS|^~\\&|EPIC\r" + order("P1"),
        order("P1") + order("P2"),
        order("P1").replace(b"|CP1|T|", b"||T|"),
        order("P1").replace(b"MSH|^~\\&|", b"MSH|^~^&|", 1),
        order("P1").replace(b"P1^EPIC", b""),
        b"".join(line for line in order("P1").splitlines(keepends=True) if not line.startswith(b"ORC")),
        order("P1") + b"PID|1||2002^^^HOSP^MR||OTHER^PERSON\r" + order_group("P2"),
        order("P1", extra_orders=(order_group("P1"),)),
    ],
    ids=[
        "batch",
        "second header",
        "no control id",
        "unsafe delimiters",
        "no order number",
        "no ORC",
        "two patients",
        "one number twice",
    ],
)
def test_what_cannot_be_taken_apart_or_answered_is_never_held(raw: bytes) -> None:
    view = MessageView(raw)
    count = len(order_groups(view))
    assert count >= 1
    found = plan(view, *([HOLD] * count))
    assert (found.held, found.not_held) == ((), NoHoldReason.CANNOT_SPLIT)
    assert found.forward is not None
    assert numbers_in(found.forward) == numbers_in(raw)


def test_orders_that_are_somebody_elses_business_appear_nowhere() -> None:
    """Orders that are ours already are not given to the plan, and neither leave nor stay by it."""
    view = message(3)
    second = order_groups(view)[1]
    found = plan_message(
        view, [decided(view, second, PASS)], mode=RouteMode.ENFORCE, no_hold=None, note_length=NOTE_LENGTH
    )
    assert numbers_in(found.forward) == ["P2"]
    assert found.held == ()


def test_a_message_without_orders_passes() -> None:
    view = MessageView(b"MSH|^~\\&|EPIC|HOSP|RIS|RAD|20260115||ADT^A08|9|T|2.3.1\rPID|1||1001\r")
    found = plan_message(view, [], mode=RouteMode.ENFORCE, no_hold=None, note_length=NOTE_LENGTH)
    assert found == passing(view)
    assert found.forward is view.raw


@pytest.mark.parametrize(
    ("disposition", "rating"),
    [(HOLD, Rating.NOT_IN_KEEPING), (ANNOTATE, Rating.NOT_IN_KEEPING), (PASS, Rating.UNDETERMINED)],
)
def test_the_rating_follows_what_the_findings_name(disposition: Disposition, rating: Rating) -> None:
    view = message(1)
    assert rating_of(decisions(view, disposition)[0].decision) is rating


def test_every_reason_that_the_rating_names_is_a_reason_of_the_policy() -> None:
    """A renamed reason code must not silently turn "not in keeping" into "undetermined"."""
    named = {"A-REGIONAL", "A-WOONLY", "A-WONLY", "A-MODALITY", "A-TL-ONLY", "A-RADIOGRAPH-FIRST", "A-DOWNGRADE"}
    assert named <= set(shipped_content().policy.reasons)
