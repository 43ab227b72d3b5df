"""The demo as somebody meets it: the printed link, live rows, one order released by keyboard; and pages that die and come back."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page, async_playwright, expect

from tests.support.cluster import until
from tests.support.command import RunningCommand, running_command
from tests.support.site import WAIT_MILLISECONDS, chromium, take_screenshot

pytestmark = pytest.mark.timeout(300)
expect.set_options(timeout=WAIT_MILLISECONDS)

SHOWN_WITHIN = timedelta(seconds=2)
"""How long after the end of the undo window an order that was released may take to be delivered (issue 6)."""


async def printed_link(demo: RunningCommand) -> str:
    """The address that the demo prints for a person."""
    while line := await asyncio.to_thread(demo.read_line):
        if found := re.search(r"http://\S+/login/link/\S+", line):
            return found[0]
    pytest.fail("the demo ended before it printed a link")


@asynccontextmanager
async def demo_page() -> AsyncIterator[tuple[RunningCommand, Page]]:
    """The demo, and a browser in which its printed link was opened."""
    with running_command("demo", "--no-browser", "--rate", "5") as demo:
        link = await printed_link(demo)
        async with async_playwright() as playwright, chromium(playwright) as browser:
            page = await browser.new_page(viewport={"width": 1440, "height": 900})
            page.set_default_timeout(WAIT_MILLISECONDS)
            await open_patiently(page, link)
            await page.get_by_role("button", name="Log in").click()
            await expect(page.locator("[data-live]")).to_be_attached()
            yield demo, page


async def open_patiently(page: Page, address: str) -> None:
    """Go to a page whose process is starting."""
    async with asyncio.timeout(WAIT_MILLISECONDS / 1000):
        while True:
            with suppress(PlaywrightError):  # The port is not open yet.
                await page.goto(address)
                return
            await asyncio.sleep(0.2)


async def go_to_a_routine_order(page: Page) -> int:
    """Go up from the last row until an order that can be called back has the focus; its number.

    From below: the demo releases the first one itself, and new ones come from there too.
    """
    while True:
        await page.keyboard.press("k")
        row: dict[str, Any] = await page.evaluate(
            """() => {
                const row = document.activeElement.closest("tr.order"), rows = [...document.querySelectorAll("tr.order")];
                const isParked = row?.textContent.includes("waiting for siblings");
                return row ? { order: Number(row.dataset.order), last: row === rows[0],
                    routine: row.querySelector(".priority-routine") !== null && !isParked } : {};
            }"""
        )
        if row.get("routine"):
            return int(row["order"])
        if row.get("last", True):
            # None yet: wait for the next row that comes by itself, and begin again.
            await expect(page.locator(".fresh").first).to_be_attached()
            await page.evaluate("document.activeElement.blur()")


def at(history: list[dict[str, Any]], action: str) -> datetime:
    return next(datetime.fromisoformat(row["at"]) for row in history if row["action"] == action)


async def release_by_keyboard(page: Page) -> list[dict[str, Any]]:
    """Release one order with keys alone, wait until the page says that it was delivered; the order's history, empty when it was too late."""
    entry = await go_to_a_routine_order(page)
    await page.keyboard.press("r")
    await page.wait_for_url(f"**/orders/{entry}#release")
    await expect(page.locator("#release-reason")).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator(".undo, .bar-red").first).to_be_visible()
    if await page.locator(".undo").count() == 0:
        return []  # Refused: the placer has just changed or cancelled it.
    await expect(page.locator("#order-time")).to_have_text(re.compile("delivered|cancelled|replaced"))
    address = page.url.partition("/orders/")[0]
    found: list[dict[str, Any]] = await (await page.request.get(f"{address}/orders/{entry}/history.json")).json()
    return found


async def test_the_printed_link_shows_live_rows_and_a_release_by_keyboard_is_delivered_within_two_seconds_of_its_undo_time() -> (
    None
):
    async with demo_page() as (_, page):
        await expect(page.locator("tr.order.fresh").first).to_be_attached()
        await take_screenshot(page, "demo-worklist")
        history = await release_by_keyboard(page)
        while not any(row["action"] == "released" for row in history):
            # The demo's placer was faster: it cancelled the order, changed it, or sent the sibling that completes its set.
            await page.goto(page.url.partition("/orders/")[0])
            history = await release_by_keyboard(page)
        await expect(page.locator("[data-order-bar] [data-outcome=delivered]")).to_contain_text("filler answered AA")
        await expect(page.locator(".undo")).to_have_count(0)
        await take_screenshot(page, "demo-delivered")
        planned = next(row for row in reversed(history) if row["action"] == "release_planned")
        due_at = datetime.fromisoformat(planned["detail"]["due_at"])
        assert due_at - datetime.fromisoformat(planned["at"]) == timedelta(seconds=10), "the undo time is the default"
        assert timedelta(0) <= at(history, "acknowledged") - due_at < SHOWN_WITHIN


def review_process(parent: int) -> int | None:
    """The process of the pages below a demo; None while there is none."""
    for place in Path(f"/proc/{parent}/task").glob("*/children"):
        for pid in place.read_text(encoding="ascii").split():
            command = Path(f"/proc/{pid}/cmdline")
            if command.exists() and b"--review-only" in command.read_bytes():
                return int(pid)
    return None


@pytest.mark.hazard("H2")
async def test_pages_whose_process_was_killed_come_back_by_themselves_and_no_message_is_lost() -> None:
    async with demo_page() as (demo, page):
        await page.evaluate("window.isTheSamePage = true")
        killed = review_process(demo.pid)
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        await until(lambda: review_process(demo.pid) not in (None, killed))
        seen = await page.locator("tr.order").count()
        await expect(page.locator("tr.order").nth(seen)).to_be_attached()
        assert await page.evaluate("window.isTheSamePage"), "live updates went on without a reload"
        await page.reload()
        await expect(page.locator("header")).to_contain_text("Demo reviewer")
        demo.interrupt()
        code, output, errors = await asyncio.to_thread(demo.wait)
        assert (code, errors) == (0, "")
        totals = re.search(r"(\d+) of them reached the filler, which received (\d+) messages in all\.", output)
        assert totals is not None
        assert totals[1] == totals[2]
