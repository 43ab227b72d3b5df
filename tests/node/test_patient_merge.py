"""A running node that hears of a merge on its order route or on a feed, while an order of that patient is held."""

from pathlib import Path
from typing import Any

import pytest

from interceptor.config.schema import Config, FeedTable
from interceptor.journal.port import Entry
from interceptor.node import Node
from tests.support.feed_message import feed_message
from tests.support.node import filler, node_config, node_of, placer_of
from tests.support.orders import order

MERGE = feed_message("ADT^A40", "MRG|1001^^^HOSP^MR", patient="2002^^^HOSP^MR", control_id="M1")
HELD = order("P1", control_id="FIRST")

pytestmark = pytest.mark.hazard("H16")


def config_of(folder: Path, port: int, **route: Any) -> Config:
    table = FeedTable.model_validate({"listen": "127.0.0.1:0"})
    return node_config(folder, filler_port=port, **route).model_copy(update={"feed": {"adt": table}})


async def merged_order(node: Node) -> Entry:
    """The order that was held, as the journal has it: whoever acknowledged the merge must have written this before."""
    entry = await node.custody.journal.latest_entry_for("P1^EPIC")
    assert entry is not None
    assert "merged" in entry.summary
    return entry


@pytest.mark.parametrize("custody", ["relay", "store"])
async def test_a_merge_on_the_order_route_passes_and_rekeys_the_held_order(tmp_path: Path, custody: str) -> None:
    async with filler() as ris, node_of(config_of(tmp_path, ris.port, custody=custody)) as node:
        async with placer_of(node) as placer:
            await placer.exchange(HELD)
            assert b"MSA|AA|M1" in await placer.exchange(MERGE)
            entry = await merged_order(node)
        assert (entry.summary["patient_id"], entry.content) == ("2002", HELD)
        assert await ris.wait_for(1) == [MERGE]


async def test_a_merge_on_a_feed_rekeys_the_held_order(tmp_path: Path) -> None:
    async with filler() as ris, node_of(config_of(tmp_path, ris.port)) as node:
        async with placer_of(node) as placer, placer_of(node, "adt") as sender:
            await placer.exchange(HELD)
            assert b"MSA|AA|M1" in await sender.exchange(MERGE)
            entry = await merged_order(node)
        assert (entry.summary["patient_id"], entry.content) == ("2002", HELD)
        (link,) = [row for row in await node.custody.journal.audit_rows() if row.action == "patient_merged"]
        assert (link.detail["source"], link.detail["control_id"]) == ("adt", "M1")
