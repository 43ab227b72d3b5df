"""The note of an order that leaves our custody: that it was kept, why, and who or what ended that."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from interceptor.action.lifecycle import TRANSITIONS, FillerSees, LifecycleEvent, OrderState
from interceptor.action.release_note import HoldStory, with_release_note
from interceptor.message.view import MessageView
from tests.support.orders import order

AT = datetime(2026, 3, 2, 18, 5, 59, tzinfo=UTC)


def story(event: LifecycleEvent, *, actor: str = "", comment: str = "", at: datetime = AT) -> HoldStory:
    findings = ("H-REGIONAL: The study covers a region only.", "A-WOONLY: Contrast is missing.")
    return HoldStory(
        event=event, actor=actor, comment=comment, findings=findings, policy="spine-oncology 7", released_at=at
    )


def noted(value: HoldStory, raw: bytes | None = None) -> list[str]:
    """The notes of the released order, OBX with its own included."""
    content, original = with_release_note(raw or order("A1"), value, note_length=100)
    assert original == (raw or order("A1"))
    return [line.decode() for line in content.split(b"\r") if line.startswith((b"NTE", b"OBX"))]


def test_a_reviewers_release_tells_who_why_and_by_which_policy() -> None:
    assert noted(story(LifecycleEvent.RELEASED, actor="ann", comment="agreed by phone")) == [
        "NTE|1|O|Released as ordered after review by ann at 2026-03-02 18:05 UTC.",
        "NTE|2|O|Reason given: agreed by phone",
        "NTE|3|O|Held because: H-REGIONAL: The study covers a region only.",
        "NTE|4|O|Held because: A-WOONLY: Contrast is missing.",
        "NTE|5|O|Policy spine-oncology 7.",
        "OBX|1|CE|76515-6^Requested Procedure is Appropriate to Indication^LN|1|reviewed^Released after review^99INT||||||F",
        "NTE|1|O|Released as ordered after review by ann at 2026-03-02 18:05 UTC.",
    ]


@pytest.mark.parametrize(
    ("event", "words", "rating"),
    [
        (LifecycleEvent.DEADLINE_PASSED, "Released unreviewed at", "not-reviewed"),
        (LifecycleEvent.HOLD_UNAVAILABLE, "Released unreviewed at", "not-reviewed"),
        (LifecycleEvent.OVERRIDDEN, "the orderer answered the order question", "reviewed"),
        (LifecycleEvent.RELEASE_GRANTED, "at the orderer's request", "reviewed"),
    ],
)
def test_each_way_out_is_named(event: LifecycleEvent, words: str, rating: str) -> None:
    lines = noted(story(event))
    assert words in lines[0]
    assert any(f"|{rating}^" in line for line in lines)


def test_every_step_that_sends_an_order_with_a_note_has_a_sentence() -> None:
    """A row of the lifecycle table that promises a note can always write one."""
    events = {
        event
        for (state, event), row in TRANSITIONS.items()
        if row.filler_sees is FillerSees.ORDER_WITH_NOTE and state in (OrderState.PARKED, OrderState.HELD)
    }
    for event in sorted(events):
        assert noted(story(event, actor="ann"))[0].startswith("NTE|1|O|Released")


def test_the_time_is_utc_whatever_zone_it_came_in() -> None:
    at = AT.astimezone(timezone(timedelta(hours=-8)))
    assert "2026-03-02 18:05 UTC" in noted(story(LifecycleEvent.DEADLINE_PASSED, at=at))[0]


def test_a_reviewers_words_cannot_add_to_the_message() -> None:
    lines = noted(story(LifecycleEvent.RELEASED, actor="a|b^c", comment="x\rORC|CA|A1\r|^~\\&"))
    assert lines[0] == "NTE|1|O|Released as ordered after review by a\\F\\b\\S\\c at 2026-03-02 18:05 UTC."
    content, _ = with_release_note(
        order("A1"), story(LifecycleEvent.RELEASED, comment="x\rORC|CA|A1\r"), note_length=100
    )
    assert len(MessageView(content).segments_named("ORC")) == 1


@pytest.mark.parametrize(
    "raw",
    [
        order("A1").replace(b"MSH|^~\\&|", b"MSH|^~^&|", 1),
        b"\r".join(line for line in order("A1").split(b"\r") if not line.startswith(b"OBR")),
        order("A1").replace(b"ORM^O01", b"ACK^O01"),
    ],
    ids=["unsafe delimiters", "no OBR", "no order"],
)
def test_a_message_that_cannot_be_written_into_leaves_as_it_is(raw: bytes) -> None:
    assert with_release_note(raw, story(LifecycleEvent.RELEASED), note_length=100) == (raw, None)
