"""Every order of events in the life of a held order, by the model checker spin: models/hold.pml.

Tests try some interleavings; spin tries all of them, within the model's bounds. Each seeded bug is a mistake that
somebody could make in the code; a promise that no longer finds its bug is worth nothing.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from interceptor.action.lifecycle import OrderState
from tests.support.counts import tell
from tests.support.spin import MISSING, Checker, errors_in

MODEL = Path(__file__).parent / "models" / "hold.pml"
PROMISES = ("once", "in_order", "not_lost", "cancel_not_lost", "not_forgotten")
SEEDED_BUGS = {
    1: ("once", "a resend is taken for a message that may pass"),
    2: ("cancel_not_lost", "a cancel is answered and leaves the hold open"),
    3: ("once", "a release compares neither state nor version"),
    4: ("in_order", "the courier takes the cancel before its order"),
    5: ("not_lost", "the answer leaves before the commit"),
    6: ("not_lost", "what was in flight at a kill counts as delivered"),
    7: ("not_forgotten", "nobody watches the deadlines"),
    8: ("in_order", "a dead order is sent again after its cancel"),
}
pytestmark = pytest.mark.skipif(bool(MISSING), reason="to run the model: apt-get install spin gcc")


Checked = Callable[[int], Checker]


@pytest.fixture
def checked(tmp_path: Path) -> Checked:
    return lambda bug: Checker(tmp_path, MODEL, bug)


@pytest.mark.hazard("H2", "H3", "H4", "H5", "H15")
@pytest.mark.fault(45)
@pytest.mark.fault(46)
def test_no_order_of_events_breaks_a_promise(checked: Checked, capsys: pytest.CaptureFixture[str]) -> None:
    checker = checked(0)
    states = 0
    for promise in PROMISES:
        output = checker.search(promise)
        assert errors_in(output) == 0, promise
        states = max(states, int(float(re.findall(r"([\d.e+]+) states, stored", output)[0])))
    tell(capsys, f"spin: {len(PROMISES)} promises hold in all of {states} states")
    assert states > 100_000


@pytest.mark.parametrize("bug", SEEDED_BUGS, ids=lambda bug: SEEDED_BUGS[bug][1].replace(" ", "_"))
def test_each_seeded_bug_is_found(checked: Checked, bug: int) -> None:
    promise, _ = SEEDED_BUGS[bug]
    assert errors_in(checked(bug).search(promise)) > 0


def test_every_line_of_the_model_can_happen(checked: Checked) -> None:
    """A step that never comes to pass would be a promise about nothing. Spin folds some `skip` (1) away."""
    output = checked(0).search("once")
    unreached = re.findall(r'^\t.*:\d+, state \d+, "(.*)"$', output, flags=re.MULTILINE)
    assert unreached
    assert set(unreached) <= {"-end-", "(1)"}


def test_the_model_knows_the_states_of_the_lifecycle() -> None:
    """All of them: a replaced order ends as a cancelled one does."""
    listed = re.search(r"mtype = \{ NONE, ([A-Z, ]+) \};", MODEL.read_text(encoding="ascii"))
    assert listed is not None
    assert set(listed[1].lower().split(", ")) == {state.value for state in OrderState} - {OrderState.REPLACED.value}


def test_every_bug_of_the_model_is_on_the_list() -> None:
    seeded = {int(number) for number in re.findall(r"BUG [!=]= (\d)", MODEL.read_text(encoding="ascii"))}
    assert seeded == set(SEEDED_BUGS)
