"""docs/reference/notices.md says what the code does: every row of the lifecycle, every word, both examples."""

import re
from datetime import UTC, datetime

import pytest

from interceptor.action.lifecycle import HELD_BY_FILLER, TAKEN_AS, TRANSITIONS
from interceptor.action.notice import SENTENCES, build_notice
from interceptor.action.order_response import build_order_response
from interceptor.message.acknowledgment import AckCode
from tests.support.authored import feed_order
from tests.support.source_tree import ROOT

PAGE = (ROOT / "docs" / "reference" / "notices.md").read_text(encoding="utf-8")
AT = datetime(2026, 3, 2, 15, 30, 5, tzinfo=UTC)
ROWS = sorted(
    {(row.notice.order_control, row.notice.order_status, row.reason) for row in TRANSITIONS.values() if row.notice}
)
BY_POLICY = {row.reason for row in (*TRANSITIONS.values(), *TAKEN_AS.values()) if row.notice == HELD_BY_FILLER}
"""Steps after which the order is held: their ORC-16 is the policy's reason, not their own."""


def told_rows() -> list[tuple[str, str, str]]:
    """The page's table of notices: ORC-1, ORC-5, ORC-16."""
    table = PAGE.partition("| event | ORC-1 |")[2].partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return [(control, status, code.strip("`")) for _event, control, status, code in cells]


@pytest.mark.parametrize("row", ROWS, ids="-".join)
def test_every_notice_of_the_lifecycle_has_its_row(row: tuple[str, str, str]) -> None:
    control, status, reason = row
    if reason in BY_POLICY:
        assert any(told[:2] == (control, status) and told[2].startswith("the policy's") for told in told_rows())
    else:
        assert row in told_rows()


def test_no_row_names_a_notice_that_there_is_not() -> None:
    by_code = {code: (control, status) for control, status, code in told_rows() if code in SENTENCES}
    del by_code["S-REPLACEMENT"]
    assert {(control, status, code) for code, (control, status) in by_code.items()} <= set(ROWS)


def test_every_reason_that_the_placer_can_read_is_on_the_page() -> None:
    assert sorted(code for code in set(SENTENCES) - BY_POLICY if f"`{code}`" not in PAGE) == []


def examples() -> list[str]:
    """The messages on the page, as they would be sent."""
    blocks = re.findall(r"(?:^    (?:MSH|MSA|PID|PV1|ORC|OBR|NTE)\|.*\n)+", PAGE, re.MULTILINE)
    return [re.sub(r"^    (.*)\n", r"\1\r", block, flags=re.MULTILINE) for block in blocks]


def test_the_examples_are_what_we_send() -> None:
    reasons = ("S-HELD", "H-REGIONAL: A regional MRI where the whole spine is advised.")
    notice = build_notice(feed_order(), HELD_BY_FILLER, reasons=reasons, control_id="I1", at=AT)
    told = {1: HELD_BY_FILLER}
    response = build_order_response(feed_order(), AckCode.APPLICATION_ACCEPT, told=told, control_id="I1", at=AT)
    assert examples() == [notice.decode(), response.decode()]
