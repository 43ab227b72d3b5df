"""Sessions: how they end, and what a broken glass lends."""

from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from interceptor.journal.stored_form import digest_of
from interceptor.review.rights import Action, Role
from interceptor.review.security import SESSION_COOKIE
from interceptor.review.session import client_address
from tests.support.review import reviewed_node


async def is_in(browser: httpx2.AsyncClient) -> bool:
    return (await browser.get("/account")).status_code == 200


@pytest.mark.hazard("H13")
async def test_a_session_ends_after_a_quarter_of_an_hour_without_a_request(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path) as review:
        browser = await review.person("ann", Role.REVIEWER)
        for _ in range(3):
            review.clock.forward(minutes=14)
            assert await is_in(browser)
        review.clock.forward(minutes=15)
        assert not await is_in(browser)
        assert (await review.audit("session_ended"))[-1]["reason"] == "idle"


@pytest.mark.hazard("H13")
async def test_a_session_ends_after_twelve_hours_whatever_happens_in_it(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path) as review:
        browser = await review.person("ann", Role.REVIEWER)
        for _ in range(12 * 6 - 1):
            review.clock.forward(minutes=10)
            assert await is_in(browser)
        review.clock.forward(minutes=11)
        assert not await is_in(browser)
        assert (await review.audit("session_ended"))[-1]["reason"] == "expired"


async def test_what_a_session_did_is_known_to_the_next_review_process(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path) as review:
        browser = await review.person("ann", Role.REVIEWER)
        secret = browser.cookies[SESSION_COOKIE]
        review.clock.forward(minutes=14)
        assert await is_in(browser)
        untold = review.activity.take_untold()
        assert list(untold) == [digest_of(secret.encode())]
        await review.ask("session_touch", seen={key.hex(): at.isoformat() for key, at in untold.items()})
        stored = await review.parts.access.find_session(digest_of(secret.encode()))
        assert stored is not None
        assert review.clock.at - stored.seen_at < timedelta(seconds=1)


@pytest.mark.hazard("H13")
@pytest.mark.parametrize(
    "change", [{"roles": ["auditor"]}, {"is_disabled": True}, {"password_hash": ""}, {"totp_secret": ""}]
)
async def test_a_change_of_rights_ends_every_session_at_once(tmp_path: Path, change: dict[str, object]) -> None:
    async with reviewed_node(tmp_path) as review:
        browsers = [await review.person("ann", Role.REVIEWER), await review.logged_in("ann")]
        assert [await is_in(browser) for browser in browsers] == [True, True]
        await review.ask("account_change", account="ann", actor="boss", **change)
        assert [await is_in(browser) for browser in browsers] == [False, False]
        changed = (await review.audit("account_changed"))[-1]
        assert (changed["actor"], changed["account"]) == ("user:boss", "ann")


async def test_the_last_administrator_cannot_be_taken_away(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path) as review:
        await review.ask("account_add", account="root", roles=["admin"])
        reply = await review.parts.node.ask("account_change", account="root", roles=["auditor"])
        assert getattr(reply, "code", "") == "last_admin"


async def test_a_session_secret_that_is_not_one_lets_nobody_in(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path) as review:
        for secret in ("x", "x" * 500, "a" * 43):
            browser = review.browser(Cookie=f"{SESSION_COOKIE}={secret}")
            assert not await is_in(browser)


@pytest.mark.hazard("H13")
async def test_the_database_has_no_secret_of_a_session_or_a_link(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path) as review:
        browser = await review.person("ann", Role.REVIEWER)
        link = (await review.ask("login_link", account="ann"))["secret"]
        secrets = [browser.cookies[SESSION_COOKIE].encode(), link.encode()]
        files = [path.read_bytes() for path in tmp_path.rglob("journal.db*")]
        assert files
        assert not any(secret in content for secret in secrets for content in files)


@pytest.mark.hazard("H14")
async def test_a_broken_glass_needs_a_reason_lends_sight_for_a_while_and_is_audited(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path) as review:
        browser = await review.person("ops", Role.OPS)
        assert (await browser.post("/glass", data={"reason": " "})).status_code == 422
        assert (await browser.post("/glass", data={"reason": "filler down, which order?"})).status_code == 303
        (broken,) = await review.audit("glass_broken")
        assert (broken["actor"], broken["reason"]) == ("user:ops", "filler down, which order?")
        secret = digest_of(browser.cookies[SESSION_COOKIE].encode())
        session = await review.parts.access.find_session(secret)
        assert session is not None
        assert session.glass_until is not None
        assert timedelta(minutes=59) < session.glass_until - session.created_at <= timedelta(minutes=61)


async def test_a_reviewer_has_no_glass_to_break(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path) as review:
        browser = await review.person("ann", Role.REVIEWER)
        assert (await browser.post("/glass", data={"reason": "curious"})).status_code == 403
        assert (await review.audit("access_refused"))[-1]["refused"] == Action.BREAK_GLASS


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("192.0.2.9", "203.0.113.1", "192.0.2.9"),
        ("10.0.0.1", "203.0.113.1", "203.0.113.1"),
        ("10.0.0.1", "6.6.6.6, 203.0.113.1, 10.0.0.2", "203.0.113.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.3", "10.0.0.1"),
    ],
)
def test_a_browsers_address_is_what_our_own_proxies_say_and_nobody_else(peer: str, forwarded: str, found: str) -> None:
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    scope = {"type": "http", "client": (peer, 1), "headers": headers}
    assert client_address(scope, ("10.0.0.0/8",)) == found
