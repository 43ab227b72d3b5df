"""The API over its own interface: tokens, scopes, versions, problems, and never a fault of ours."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from interceptor.review.rights import Action
from interceptor.review.scope import ACTIONS, Scope
from tests.support.node import Filler, filler, node_of, placer_of
from tests.support.orders import order
from tests.support.review import ORIGIN, Review, review_config, review_of

RELEASE = {"action": "release", "reason_code": "discussed", "decided_by": "ann"}


class Program:
    """A program with a token."""

    def __init__(self, review: Review, client: httpx2.AsyncClient) -> None:
        self.review, self.client = review, client

    async def get(self, path: str, **query: Any) -> httpx2.Response:
        return await self.client.get(f"/api/v1{path}", params=query)

    async def send(self, method: str, path: str, body: object = None, **headers: str) -> httpx2.Response:
        return await self.client.request(method, f"/api/v1{path}", json=body, headers=headers)

    async def decide(
        self, entry: int, body: dict[str, Any], version: int | None = None, **headers: str
    ) -> httpx2.Response:
        stated = {"If-Match": f'"{version}"'} if version is not None else {}
        return await self.send("POST", f"/orders/{entry}/decision", body, **stated, **headers)


async def program(review: Review, *scopes: Scope, name: str = "dashboard") -> Program:
    made = await review.ask("token_add", account=name, scopes=[str(one) for one in scopes or Scope], actor="admin")
    client = httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=review.app),
        base_url=ORIGIN,
        headers={"Authorization": f"Bearer {made['token']}"},
    )
    review.browsers.append(client)
    return Program(review, client)


@asynccontextmanager
async def held(folder: Path, *numbers: str) -> AsyncIterator[tuple[Review, Filler]]:
    """A node with these orders held, and its pages."""
    async with filler() as ris:
        config = review_config(folder, filler_port=ris.port)
        async with node_of(config) as node, review_of(config) as review:
            await review.ask("review_heartbeat")
            async with placer_of(node) as placer:
                for number in numbers:
                    await placer.exchange(order(number, patient=f"10{number[1:]}"))
            yield review, ris


async def test_waiting_orders_are_listed_a_page_at_a_time(tmp_path: Path) -> None:
    async with held(tmp_path, "A1", "A2", "A3") as (review, _):
        api = await program(review)
        first = (await api.get("/orders", limit=2)).json()
        assert [one["placer_order_number"] for one in first["orders"]] == ["A1", "A2"]
        rest = (await api.get("/orders", limit=2, after=first["next_after"])).json()
        assert [one["placer_order_number"] for one in rest["orders"]] == ["A3"]
        assert rest["next_after"] is None
        assert first["orders"][0]["reasons"] == ["H-REGIONAL"]


async def test_a_release_needs_the_version_that_was_seen_and_reaches_the_filler(tmp_path: Path) -> None:
    async with held(tmp_path, "A1") as (review, ris):
        api = await program(review)
        found = await api.get("/orders/1")
        assert found.headers["etag"] == f'"{found.json()["version"]}"'
        missing = await api.decide(1, RELEASE)
        assert (missing.status_code, missing.json()["code"]) == (428, "if_match_missing")
        stale = await api.decide(1, RELEASE, version=99)
        assert (stale.status_code, stale.json()["code"]) == (409, "conflict")
        done = await api.decide(1, RELEASE, version=found.json()["version"])
        assert done.status_code == 200, done.text
        (sent,) = await ris.wait_for(1)
        assert b"Released as ordered after review by ann by token:dashboard" in sent
        again = await api.decide(1, RELEASE, version=found.json()["version"])
        assert again.status_code == 409
        assert "ann by token:dashboard" in again.json()["detail"]


async def test_the_same_request_again_is_carried_out_once_and_answered_alike(tmp_path: Path) -> None:
    async with held(tmp_path, "A1") as (review, ris):
        api = await program(review)
        answers = [await api.decide(1, RELEASE, version=1, **{"Idempotency-Key": "release-0001"}) for _ in range(2)]
        assert [one.status_code for one in answers] == [200, 200], answers[1].text
        assert [one.json()["repeated"] for one in answers] == [False, True]
        other = await api.decide(1, RELEASE, version=1, **{"Idempotency-Key": "release-0002"})
        assert other.status_code == 409
        await ris.wait_for(1)
        assert len(ris.received) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"action": "release", "decided_by": "ann"}, "reason_missing"),
        ({"action": "release", "reason_code": "no such", "decided_by": "ann"}, "bad_argument"),
        ({"action": "release", "reason_code": "other", "decided_by": "ann"}, "reason_missing"),
        ({"action": "burn", "decided_by": "ann"}, "invalid_request"),
        (RELEASE | {"decided_by": ""}, "invalid_request"),
        (RELEASE | {"extra": 1}, "invalid_request"),
    ],
)
async def test_a_decision_that_is_not_understood_changes_nothing(
    tmp_path: Path, body: dict[str, Any], code: str
) -> None:
    async with held(tmp_path, "A1") as (review, _):
        api = await program(review)
        answer = await api.decide(1, body, version=1)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert (await api.get("/orders/1")).json()["state"] == "held"


@pytest.mark.hazard("H13")
async def test_without_a_good_token_there_is_nothing(tmp_path: Path) -> None:
    async with held(tmp_path) as (review, _):
        api = await program(review, Scope.ORDERS_READ)
        for header in ("", "Bearer ", "Bearer ipt_guess", "Basic YTpi"):
            api.client.headers["Authorization"] = header
            answer = await api.get("/orders")
            assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
            assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.hazard("H13")
async def test_every_operation_refuses_a_token_without_its_scope_and_that_is_audited(tmp_path: Path) -> None:
    async with held(tmp_path, "A1") as (review, _):
        bare = await program(review, Scope.EVENTS_READ, name="bare")
        document = (await bare.client.get("/api/v1/openapi.json")).json()
        refused = 0
        for path, methods in document["paths"].items():
            for method in methods:
                if path == "/events":
                    continue
                place = path.replace("{entry}", "1").replace("{outbox}", "1").replace("{name}", "orders")
                answer = await bare.send(method.upper(), place, {})
                assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing"), (method, path)
                refused += 1
        audited = await review.audit("access_refused")
        assert len(audited) == refused >= 10
        assert all("{" in one["path"] or "1" not in one["path"].removeprefix("/api/v1") for one in audited)


async def operations_of(api: Program) -> list[tuple[str, str]]:
    """Method and path of every operation that the API describes, the stream of events aside: it has no end."""
    document = (await api.client.get("/api/v1/openapi.json")).json()
    described = [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]
    return [one for one in described if one[1] != "/events"]


@pytest.mark.hazard("H13")
async def test_each_scope_opens_the_operations_of_its_actions_and_no_other(tmp_path: Path) -> None:
    """Generated from the table of scopes and the API's own description: every scope asks for every operation."""
    async with held(tmp_path, "A1") as (review, _):
        refused: set[tuple[Scope, str, str]] = set()
        operations = await operations_of(await program(review, Scope.EVENTS_READ, name="describer"))
        for scope in Scope:
            api = await program(review, scope, name=scope.name.lower().replace("_", "-"))
            for method, path in operations:
                place = path.replace("{entry}", "1").replace("{outbox}", "1").replace("{name}", "orders")
                answer = await api.send(method, place, {})
                if answer.status_code == 403 and answer.json()["code"] == "scope_missing":
                    refused.add((scope, method, path))
        audited = await review.audit("access_refused")
        assert len(audited) == len(refused)
        needed = {(one["method"], one["path"].removeprefix("/api/v1")): one["refused"] for one in audited}
        assert set(needed) == set(operations), "no operation is open to every scope"
        expected = {
            (scope, *operation)
            for scope in Scope
            for operation, action in needed.items()
            if Action(action) not in ACTIONS[scope]
        }
        assert refused == expected


