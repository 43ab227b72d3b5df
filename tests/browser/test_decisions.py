"""A working day on one site: what people do with held orders, each with a patient of their own, in a real browser.

The site runs once for all of these; journeys that need a site of another kind are in test_journeys.py.
"""

import asyncio
import csv
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import expect

from interceptor.review.node_client import STATUS_SECONDS
from interceptor.review.rights import Role
from tests.support.node import accept, reply
from tests.support.orders import COMPLETE, order
from tests.support.site import WAIT_MILLISECONDS, Site, site, take_screenshot

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]
expect.set_options(timeout=WAIT_MILLISECONDS)

SPINE_CODE = "72158C^MRI COMPLETE SPINE WO+W^L"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site(tmp_path_factory.mktemp("day"), change_procedure=True, complete_spine_code=SPINE_CODE) as found:
        yield found


async def test_a_procedure_is_changed_on_a_verbal_order_only_after_it_was_read_back(place: Site) -> None:
    entry = await place.hold(order("CHG1", patient="2001"))
    page = await place.person("carl")
    await place.open(page, f"/orders/{entry}")
    await page.keyboard.press("m")
    act = page.locator('[data-act="m"]')
    await act.get_by_label("Verbal order").check()
    await act.get_by_label("Who gave the order").fill("Dr Testdoctor by phone")
    await act.get_by_role("button", name="Change and release").click()
    await expect(page.locator(".bar-red").first).to_contain_text("read back")
    assert place.at_filler("CHG1") == []
    await page.keyboard.press("m")
    act = page.locator('[data-act="m"]')
    await act.get_by_label("Verbal order").check()
    await act.get_by_label("and I have read it back").check()
    await act.get_by_label("Who gave the order").fill("Dr Testdoctor by phone")
    await act.get_by_role("button", name="Preview what leaves").click()
    await expect(act.locator("#preview-change ins").first).to_contain_text("72158C")
    await take_screenshot(page, "change-preview")
    await act.get_by_role("button", name="Change and release").click()
    (sent,) = await place.arrived("CHG1")
    assert b"|72158C^MRI COMPLETE SPINE WO+W^L|" in sent
    assert b"72148" in sent.partition(b"\rNTE|")[2], "what was ordered stays in a note"
    await expect(page.locator(".bar-green").first).to_contain_text("Procedure changed and released")


async def test_a_comment_a_put_aside_and_a_hand_over_stand_in_the_history_and_reach_the_colleague(place: Site) -> None:
    entry = await place.hold(order("HOV1", patient="2002"))
    page, colleague = await place.person("dora"), await place.person("emil")
    await place.open(page, f"/orders/{entry}")
    comment = page.locator('[data-act="t"]')
    await comment.locator("summary").click()
    await comment.get_by_label("Comment for colleagues").fill("called the ward, no answer")
    await comment.get_by_role("button", name="Write comment").click()
    await expect(page.locator(".bar-green").first).to_contain_text("Comment written")
    more = page.locator("details", has=page.get_by_label("Put aside for"))
    await more.locator("summary").click()
    await more.get_by_label("Put aside for").select_option("30")
    await more.get_by_role("button", name="Put aside").click()
    await expect(page.locator(".acts")).to_contain_text("put aside until")
    more = page.locator("details", has=page.get_by_label("Put aside for"))
    await more.locator("summary").click()
    await more.get_by_label("Hand over to").fill("emil")
    await more.get_by_role("button", name="Hand over").click()
    await expect(page.locator(".bar-green").first).to_contain_text("Handed over")
    await place.open(colleague, "/?tab=mine")
    await expect(colleague.locator(f"#order-{entry}")).to_contain_text("you")
    await place.open(page, f"/orders/{entry}/history")
    for words in ("called the ward, no answer", "Put aside", "Handed over", "to emil"):
        await expect(page.locator(".history")).to_contain_text(words)


async def test_a_claim_by_its_key_is_seen_by_the_others_at_once_and_can_be_given_back(place: Site) -> None:
    entry = await place.hold(order("CLM1", patient="2003"))
    page, colleague = await place.person("fay"), await place.person("gus")
    row = page.locator(f"#order-{entry}")
    await row.focus()
    await page.keyboard.press("c")
    await expect(row.locator(".c-claim")).to_contain_text("you")
    await expect(colleague.locator(f"#order-{entry} .c-claim")).to_contain_text("fay")
    await place.open(page, f"/orders/{entry}")
    await page.keyboard.press("c")
    await expect(page.locator(".bar-green").first).to_contain_text("Given back")
    await expect(colleague.locator(f"#order-{entry} .c-claim")).to_contain_text("nobody")


