"""The verdict is what the two peers saw, nothing else."""

from interceptor.simulate.ledger import Ledger, Verdict
from interceptor.simulate.story import Sent

HEADER = b"MSH|^~\\&|A|B|C|D|20260101||ORM^O01|"
ORDER = Sent(
    kind="order", control_id="1", raw=HEADER + b"1|T|2.5.1\rORC|NW|1\r", order_numbers=("1",), is_new_order=True
)
CANCEL = Sent(kind="cancel", control_id="2", raw=HEADER + b"2|T|2.5.1\rORC|CA|1\r", order_numbers=("1",))
NOISE = Sent(kind="malformed", control_id="", raw=b"PID|1\r")
NOTED = ORDER.raw + b"NTE|1|O|H-REGIONAL: differs from policy\r"
ACCEPTED = b"MSH|^~\\&|C|D|A|B|||ACK|9|T|2.5.1\rMSA|AA|1\r"
REFUSED = ACCEPTED.replace(b"AA", b"AE")


def test_the_same_bytes_at_the_filler_passed_and_more_bytes_are_annotated() -> None:
    ledger = Ledger()
    first, second = ledger.record_sent(ORDER), ledger.record_sent(ORDER)
    ledger.record_received(ORDER.raw)
    ledger.record_received(NOTED)
    assert [first.verdict, second.verdict] == [Verdict.PASSED, Verdict.ANNOTATED]
    assert second.reasons == ("H-REGIONAL",)
    assert ledger.delivered_count() == 2


def test_accepted_and_unseen_by_the_filler_is_held_and_later_released() -> None:
    ledger = Ledger()
    row = ledger.record_sent(ORDER)
    ledger.record_answer(row, ACCEPTED)
    assert ledger.count(Verdict.HELD) == 1
    ledger.record_received(NOTED)
    assert (ledger.count(Verdict.HELD), ledger.count(Verdict.RELEASED)) == (0, 1)


def test_an_order_that_waited_for_its_set_and_then_left_unchanged_has_passed() -> None:
    ledger = Ledger()
    row = ledger.record_sent(ORDER)
    ledger.record_answer(row, ACCEPTED)
    ledger.record_received(ORDER.raw)
    assert row.verdict is Verdict.PASSED


def test_a_cancel_that_the_filler_never_sees_was_applied_to_the_held_order() -> None:
    ledger = Ledger()
    for sent in (ORDER, CANCEL):
        ledger.record_answer(ledger.record_sent(sent), ACCEPTED)
    assert [row.verdict for row in ledger.rows] == [Verdict.ENDED, Verdict.APPLIED]


def test_the_same_bytes_again_while_the_order_is_held_are_a_repeat_and_not_another_hold() -> None:
    ledger = Ledger()
    for _ in range(2):
        ledger.record_answer(ledger.record_sent(ORDER), ACCEPTED)
    assert [row.verdict for row in ledger.rows] == [Verdict.HELD, Verdict.REPEATED]


def test_no_answer_and_a_refusal_are_told_apart() -> None:
    ledger = Ledger()
    silent, refused = ledger.record_sent(ORDER), ledger.record_sent(CANCEL)
    ledger.record_answer(silent, None)
    ledger.record_answer(refused, REFUSED)
    assert [silent.verdict, refused.verdict] == [Verdict.UNANSWERED, Verdict.REFUSED]
    assert ledger.count(Verdict.REFUSED) == 1


def test_what_has_no_control_id_is_known_by_its_bytes() -> None:
    ledger = Ledger()
    row = ledger.record_sent(NOISE)
    assert ledger.record_received(NOISE.raw) is row
    assert ledger.record_received(b"PID|2\r") is None
    assert ledger.unexpected_count == 1
