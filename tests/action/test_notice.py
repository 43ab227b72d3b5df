"""Notices to the placer: what they say, in whose bytes, and what the libraries of others make of them."""

from datetime import UTC, datetime
from typing import Any

import hl7
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.action.authored_segment import AuthoringError, AuthoringReason
from interceptor.action.lifecycle import (
    CANCELLED_BY_FILLER,
    HELD_BY_FILLER,
    RELEASED_BY_FILLER,
    TAKEN_AS,
    TRANSITIONS,
    Notice,
)
from interceptor.action.notice import (
    REASON_LENGTH_MAX,
    REPLACEMENT,
    REPLACEMENT_HELD,
    REPLACEMENT_TAKEN,
    SENTENCES,
    NoticeStyle,
    build_notice,
    read_reasons,
)
from interceptor.message.group import order_groups
from interceptor.message.view import MessageView
from tests.support.authored import FEEDS, IPC, feed_order, findings
from tests.support.orders import order

AT = datetime(2026, 3, 2, 15, 30, 5, tzinfo=UTC)
EVERY_NOTICE = sorted(
    {row.notice for row in (*TRANSITIONS.values(), *TAKEN_AS.values()) if row.notice is not None}
    | {REPLACEMENT_TAKEN, REPLACEMENT_HELD},
    key=lambda notice: (notice.order_control, notice.order_status),
)


def notice_about(view: MessageView, notice: Notice = HELD_BY_FILLER, *reasons: str, **more: Any) -> MessageView:
    """The notice, read back."""
    return MessageView(
        build_notice(view, notice, reasons=reasons or ("S-HELD",), control_id="I1", at=more.pop("at", AT), **more)
    )


@pytest.mark.parametrize("notice", EVERY_NOTICE, ids=lambda notice: f"{notice.order_control}-{notice.order_status}")
@pytest.mark.parametrize(("message_type", "version"), FEEDS)
def test_every_notice_conforms_in_every_feed_and_version(message_type: str, version: str, notice: Notice) -> None:
    """By hl7apy's tables of that version, and python-hl7 gives it back byte for byte."""
    reasons = ("S-HELD", "H-REGIONAL: A regional MRI where the whole spine is advised.")
    content = notice_about(feed_order(message_type, version), notice, *reasons).raw
    assert findings(content) == []
    assert bytes(str(hl7.parse(content.decode())), "ascii") == content


def test_the_conformance_check_sees_what_is_wrong() -> None:
    content = notice_about(feed_order("OMI^O23^OMI_O23")).raw
    assert any("IPC" in found for found in findings(content.replace(IPC.encode() + b"\r", b"")))
    assert any("OBR_4" in found for found in findings(content.replace(b"72148^MRI L SPINE WO^C4", b"")))


def test_the_whole_notice_stands_as_the_reference_shows_it() -> None:
    moment, sentence = "20260302153005+0000", "A regional MRI where the whole spine is advised."
    content = notice_about(feed_order(), HELD_BY_FILLER, "S-HELD", f"H-REGIONAL: {sentence}").raw
    assert content.decode().split("\r") == [
        f"MSH|^~\\&|RIS|RAD|EPIC|HOSP|{moment}||ORM^O01|I1|T|2.5.1||||||8859/1",
        "PID|1||1001^^^HOSP^MR||TESTPATIENT^JANE||19680101|F",
        "PV1|1|O|ONC^^^HOSP",
        f"ORC|OH|P1^EPIC||G1^EPIC|HD||||{moment}|||123^TESTDOCTOR^JOHN|||{moment}|H-REGIONAL^{sentence}^99INT",
        "OBR|1|P1^EPIC||72148^MRI L SPINE WO^C4",
        "NTE|1|O|S-HELD: Held for review before it goes to radiology.",
        f"NTE|2|O|H-REGIONAL: {sentence}",
        "",
    ]