async def test_chosen_orders_are_released_together_with_one_reason(place: Site) -> None:
    entries = [await place.hold(order(f"BLK{number}", patient=f"201{number}")) for number in (1, 2)]
    page = await place.person("hugo")
    for entry in entries:
        await page.get_by_label(f"Choose order {entry}", exact=True).check()
    await page.get_by_role("button", name="Release chosen").click()
    await expect(page.locator(".bar-red").first).to_contain_text("Choose a reason")
    for entry in entries:
        await page.get_by_label(f"Choose order {entry}", exact=True).check()
    await page.get_by_label("Reason for the release of all chosen").select_option("discussed")
    await page.get_by_role("button", name="Release chosen").click()
    for number in (1, 2):
        (sent,) = await place.arrived(f"BLK{number}")
        assert b"after review by hugo" in sent


@pytest.mark.hazard("H5")
@pytest.mark.fault(43)
async def test_a_double_click_releases_once(place: Site) -> None:
    entry = await place.hold(order("DBL1", patient="2004"))
    page = await place.person("ida")
    await place.open(page, f"/orders/{entry}")
    await page.keyboard.press("r")
    act = page.locator('[data-act="r"]')
    await act.locator("select[name=reason]").select_option("discussed")
    await act.get_by_role("button", name="Release", exact=True).dblclick(no_wait_after=True)
    await place.arrived("DBL1")
    await expect(page.locator(".patient")).to_contain_text("delivered")
    history = (await place.ask("held_show", entry=entry))["history"]
    assert [row["action"] for row in history].count("released") == 1
    assert len(place.at_filler("DBL1")) == 1


@pytest.mark.hazard("H16")
@pytest.mark.fault(45)
async def test_a_change_by_the_placer_while_the_order_is_open_is_decided_again_and_the_old_form_is_refused(
    place: Site,
) -> None:
    entry = await place.hold(order("XO1", patient="2005"))
    page = await place.person("jan")
    await place.open(page, f"/orders/{entry}")
    await page.keyboard.press("r")
    await place.send(order("XO1", control="XO", control_id="XO1B", patient="2005", procedure="72146^MRI T SPINE WO^C4"))
    await expect(page.locator("[data-order-bar]")).to_contain_text("changed since you opened it")
    await take_screenshot(page, "changed-while-open")
    act = page.locator('[data-act="r"]')
    await act.locator("select[name=reason]").select_option("discussed")
    await act.get_by_role("button", name="Release", exact=True).click()
    await expect(page.locator(".bar-red").first).to_contain_text("already changed")
    await expect(page.locator("main")).to_contain_text("MRI T SPINE WO")
    assert place.at_filler("XO1") == []


@pytest.mark.fault(45)
async def test_a_change_to_the_complete_spine_leaves_by_itself_while_the_order_is_open(place: Site) -> None:
    entry = await place.hold(order("XO2", patient="2006"))
    page = await place.person("kim")
    await place.open(page, f"/orders/{entry}")
    await place.send(order("XO2", control="XO", control_id="XO2B", patient="2006", procedure=COMPLETE))
    (sent,) = await place.arrived("XO2")
    assert b"ORC|NW|XO2^EPIC" in sent
    bar = page.locator("[data-order-bar]")
    await expect(bar).to_contain_text("Delivered")
    await expect(bar).to_contain_text("ris answered AA")


async def test_while_paused_rows_stay_still_and_new_ones_are_counted(place: Site) -> None:
    page = await place.person("lea")
    await page.get_by_role("button", name="Pause").click()
    count = await page.locator("tr.order").count()
    entry = await place.hold(order("PSE1", patient="2007"))
    await expect(page.locator("[data-new-count]")).to_have_text("1")
    assert await page.locator("tr.order").count() == count
    await take_screenshot(page, "paused")
    await page.get_by_role("button", name="Show them").click()
    await expect(page.locator(f"#order-{entry}")).to_be_visible()


@pytest.mark.hazard("H2")
async def test_a_page_that_lost_its_line_says_so_and_gets_what_it_missed_when_it_is_back(place: Site) -> None:
    page = await place.person("mia")
    await page.clock.install()
    await place.open(page, "/")
    await page.context.set_offline(True)
    await page.clock.fast_forward(40_000)
    lost = page.locator("[data-lost]")
    await expect(lost).to_be_visible()
    await expect(lost).to_contain_text("buttons still work")
    await take_screenshot(page, "lost-line")
    entry = await place.hold(order("LST1", patient="2008"))
    await page.context.set_offline(False)
    await expect(page.locator(f"#order-{entry}")).to_be_visible()
    await expect(lost).to_be_hidden()


