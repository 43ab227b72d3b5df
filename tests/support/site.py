"""A whole site for a browser: filler, node, review pages on a real port, a placer, and people in Chromium."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, Playwright, async_playwright

from interceptor.config.review import ReviewTable
from interceptor.config.schema import Config
from interceptor.node import Node
from interceptor.review.node_client import Answer
from interceptor.review.rights import Role
from interceptor.review_wiring import ReviewPages, running_review
from tests.support.node import Filler, filler, node_config, node_of, placer_of

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
WAIT_MILLISECONDS = 60_000
ARTIFACTS = Path(__file__).parents[2] / "artifacts" / "screens"


@dataclass(kw_only=True)
class Site:
    """What is running."""

    node: Node
    pages: ReviewPages
    filler: Filler
    browser: Browser
    contexts: list[BrowserContext] = field(default_factory=list)

    async def send(self, *messages: bytes) -> None:
        """A placer sends these and waits for each answer."""
        async with placer_of(self.node) as placer:
            for message in messages:
                await placer.exchange(message)

    async def hold(self, raw: bytes) -> int:
        """A placer sends this order, which is held; our number of it."""
        await self.send(raw)
        number = peek_order_number(raw)
        orders = (await self.ask("held_list"))["orders"]
        (entry,) = [one["entry"] for one in orders if one["placer_order_number"].partition("^")[0] == number]
        return int(entry)

    def at_filler(self, number: str) -> list[bytes]:
        """What the filler got of the order with this placer number."""
        return [raw for raw in self.filler.received if f"|{number}^EPIC|".encode() in raw]

    async def arrived(self, number: str, count: int = 1) -> list[bytes]:
        """The same, as soon as there are so many."""
        async with asyncio.timeout(WAIT_MILLISECONDS / 1000):
            while len(self.at_filler(number)) < count:
                await self.filler.wait_for(len(self.filler.received) + 1, seconds=WAIT_MILLISECONDS / 1000)
        return self.at_filler(number)

    async def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """A command that the node carries out."""
        reply = await self.pages.parts.node.ask(command, **arguments)
        assert isinstance(reply, Answer), reply
        return dict(reply.result)

    async def person(self, name: str, *roles: Role, **context: Any) -> Page:
        """A page of a new person who is logged in by a one-time link; *context* are options of the browser."""
        chosen = [str(role) for role in roles or (Role.REVIEWER,)]
        await self.ask("account_add", account=name, display_name=name.title(), roles=chosen)
        made = await self.ask("login_link", account=name)
        opened = await self.browser.new_context(**{"viewport": {"width": 1440, "height": 900}} | context)
        self.contexts.append(opened)
        opened.set_default_timeout(WAIT_MILLISECONDS)
        page = await opened.new_page()
        await page.goto(f"{self.pages.address}/login/link/{made['secret']}")
        await page.get_by_role("button", name="Log in").click()
        await page.wait_for_url(f"{self.pages.address}/**")
        return page

    async def open(self, page: Page, path: str) -> None:
        """Go to one of our pages."""
        answer = await page.goto(f"{self.pages.address}{path}")
        assert answer is not None
        assert answer.ok, f"{path}: {answer.status}"


def peek_order_number(raw: bytes) -> str:
    """ORC-2's first component."""
    return raw.partition(b"\rORC|")[2].split(b"|")[1].partition(b"^")[0].decode()


def site_config(folder: Path, *, filler_port: int, **review: Any) -> Config:
    """A node with pages on free ports."""
    table = ReviewTable.model_validate({"listen": "127.0.0.1:0", "undo_seconds": 0.0, "processor_share": 64.0} | review)
    config = node_config(folder, filler_port=filler_port, holds_max_per_10_min=1000)
    return config.model_copy(update={"review": table})


@asynccontextmanager
async def site(folder: Path, **review: Any) -> AsyncIterator[Site]:
    """Everything for the length of the block; *review* are keys of [review]."""
    async with AsyncExitStack() as stack:
        ris = await stack.enter_async_context(filler())
        config = site_config(folder, filler_port=ris.port, **review)
        node = await stack.enter_async_context(node_of(config))
        pages = await stack.enter_async_context(running_review(config))
        playwright = await stack.enter_async_context(async_playwright())
        browser = await stack.enter_async_context(chromium(playwright))
        found = Site(node=node, pages=pages, filler=ris, browser=browser)
        await found.ask("review_heartbeat")
        yield found


@asynccontextmanager
async def chromium(playwright: Playwright) -> AsyncIterator[Browser]:
    """The system's browser for the length of the block."""
    browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
    try:
        yield browser
    finally:
        await browser.close()


async def take_screenshot(page: Page, name: str) -> None:
    """Keep what a person sees, for people to look at."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)