@pytest.mark.parametrize("notice", EVERY_NOTICE, ids=lambda notice: f"{notice.order_control}-{notice.order_status}")
def test_control_and_status_are_those_of_the_lifecycle(notice: Notice) -> None:
    told = notice_about(feed_order(), notice)
    assert (told.text("ORC-1"), told.text("ORC-5")) == (notice.order_control, notice.order_status)


@pytest.mark.parametrize("notice", EVERY_NOTICE, ids=lambda notice: f"{notice.order_control}-{notice.order_status}")
def test_by_status_only_holds_and_their_releases_are_said_otherwise(notice: Notice) -> None:
    """An answer to a request of the placer stays that answer."""
    told = notice_about(feed_order(), notice, style=NoticeStyle.STATUS)
    expected = "SC" if notice in (HELD_BY_FILLER, RELEASED_BY_FILLER) else notice.order_control
    assert (told.text("ORC-1"), told.text("ORC-5")) == (expected, notice.order_status)


def test_every_reason_that_a_notice_can_have_is_a_sentence() -> None:
    coded = {row.reason for row in (*TRANSITIONS.values(), *TAKEN_AS.values()) if row.notice is not None}
    assert coded - set(SENTENCES) == set()
    assert set(SENTENCES) - coded - {REPLACEMENT, "S-HOLD-UNAVAILABLE"} == set()
    assert all(sentence.isascii() and len(sentence) <= REASON_LENGTH_MAX for sentence in SENTENCES.values())


def test_a_release_by_the_deadline_has_its_own_reason() -> None:
    told = notice_about(feed_order(), RELEASED_BY_FILLER, "S-DEADLINE", "")
    assert told.raw_value("ORC-16") == f"S-DEADLINE^{SENTENCES['S-DEADLINE']}^99INT".encode()


def test_a_returned_order_carries_the_reviewers_words() -> None:
    told = notice_about(feed_order(), CANCELLED_BY_FILLER, "S-RETURNED", "X-ray first | please & thank you")
    assert (
        told.text(
            "ORC-16",
        )
        == "S-RETURNED"
    )
    assert told.text("ORC-16.2") == SENTENCES["S-RETURNED"].rstrip(".") + ": X-ray first | please & thank you"
    assert [segment.text(3) for segment in told.segments_named("NTE")][-1] == (
        "Reason given: X-ray first | please & thank you"
    )


def test_words_that_look_like_a_code_are_words() -> None:
    (reason,) = read_reasons(["X-RAY"])
    assert (reason.code, reason.text) == ("", "X-RAY")


def test_without_a_reason_there_is_no_reason_field() -> None:
    told = MessageView(build_notice(feed_order(), HELD_BY_FILLER, reasons=("", " "), control_id="I1", at=AT))
    assert (told.text("ORC-15"), told.raw_value("ORC-16"), told.first("NTE")) == ("", None, None)


def test_2_1_has_no_reason_field() -> None:
    told = notice_about(feed_order("ORM", "2.1"))
    assert told.text("ORC-1") == "OH"
    assert told.raw_value("ORC-16") is None


def test_a_long_reason_is_cut_in_the_field_and_whole_in_the_notes() -> None:
    words = "because " * 60 + "the end"
    told = notice_about(feed_order(), CANCELLED_BY_FILLER, "S-RETURNED", words, note_length=80)
    assert len(told.text("ORC-16.2")) == REASON_LENGTH_MAX
    notes = [segment.text(3) for segment in told.segments_named("NTE")]
    assert all(len(note) <= 80 for note in notes)
    assert " ".join(notes).endswith(words)


def test_the_order_number_is_that_of_the_detail_where_the_control_segment_has_none() -> None:
    view = MessageView(order("P9").replace(b"ORC|NW|P9^EPIC|", b"ORC|NW||"))
    assert notice_about(view).raw_value("ORC-2") == b"P9^EPIC"


def test_the_fillers_number_goes_back_where_the_order_has_one() -> None:
    view = MessageView(order("P9").replace(b"P9^EPIC||", b"P9^EPIC|F9^RIS|", 2))
    told = notice_about(view)
    assert (told.raw_value("ORC-3"), told.raw_value("OBR-3")) == (b"F9^RIS", b"F9^RIS")


