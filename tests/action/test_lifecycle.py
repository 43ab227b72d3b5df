"""What happens to an order in our custody: every row of the table, said once more as a sentence a clinician could check."""

from pathlib import Path

import pytest

from interceptor.action.lifecycle import (
    OPEN_STATES,
    TAKEN_AS,
    TRANSITIONS,
    UNSEEN_ENDS,
    WAITING_STATES,
    FillerSees,
    IllegalTransition,
    LifecycleEvent,
    OrderState,
    Transition,
    decide_transition,
)
from interceptor.action.lifecycle_diagram import markdown_table, mermaid_diagram

ROOT = Path(__file__).parents[2]

# state, event, state afterwards, what the filler sees (by the enum's name), what the placer is told, reason
ROWS = """
parked cancelled              withdrawn NOTHING                  CR/CA S-CANCELLED
parked changed                parked    NOTHING                  -     S-CHANGED
parked changed_and_released   queued    ORDER_AS_CHANGED         OE/IP S-CHANGED-RELEASED
parked replaced_by            replaced  NOTHING                  RQ/RP S-REPLACED
parked hold_requested         parked    NOTHING                  HR/HD S-HOLD-NOTED
parked release_requested      parked    NOTHING                  UR/HD S-RELEASE-NOTED
parked release_granted        queued    ORDER_WITH_NOTE          OR/IP S-RELEASE-GRANTED
parked followed               parked    MESSAGE_AFTER_ORDER      -     S-FOLLOWED
parked set_completed          queued    ORDER_UNCHANGED          OE/IP S-SET-COMPLETE
parked set_reopened           parked    NOTHING                  -     S-SET-REOPENED
parked set_window_ended       held      NOTHING                  OH/HD S-HELD
parked hold_unavailable       queued    ORDER_WITH_NOTE          -     S-HOLD-UNAVAILABLE
parked released               queued    ORDER_WITH_NOTE          OE/IP S-RELEASED
parked procedure_changed      queued    ORDER_WITH_NEW_PROCEDURE XX/IP S-PROCEDURE-CHANGED
parked returned_to_orderer    returned  NOTHING                  OC/CA S-RETURNED
parked overridden             queued    ORDER_WITH_NOTE          OE/IP S-OVERRIDE
parked deadline_passed        queued    ORDER_WITH_NOTE          OE/IP S-DEADLINE
parked patient_merged         parked    NOTHING                  -     S-MERGED
parked commented              parked    NOTHING                  -     S-COMMENTED
held   cancelled              withdrawn NOTHING                  CR/CA S-CANCELLED
held   changed                held      NOTHING                  OH/HD S-CHANGED
held   changed_and_released   queued    ORDER_AS_CHANGED         OE/IP S-CHANGED-RELEASED
held   replaced_by            replaced  NOTHING                  RQ/RP S-REPLACED
held   hold_requested         held      NOTHING                  HR/HD S-HOLD-NOTED
held   release_requested      held      NOTHING                  UR/HD S-RELEASE-NOTED
held   release_granted        queued    ORDER_WITH_NOTE          OR/IP S-RELEASE-GRANTED
held   followed               held      MESSAGE_AFTER_ORDER      -     S-FOLLOWED
held   set_completed          queued    ORDER_UNCHANGED          OE/IP S-SET-COMPLETE
held   set_reopened           held      NOTHING                  -     S-SET-REOPENED
held   hold_unavailable       queued    ORDER_WITH_NOTE          OE/IP S-HOLD-UNAVAILABLE
held   released               queued    ORDER_WITH_NOTE          OE/IP S-RELEASED
held   procedure_changed      queued    ORDER_WITH_NEW_PROCEDURE XX/IP S-PROCEDURE-CHANGED
held   returned_to_orderer    returned  NOTHING                  OC/CA S-RETURNED
held   overridden             queued    ORDER_WITH_NOTE          OE/IP S-OVERRIDE
held   deadline_passed        queued    ORDER_WITH_NOTE          OE/IP S-DEADLINE
held   patient_merged         held      NOTHING                  -     S-MERGED
held   commented              held      NOTHING                  -     S-COMMENTED
queued cancelled              queued    MESSAGE_AFTER_ORDER      -     S-FOLLOWED
queued changed                queued    MESSAGE_AFTER_ORDER      -     S-FOLLOWED
queued replaced_by            queued    MESSAGE_AFTER_ORDER      -     S-FOLLOWED
queued hold_requested         queued    MESSAGE_AFTER_ORDER      -     S-FOLLOWED
queued release_requested      queued    MESSAGE_AFTER_ORDER      -     S-FOLLOWED
queued followed               queued    MESSAGE_AFTER_ORDER      -     S-FOLLOWED
queued patient_merged         queued    NOTHING                  -     S-MERGED
queued commented              queued    NOTHING                  -     S-COMMENTED
queued acknowledged           delivered NOTHING                  -     S-DELIVERED
queued refused                dead      NOTHING                  -     S-REFUSED
dead   requeued               queued    ORDER_UNCHANGED          -     S-REQUEUED
dead   discarded              dead      NOTHING                  -     S-DISCARDED
dead   cancelled              withdrawn MESSAGE                  -     S-CANCELLED-DEAD
dead   changed                dead      MESSAGE                  -     S-FOLLOWED
dead   followed               dead      MESSAGE                  -     S-FOLLOWED
dead   commented              dead      NOTHING                  -     S-COMMENTED
withdrawn cancelled           withdrawn NOTHING                  CR/CA S-CANCELLED
withdrawn changed             withdrawn MESSAGE_AS_NEW_ORDER     -     S-ORDERED-AGAIN
withdrawn commented           withdrawn NOTHING                  -     S-COMMENTED
returned cancelled            returned  NOTHING                  CR/CA S-CANCELLED
returned changed              returned  MESSAGE_AS_NEW_ORDER     -     S-ORDERED-AGAIN
returned commented            returned  NOTHING                  -     S-COMMENTED
replaced cancelled            replaced  NOTHING                  CR/CA S-CANCELLED
replaced changed              replaced  MESSAGE_AS_NEW_ORDER     -     S-ORDERED-AGAIN
replaced commented            replaced  NOTHING                  -     S-COMMENTED
delivered commented           delivered NOTHING                  -     S-COMMENTED
"""
EXPECTED = {(words[0], words[1]): tuple(words[2:]) for words in (line.split() for line in ROWS.strip().splitlines())}


