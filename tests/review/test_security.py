"""One test per line of the header list, the CSRF rules, the host, the size of a body, and the trusted proxy."""

from pathlib import Path

import pytest

from interceptor.review.parts import ProxyLogin
from interceptor.review.rights import Role
from interceptor.review.security import BODY_SIZE_MAX, SESSION_COOKIE
from tests.support.review import ORIGIN, Review, reviewed_node

PAGES = ("/login", "/", "/nothing", "/static/plain.css", "/healthz")


@pytest.mark.hazard("H13")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("strict-transport-security", "max-age=63072000; includeSubDomains"),
    ],
)
async def test_every_answer_carries_the_header(tmp_path: Path, name: str, value: str) -> None:
    async with reviewed_node(tmp_path) as review:
        browser = review.browser()
        for path in PAGES:
            assert (await browser.get(path)).headers[name] == value, path


@pytest.mark.parametrize(
    "directive",
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    ],
)
async def test_the_content_security_policy_lets_nothing_in_but_our_own_files(tmp_path: Path, directive: str) -> None:
    async with reviewed_node(tmp_path) as review:
        for path in PAGES:
            policy = (await review.browser().get(path)).headers["content-security-policy"]
            assert directive in policy.split("; ")
            assert "unsafe" not in policy


async def test_without_tls_browsers_are_not_told_to_insist_on_it(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path, is_tls=False) as review:
        assert "strict-transport-security" not in (await review.browser().get("/login")).headers


@pytest.mark.hazard("H14")
async def test_no_page_is_kept_by_a_browser_or_a_proxy(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path) as review:
        browser = await review.person("ann", Role.REVIEWER)
        for path in ("/", "/account", "/login"):
            assert (await browser.get(path)).headers["cache-control"] == "no-store"


async def test_a_sessions_cookie_is_the_hosts_alone_secure_and_out_of_reach_of_scripts(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path) as review:
        await review.ask("account_add", account="ann", roles=["reviewer"])
        made = await review.ask("login_link", account="ann")
        cookie = (await review.browser().post(f"/login/link/{made['secret']}")).headers["set-cookie"]
        assert cookie.startswith(f"{SESSION_COOKIE}=")
        parts = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert parts == {"httponly", "path=/", "samesite=lax", "secure"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.test"},
        {"Sec-Fetch-Site": "", "Origin": "https://evil.test"},
        {"Sec-Fetch-Site": "none"},
    ],
)
@pytest.mark.hazard("H13")
async def test_a_request_from_another_sites_page_changes_nothing_and_is_audited(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    async with reviewed_node(tmp_path) as review:
        browser = await review.person("ann", Role.REVIEWER)
        assert (await browser.post("/logout", headers=headers)).status_code == 403
        assert (await review.audit("access_refused"))[-1]["refused"] == "cross_site"
        assert (await browser.get("/account")).status_code == 200


async def token_of(review: Review) -> tuple[str, str]:
    """The cookie of somebody who is logged in, and the token in their forms."""
    browser = await review.person("ann", Role.REVIEWER)
    page = (await browser.get("/account")).text
    return browser.cookies[SESSION_COOKIE], page.partition('name="csrf" value="')[2].partition('"')[0]


@pytest.mark.parametrize("place", ["form", "header"])
async def test_a_browser_that_says_nothing_of_the_origin_shows_the_forms_token(tmp_path: Path, place: str) -> None:
    async with reviewed_node(tmp_path) as review:
        cookie, token = await token_of(review)
        transport = review.browser()
        del transport.headers["sec-fetch-site"]
        transport.headers["cookie"] = f"{SESSION_COOKIE}={cookie}"
        assert (await transport.post("/logout")).status_code == 403
        assert (await transport.post("/logout", data={"csrf": "0" * 64})).status_code == 403
        data = {"csrf": token} if place == "form" else {}
        headers = {"X-CSRF-Token": token} if place == "header" else {}
        assert (await transport.post("/logout", data=data, headers=headers)).status_code == 303


async def test_a_form_of_ours_whose_origin_the_browser_hides_is_ours(tmp_path: Path) -> None:
    """With Referrer-Policy no-referrer browsers send "Origin: null" with our own forms."""
    async with reviewed_node(tmp_path) as review:
        browser = await review.person("ann", Role.REVIEWER)
        assert (await browser.post("/logout", headers={"Origin": "null"})).status_code == 303


@pytest.mark.parametrize("path", ["/logout", "/account/password", "/account/totp"])
async def test_nothing_is_changed_by_a_get(tmp_path: Path, path: str) -> None:
    async with reviewed_node(tmp_path) as review:
        browser = await review.person("ann", Role.REVIEWER)
        assert (await browser.get(path)).status_code == 405


async def test_under_a_name_that_is_not_ours_there_is_nothing(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path) as review:
        answer = await review.browser().get("/login", headers={"Host": "rebound.evil.test"})
        assert answer.status_code == 421


async def test_a_body_above_the_limit_is_refused_whatever_its_length_says(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path) as review:
        browser = await review.person("ann", Role.REVIEWER)
        body = b"new=" + b"x" * BODY_SIZE_MAX
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        assert (await browser.post("/account/password", content=body, headers=headers)).status_code == 413

        async def chunks() -> object:
            for _ in range(5):
                yield b"x" * (BODY_SIZE_MAX // 4)

        # The form's own limit may be met first.
        answer = await browser.post("/account/password", content=chunks(), headers=headers)  # type: ignore[arg-type]  # an async iterable of bytes
        assert answer.status_code in (400, 413)


PROXY = ProxyLogin(
    networks=("10.0.0.0/8",),
    secret="shared",
    secret_header="X-Secret",
    user_header="X-User",
    groups_header="X-Groups",
    roles={"rad": ("reviewer",)},
)
SAID = {"X-Secret": "shared", "X-User": "Ann", "X-Groups": "other, rad"}


async def test_a_trusted_proxys_word_is_a_login_and_is_audited_once(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path, proxy_login=PROXY) as review:
        browser = review.browser(client="10.1.2.3", **SAID)
        for _ in range(2):
            assert (await browser.get("/account")).status_code == 200
        (noted,) = await review.audit("proxy_login")
        assert (noted["actor"], noted["roles"]) == ("user:ann", "reviewer")


@pytest.mark.hazard("H13")
@pytest.mark.parametrize(
    ("client", "headers"),
    [
        ("192.0.2.1", SAID),
        ("10.1.2.3", {**SAID, "X-Secret": "wrong"}),
        ("10.1.2.3", {**SAID, "X-Groups": "other"}),
        ("10.1.2.3", {**SAID, "X-User": ""}),
    ],
)
async def test_the_same_headers_from_elsewhere_or_without_the_secret_are_nobody(
    tmp_path: Path, client: str, headers: dict[str, str]
) -> None:
    async with reviewed_node(tmp_path, proxy_login=PROXY) as review:
        assert (await review.browser(client=client, **headers).get("/account")).status_code == 303


async def test_our_own_address_is_the_one_that_people_type(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path) as review:
        assert review.parts.settings.origins[0] == ORIGIN