def test_patient_and_numbers_are_the_received_bytes_in_a_character_set_that_nobody_knows() -> None:
    name = b"T\xe4st\xff\x81^J\\T\\ne"
    raw = order("P1").replace(b"TESTPATIENT^JANE", name).replace(b"P1^EPIC", b"P\xe9 1&x^EPIC^1.2.3^ISO")
    told = notice_about(MessageView(raw))
    assert told.raw_value("PID") == MessageView(raw).raw_value("PID")
    assert told.raw_value("ORC-2") == told.raw_value("OBR-2") == b"P\xe9 1&x^EPIC^1.2.3^ISO"


def test_a_separators_byte_inside_a_japanese_character_breaks_nothing() -> None:
    """ISO 2022: 0x7C between ESC $ B and ESC ( B is half of a character, not a field separator."""
    word = b"\x1b$B%\x7c%s\x1b(B"
    raw = order("P1").replace(b"|T|2.3.1", b"|T|2.3.1||||||ISO IR14~ISO IR87").replace(b"MRI L SPINE WO", word)
    told = notice_about(MessageView(raw))
    assert told.raw_value("OBR-4") == b"72148^" + word + b"^C4"
    assert told.text("ORC-5") == "HD"


@pytest.mark.parametrize("terminator", [b"\r", b"\n", b"\r\n"])
def test_segments_end_with_cr_whatever_the_order_has(terminator: bytes) -> None:
    told = notice_about(MessageView(feed_order().raw.replace(b"\r", terminator)))
    assert told.raw == notice_about(feed_order()).raw


def test_the_orders_own_delimiters_are_used() -> None:
    raw = feed_order().raw.translate(bytes.maketrans(b"|^~\\&", b"!%?@$"))
    told = notice_about(MessageView(raw), CANCELLED_BY_FILLER, "S-RETURNED", "100%! sure")
    assert told.raw.startswith(b"MSH!%?@$!RIS!RAD!EPIC!HOSP!")
    assert told.text("ORC-16.2").endswith("100%! sure")


@pytest.mark.parametrize("odd", [b"^^\\&", b"^~", b"^"])
def test_delimiters_that_cannot_carry_text_give_no_notice(odd: bytes) -> None:
    view = MessageView(feed_order().raw.replace(b"^~\\&", odd, 1))
    with pytest.raises(AuthoringError) as caught:
        notice_about(view)
    assert caught.value.reason is AuthoringReason.UNSAFE_ENCODING


def test_a_message_without_an_order_gives_no_notice() -> None:
    view = MessageView(feed_order().raw.replace(b"ORM^O01", b"ADT^A08"))
    with pytest.raises(AuthoringError) as caught:
        notice_about(view)
    assert caught.value.reason is AuthoringReason.NO_ORDER


def test_an_order_without_a_patient_is_told_of_without_one() -> None:
    raw = b"\r".join(line for line in feed_order().raw.split(b"\r") if not line.startswith(b"PID"))
    names = [segment.name for segment in notice_about(MessageView(raw)).segments]
    assert names == ["MSH", "ORC", "OBR", "NTE"]


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200), st.sampled_from(FEEDS))
def test_no_persons_words_can_change_the_shape_of_a_notice(words: str, feed: tuple[str, str]) -> None:
    """Delimiters, line ends, controls: the notice has the segments it would have, and one order."""
    view = feed_order(*feed)
    told = notice_about(view, CANCELLED_BY_FILLER, "S-RETURNED", words)
    names = [segment.name for segment in told.segments if segment.name != "NTE"]
    assert names == ["MSH", "PID", "PV1", "ORC", "OBR", *(["IPC"] if feed[0].startswith("OMI") else [])]
    assert len(order_groups(told)) == 1
    assert told.raw.isascii()
    assert told.text("ORC-16.3") == "99INT"
