"""Login at an OpenID Connect provider: authorization code with PKCE, nonce and state.

    start(...)     where to send the browser, and what to remember until it comes back
    finish(...)    the code for an identity token; signature, issuer, audience, times, nonce and at_hash checked

The provider's addresses come from its discovery document, its keys from its key set; both are kept for a while, and keys
are fetched anew when a token is signed with one that is not known. Only the configured signature algorithms are taken,
never "none" and never a shared secret.

Failures: every one is an `OidcFailure` with a word of a closed set. A provider that is away ends no session that
there is.

Source: OpenID Connect Core 1.0, 3.1; RFC 7636 (PKCE); RFC 9700 (best current practice).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Any, Final

import httpx2
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

_KEEP_SECONDS: Final = 3600.0
_KEYS_AGAIN_SECONDS: Final = 10.0
_ANSWER_SIZE_MAX: Final = 1024 * 1024
_LEEWAY_SECONDS: Final = 30
_ADDRESSES: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class OidcFailure(Exception):  # noqa: N818 - named as what it is
    """The login did not succeed.

    Attributes:
        reason: unreachable, bad_discovery, refused, bad_token, no_roles.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcSettings:
    """What a site says of its provider; see [review.oidc]."""

    issuer: str
    client_id: str
    client_secret: str
    scope: str
    name_claim: str
    roles_claim: str
    roles: Mapping[str, tuple[str, ...]]
    algorithms: Sequence[str]
    redirect_address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginAttempt:
    """What is remembered while the browser is at the provider."""

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whom the provider vouches for."""

    name: str
    display_name: str
    roles: tuple[str, ...]


class OidcClient:
    """One provider."""

    def __init__(
        self, settings: OidcSettings, http: httpx2.AsyncClient, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """*http* has its time-out and certificates, and follows no redirects."""
        self._settings = settings
        self._http = http
        self._monotonic = monotonic
        self._discovered: tuple[float, Mapping[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None

    async def start(self) -> tuple[str, LoginAttempt]:
        """Where to send the browser, and what to remember.

        Raises:
            OidcFailure: The provider's addresses cannot be had.
        """
        settings, places = self._settings, await self._discover()
        attempt = LoginAttempt(state=token_urlsafe(32), nonce=token_urlsafe(32), verifier=token_urlsafe(48))
        address = prepare_grant_uri(
            places["authorization_endpoint"],
            client_id=settings.client_id,
            response_type="code",
            redirect_uri=settings.redirect_address,
            scope=settings.scope,
            state=attempt.state,
            nonce=attempt.nonce,
            code_challenge=create_s256_code_challenge(attempt.verifier),
            code_challenge_method="S256",
        )
        return str(address), attempt

    async def finish(self, code: str, attempt: LoginAttempt) -> Identity:
        """The person whom the provider's answer names.

        Raises:
            OidcFailure: The provider is away, refuses the code, or its token is not what it should be.
        """
        settings, places = self._settings, await self._discover()
        body = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": settings.redirect_address,
            "code_verifier": attempt.verifier,
            "client_id": settings.client_id,
        }
        login = (settings.client_id, settings.client_secret) if settings.client_secret else None
        answer = await self._ask("POST", places["token_endpoint"], data=body, auth=login)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise OidcFailure("refused")
        claims = await self._claims(token, attempt, access_token=str(answer.get("access_token", "")))
        return self._identity(claims)

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        settings = self._settings
        groups = claims.get(settings.roles_claim, ())
        names = [groups] if isinstance(groups, str) else [one for one in groups if isinstance(one, str)]
        roles = sorted({role for name in names for role in settings.roles.get(name, ())})
        if not roles:
            raise OidcFailure("no_roles")
        name = str(claims.get(settings.name_claim) or claims["sub"]).strip().lower()
        return Identity(name=name, display_name=str(claims.get("name") or name), roles=tuple(roles))

    async def _claims(self, token: str, attempt: LoginAttempt, *, access_token: str) -> Mapping[str, Any]:
        """The claims of an identity token that passes every check."""
        settings = self._settings
        try:
            decoded = await self._decode(token)
            claims = CodeIDToken(
                decoded.claims,
                decoded.header,
                options={
                    "iss": {"essential": True, "value": settings.issuer},
                    "aud": {"essential": True, "value": settings.client_id},
                },
                params={"nonce": attempt.nonce, "client_id": settings.client_id, "access_token": access_token},
            )
            claims.validate(leeway=_LEEWAY_SECONDS)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise OidcFailure("bad_token") from error
        return dict(claims)

    async def _decode(self, token: str) -> jwt.Token:
        try:
            return jwt.decode(token, await self._key_set(), algorithms=list(self._settings.algorithms))
        except (JoseError, ValueError):
            # The provider may have changed its keys since we asked for them.
            return jwt.decode(token, await self._key_set(anew=True), algorithms=list(self._settings.algorithms))

    async def _key_set(self, *, anew: bool = False) -> KeySet:
        now, age_max = self._monotonic(), _KEYS_AGAIN_SECONDS if anew else _KEEP_SECONDS
        if self._keys is None or now - self._keys[0] >= age_max:
            places = await self._discover()
            document: Any = await self._ask("GET", places["jwks_uri"])
            self._keys = (now, KeySet.import_key_set(document))
        return self._keys[1]

    async def _discover(self) -> Mapping[str, Any]:
        now = self._monotonic()
        if self._discovered is None or now - self._discovered[0] >= _KEEP_SECONDS:
            issuer = self._settings.issuer
            document = await self._ask("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            is_whole = all(isinstance(document.get(name), str) for name in _ADDRESSES)
            if document.get("issuer") != issuer or not is_whole:
                raise OidcFailure("bad_discovery")
            self._discovered = (now, document)
        return self._discovered[1]

    async def _ask(self, method: str, address: str, **options: Any) -> Mapping[str, Any]:
        try:
            answer = await self._http.request(method, address, **options)
        except httpx2.HTTPError as error:
            raise OidcFailure("unreachable") from error
        if answer.status_code >= 500:
            raise OidcFailure("unreachable")
        if answer.status_code != 200 or len(answer.content) > _ANSWER_SIZE_MAX:
            raise OidcFailure("refused")
        try:
            document = answer.json()
        except ValueError as error:
            raise OidcFailure("refused") from error
        if not isinstance(document, dict):
            raise OidcFailure("refused")
        return document
