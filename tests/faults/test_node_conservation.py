"""The conservation check itself: each broken promise, planted in an account that was right, is found."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest

from interceptor.action.lifecycle import OrderState
from tests.support.conservation import Balance, Kept, RunLedger, balance
from tests.support.orders import CHEST_FILM, order, order_group

FILM, SECOND_FILM = (order(number, procedure=CHEST_FILM) for number in ("F1", "F2"))
FILM_CANCEL = order("F1", control="CA", control_id="CF1CA", procedure=CHEST_FILM)
HELD, RELEASED, WITHDRAWN = (order(number) for number in ("H1", "R1", "W1"))
WITHDRAWAL = order("W1", control="CA", control_id="CW1CA")
MIXED = order("H2", extra_orders=(order_group("F3", procedure=CHEST_FILM),))
ADT = b"MSH|^~\\&|EPIC|HOSP|RIS|RAD|20260115101500||ADT^A08|CADT|T|2.3.1\rPID|1||1^^^HOSP^MR\r"
NOTE = b"NTE|1|L|released by a reviewer\r"
SENT = (FILM, FILM_CANCEL, SECOND_FILM, HELD, RELEASED, WITHDRAWN, WITHDRAWAL, MIXED, ADT)
OURS = (HELD, RELEASED, WITHDRAWN, WITHDRAWAL, MIXED)
PART_OF_MIXED = order("F3", control_id="CH2P1", procedure=CHEST_FILM, diagnoses=())


class Account:
    """A run in which everything was right, to be spoiled."""

    def __init__(self) -> None:
        self.ledger = RunLedger(disruptions=1)
        for raw in SENT:
            self.ledger.note_sent(1, raw)
            self.ledger.note_answer(raw, "AA")
        for raw in (FILM, FILM_CANCEL, SECOND_FILM, RELEASED + NOTE, RELEASED + NOTE, PART_OF_MIXED, ADT):
            self.ledger.note_received(raw)
        self.ledger.note_released("R1")
        self.kept = Kept(
            states={
                "H1": OrderState.HELD,
                "H2": OrderState.HELD,
                "R1": OrderState.DELIVERED,
                "W1": OrderState.WITHDRAWN,
            },
            taken=frozenset(sha256(raw).digest() for raw in OURS),
            queued=frozenset(),
            dead=frozenset(),
            problems=(),
        )

    def arrive(self, *contents: bytes) -> None:
        """The filler gets these as well."""
        for raw in contents:
            self.ledger.note_received(raw)

    def lose(self, content: bytes) -> None:
        """The filler never got this."""
        self.ledger.received = [one for one in self.ledger.received if one.raw != content]

    def stand(self, number: str, state: OrderState) -> None:
        """The journal says this of an order."""
        self.kept.states[number] = state

    def balance(self) -> Balance:
        return balance(self.ledger, self.kept)


def test_an_account_that_is_right_has_no_problem() -> None:
    """One order was delivered twice after a kill, with the same bytes: that is allowed."""
    done = Account().balance()
    assert done.problems == []
    assert done.places == {"delivered": 6, "held": 2, "ended": 2}
    assert done.duplicates == 1


def lost(account: Account) -> None:
    account.lose(SECOND_FILM)


def lost_beside_a_held_one(account: Account) -> None:
    account.lose(PART_OF_MIXED)


def held_order_delivered(account: Account) -> None:
    account.arrive(HELD)


def withdrawn_order_delivered(account: Account) -> None:
    account.arrive(WITHDRAWN)


def withdrawn_forgotten(account: Account) -> None:
    account.stand("W1", OrderState.HELD)
    account.arrive(WITHDRAWAL)


def released_order_lost(account: Account) -> None:
    account.lose(RELEASED + NOTE)


def altered(account: Account) -> None:
    account.lose(SECOND_FILM)
    account.arrive(SECOND_FILM.replace(b"TESTPATIENT", b"TESTPATIEMT"))


def altered_order(account: Account) -> None:
    account.lose(SECOND_FILM)
    account.arrive(SECOND_FILM.replace(b"OBR|1|F2", b"OBR|2|F2"))


def other_bytes_the_second_time(account: Account) -> None:
    account.arrive(RELEASED + NOTE.replace(b"released", b"Released"))


def other_control_id(account: Account) -> None:
    account.lose(SECOND_FILM)
    account.arrive(SECOND_FILM.replace(b"|CF2|", b"|XX|"))


def relayed_more_often_than_sent(account: Account) -> None:
    account.arrive(SECOND_FILM)


def more_duplicates_than_kills(account: Account) -> None:
    account.arrive(RELEASED + NOTE)


def never_sent(account: Account) -> None:
    account.arrive(order("X1"))


def cancel_first(account: Account) -> None:
    received = account.ledger.received
    received[0], received[1] = received[1], received[0]


def order_after_its_cancel(account: Account) -> None:
    account.ledger.sent[FILM].sends = 2
    account.arrive(FILM)


def cancel_lost_at_the_filler(account: Account) -> None:
    account.lose(FILM_CANCEL)


def overtaken(account: Account) -> None:
    received = account.ledger.received
    received.append(received.pop(0))
    account.lose(FILM_CANCEL)
    account.ledger.sent.pop(FILM_CANCEL)


def released_twice(account: Account) -> None:
    account.ledger.note_released("R1")


def journal_damaged(account: Account) -> None:
    account.kept = replace(account.kept, problems=("the chain is broken at 7",))


@pytest.mark.parametrize(
    "spoil",
    [
        lost,
        lost_beside_a_held_one,
        held_order_delivered,
        withdrawn_order_delivered,
        withdrawn_forgotten,
        released_order_lost,
        altered,
        altered_order,
        other_bytes_the_second_time,
        other_control_id,
        relayed_more_often_than_sent,
        more_duplicates_than_kills,
        never_sent,
        cancel_first,
        order_after_its_cancel,
        cancel_lost_at_the_filler,
        overtaken,
        released_twice,
        journal_damaged,
    ],
)
def test_what_is_wrong_is_found(spoil: Callable[[Account], None]) -> None:
    account = Account()
    spoil(account)
    assert account.balance().problems


def test_what_waits_for_the_filler_or_was_refused_by_it_has_its_place() -> None:
    account = Account()
    account.lose(FILM)
    account.lose(FILM_CANCEL)
    account.lose(ADT)
    account.kept = replace(account.kept, queued=frozenset({("F1", "NW"), ("F1", "CA")}), dead=frozenset({("", "CADT")}))
    done = account.balance()
    assert done.problems == []
    assert done.places == {"delivered": 3, "held": 2, "ended": 2, "queued": 2, "dead": 1}


def test_a_cancel_that_waits_for_the_filler_is_not_lost() -> None:
    account = Account()
    account.lose(FILM_CANCEL)
    account.kept = replace(account.kept, queued=frozenset({("F1", "CA")}))
    assert account.balance().problems == []


def test_an_accepted_message_that_is_refused_when_sent_again_stops_the_run() -> None:
    account = Account()
    account.ledger.note_sent(1, FILM)
    with pytest.raises(AssertionError, match="accepted"):
        account.ledger.note_answer(FILM, "AE")
