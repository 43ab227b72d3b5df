"""Coming in: one-time links, passwords, second factors, and what is written down of each."""

from pathlib import Path

import httpx2
import pyotp
import pytest

from interceptor.review.credential import password_problem
from interceptor.review.login import safe_target
from interceptor.review.rights import Role
from interceptor.review.security import SESSION_COOKIE
from interceptor.review.throttle import FREE_FAILURES, QUIET_SECONDS, WAIT_SECONDS_MAX, Throttle
from tests.support.review import Review, reviewed_node

PASSWORD = "correct horse 7 battery"


async def with_password(review: Review, name: str, *roles: Role) -> None:
    """An account that has a password, set as a person sets it."""
    browser = await review.person(name, *roles)
    answer = await browser.post("/account/password", data={"new": PASSWORD})
    assert answer.status_code == 303, answer.text


async def log_in(browser: httpx2.AsyncClient, name: str, **fields: str) -> httpx2.Response:
    return await browser.post("/login", data={"account": name, "password": PASSWORD, **fields})


@pytest.mark.hazard("H13")
async def test_a_one_time_link_is_good_once(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path) as review:
        await review.ask("account_add", account="ann", roles=["reviewer"])
        made = await review.ask("login_link", account="ann")
        browser, path = review.browser(), f"/login/link/{made['secret']}"
        assert (await browser.get(path)).status_code == 200, "looking at it uses nothing up"
        assert (await browser.post(path)).status_code == 303
        assert (await browser.get("/account")).status_code == 200
        other = review.browser()
        assert (await other.post(path)).status_code == 403
        assert (await other.get("/account")).status_code == 303


async def test_a_second_link_makes_the_first_one_worthless(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path) as review:
        await review.ask("account_add", account="ann", roles=["reviewer"])
        first = await review.ask("login_link", account="ann")
        await review.ask("login_link", account="ann")
        assert (await review.browser().post(f"/login/link/{first['secret']}")).status_code == 403


async def test_a_password_logs_in_and_a_wrong_one_does_not(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path) as review:
        await with_password(review, "ann", Role.REVIEWER)
        browser = review.browser()
        assert (await log_in(browser, "ann", password=PASSWORD + "x")).status_code == 403
        assert SESSION_COOKIE not in browser.cookies
        answer = await log_in(browser, " Ann ", next="/account")
        assert (answer.status_code, answer.headers["location"]) == (303, "/account")
        assert (await browser.get("/account")).status_code == 200


async def test_a_wrong_name_a_wrong_password_and_a_disabled_account_look_the_same(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path) as review:
        await with_password(review, "ann", Role.REVIEWER)
        await with_password(review, "bob", Role.REVIEWER)
        await review.ask("account_change", account="bob", is_disabled=True)
        answers = [
            await log_in(review.browser(), "nobody"),
            await log_in(review.browser(), "ann", password="wrong"),
            await log_in(review.browser(), "bob"),
        ]
        assert len({(answer.status_code, answer.text) for answer in answers}) == 1


@pytest.mark.hazard("H14")
async def test_a_failed_login_is_audited_without_what_was_typed_into_the_wrong_field(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path) as review:
        await with_password(review, "ann", Role.REVIEWER)
        await log_in(review.browser(), "my-secret-password")
        await log_in(review.browser(), "ann", password="wrong")
        failed = await review.audit("login_failed")
        assert [row["account"] for row in failed] == ["unknown", "ann"]
        assert failed[0]["address"] == "192.0.2.10"


async def test_a_login_and_a_logout_are_audited_with_method_and_roles(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path) as review:
        browser = await review.person("ann", Role.REVIEWER, Role.LEAD)
        opened = (await review.audit("session_opened"))[-1]
        assert (opened["account"], opened["method"], opened["roles"]) == ("ann", "link", ["lead", "reviewer"])
        answer = await browser.post("/logout")
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        assert "storage" in answer.headers["clear-site-data"]
        ended = (await review.audit("session_ended"))[-1]
        assert (ended["actor"], ended["reason"]) == ("user:ann", "logout")


