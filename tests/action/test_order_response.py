"""Our answers to an order message in custody: which, how many, and in what form."""

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import count

import hl7
import pytest

from interceptor.action.acknowledge import accept_codes
from interceptor.action.lifecycle import (
    CANCELLED_AS_REQUESTED,
    HELD_AS_REQUESTED,
    HELD_BY_FILLER,
    RELEASED_AS_REQUESTED,
    RELEASED_BY_FILLER,
    REPLACED_AS_REQUESTED,
    STILL_HELD,
    Notice,
)
from interceptor.action.order_response import (
    HoldReply,
    build_answers,
    build_order_response,
    separate_answers,
)
from interceptor.message.acknowledgment import AckCode, read_acknowledgment
from interceptor.message.header import Header
from interceptor.message.view import MessageView
from tests.support.authored import FEEDS, feed_order, findings
from tests.support.orders import order, order_group

AT = datetime(2026, 3, 2, 15, 30, 5, tzinfo=UTC)
AA, CA = AckCode.APPLICATION_ACCEPT, AckCode.COMMIT_ACCEPT


def response_to(view: MessageView, told: Mapping[int, Notice] | None = None, code: AckCode = AA) -> MessageView:
    """The order response, read back."""
    return MessageView(build_order_response(view, code, told=told or {}, control_id="I1", at=AT))


def answers_to(
    message: MessageView | Header, reply: HoldReply, told: Mapping[int, Notice] | None = None
) -> tuple[bytes, ...]:
    """All our answers, as they are sent."""
    numbers = count(1)
    stored = build_answers(message, reply=reply, told=told or {}, new_control_id=lambda: f"I{next(numbers)}", at=AT)
    return () if stored is None else separate_answers(stored)


@pytest.mark.parametrize("told", [{}, {1: HELD_BY_FILLER}], ids=["accepted", "held"])
@pytest.mark.parametrize(("message_type", "version"), FEEDS)
def test_every_order_response_conforms(message_type: str, version: str, told: dict[int, Notice]) -> None:
    """By hl7apy's tables of that version, and python-hl7 gives it back byte for byte."""
    content = response_to(feed_order(message_type, version), told).raw
    assert findings(content) == []
    assert str(hl7.parse(content.decode())).encode() == content


def test_the_whole_response_stands_as_the_reference_shows_it() -> None:
    assert response_to(feed_order("ORM^O01", "2.5.1"), {1: HELD_BY_FILLER}).raw.decode().split("\r") == [
        "MSH|^~\\&|RIS|RAD|EPIC|HOSP|20260302153005+0000||ORR^O02^ORR_O02|I1|T|2.5.1||||||8859/1",
        "MSA|AA|CP1",
        "PID|1||1001^^^HOSP^MR||TESTPATIENT^JANE||19680101|F",
        "ORC|OK|P1^EPIC||G1^EPIC|HD||||20260302153005+0000|||123^TESTDOCTOR^JOHN",
        "OBR|1|P1^EPIC||72148^MRI L SPINE WO^C4",
        "",
    ]


@pytest.mark.parametrize(
    ("asked", "version", "answered"),
    [
        ("ORM^O01", "2.3.1", b"ORR^O02"),
        ("ORM^O01^ORM_O01", "2.3.1", b"ORR^O02^ORR_O02"),
        ("ORM^O01", "2.4", b"ORR^O02^ORR_O02"),
        ("OMG^O19", "2.5", b"ORG^O20^ORG_O20"),
        ("OMI^O23", "2.5.1", b"ORI^O24^ORI_O24"),
        ("ORM", "2.1", b"ORR"),
    ],
)
def test_each_feed_has_its_own_response(asked: str, version: str, answered: bytes) -> None:
    assert response_to(feed_order(asked, version)).raw_value("MSH-9") == answered


@pytest.mark.parametrize(
    ("told", "control", "status"),
    [
        (None, "OK", ""),
        (HELD_BY_FILLER, "OK", "HD"),
        (STILL_HELD, "OK", "HD"),
        (RELEASED_BY_FILLER, "OK", "IP"),
        (CANCELLED_AS_REQUESTED, "CR", "CA"),
        (HELD_AS_REQUESTED, "HR", "HD"),
        (RELEASED_AS_REQUESTED, "OR", "IP"),
        (REPLACED_AS_REQUESTED, "RQ", "RP"),
    ],
)
def test_each_order_is_accepted_and_its_status_says_where_it_stands(
    told: Notice | None, control: str, status: str
) -> None:
    answer = response_to(feed_order(), {} if told is None else {1: told})
    assert (answer.text("ORC-1"), answer.text("ORC-5")) == (control, status)


