"""The review process beside the node: started and watched, and nothing to the wire when it dies or is away."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2
import pytest

from interceptor.control.protocol import ControlError
from interceptor.review.node_client import NodeClient
from interceptor.review.process import can_review
from interceptor.review.rights import Role
from tests.support.metric_page import sample
from tests.support.node import Events, Filler, Placer, filler, free_port, node_of, placer_of
from tests.support.orders import order
from tests.support.review import review_config, review_of
from tests.support.supervised_node import SupervisedNode, exchange, film

SECONDS_MAX = 60.0


@asynccontextmanager
async def reviewed(folder: Path, receiver: Filler) -> AsyncIterator[tuple[SupervisedNode, int]]:
    """A supervisor with node and review pages; gives the pages' port too."""
    node, port = SupervisedNode(folder, filler_port=receiver.port), free_port()
    with node.config.open("a", encoding="utf-8") as stream:
        stream.write(f'\n[review]\nlisten = "127.0.0.1:{port}"\n')
    async with node.running():
        yield node, port


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not await condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.05)


async def answers(port: int) -> bool:
    async with httpx2.AsyncClient(timeout=5, trust_env=False) as client:
        with suppress(httpx2.HTTPError):
            return (await client.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200
    return False


def review_pids(node: SupervisedNode) -> list[int]:
    return [one["pid"] for one in node.events() if one["event"] == "process_started" and one["process"] == "review"]


@pytest.mark.hazard("H1")
async def test_the_review_process_killed_under_traffic_loses_no_message_and_comes_back_by_itself(
    tmp_path: Path,
) -> None:
    async with filler() as receiver, reviewed(tmp_path, receiver) as (node, port):
        await until(lambda: answers(port), "the pages were never served")
        answered: list[str] = []
        stop = asyncio.Event()

        async def traffic() -> None:
            while not stop.is_set():
                number = f"T{len(answered) + 1}"
                answer = await exchange(node.placer_port, film(number))
                assert b"MSA|AA|" in answer
                answered.append(number)

        async with asyncio.TaskGroup() as group:
            group.create_task(traffic())
            for count in (1, 2):
                os.kill(review_pids(node)[-1], signal.SIGKILL)
                await until(lambda: started_again(node, count + 1), "it was not started again")  # noqa: B023 - called before the next round
                await until(lambda: answers(port), "the pages did not come back")
            stop.set()
        assert len(await receiver.wait_for(len(answered))) == len(answered)
        assert not [one for one in node.events() if one["event"] == "process_ended" and one["process"] == "node"]


async def started_again(node: SupervisedNode, count: int) -> bool:
    return len(review_pids(node)) >= count


async def page_of(port: int) -> str:
    async with httpx2.AsyncClient(timeout=20, trust_env=False) as client:
        with suppress(httpx2.HTTPError):
            return (await client.get(f"http://127.0.0.1:{port}/login")).text
    return ""


@pytest.mark.hazard("H24")
async def test_a_reload_reaches_the_pages_and_the_wire_does_not_notice(tmp_path: Path) -> None:
    """By SIGHUP and by the command; a file that is refused changes neither. The placer's one connection stands throughout."""
    async with filler() as receiver, reviewed(tmp_path, receiver) as (node, port):
        await until(lambda: answers(port), "the pages were never served")
        was = node.config.read_text(encoding="utf-8")
        async with connected_placer(node) as placer:
            assert b"MSA|AA|" in await placer.exchange(film("A1"))
            node.config.write_text(was + 'banner = "Practice only"\n', encoding="utf-8")
            node.ask_supervisor(signal.SIGHUP)
            await until(lambda: says(port, "Practice only"), "SIGHUP did not reach the pages")
            assert b"MSA|AA|" in await placer.exchange(film("A2"))
            node.config.write_text(was + 'banner = "Tomorrow"\nclaim_minutes = 3.0\n', encoding="utf-8")
            report = await node.ask("reload", actor="ann")
            assert report["problems"] == [
                "review.claim_minutes: cannot be changed while the node runs; use `interceptor restart`"
            ]
            node.config.write_text(was + 'banner = "Today"\n', encoding="utf-8")
            report = await node.ask("reload", actor="ann")
            assert (report["applied"], report["changed"]) == (True, ["review.banner"])
            await until(lambda: says(port, "Today"), "the command did not reach the pages")
            assert b"MSA|AA|" in await placer.exchange(film("A3"))
        assert len(review_pids(node)) == 3, "the refused one started nothing"
        assert len(await receiver.wait_for(3)) == 3


@pytest.mark.fault(47)
async def test_after_a_restart_the_pages_are_of_the_fresh_nodes_version_and_file(tmp_path: Path) -> None:
    async with filler() as receiver, reviewed(tmp_path, receiver) as (node, port):
        await until(lambda: answers(port), "the pages were never served")
        was = node.config.read_text(encoding="utf-8")
        node.config.write_text(was + "claim_minutes = 3.0\nbanner = 'Fresh'\n", encoding="utf-8")
        node.ask_supervisor(signal.SIGUSR2)
        await until(lambda: says(port, "Fresh"), "the pages are those of before")
        assert len(review_pids(node)) == 2


async def says(port: int, words: str) -> bool:
    return words in await page_of(port)


@asynccontextmanager
async def connected_placer(node: SupervisedNode) -> AsyncIterator[Placer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.placer_port)
    try:
        yield Placer(reader, writer)
    finally:
        writer.close()


async def test_the_first_start_prints_a_one_time_link_and_a_start_with_accounts_does_not(tmp_path: Path) -> None:
    async with filler() as receiver, reviewed(tmp_path, receiver) as (node, port):

        async def is_printed() -> bool:
            return "/login/link/" in (tmp_path / "log").read_text(encoding="utf-8")

        await until(is_printed, node.log_tail())
        link = next(
            word
            for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()
            for word in line.split()
            if "/login/link/" in word
        )
        async with httpx2.AsyncClient(timeout=20, trust_env=False) as browser:
            answer = await browser.post(link, headers={"Sec-Fetch-Site": "same-origin"})
            assert answer.status_code == 303, answer.text
        os.kill(review_pids(node)[-1], signal.SIGKILL)
        await until(lambda: started_again(node, 2), "it was not started again")
        await until(lambda: answers(port), "the pages did not come back")
        assert (tmp_path / "log").read_text(encoding="utf-8").count("/login/link/") == 1
        with pytest.raises(ControlError):
            await node.ask("account_add", account="admin", roles=["admin"])


@pytest.mark.hazard("H2")
async def test_with_no_review_process_running_no_order_is_held_and_the_metric_says_so(tmp_path: Path) -> None:
    events = Events()
    async with filler() as receiver:
        config = review_config(tmp_path, filler_port=receiver.port)
        async with node_of(config, events) as node, placer_of(node) as placer:
            await placer.exchange(order("A1"))
            (leaving,) = await receiver.wait_for(1)
            assert b"NTE|" in leaving, "it went on, annotated"
            assert node.custody.index.orders() == ()

            async def is_shown() -> bool:
                async with httpx2.AsyncClient(timeout=20, trust_env=False) as client:
                    page = await client.get(f"http://127.0.0.1:{node.metrics_port}/metrics")
                return sample(page.content, "interceptor_degraded", reason="review_away") == 1.0

            await until(is_shown, "no metric says that nobody can review")


@pytest.mark.hazard("H2")
async def test_while_somebody_can_review_orders_are_held(tmp_path: Path) -> None:
    async with filler() as receiver:
        config = review_config(tmp_path, filler_port=receiver.port)
        async with node_of(config) as node, review_of(config) as review, placer_of(node) as placer:
            await review.ask("account_add", account="ann", roles=["reviewer"])
            assert await can_review(review.parts, can_others_decide=False)
            await review.ask("review_heartbeat")
            await placer.exchange(order("A1"))
            assert len(node.custody.index.orders()) == 1


@pytest.mark.parametrize(
    ("roles", "is_disabled", "can"),
    [
        ([], False, False),
        ([Role.AUDITOR, Role.ADMIN], False, False),
        ([Role.TECHNOLOGIST], False, True),
        ([Role.REVIEWER], True, False),
    ],
)
async def test_somebody_can_review_when_an_account_may_end_a_hold(
    tmp_path: Path, roles: list[Role], *, is_disabled: bool, can: bool
) -> None:
    config = review_config(tmp_path)
    async with node_of(config), review_of(config) as review:
        if roles:
            await review.ask("account_add", account="ann", roles=[str(role) for role in roles])
            if is_disabled:
                await review.ask("account_change", account="ann", is_disabled=True)
        assert await can_review(review.parts, can_others_decide=False) is can
        assert await can_review(review.parts, can_others_decide=True)


async def test_a_node_that_is_away_is_a_value_and_its_outcome_may_be_unknown(tmp_path: Path) -> None:
    reply = await NodeClient(tmp_path / "nothing.sock").ask("status")
    assert (type(reply).__name__, getattr(reply, "is_outcome_unknown", None)) == ("NodeAway", False)


async def test_what_the_review_process_counts_is_on_the_nodes_page(tmp_path: Path) -> None:
    config = review_config(tmp_path)
    async with node_of(config) as node, review_of(config) as review:
        browser = await review.person("ann", Role.OPS)
        await browser.get("/account")
        await browser.post("/glass", data={"reason": ""})
        await review.ask("review_report", **review.parts.tally.take())
        page = node.metrics.render()
        requests = "interceptor_http_requests_total"
        assert sample(page, requests, action="own_account", status="2xx") == 1.0
        assert sample(page, requests, action="break_glass", status="4xx") == 1.0
        assert sample(page, "interceptor_logins_total", result="link") == 1.0
        assert sample(page, "interceptor_http_request_duration_seconds_count", action="own_account") == 1.0
