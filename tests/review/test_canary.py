"""Marked patients, the pages and the API: who has no right to them sees none; no address, header, title, log or metric shows one."""

import asyncio
import re
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interceptor.review.app import page_failed
from interceptor.review.failure_log import FailureLog
from interceptor.review.process import bind, serving
from interceptor.review.rights import Role
from interceptor.review.scope import Scope
from tests.support.canary import MARKS, assert_clean, assert_reached, planted
from tests.support.delivery import SeenEvents
from tests.support.node import Events, filler, node_of, placer_of, reply
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


PAGES = (
    "/",
    "/?tab=decided",
    "/missed",
    "/orders/1",
    "/orders/1/message",
    "/orders/1/message?tab=facts",
    "/orders/1/message?tab=proposed",
    "/orders/2/message?tab=sent",
    "/orders/2/message?tab=acknowledgment",
    "/orders/1/history",
    "/traffic",
    "/routes",
    "/dead-letters",
    "/audit",
    "/policy",
    "/users",
    "/help",
)
FOR_EVERYBODY = (
    "/routes",
    "/dead-letters",
    "/dead-letters.csv",
    "/dead-letters.json",
    "/policy",
    "/policy/unmapped.csv",
)
"""Pages of roles that see no patients."""
WRONG = (
    "/orders/999999",
    f"/orders/{MARKS['name']}",
    f"/{MARKS['number']}",
    f"/?tab={MARKS['name']}",
    f"/login?next=/{MARKS['name']}%0d%0aX-Mark:1",
    f"/login/link/{MARKS['name']}",
)
_ADDRESSES = re.compile(r'(?:href|src|action|formaction|hx-get|hx-post|data-live)="([^"]*)"|<title>([^<]*)</title>')


def addresses_in(html: str) -> str:
    """Every address of a page, and its title: what ends in a browser's history and in the logs of proxies."""
    return "\n".join("".join(found) for found in _ADDRESSES.findall(html))


@pytest.mark.hazard("H14")
async def test_no_patient_stands_in_an_address_a_header_a_title_or_an_error_of_the_pages(tmp_path: Path) -> None:
    events = Events()
    async with filler() as ris:
        ris.answer = lambda raw: reply(raw, b"AR")
        config = review_config(tmp_path, filler_port=ris.port)
        async with node_of(config, events) as node, review_of(config) as review:
            await review.ask("review_heartbeat")
            async with placer_of(node) as placer:
                for number in range(3):
                    await placer.exchange(planted(order(f"P{number}", patient=f"{number}"), f"{number}N"))
            everybody = await review.person("ann", *Role)
            await review.ask("held_release", entry=2, actor="ann", reason_code="discussed")
            await ris.wait_for(1)
            found = await everybody.post("/search", data={"text": f"{MARKS['number']}0N0"})
            assert found.status_code == 303, "one order has this number"
            shown = await pages_of(everybody, PAGES)
            errors = await pages_of(everybody, WRONG)
            form = {"version": "1", "reason": MARKS["name"], "comment": ""}
            refused = await everybody.post("/orders/1/release", data=form)
            assert refused.status_code == 422
            others = await pages_of(await review.person("olga", Role.OPS), FOR_EVERYBODY)
            nobody = await pages_of(review.browser(), PAGES)
            metrics = node.metrics.render()
    assert_reached(shown.bodies.encode(), "number", "name", "order")
    assert_clean(
        addresses=addresses_in(shown.bodies),
        headers=shown.headers,
        found=f"{found.headers}",
        refused=addresses_in(refused.text),
        error_headers=errors.headers.replace(quote(f"/{MARKS['name']}"), ""),
        for_roles_without_patients=others.bodies,
        before_the_login=nobody.bodies,
        headers_before_the_login=nobody.headers,
        events=repr(events.seen),
        metrics=metrics,
    )
    assert others.statuses == {200}


async def pages_of(browser: httpx2.AsyncClient, paths: tuple[str, ...]) -> "Asked":
    """Ask for each page."""
    return Asked([await browser.get(path) for path in paths])


@pytest.mark.hazard("H14")
async def test_a_page_that_fails_says_nothing_of_what_it_failed_on_to_the_person_or_the_log(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async def fails(request: Request) -> Response:
        raise ValueError(f"no such patient: {MARKS['name']}")

    events = SeenEvents()
    app = FailureLog(Starlette(routes=[Route("/", fails)], exception_handlers={500: page_failed}), events.log)
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    async with serving(app, listener, tls=None, stopping=asyncio.Event()), httpx2.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/")
    assert answer.status_code == 500
    (told,) = events.of("page_failed")
    assert told["error"] == "ValueError"
    assert "fails" in told["where"]
    written = capfd.readouterr()
    assert_clean(page=answer.text, log=repr(events.seen), output=written.out, errors=written.err)


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
