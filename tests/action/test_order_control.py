"""ORC-1 of an order that is ours: what each code does, and the one rewrite to NW."""

import pytest

from interceptor.action.lifecycle import LifecycleEvent as Event
from interceptor.action.order_control import as_new_order, control_event
from interceptor.message.group import order_groups
from interceptor.message.view import MessageView
from tests.support.orders import order


@pytest.mark.parametrize(
    ("code", "event"),
    [
        ("CA", Event.CANCELLED),
        ("DC", Event.CANCELLED),
        ("NW", Event.CHANGED),
        ("XO", Event.CHANGED),
        ("XX", Event.CHANGED),
        ("RP", Event.REPLACED_BY),
        ("HD", Event.HOLD_REQUESTED),
        ("RL", Event.RELEASE_REQUESTED),
        ("SC", Event.FOLLOWED),
        ("SN", Event.FOLLOWED),
        ("RO", Event.FOLLOWED),
        ("", Event.FOLLOWED),
        (" ca ", Event.CANCELLED),
        ("xo", Event.CHANGED),
    ],
)
@pytest.mark.hazard("H4")
def test_each_code_is_an_event_of_the_lifecycle(code: str, event: Event) -> None:
    assert control_event(code) is event


@pytest.mark.parametrize("control", ["XO", "RO", "XX", "NA"])
def test_only_the_control_code_changes(control: str) -> None:
    view = MessageView(order("A1", control=control))
    result = as_new_order(view, order_groups(view)[0])
    assert result == view.raw.replace(f"ORC|{control}|".encode(), b"ORC|NW|", 1)


@pytest.mark.parametrize("control", ["NW", "nw"])
def test_a_new_order_is_the_very_object_that_came(control: str) -> None:
    view = MessageView(order("A1", control=control))
    assert as_new_order(view, order_groups(view)[0]) is view.raw


def test_an_order_without_an_orc_stays_as_it_is() -> None:
    raw = b"\r".join(line for line in order("A1").split(b"\r") if not line.startswith(b"ORC"))
    view = MessageView(raw)
    assert as_new_order(view, order_groups(view)[0]) is view.raw