async def test_a_scope_to_comment_is_no_scope_to_read(tmp_path: Path) -> None:
    async with held(tmp_path, "A1") as (review, _):
        api = await program(review, Scope.ORDERS_DECIDE)
        assert (await api.get("/orders/1")).status_code == 403
        comment = await api.decide(1, {"action": "comment", "comment": "called", "decided_by": "ann"})
        assert comment.status_code == 200, comment.text


@pytest.mark.hazard("H14")
async def test_what_a_program_opened_is_in_the_audit_chain(tmp_path: Path) -> None:
    async with held(tmp_path, "A1") as (review, _):
        api = await program(review)
        await api.get("/orders/1")
        message = (await api.get("/orders/1/message")).json()
        assert message["received"].startswith("MSH|")
        assert [one["actor"] for one in await review.audit("order_opened")] == ["user:token:dashboard"]
        assert [one["actor"] for one in await review.audit("message_opened")] == ["user:token:dashboard"]


async def test_the_policy_can_be_tried_on_a_message(tmp_path: Path) -> None:
    async with held(tmp_path) as (review, _):
        api = await program(review, Scope.POLICY_EVALUATE)
        tried = await api.send("POST", "/policy/evaluate", {"message": order("A9").decode()})
        assert tried.json()["disposition"] == "hold"
        wrong = await api.send("POST", "/policy/evaluate", {"message": "not an HL7 message"})
        assert (wrong.status_code, wrong.json()["code"]) == (422, "not_hl7")


async def test_a_mode_is_set_at_once_and_shown(tmp_path: Path) -> None:
    async with held(tmp_path) as (review, _):
        api = await program(review)
        change = {"mode": "shadow", "reason": "too many holds", "decided_by": "ann"}
        assert (await api.send("PUT", "/routes/orders/mode", change)).json() == {"name": "orders", "mode": "shadow"}
        assert (await api.get("/routes")).json()["routes"] == [{"name": "orders", "mode": "shadow"}]
        assert (await api.send("PUT", "/routes/none/mode", change)).status_code == 404


async def test_the_audit_chain_is_read_backwards_a_page_at_a_time(tmp_path: Path) -> None:
    async with held(tmp_path, "A1", "A2") as (review, _):
        api = await program(review, Scope.AUDIT_READ)
        seen: list[int] = []
        before: int | None = None
        while True:
            query = {"limit": 2} | ({"before": before} if before else {})
            page = (await api.get("/audit", **query)).json()
            seen += [one["number"] for one in page["links"]]
            before = page["next_before"]
            if before is None:
                break
        assert seen == list(range(len(seen), 0, -1))


async def test_a_node_that_is_away_is_a_problem_of_its_own(tmp_path: Path) -> None:
    config = review_config(tmp_path)
    async with AsyncExitStack() as stack:
        async with node_of(config):
            review = await stack.enter_async_context(review_of(config))
            api = await program(review)
        answer = await api.get("/routes")
        assert (answer.status_code, answer.json()["code"]) == (503, "node_away")


async def test_the_description_is_shown_without_anything_from_elsewhere(tmp_path: Path) -> None:
    async with held(tmp_path) as (review, _):
        page = await review.browser().get("/api/v1/docs")
        assert page.status_code == 200
        assert "POST /api/v1/orders/{entry}/decision" in page.text
        assert "http" not in page.text.split("<body>")[1]
        document = (await review.browser().get("/api/v1/openapi.json")).json()
        assert document["openapi"].startswith("3.1")
