"""The index of what is ours: newest counts, ends are forgotten in the end, keys are free when everything has left."""

from dataclasses import replace

import pytest

from interceptor.action.lifecycle import OPEN_STATES, OrderState
from interceptor.journal.order_index import ENDED_STATES, OrderIndex, keys_of_content, order_keys_of
from interceptor.journal.port import Entry, EntryId, MessageId
from interceptor.message.view import MessageView
from tests.support.journal_values import DEADLINE, NOW
from tests.support.orders import order, order_group


def entry(number: int, state: OrderState, *, key: str = "A1^EPIC", set_key: str = "set") -> Entry:
    return Entry(
        entry_id=EntryId(number),
        message_id=MessageId(number),
        route="main",
        order_key=key,
        set_key=set_key,
        placer_order_number="A1",
        state=state,
        version=1,
        content=b"",
        control_id=b"1",
        priority="routine",
        taken_at=NOW,
        changed_at=NOW,
        changed_by="node",
        deadline_at=DEADLINE,
        closed_at=None,
        reason="",
        summary={},
        decision={},
        source=b"",
    )


def states(index: OrderIndex, key: str = "A1^EPIC") -> list[OrderState]:
    return [order.state for order in index.of_key(key)]


@pytest.mark.parametrize("state", list(OrderState))
def test_an_order_is_known_until_the_filler_has_it(state: OrderState) -> None:
    index = OrderIndex()
    index.remember(entry(1, state))
    assert index.knows("A1^EPIC") is (state is not OrderState.DELIVERED)
    assert [order.state for order in index.orders()] == ([state] if state in OPEN_STATES else [])
    assert bool(index.of_set("set")) is (state in (OrderState.PARKED, OrderState.HELD))
    assert (index.find(EntryId(1)) is not None) is (state in OPEN_STATES | ENDED_STATES)


@pytest.mark.hazard("H4")
@pytest.mark.parametrize("newer", list(OrderState))
def test_a_newer_order_of_the_same_number_takes_the_place_of_one_that_ended(newer: OrderState) -> None:
    index = OrderIndex()
    index.remember(entry(1, OrderState.WITHDRAWN))
    index.remember(entry(2, newer))
    assert states(index) == ([] if newer is OrderState.DELIVERED else [newer])


def test_an_order_that_moves_is_shown_once_where_it_stands() -> None:
    index = OrderIndex()
    for state in (OrderState.PARKED, OrderState.HELD, OrderState.QUEUED):
        index.remember(entry(1, state, set_key=f"set {state}"))
        assert states(index) == [state]
    assert index.of_set("set parked") == ()
    index.remember(entry(1, OrderState.DELIVERED))
    assert not index


def test_beyond_the_limit_the_oldest_ends_are_forgotten_and_never_what_waits() -> None:
    index = OrderIndex(ended_count_max=2)
    index.remember(entry(1, OrderState.HELD, key="K1"))
    for number in range(2, 6):
        index.remember(entry(number, OrderState.WITHDRAWN, key=f"K{number}"))
    assert [key for key in ("K1", "K2", "K3", "K4", "K5") if index.knows(key)] == ["K1", "K4", "K5"]


def test_beyond_the_limit_the_oldest_digests_are_forgotten() -> None:
    index = OrderIndex(digest_count_max=2)
    for digest in (b"1", b"2", b"2", b"3"):
        index.add_digest(digest)
    assert [index.has_taken(digest) for digest in (b"1", b"2", b"3")] == [False, True, True]


def test_a_key_is_free_when_every_message_about_it_has_left() -> None:
    index = OrderIndex()
    message = order("A1", extra_orders=(order_group("A2"),))
    index.queued.add(message, "message")
    index.queued.add(order("A1"), "order")
    index.queued.add(order("A3"), "notice")
    index.queued.drop(message, "message")
    assert (index.queued.any_of(["A1^EPIC"]), index.queued.any_of(["A2^EPIC"]), index.queued.any_of(["A3^EPIC"])) == (
        True,
        False,
        False,
    )
    index.queued.drop(order("A1"), "order")
    index.queued.drop(order("A1"), "order")
    index.queued.add(order("A1"), "order")
    assert index.queued.any_of(["A1^EPIC"]), "one that was never counted leaves no debt"


def test_an_order_without_a_number_still_waits_and_is_nobody_elses() -> None:
    index = OrderIndex()
    index.remember(entry(1, OrderState.HELD, key="", set_key=""))
    index.remember(replace(entry(2, OrderState.WITHDRAWN, key="", set_key="")))
    assert [order.entry_id for order in index.orders()] == [1]
    assert not index.knows("")


@pytest.mark.parametrize("raw", [b"", b"not hl7", b"MSH|^~\\&|A|B|C|D|1||ADT^A08|1|P|2.3\rPID|1\r"])
def test_what_has_no_orders_has_no_keys(raw: bytes) -> None:
    assert keys_of_content(raw) == ()


def test_each_number_is_one_key() -> None:
    raw = order("A1", extra_orders=(order_group("A2"), order_group("A1"), order_group("")))
    assert order_keys_of(MessageView(raw)) == ("A1^EPIC", "A2^EPIC")
