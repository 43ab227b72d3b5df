"""Random lives of one order through real turns, with a filler, people, timers and restarts in between.

What the filler gets is compared with what the placer said: nothing about an order before the order, no order after its
cancel was answered, no cancel that is swallowed once the filler has the order, no second order for one that it has.
"""

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from interceptor.control.protocol import ControlError
from interceptor.message.group import order_groups
from interceptor.message.view import MessageView
from tests.support.ward import Clock, Ward, new_order, ward

pytestmark = [
    pytest.mark.hazard("H3"),
    pytest.mark.hazard("H4"),
    pytest.mark.hazard("H5"),
    pytest.mark.fault(45),
    pytest.mark.usefixtures("database"),
]

SAYINGS = ("NW HOLD", "NW PASS", "XO HOLD", "XO PASS", "CA", "SC", "HD", "RL")
ACTS = ("deliver", "refuse", "release", "return", "retry", "timer", "restart", "resend")


@dataclass
class Life:
    """What happened, as the placer knows it."""

    messages: list[bytes] = field(default_factory=list)
    arrived: list[bytes] = field(default_factory=list)
    returned_count: int = 0

    @property
    def last_control(self) -> str:
        return control_of(self.messages[-1]) if self.messages else ""


def control_of(raw: bytes) -> str:
    return order_groups(MessageView(raw))[0].orc.text(1)


async def do(place: Ward, life: Life, step: str) -> None:
    """One step. What is not possible now does nothing, as in life."""
    if step in SAYINGS:
        control, _, word = step.partition(" ")
        mark = f"{control}{len(life.messages)}"
        life.messages.append(new_order("A1", word or "PASS", control=control, mark=mark))
        await place.receive(life.messages[-1])
    elif step == "resend" and life.messages:
        before = len(place.arrived)
        await place.receive(life.messages[-1])
        del place.arrived[before:]  # A resend of what passed is the filler's to know: it is not ours.
    elif step == "deliver":
        await place.deliver()
    elif step == "refuse" and (waiting := await place.leaving()):
        await place.refuse()
        place.arrived.append(waiting[0])  # It has seen it, even if it did not take it.
    elif step == "timer":
        place.clock.move(hours=5)
        await place.timer.look()
    elif step in ("release", "return", "retry"):
        await _act(place, life, step)


async def _act(place: Ward, life: Life, step: str) -> None:
    try:
        if step == "retry":
            letters = await place.journal.dead_letters()
            if letters:
                await place.desk["dead_retry"]({"outbox_id": letters[0].outbox_id, "actor": "ann"})
        elif await place.journal.latest_entry_for("A1^EPIC") is not None:
            await place.act(f"held_{step}", "A1")
            life.returned_count += step == "return"
    except ControlError as error:
        if error.code not in ("conflict", "not_found"):
            raise


async def live(folder: Path, steps: list[str]) -> Life:
    """Live the steps, then let everything leave; restarts begin a new ward on the same journal."""
    life, clock = Life(), Clock()
    chapters: list[list[str]] = [[]]
    for step in steps:
        if step == "restart":
            chapters.append([])
        else:
            chapters[-1].append(step)
    for number, chapter in enumerate(chapters):
        async with ward(folder, clock=clock, window=0.0) as place:
            for step in chapter:
                await do(place, life, step)
                await check(place)
            if number == len(chapters) - 1:
                place.clock.move(hours=30)
                await place.timer.look()
                await place.deliver()
                await check(place)
                assert place.custody.index.orders() == ()
            life.arrived.extend(place.arrived)
    return life


async def check(place: Ward) -> None:
    """The index says what the journal says, and nothing waits without an end."""
    for order in place.custody.index.orders():
        entry = await place.journal.entry(order.entry_id)
        assert entry is not None
        assert (entry.state, entry.version) == (order.state, order.version)
    open_count = len(await place.journal.open_entries())
    assert open_count == len(place.custody.index.orders()) <= 1
    waiting = await place.leaving()
    assert place.custody.index.queued.any_of(["A1^EPIC"]) is bool(waiting)


@given(st.lists(st.sampled_from(SAYINGS + ACTS), max_size=14).map(lambda steps: ["NW HOLD", *steps]))
@example(["NW HOLD", "CA", "NW PASS", "deliver", "CA"])
@example(["NW HOLD", "CA", "NW PASS", "deliver", "restart", "XO PASS", "CA"])
@example(["NW HOLD", "release", "refuse", "CA", "retry"])
@example(["NW HOLD", "release", "CA", "deliver"])
@example(["NW HOLD", "SC", "XO PASS", "deliver", "NW HOLD", "CA"])
@settings(max_examples=80, deadline=None)
def test_the_filler_never_learns_too_much_or_too_little(steps: list[str]) -> None:
    """Whatever happens to one order, in whatever order."""
    with tempfile.TemporaryDirectory() as folder:
        life = asyncio.run(live(Path(folder), steps))
    # A status of an order that has ended changes nothing at the filler: it judges that by itself.
    controls = [control for control in map(control_of, life.arrived) if control in ("NW", "XO", "CA")]
    assert not controls or controls[0] == "NW", f"before the order: {controls}"
    placed = sum(control_of(raw) in ("NW", "XO") for raw in life.messages)
    assert controls.count("NW") <= placed + steps.count("retry")
    if life.last_control == "CA" and "NW" in controls and "return" not in steps:
        after_cancel = controls[len(controls) - controls[::-1].index("CA") :] if "CA" in controls else controls
        assert "NW" not in after_cancel, f"cancelled by the placer, and the filler has it: {controls}"


@given(st.lists(st.sampled_from(("XO HOLD", "SC", "HD", "RL", "resend", "restart", "NW HOLD")), max_size=10))
@settings(max_examples=40, deadline=None)
def test_an_order_that_nobody_decides_leaves_once_by_its_deadline(steps: list[str]) -> None:
    """With its last content, and with everything that was said about it, in order, behind it."""
    with tempfile.TemporaryDirectory() as folder:
        life = asyncio.run(live(Path(folder), ["NW HOLD", *steps]))
    controls = [control_of(raw) for raw in life.arrived]
    said = [control_of(raw) for raw in life.messages]
    assert controls == ["NW"] + ["SC"] * said.count("SC")
    last = [raw for raw in life.messages if control_of(raw) in ("NW", "XO")][-1]
    assert MessageView(life.arrived[0]).control_id == MessageView(last).control_id
