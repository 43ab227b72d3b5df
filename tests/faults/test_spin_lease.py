"""Every order of events at a takeover, by the model checker spin: models/lease.pml."""

import re
from pathlib import Path

import pytest

from tests.support.counts import tell
from tests.support.spin import MISSING, Checker, errors_in

MODEL = Path(__file__).parent / "models" / "lease.pml"
PROMISES = ("in_order", "delivered", "once_more_at_most")
SEEDED_BUGS = {
    1: ("in_order", "the holder does not look at its own deadline"),
    2: ("in_order", "the new holder does not wait"),
    3: ("in_order", "the own deadline is not the earlier one"),
    4: ("delivered", "in flight counts as delivered"),
    5: ("delivered", "nobody sends again what was in flight"),
}
pytestmark = pytest.mark.skipif(bool(MISSING), reason="to run the model: apt-get install spin gcc")


@pytest.mark.hazard("H4", "H5")
@pytest.mark.fault(38, 40)
def test_no_order_of_events_at_a_takeover_breaks_a_promise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checker = Checker(tmp_path, MODEL, 0)
    states = 0
    for promise in PROMISES:
        output = checker.search(promise)
        assert errors_in(output) == 0, promise
        states = max(states, int(float(re.findall(r"([\d.e+]+) states, stored", output)[0])))
    tell(capsys, f"spin: {len(PROMISES)} promises of the lease hold in all of {states} states")


@pytest.mark.parametrize("bug", SEEDED_BUGS, ids=lambda bug: SEEDED_BUGS[bug][1].replace(" ", "_"))
def test_each_seeded_bug_of_the_lease_is_found(tmp_path: Path, bug: int) -> None:
    promise, _ = SEEDED_BUGS[bug]
    assert errors_in(Checker(tmp_path, MODEL, bug).search(promise)) > 0


def test_every_bug_of_the_lease_model_is_on_the_list() -> None:
    assert {int(number) for number in re.findall(r"BUG [!=]= (\d)", MODEL.read_text(encoding="ascii"))} == set(
        SEEDED_BUGS
    )
