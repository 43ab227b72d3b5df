"""What everybody who works with the list is told of the line: a dead feed, a route that does not hold, a filler that is away."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from interceptor.review.node_client import Answer, NodeAway
from interceptor.review.node_state import node_state, problems
from interceptor.review.pages.lines import destination_views, node_views
from interceptor.review.rights import Role
from tests.support.node import filler, node_of, placer_of
from tests.support.orders import CHEST_FILM, order
from tests.support.review import review_config, review_of

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def told(**status: Any) -> list[str]:
    return list(problems(node_state(Answer(status)), NOW))


def route(**changes: Any) -> dict[str, Any]:
    return {"orders": {"mode": "enforce", "not_holding": "", "last_message_at": NOW.isoformat()} | changes}


def test_a_line_in_good_health_is_nothing_to_tell_of() -> None:
    assert told(routes=route(), destinations={"ris": {"up": True}}, degraded=[]) == []


@pytest.mark.hazard("H10")
def test_a_feed_that_fell_silent_is_told_with_since_when() -> None:
    silent = (NOW - timedelta(minutes=40)).isoformat()
    (sentence,) = told(routes=route(last_message_at=silent))
    assert sentence == "No message on route orders since 2026-03-02 11:20 UTC (40 min ago)."


@pytest.mark.hazard("H9")
def test_a_route_that_should_hold_and_does_not_is_told_with_why() -> None:
    (sentence,) = told(routes=route(not_holding="review_away"))
    assert sentence.startswith("Route orders holds nothing now (review away)")
    assert told(routes=route(mode="shadow", not_holding="mode")) == []


def test_a_filler_that_is_away_and_a_degraded_node_are_told() -> None:
    assert told(destinations={"ris": {"up": False, "waiting": 3}}, degraded=["journal_restored"]) == [
        "Destination ris is not connected; 3 messages wait for it.",
        "The node is degraded: journal restored.",
    ]


def test_a_node_that_is_away_is_all_there_is_to_tell() -> None:
    (sentence,) = problems(node_state(NodeAway("no answer")), NOW)
    assert sentence.startswith("The node does not answer")


@pytest.mark.hazard("H10")
async def test_the_worklist_tells_of_a_dead_feed_from_what_the_running_node_says(tmp_path: Path) -> None:
    async with (
        filler() as ris,
        node_of(config := review_config(tmp_path, filler_port=ris.port, review={"idle_minutes": 60.0})) as node,
        review_of(config) as review,
    ):
        async with placer_of(node) as placer:
            await placer.exchange(order("A1", procedure=CHEST_FILM))
        page = await review.person("ann", Role.REVIEWER)
        assert "No message on route" not in (await page.get("/")).text
        review.clock.forward(minutes=16)
        assert "No message on route orders since" in (await page.get("/")).text
        assert "No message on route orders since" in (await page.get("/bars")).text


TWO_NODES = {
    "nodes": [
        {"name": "a", "live": True, "seen_seconds": 0.4, "delivers": ["ris"], "self": True},
        {"name": "b", "live": False, "seen_seconds": 90.0, "delivers": ["pacs"], "self": False},
    ],
    "destinations": {"ris": {"up": True}, "pacs": {"up": False}},
}


def test_of_several_nodes_the_page_says_who_delivers_and_who_is_gone() -> None:
    state = node_state(Answer(TWO_NODES))
    assert [(one.name, one.is_live, one.seen, one.delivers) for one in node_views(state, NOW)] == [
        ("a", True, "0 s ago", ("ris",)),
        ("b", False, "1 min ago", ("pacs",)),
    ]
    # The lease of a node that is gone delivers nothing.
    assert [(one.name, one.delivered_by) for one in destination_views(state, NOW)] == [("ris", "a"), ("pacs", "")]


async def test_a_line_in_plain_text_is_a_banner_on_every_page(tmp_path: Path) -> None:
    config = review_config(tmp_path)
    async with (
        node_of(config),
        review_of(config) as review,
        review_of(config, plain_text=("route.orders", "destination.ris")) as plain,
    ):
        encrypted = await review.person("ann", Role.REVIEWER)
        page = await plain.logged_in("ann")
        for path in ("/", "/help", "/policy"):
            assert "plain text at" not in (await encrypted.get(path)).text
            assert "in plain text at route orders, destination ris" in (await page.get(path)).text
        assert "plain text" not in (await plain.browser().get("/login")).text
