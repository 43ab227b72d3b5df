"""Orders that went to the filler are remembered until they are cancelled, and only so many."""

from interceptor.journal.passed_order import PassedOrders


def test_an_order_that_went_is_known_until_its_cancel_went_too() -> None:
    passed = PassedOrders()
    passed.note("A1^X", "NW")
    passed.note("A1^X", "XO")
    assert (passed.knows("A1^X"), passed.knows("A2^X")) == (True, False)
    passed.note("A1^X", " ca ")
    assert not passed.knows("A1^X")


def test_an_order_without_a_number_is_nobody() -> None:
    passed = PassedOrders()
    passed.note("", "NW")
    assert not passed.knows("")


def test_beyond_the_limit_the_longest_unheard_of_is_forgotten() -> None:
    passed = PassedOrders(count_max=2)
    for key in ("A1", "A2", "A1", "A3"):
        passed.note(key, "NW")
    assert [passed.knows(key) for key in ("A1", "A2", "A3")] == [True, False, True]
