"""What people do with held orders in a real browser, on a running node with real MLLP traffic."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from interceptor.review.rights import Role
from tests.support.orders import order
from tests.support.site import WAIT_MILLISECONDS, site, take_screenshot

pytestmark = pytest.mark.timeout(300)
expect.set_options(timeout=WAIT_MILLISECONDS)


async def release(page: Page, reason: str = "discussed") -> None:
    """Fill the release form of the open order, and send it."""
    act = page.locator('[data-act="r"]')
    if await act.get_attribute("open") is None:
        await act.locator("summary").click()
    await act.locator("select[name=reason]").select_option(reason)
    await act.get_by_role("button", name="Release", exact=True).click()


async def test_a_hold_appears_by_itself_in_order_of_urgency_and_the_focus_stays(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        await place.send(order("A1"))
        page = await place.person("ann")
        row = page.locator("tr.order").first
        await row.focus()
        await place.send(order("A2", patient="1002"))
        await expect(page.locator("tr.order")).to_have_count(2)
        assert await page.evaluate("document.activeElement.dataset.order") == "1"
        await expect(page.locator("[data-count=held]")).to_have_text("2")
        await take_screenshot(page, "worklist")


async def test_by_keyboard_alone_an_order_reaches_the_filler_as_placed_with_its_note(tmp_path: Path) -> None:
    raw = order("A1")
    async with site(tmp_path) as place:
        await place.send(raw)
        page = await place.person("ann")
        await page.keyboard.press("j")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/orders/1*")
        await page.keyboard.press("r")
        assert await page.evaluate("document.activeElement.name") == "reason"
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        (sent,) = await place.filler.wait_for(1)
        lines = [line for line in sent.split(b"\r") if not line.startswith((b"NTE|", b"OBX|"))]
        assert lines == raw.split(b"\r")
        assert b"Released as ordered after review by ann" in sent
        await place.open(page, "/orders/1")
        await expect(page.locator(".patient")).to_contain_text("delivered")


async def test_a_release_can_be_called_back_before_it_leaves(tmp_path: Path) -> None:
    async with site(tmp_path, undo_seconds=60.0) as place:
        await place.send(order("A1"))
        page = await place.person("ann")
        await place.open(page, "/orders/1")
        await release(page)
        await expect(page.locator(".undo")).to_contain_text("leaves for the filler")
        await take_screenshot(page, "undo")
        await page.keyboard.press("u")
        await expect(page.locator(".undo")).to_have_count(0)
        assert place.filler.received == []
        assert (await place.ask("held_show", entry=1))["order"]["state"] == "held"


@pytest.mark.hazard("H15")
@pytest.mark.fault(44)
async def test_of_two_browsers_that_release_one_wins_and_the_other_is_told_who_and_when(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        await place.send(order("A1"))
        # Without live updates bob learns of it from the server's refusal; cy's page says so by itself.
        ann, cy = await place.person("ann"), await place.person("cy")
        bob = await place.person("bob", java_script_enabled=False)
        for page in (ann, bob, cy):
            await place.open(page, "/orders/1")
        await release(ann)
        await place.filler.wait_for(1)
        await release(bob)
        await expect(bob.locator(".bar-red").first).to_contain_text(re.compile("already released by ann at 20"))
        await expect(cy.locator("[data-order-bar]")).to_contain_text(
            re.compile(r"Delivered · released as ordered, ann, \d\d:\d\d:\d\d UTC")
        )
        await expect(cy.locator('[data-act="r"]')).to_be_hidden()
        assert len(place.filler.received) == 1


@pytest.mark.hazard("H16")
@pytest.mark.fault(45)
async def test_a_cancel_while_the_order_is_open_shows_a_bar_and_the_release_is_refused(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        await place.send(order("A1"))
        page = await place.person("ann")
        await place.open(page, "/orders/1")
        await place.send(order("A1", control="CA", control_id="CANCEL1"))
        await expect(page.locator("[data-order-bar]")).to_contain_text(re.compile("cancel", re.IGNORECASE))
        await take_screenshot(page, "cancelled-while-open")
        assert place.filler.received == []


async def test_everything_works_as_plain_forms_without_a_script(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        await place.send(order("A1"))
        page = await place.person("ann", java_script_enabled=False)
        await page.locator("tr.order a").first.click()
        await page.wait_for_url("**/orders/1*")
        await release(page)
        await place.filler.wait_for(1)
        await expect(page.locator(".bar").first).to_be_visible()


async def test_a_return_keeps_the_order_from_the_filler_and_waits_on_the_orderer(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        await place.send(order("A1"))
        page = await place.person("ann")
        await place.open(page, "/orders/1")
        await page.keyboard.press("b")
        act = page.locator('[data-act="b"]')
        await act.locator("select[name=reason]").select_option("complete_spine_needed")
        await act.get_by_role("button", name=re.compile("^Return")).first.click()
        await expect(page.locator(".bar-green").first).to_be_visible()
        await place.open(page, "/?tab=returned")
        await expect(page.locator("tr.order")).to_have_count(1)
        assert place.filler.received == []


@pytest.mark.parametrize("text", ["1001", "A1", "CA1"])
async def test_one_box_finds_by_patient_order_and_message_number(tmp_path: Path, text: str) -> None:
    async with site(tmp_path) as place:
        await place.send(order("A1"))
        page = await place.person("ann")
        await page.keyboard.press("/")
        await page.keyboard.type(text)
        await page.keyboard.press("Enter")
        await expect(page.locator("body")).to_contain_text("TESTPATIENT")


@pytest.mark.hazard("H13")
async def test_an_ended_session_leads_to_the_login_and_not_to_an_act(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        await place.send(order("A1"))
        page = await place.person("ann")
        await place.open(page, "/orders/1")
        await place.ask("account_change", account="ann", is_disabled=True, actor="root")
        await release(page)
        await page.wait_for_url("**/login*")
        assert place.filler.received == []
        assert (await place.ask("held_show", entry=1))["order"]["state"] == "held"


async def test_a_mode_is_switched_by_typing_the_routes_name(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        page = await place.person("olga", Role.OPS)
        await place.open(page, "/routes")
        await page.locator("details", has=page.locator("form[action$='/mode']")).locator("summary").first.click()
        form = page.locator("form[action='/routes/orders/mode']")
        await form.locator("input[value=shadow]").check()
        await form.locator("input[name=typed]").fill("orders")
        await form.locator("input[name=reason]").fill("too many holds")
        await form.get_by_role("button", name="Set mode").click()
        await expect(page.get_by_role("region", name="Route orders")).to_contain_text("set by olga")
        assert (await place.ask("mode_get"))["routes"] == {"orders": "shadow"}
        await take_screenshot(page, "routes")


@pytest.mark.hazard("H13")
async def test_a_hostile_patient_name_is_text_and_nothing_else(tmp_path: Path) -> None:
    hostile = order("A1").replace(b"TESTPATIENT^JANE", b"<img src=x onerror=alert(1)>^\xe2\x80\xae=cmd")
    async with site(tmp_path) as place:
        await place.send(hostile)
        page = await place.person("ann", Role.REVIEWER, Role.LEAD)
        dialogs: list[str] = []
        page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        for path in ("/", "/orders/1", "/orders/1/message", "/orders/1/history", "/audit"):
            await place.open(page, path)
            assert await page.locator("img[src=x]").count() == 0
        assert dialogs == []