@pytest.mark.hazard("H10")
async def test_a_node_that_is_away_is_a_red_bar_above_a_list_that_stays_and_goes_when_it_is_back(place: Site) -> None:
    entry = await place.hold(order("AWY1", patient="2018"))
    page = await place.person("nils")
    await page.clock.install()
    await place.open(page, "/")
    socket = place.node.control_socket
    away = socket.with_suffix(".away")
    socket.rename(away)
    try:
        await asyncio.sleep(STATUS_SECONDS)  # How old the node's word about itself may be on a page.
        await page.clock.fast_forward(16_000)
        await expect(page.locator(".bar-red")).to_contain_text("The node does not answer")
        await expect(page.locator(f"#order-{entry}")).to_be_visible()
        await take_screenshot(page, "node-away")
    finally:
        away.rename(socket)
    await asyncio.sleep(STATUS_SECONDS)
    await page.clock.fast_forward(16_000)
    await expect(page.locator(".bar-red")).to_have_count(0)


async def test_a_list_is_taken_along_as_csv_and_json_with_the_filters_that_are_seen(place: Site) -> None:
    await place.hold(order("CSV1", patient="2009"))
    page = await place.person("nora")
    await page.locator("summary", has_text="Export").click()
    async with page.expect_download() as download:
        await page.get_by_role("link", name="CSV").click()
    path = await (await download.value).path()
    rows = list(csv.DictReader(Path(path).read_text(encoding="utf-8-sig").splitlines()))
    assert any(row["placer_order_number"].startswith("CSV1") for row in rows)
    answer = await page.request.get(f"{place.pages.address}/orders.json?tab=held")
    assert any(one["placer_order_number"].startswith("CSV1") for one in await answer.json())


async def test_columns_and_masks_are_chosen_and_stand_in_the_address(place: Site) -> None:
    await place.hold(order("COL1", patient="2010"))
    page = await place.person("otto")
    await page.locator("summary", has_text="Columns").click()
    await page.get_by_label("Scheduled").uncheck()
    await page.get_by_role("button", name="Show these").click()
    await expect(page.get_by_role("columnheader", name="Scheduled")).to_have_count(0)
    assert "columns=" in page.url
    await page.get_by_role("link", name="Mask names").click()
    await expect(page.locator("tbody")).not_to_contain_text("TESTPATIENT")
    assert "masked=1" in page.url
    await page.reload()
    await expect(page.locator("tbody")).not_to_contain_text("TESTPATIENT")


async def test_single_keys_can_be_switched_off_and_everything_is_still_reached(place: Site) -> None:
    entry = await place.hold(order("KEY1", patient="2011"))
    page = await place.person("pia")
    await page.keyboard.press("?")
    await page.get_by_label("Single keys are on").uncheck()
    await page.get_by_role("button", name="Close").click()
    await place.open(page, f"/orders/{entry}")
    await page.keyboard.press("r")
    assert await page.locator('[data-act="r"]').get_attribute("open") is None
    await page.locator('[data-act="r"] summary').focus()
    await page.keyboard.press("Enter")
    await expect(page.locator('[data-act="r"]')).to_have_attribute("open", "")


async def test_the_next_key_leads_to_the_next_order_that_waits(place: Site) -> None:
    first = await place.hold(order("NXT1", patient="2012"))
    await place.hold(order("NXT2", patient="2013"))
    page = await place.person("quin")
    await place.open(page, f"/orders/{first}")
    await page.keyboard.press("n")
    await page.wait_for_url(lambda url: re.search(rf"/orders/(?!{first}\b)\d+", url) is not None)


async def test_a_printed_order_shows_the_patient_and_the_reasons_and_no_buttons(place: Site) -> None:
    entry = await place.hold(order("PRT1", patient="2014"))
    page = await place.person("rosa", viewport={"width": 794, "height": 1123}, color_scheme="dark")
    await place.open(page, f"/orders/{entry}")
    await page.emulate_media(media="print")
    assert await page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)", (
        "black, in the dark theme too"
    )
    await expect(page.locator(".patient")).to_be_visible()
    await expect(page.locator(".verdict")).to_be_visible()
    assert await page.locator("button:visible, form:visible, nav:visible").count() == 0
    await take_screenshot(page, "print-order")
    await place.open(page, "/")
    await expect(page.locator(f"#order-{entry}")).to_be_visible()
    assert await page.locator("button:visible, nav:visible").count() == 0
    await expect(page.locator(".print-only")).to_contain_text("Printed for Rosa")
    await take_screenshot(page, "print-worklist")


