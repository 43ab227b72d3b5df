"""What the tutorial says happens, happens."""

import re
from pathlib import Path

from tests.support.command import ROOT, run_command

PAGE = (ROOT / "docs" / "tutorial" / "first-order.md").read_text(encoding="utf-8")


def tutorial_order() -> str:
    block = re.search(r"```text\n(MSH.*?)```", PAGE, flags=re.DOTALL)
    assert block is not None
    return block[1]


def test_the_tutorials_order_is_held_and_its_complete_study_passes(tmp_path: Path) -> None:
    changes = re.search(r"`(72148\S*[^`]*)` to `([^`]+)`", " ".join(PAGE.split()))
    assert changes is not None
    order = tutorial_order()
    complete = order.replace(changes[1], changes[2]).replace("FIRST-1", "FIRST-2").replace("FIRST1", "FIRST2")
    assert complete != order
    verdicts = []
    for text in (order, complete):
        file = tmp_path / "order.hl7"
        file.write_text(text, encoding="utf-8")
        (explained,) = run_command("explain", file, "--json").json_lines
        verdicts.append((explained["control_id"], explained["disposition"]))
    assert verdicts == [("FIRST-1", "hold"), ("FIRST-2", "pass")]


def test_every_command_that_the_pages_name_is_one() -> None:
    pages = [PAGE, *(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "how-to").glob("*-orders.md"))]
    reference = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    named = {
        match[1].strip()
        for page in pages
        for match in re.finditer(r"^interceptor ((?:held |journal |policy )?[a-z]+)", page, flags=re.MULTILINE)
    }
    assert len(named) >= 8
    assert [name for name in named if f"## interceptor {name}\n" not in reference] == []
