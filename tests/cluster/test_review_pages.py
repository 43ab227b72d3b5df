"""The review pages beside nodes on PostgreSQL: what one node holds is read, found and decided on any."""

from pathlib import Path

import httpx2
import pytest

from interceptor.config.review import ReviewTable
from interceptor.review.node_client import Answer
from interceptor.review.rights import Role
from interceptor.review_wiring import running_review
from tests.support.cluster import Nodes, cluster
from tests.support.node import placer_of
from tests.support.orders import order

pytestmark = pytest.mark.timeout(180)

PATHS = (
    "/",
    "/?tab=decided",
    "/orders/1",
    "/orders/1/message",
    "/orders/1/history",
    "/audit",
    "/dead-letters",
    "/routes",
    "/policy",
)


async def logged_in(both: Nodes, client: httpx2.AsyncClient) -> None:
    """A person with every role, by a one-time link of the second node."""
    roles = [str(one) for one in Role]
    await both.command(1, "account_add", account="ann", display_name="Ann", roles=roles, actor="root")
    made = await both.command(1, "login_link", account="ann", actor="root")
    answer = await client.post(f"/login/link/{made['secret']}")
    # The cookie is for https or loopback; the client's jar takes it for https alone.
    client.headers["Cookie"] = answer.headers["set-cookie"].split(";")[0]


async def test_what_one_node_holds_is_read_and_released_on_the_pages_of_another(tmp_path: Path) -> None:
    async with cluster(tmp_path) as both:
        config = both.configs[1].model_copy(
            update={"review": ReviewTable.model_validate({"listen": "127.0.0.1:0", "undo_seconds": 0.0})}
        )
        async with running_review(config) as pages:
            await pages.parts.node.ask("review_heartbeat")
            async with placer_of(both.nodes[0]) as placer:
                await placer.exchange(order("P1", control_id="M1"))
            async with httpx2.AsyncClient(base_url=pages.address, headers={"Sec-Fetch-Site": "same-origin"}) as client:
                await logged_in(both, client)
                for path in PATHS:
                    answer = await client.get(path)
                    assert answer.status_code == 200, f"{path}: {answer.text[:200]}"
                assert "TESTPATIENT" in (await client.get("/")).text
                for number in ("1001", "P1", "M1"):
                    found = await client.post("/search", data={"text": number})
                    assert found.headers.get("location") == "/orders/1", number
            reply = await pages.parts.node.ask("held_release", entry=1, actor="ann", reason="seen")
            assert isinstance(reply, Answer), reply
            await both.filler.wait_for(1)