async def test_what_the_filler_refused_is_found_by_reason_and_sent_again(place: Site) -> None:
    place.filler.answer = lambda raw: reply(raw, b"AR")
    try:
        entry = await place.hold(order("DEAD1", patient="2015"))
        reviewer = await place.person("rob")
        await place.open(reviewer, f"/orders/{entry}")
        await place.ask("held_release", entry=entry, actor="rob", reason_code="discussed")
        await expect(reviewer.locator("[data-order-bar]")).to_contain_text(
            re.compile("refused by the filler.*answered AR")
        )
    finally:
        place.filler.answer = accept
    page = await place.person("sam", Role.ANALYST)
    before = len(place.at_filler("DEAD1"))
    await place.open(page, "/dead-letters")
    await take_screenshot(page, "dead-letters-some")
    await page.get_by_role("button", name="Send chosen again").first.click()
    await place.arrived("DEAD1", before + 1)
    await expect(page.locator("main")).to_contain_text("No dead letters")


async def test_a_message_is_tried_on_the_policy_without_being_kept(place: Site) -> None:
    page = await place.person("tess", Role.ANALYST)
    await place.open(page, "/policy/try")
    await page.get_by_role("button", name="Decide").click()
    await expect(page.locator(".verdict")).to_contain_text("H-REGIONAL")


async def test_an_administrator_adds_a_colleague_who_comes_in_by_the_link_and_is_shut_out_again(place: Site) -> None:
    entry = await place.hold(order("USR1", patient="2016"))
    page = await place.person("uma", Role.ADMIN)
    await place.open(page, "/users")
    await page.get_by_label("Account name").fill("vera")
    await page.locator("form.card").locator("input[name=role][value=reviewer]").check()
    await page.get_by_role("button", name="Add and make a login link").click()
    link = await page.locator(".bar-green code").inner_text()
    colleague = await (await place.browser.new_context()).new_page()
    await colleague.goto(link)
    await colleague.get_by_role("button", name="Log in").click()
    await expect(colleague.locator(f"#order-{entry}")).to_be_visible()
    row = page.locator("tr", has_text="vera")
    await row.locator("summary").click()
    await row.get_by_role("button", name="Disable").click()
    await expect(page.locator("tr", has_text="vera")).to_contain_text("disabled")
    await colleague.goto(f"{place.pages.address}/orders/{entry}")
    await expect(colleague).to_have_url(re.compile("/login"))
    await colleague.context.close()


@pytest.mark.hazard("H13")
async def test_a_wrong_password_is_slowed_down_and_the_right_one_comes_in_by_a_link(place: Site) -> None:
    await place.ask("account_add", account="will", display_name="Will", roles=["reviewer"])
    page = await (await place.browser.new_context()).new_page()
    for _ in range(6):
        await page.goto(f"{place.pages.address}/login")
        await page.get_by_label("Name", exact=True).fill("will")
        await page.get_by_label("Password").fill("a wrong password")
        await page.get_by_role("button", name="Log in").click()
        await expect(page.get_by_role("alert")).to_be_visible()
    await expect(page.get_by_role("alert")).to_contain_text("Too many tries")
    await take_screenshot(page, "login-throttled")
    made = await place.ask("login_link", account="will")
    await page.goto(f"{place.pages.address}/login/link/{made['secret']}")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.locator("header")).to_contain_text("Will")
    await page.context.close()


@pytest.mark.hazard("H14")
async def test_the_glass_is_broken_with_a_reason_loudly_and_lends_sight_alone(place: Site) -> None:
    entry = await place.hold(order("GLS1", patient="2017"))
    page = await place.person("xena", Role.OPS)
    await page.goto(f"{place.pages.address}/orders/{entry}")
    await expect(page.locator("main")).to_contain_text("Your roles do not allow this")
    await page.get_by_role("link", name="Break the glass").click()
    await page.get_by_label("Reason").fill("feed stuck, looking for the order")
    await page.get_by_role("button", name="Break the glass").click()
    await place.open(page, f"/orders/{entry}")
    await expect(page.locator(".banner-alarm")).to_contain_text("Break-glass")
    await expect(page.locator(".patient")).to_contain_text("TESTPATIENT")
    await expect(page.locator('[data-act="r"]')).to_have_count(0)
    await take_screenshot(page, "broken-glass")
    auditor = await place.person("yves", Role.AUDITOR)
    await place.open(auditor, "/audit?action=glass_broken")
    await expect(auditor.locator("main")).to_contain_text("feed stuck, looking for the order")
