"""Every page, in light and dark: no barrier that axe finds, nothing wider than a phone, no error in the console."""

from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

from interceptor.review.rights import Role
from tests.support.orders import CHEST_FILM, order
from tests.support.site import Site, site, take_screenshot

pytestmark = pytest.mark.timeout(600)

PAGES = {
    "worklist": "/",
    "decided": "/?tab=decided",
    "missed": "/missed",
    "order": "/orders/1",
    "message": "/orders/1/message",
    "history": "/orders/1/history",
    "audit": "/audit",
    "traffic": "/traffic",
    "routes": "/routes",
    "dead letters": "/dead-letters",
    "policy": "/policy",
    "try a message": "/policy/try",
    "vignettes": "/policy/vignettes",
    "users": "/users",
    "account": "/account",
    "help": "/help",
    "api": "/api/v1/docs",
}
RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
}


async def busy(place: Site) -> None:
    """Traffic of every kind: passed, held, released and delivered, cancelled."""
    await place.send(
        order("A1"), order("A2", patient="1002"), order("A3", procedure=CHEST_FILM), order("A4", patient="1004")
    )
    await place.ask("held_release", entry=2, actor="bob", reason_code="discussed")
    await place.send(order("A4", patient="1004", control="CA", control_id="CANCEL4"))
    await place.filler.wait_for(2)


async def barriers(page: Page) -> list[str]:
    """What axe finds: rule and the first place."""
    found = await Axe().run(page, options=RULES)
    return [f"{one['id']}: {one['nodes'][0]['target']}" for one in found.response["violations"]]


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_no_page_has_a_barrier_or_says_an_error(tmp_path: Path, theme: str) -> None:
    async with site(tmp_path) as place:
        await busy(place)
        page = await place.person("ann", *Role, color_scheme=theme)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        found = {}
        for name, path in PAGES.items():
            await place.open(page, path)
            found[name] = await barriers(page)
            await take_screenshot(page, f"{theme}-{name.replace(' ', '-')}")
        assert {name: rules for name, rules in found.items() if rules} == {}
        assert errors == []


async def test_no_page_is_wider_than_a_phone(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        await busy(place)
        page = await place.person("ann", *Role, viewport={"width": 390, "height": 844})
        wide = {}
        for name, path in PAGES.items():
            await place.open(page, path)
            width = await page.evaluate("document.documentElement.scrollWidth")
            if width > 390:
                wide[name] = width
            await take_screenshot(page, f"phone-{name.replace(' ', '-')}")
        assert wide == {}


async def test_the_login_and_a_page_that_is_none_have_no_barrier(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        page = await place.browser.new_page()
        for path in ("/login", "/nothing"):
            await page.goto(f"{place.pages.address}{path}")
            assert await barriers(page) == []
            await take_screenshot(page, f"before-the-login{path.replace('/', '-')}")