def told(transition: Transition) -> str:
    notice = transition.notice
    return "-" if notice is None else f"{notice.order_control}/{notice.order_status}"


@pytest.mark.parametrize(("state", "event"), EXPECTED, ids="-".join)
def test_each_event_does_to_each_state_what_the_table_says(state: str, event: str) -> None:
    found = decide_transition(OrderState(state), LifecycleEvent(event))
    shown = (found.state.value, found.filler_sees.name, told(found), found.reason)
    assert shown == EXPECTED[state, event]


def test_the_table_has_no_row_that_is_not_tested() -> None:
    assert {(state.value, event.value) for state, event in TRANSITIONS} == set(EXPECTED)


def test_how_an_order_begins() -> None:
    shown = {state.value: (begun.state.value, begun.filler_sees.name, told(begun)) for state, begun in TAKEN_AS.items()}
    assert shown == {
        "parked": ("parked", "NOTHING", "-"),
        "held": ("held", "NOTHING", "OH/HD"),
        "queued": ("queued", "ORDER_UNCHANGED", "-"),
    }


@pytest.mark.parametrize(
    ("state", "event"),
    [(state, event) for state in OrderState for event in LifecycleEvent if (state.value, event.value) not in EXPECTED],
)
def test_what_the_table_does_not_name_is_our_own_mistake(state: OrderState, event: LifecycleEvent) -> None:
    with pytest.raises(IllegalTransition, match=f"{state} cannot be {event}"):
        decide_transition(state, event)


