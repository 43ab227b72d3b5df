"""Marked patients and the API: who has no right to them sees none, and no address, header, log or metric shows one."""

from pathlib import Path

import httpx2
import pytest

from interceptor.review.scope import Scope
from tests.support.canary import MARKS, assert_clean, assert_reached, planted
from tests.support.node import Events, filler, node_of, placer_of
from tests.support.orders import order
from tests.support.review import ORIGIN, review_config, review_of

WITHOUT_PATIENTS = (Scope.ROUTES_READ, Scope.AUDIT_READ, Scope.EVENTS_READ)
PATHS = (
    "/orders",
    "/orders/1",
    "/orders/1/messages",
    "/messages/1",
    "/routes",
    "/dead-letters",
    "/audit",
    "/shadow/report",
)


@pytest.mark.hazard("H14")
async def test_a_token_without_the_right_to_patients_gets_none_and_nothing_else_shows_one(tmp_path: Path) -> None:
    events = Events()
    async with filler() as ris:
        config = review_config(tmp_path, filler_port=ris.port)
        async with node_of(config, events) as node, review_of(config) as review:
            await review.ask("review_heartbeat")
            async with placer_of(node) as placer:
                for number in range(3):
                    await placer.exchange(planted(order(f"P{number}", patient=f"{number}"), f"{number}N"))
            made = await review.ask(
                "token_add", account="feed", scopes=[str(one) for one in WITHOUT_PATIENTS], actor="admin"
            )
            reader = await review.ask("token_add", account="desk", scopes=[str(Scope.ORDERS_READ)], actor="admin")
            seen = await asked(review.app, reader["token"], PATHS)
            found = await asked(review.app, made["token"], PATHS)
            wrong = await asked(review.app, reader["token"], ("/orders/999999", "/orders/none", "/no/such/page"))
            metrics = node.metrics.render()
    assert_reached(seen.bodies.encode(), "number", "name", "order")
    assert_clean(headers=seen.headers, bare=found.bodies, bare_headers=found.headers)
    assert_clean(errors=wrong.bodies, events=repr(events.seen), metrics=metrics)
    assert {200, 403} <= found.statuses


class Asked:
    """What came back, all of it together."""

    def __init__(self, answers: list[httpx2.Response]) -> None:
        self.bodies = "\n".join(answer.text for answer in answers)
        self.headers = "\n".join(f"{name}: {value}" for answer in answers for name, value in answer.headers.items())
        self.statuses = {answer.status_code for answer in answers}


async def asked(app: object, token: str, paths: tuple[str, ...]) -> Asked:
    """Ask for each path with this token."""
    transport = httpx2.ASGITransport(app=app)  # type: ignore[arg-type]  # an application
    async with httpx2.AsyncClient(
        transport=transport, base_url=ORIGIN, headers={"Authorization": f"Bearer {token}"}
    ) as client:
        return Asked([await client.get(f"/api/v1{path}") for path in paths])


async def test_what_is_asked_for_wrongly_is_not_said_again_in_the_answer(tmp_path: Path) -> None:
    config = review_config(tmp_path)
    async with node_of(config), review_of(config) as review:
        made = await review.ask("token_add", account="desk", scopes=[str(one) for one in Scope], actor="admin")
        answers = await asked(
            review.app,
            made["token"],
            (f"/orders/{MARKS['name']}", f"/{MARKS['number']}", f"/orders?limit={MARKS['name']}"),
        )
    assert_clean(bodies=answers.bodies, headers=answers.headers)
    assert answers.statuses <= {400, 404, 422}