async def test_an_account_with_a_second_factor_needs_a_code_and_a_code_counts_once(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path) as review:
        await with_password(review, "ann", Role.REVIEWER)
        secret = pyotp.random_base32()
        browser = await review.logged_in("ann")
        code = pyotp.TOTP(secret).at(review.clock.at)
        assert (await browser.post("/account/totp", data={"secret": secret, "code": "000000"})).status_code == 422
        assert (await browser.post("/account/totp", data={"secret": secret, "code": code})).status_code == 303
        assert (await log_in(review.browser(), "ann")).status_code == 403
        assert (await log_in(review.browser(), "ann", code=code)).status_code == 303
        assert (await log_in(review.browser(), "ann", code=code)).status_code == 403


async def test_guessing_is_slowed_down_for_the_account_and_nobody_is_locked_out(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path) as review:
        await with_password(review, "ann", Role.REVIEWER)
        for number in range(FREE_FAILURES):
            assert (
                await log_in(review.browser(client=f"198.51.100.{number}"), "ann", password="no")
            ).status_code == 403
        throttled = await log_in(review.browser(client="198.51.100.99"), "ann")
        assert throttled.status_code == 429
        assert int(throttled.headers["retry-after"]) >= 1
        review.clock.forward(seconds=WAIT_SECONDS_MAX)
        assert (await log_in(review.browser(client="198.51.100.99"), "ann")).status_code == 303


def test_a_wait_doubles_up_to_a_minute_and_is_forgotten() -> None:
    now = [0.0]
    throttle = Throttle(lambda: now[0])
    waits = []
    for _ in range(FREE_FAILURES + 8):
        throttle.failed(["a"])
        waits.append(throttle.wait_seconds(["a", "b"]))
    assert waits[FREE_FAILURES - 2 : FREE_FAILURES + 2] == [0.0, 1.0, 2.0, 4.0]
    assert waits[-1] == WAIT_SECONDS_MAX
    assert throttle.wait_seconds(["b"]) == 0.0
    now[0] = QUIET_SECONDS
    assert throttle.wait_seconds(["a"]) == 0.0


@pytest.mark.parametrize(
    ("password", "is_good"),
    [("short", False), ("a" * 11 + "b", False), ("ann-is-my-name-7", False), ("x" * 129, False), (PASSWORD, True)],
)
def test_a_new_password_is_long_and_not_the_name(password: str, is_good: bool) -> None:
    assert (password_problem(password, account="ann") is None) is is_good


async def test_a_new_password_needs_the_old_one_unless_a_link_let_the_person_in(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path) as review:
        await with_password(review, "ann", Role.REVIEWER)
        browser = review.browser()
        await log_in(browser, "ann")
        new = {"new": "another long password"}
        assert (await browser.post("/account/password", data={**new, "old": "wrong"})).status_code == 422
        assert (await browser.post("/account/password", data={**new, "old": PASSWORD})).status_code == 303
        assert (await browser.get("/account")).status_code == 303, "a new password ends every session"
        assert (await log_in(review.browser(), "ann")).status_code == 403


@pytest.mark.parametrize(
    "target", ["https://evil.test/", "//evil.test", "/\\evil.test", "javascript:alert(1)", "", "x", "/a\nb"]
)
def test_a_login_leads_to_our_own_pages_only(target: str) -> None:
    assert safe_target(target) == "/start"


def test_a_login_leads_back_to_where_the_person_was() -> None:
    assert safe_target("/orders/7?tab=hl7") == "/orders/7?tab=hl7"


@pytest.mark.fault(51)
async def test_with_an_identity_provider_only_emergency_accounts_have_passwords_a_code_and_a_reason(
    tmp_path: Path,
) -> None:
    async with reviewed_node(tmp_path, local_users="break_glass") as review:
        await with_password(review, "ann", Role.REVIEWER)
        assert (await log_in(review.browser(), "ann")).status_code == 403
        await review.ask("account_add", account="night", roles=["reviewer"], is_break_glass=True)
        browser = await review.logged_in("night")
        await browser.post("/account/password", data={"new": PASSWORD})
        assert (await log_in(review.browser(), "night")).status_code == 403, "without a second factor it is none"
        secret, browser = pyotp.random_base32(), await review.logged_in("night")
        code = pyotp.TOTP(secret).at(review.clock.at)
        await browser.post("/account/totp", data={"secret": secret, "code": code})
        assert (await log_in(review.browser(), "night", code=code)).status_code == 422
        assert (await log_in(review.browser(), "night", code=code, reason="provider is down")).status_code == 303
        assert (await review.audit("session_opened"))[-1]["reason"] == "provider is down"