@pytest.mark.hazard("H2")
@pytest.mark.parametrize("state", sorted(WAITING_STATES))
def test_no_order_waits_for_ever(state: OrderState) -> None:
    assert decide_transition(state, LifecycleEvent.DEADLINE_PASSED).state is OrderState.QUEUED


@pytest.mark.hazard("H4")
def test_a_cancel_is_answered_by_us_or_reaches_the_filler_but_never_neither() -> None:
    for state in OrderState:
        if (state, LifecycleEvent.CANCELLED) not in TRANSITIONS:
            continue
        found = decide_transition(state, LifecycleEvent.CANCELLED)
        assert (found.notice is None) == (found.filler_sees is not FillerSees.NOTHING), state


@pytest.mark.hazard("H4")
@pytest.mark.fault(45)
def test_no_path_leads_from_a_cancelled_order_to_the_filler() -> None:
    """Whatever happens after WITHDRAWN, RETURNED or REPLACED, that order is never queued."""
    for end in UNSEEN_ENDS:
        reachable = {end}
        while True:
            more = {row.state for (state, _), row in TRANSITIONS.items() if state in reachable} - reachable
            if not more:
                break
            reachable |= more
        assert reachable == {end}


@pytest.mark.hazard("H5")
def test_what_the_filler_took_is_never_sent_again() -> None:
    assert {row.state for (state, _), row in TRANSITIONS.items() if state is OrderState.DELIVERED} == {
        OrderState.DELIVERED
    }


def test_only_the_filler_makes_an_order_delivered() -> None:
    ways = {key for key, row in TRANSITIONS.items() if row.state is OrderState.DELIVERED and key[0] is not row.state}
    assert ways == {(OrderState.QUEUED, LifecycleEvent.ACKNOWLEDGED)}


def test_nothing_takes_a_queued_order_back() -> None:
    after = {row.state for (state, _), row in TRANSITIONS.items() if state is OrderState.QUEUED}
    assert after == {OrderState.QUEUED, OrderState.DELIVERED, OrderState.DEAD}


def test_an_order_that_leaves_a_hold_always_sends_itself() -> None:
    own = {FillerSees.ORDER_WITH_NOTE, FillerSees.ORDER_UNCHANGED, FillerSees.ORDER_AS_CHANGED}
    own |= {FillerSees.ORDER_WITH_NEW_PROCEDURE}
    for (state, event), row in TRANSITIONS.items():
        if state is not OrderState.QUEUED and row.state is OrderState.QUEUED:
            assert row.filler_sees in own, (state, event)


def test_an_order_that_keeps_waiting_sends_nothing_of_its_own() -> None:
    for (state, event), row in TRANSITIONS.items():
        if row.state in WAITING_STATES:
            assert row.filler_sees in (FillerSees.NOTHING, FillerSees.MESSAGE_AFTER_ORDER), (state, event)


@pytest.mark.hazard("H8")
def test_a_hold_that_the_placer_was_told_of_is_never_ended_in_silence() -> None:
    for (state, event), row in TRANSITIONS.items():
        if state is OrderState.HELD and row.state is not OrderState.HELD:
            assert row.notice is not None, event


def test_every_state_is_open_or_an_end_and_every_one_can_be_reached() -> None:
    reached = set(TAKEN_AS) | {row.state for row in TRANSITIONS.values()}
    assert reached == set(OrderState)
    assert {OrderState.PARKED, OrderState.HELD, OrderState.QUEUED} == OPEN_STATES


def test_every_event_but_the_first_has_a_row() -> None:
    assert {event for _, event in TRANSITIONS} == set(LifecycleEvent) - {LifecycleEvent.TAKEN}


@pytest.mark.parametrize("part", [mermaid_diagram, markdown_table], ids=["diagram", "table"])
def test_the_page_shows_the_table_as_it_is(part: object) -> None:
    """After a change of the table: put what the function returns into the page."""
    assert callable(part)
    page = (ROOT / "docs/explanation/lifecycle.md").read_text(encoding="utf-8")
    assert part() in page