def test_only_the_held_order_of_a_message_is_on_hold() -> None:
    view = MessageView(order("P1", extra_orders=(order_group("P2"), order_group("P3"))))
    answer = response_to(view, {2: HELD_BY_FILLER})
    assert [(orc.raw_field(2), orc.text(1), orc.text(5)) for orc in answer.segments_named("ORC")] == [
        (b"P1^EPIC", "OK", ""),
        (b"P2^EPIC", "OK", "HD"),
        (b"P3^EPIC", "OK", ""),
    ]
    assert [obr.text(1) for obr in answer.segments_named("OBR")] == ["1", "2", "3"]


def test_control_id_and_order_number_are_echoed_byte_for_byte() -> None:
    raw = order("P1").replace(b"|CP1|", b"| C\\T\\\xe4 1 |").replace(b"P1^EPIC", b"P \xff1^EPIC^1.2^ISO")
    answer = response_to(MessageView(raw), {1: HELD_BY_FILLER})
    assert answer.raw_value("MSA-2") == b" C\\T\\\xe4 1 "
    assert answer.raw_value("ORC-2") == b"P \xff1^EPIC^1.2^ISO"


@pytest.mark.parametrize(
    ("asks", "codes"),
    [
        ("|", (AA,)),
        ("AL|NE", (CA,)),
        ("AL|AL", (CA, AA)),
        ("AL|SU", (CA, AA)),
        ("SU|SU", (CA, AA)),
        ("AL|ER", (CA,)),
        ("AL|", (CA,)),
        ("NE|AL", (AA,)),
        ("|AL", (AA,)),
        ("NE|NE", ()),
        ("ER|ER", ()),
        ("ER|AL", (AA,)),
    ],
)
@pytest.mark.parametrize("reply", HoldReply)
def test_what_was_asked_for_is_answered_in_order(asks: str, codes: tuple[AckCode, ...], reply: HoldReply) -> None:
    view = feed_order(asks=asks)
    assert accept_codes(view.header) == codes
    read = [read_acknowledgment(answer) for answer in answers_to(view, reply, {1: HELD_BY_FILLER})]
    assert [(answer.code, answer.control_id) for answer in read if answer is not None] == [
        (code, b"CP1") for code in codes
    ]


def test_the_accept_acknowledgment_stays_plain_and_the_response_is_the_application_acknowledgment() -> None:
    first, second = (MessageView(one) for one in answers_to(feed_order(asks="AL|AL"), HoldReply.ORDER_RESPONSE))
    assert (first.text("MSA-1"), first.message_type.code, first.first("ORC")) == ("CA", "ACK", None)
    assert (second.text("MSA-1"), second.message_type.code, second.text("ORC-1")) == ("AA", "ORR", "OK")
    assert (first.control_id, second.control_id) == (b"I1", b"I2")


def test_with_ack_both_answers_are_plain() -> None:
    answers = answers_to(feed_order(asks="AL|AL"), HoldReply.ACKNOWLEDGMENT)
    assert [MessageView(answer).message_type.code for answer in answers] == ["ACK", "ACK"]


def test_what_is_no_order_message_gets_a_plain_acknowledgment() -> None:
    view = MessageView(feed_order(asks="|").raw.replace(b"ORM^O01", b"ADT^A08"))
    for message in (view, view.header):
        (answer,) = answers_to(message, HoldReply.ORDER_RESPONSE)
        assert (MessageView(answer).message_type.code, MessageView(answer).text("MSA-1")) == ("ACK", "AA")


def test_an_order_that_nobody_can_write_about_is_still_acknowledged() -> None:
    """Two delimiters alike: no order response can be made, but the message is ours and the placer must hear it."""
    view = MessageView(feed_order(asks="|").raw.replace(b"^~\\&", b"^^\\&"))
    (answer,) = answers_to(view, HoldReply.ORDER_RESPONSE, {1: HELD_BY_FILLER})
    assert answer.endswith(b"MSA|AA|CP1\r")


@pytest.mark.parametrize("stored", [b"", b"ack", b"MSH|^~\\&|A\rMSA|AA|1\r", b"\r\r"])
def test_one_stored_answer_stays_one(stored: bytes) -> None:
    assert separate_answers(stored) == (stored,)


def test_stored_answers_come_apart_exactly_where_they_were_joined() -> None:
    answers = answers_to(feed_order("OMI^O23", asks="AL|AL"), HoldReply.ORDER_RESPONSE, {1: HELD_BY_FILLER})
    assert separate_answers(b"".join(answers)) == answers
    assert [answer.count(b"MSH|") for answer in answers] == [1, 1]
