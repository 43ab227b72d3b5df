"""Login at an identity provider: a real one on a real socket, with real signatures, that lies in every way we know."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from joserfc.jwk import RSAKey

from interceptor.review.oidc import OidcClient, OidcSettings
from tests.support.identity_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    IdentityProvider,
    authorize_query,
    identity_provider,
)
from tests.support.node import node_of
from tests.support.review import ORIGIN, Review, review_config, review_of


@asynccontextmanager
async def place(folder: Path) -> AsyncIterator[tuple[Review, IdentityProvider]]:
    """Pages whose people come from a provider."""
    config = review_config(folder)
    async with identity_provider() as provider, httpx2.AsyncClient(timeout=10, trust_env=False) as http:
        settings = OidcSettings(
            issuer=provider.address,
            client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET,
            scope="openid profile",
            name_claim="preferred_username",
            roles_claim="groups",
            roles={"rad": ("reviewer",), "boss": ("lead",)},
            algorithms=("RS256",),
            redirect_address=f"{ORIGIN}/login/answer",
        )
        client = OidcClient(settings, http)
        async with node_of(config), review_of(config, provider=client, local_users="break_glass") as review:
            yield review, provider


async def log_in(browser: httpx2.AsyncClient, *, target: str = "/account") -> httpx2.Response:
    """Go to the provider as a browser would, and come back."""
    sent = await browser.get("/login/provider", params={"next": target})
    if sent.status_code != 303:
        return sent
    async with httpx2.AsyncClient(timeout=10, trust_env=False) as outside:
        back = await outside.get(sent.headers["location"])
    return await browser.get(back.headers["location"], headers={"Sec-Fetch-Site": "cross-site"})


async def test_a_person_of_the_provider_comes_in_with_the_roles_of_their_groups(tmp_path: Path) -> None:
    async with place(tmp_path) as (review, provider):
        provider.claims["groups"] = ["unknown", "rad", "boss"]
        browser = review.browser()
        answer = await log_in(browser)
        assert (answer.status_code, answer.headers["location"]) == (303, "/account")
        assert "Ann Test" in (await browser.get("/account")).text
        opened = (await review.audit("session_opened"))[-1]
        assert (opened["account"], opened["method"], opened["roles"]) == ("ann", "oidc", ["lead", "reviewer"])


async def test_the_provider_is_asked_with_pkce_a_nonce_and_a_state_of_this_login(tmp_path: Path) -> None:
    async with place(tmp_path) as (review, _provider):
        asked = [authorize_query((await review.browser().get("/login/provider")).headers["location"]) for _ in range(2)]
        for query in asked:
            assert (query["response_type"], query["code_challenge_method"]) == ("code", "S256")
            assert query["redirect_uri"] == f"{ORIGIN}/login/answer"
        for name in ("state", "nonce", "code_challenge"):
            assert asked[0][name] != asked[1][name]
            assert len(asked[0][name]) >= 43


def other_key(provider: IdentityProvider) -> None:
    provider.signing_key = RSAKey.generate_key(2048, parameters={"kid": "k1"})


def shared_secret(provider: IdentityProvider) -> None:
    """The public key taken for a shared secret: the classic confusion of algorithms."""
    provider.header = {"alg": "HS256", "kid": "k1"}


def unsigned(provider: IdentityProvider) -> None:
    provider.unsigned = True


def other_algorithm(provider: IdentityProvider) -> None:
    provider.header = {"alg": "RS512", "kid": "k1"}


def claims(**changed: Any) -> Callable[[IdentityProvider], None]:
    def lie(provider: IdentityProvider) -> None:
        provider.claims.update(changed)

    return lie


@pytest.mark.hazard("H13")
@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (other_key, "bad_token"),
        (shared_secret, "bad_token"),
        (unsigned, "bad_token"),
        (other_algorithm, "bad_token"),
        (claims(iss="https://evil.test"), "bad_token"),
        (claims(aud="somebody-else"), "bad_token"),
        (claims(exp=1_000_000_000), "bad_token"),
        (claims(nonce="another"), "bad_token"),
        (claims(at_hash="AAAA"), "bad_token"),
        (claims(groups=["nobody"]), "no_roles"),
        (claims(groups=[]), "no_roles"),
    ],
)
async def test_a_token_that_is_not_what_it_should_be_lets_nobody_in_and_is_audited(
    tmp_path: Path, lie: Callable[[IdentityProvider], None], reason: str
) -> None:
    async with place(tmp_path) as (review, provider):
        lie(provider)
        browser = review.browser()
        assert (await log_in(browser)).status_code == 403
        assert (await browser.get("/account")).status_code == 303
        assert (await review.audit("login_failed"))[-1]["reason"] == reason


@pytest.mark.hazard("H13")
async def test_an_answer_for_a_login_that_this_browser_did_not_begin_is_refused(tmp_path: Path) -> None:
    async with place(tmp_path) as (review, _provider):
        attacker, victim = review.browser(), review.browser()
        sent = await attacker.get("/login/provider")
        async with httpx2.AsyncClient(timeout=10, trust_env=False) as outside:
            back = await outside.get(sent.headers["location"])
        assert (await victim.get(back.headers["location"])).status_code == 403
        assert (await attacker.get(back.headers["location"])).status_code == 403, "a state is good once"


async def test_new_keys_of_the_provider_are_fetched_when_a_token_needs_them(tmp_path: Path) -> None:
    async with place(tmp_path) as (review, provider):
        assert (await log_in(review.browser())).status_code == 303
        provider.key = RSAKey.generate_key(2048, parameters={"kid": "k2"})
        provider.header = {"alg": "RS256", "kid": "k2"}
        client = review.parts.provider
        assert client is not None
        client._keys = (client._monotonic() - 60.0, client._keys[1]) if client._keys else None
        assert (await log_in(review.browser())).status_code == 303


@pytest.mark.fault(51)
async def test_a_provider_that_is_away_ends_no_session_and_the_page_says_what_works(tmp_path: Path) -> None:
    async with place(tmp_path) as (review, provider):
        inside = review.browser()
        await log_in(inside)
        provider.is_broken = True
        assert review.parts.provider is not None
        review.parts.provider._discovered = None
        answer = await log_in(review.browser())
        assert answer.status_code == 503
        assert "emergency accounts work" in answer.text
        assert "Emergency account" in answer.text
        assert (await inside.get("/account")).status_code == 200
