"""An OpenID Connect provider of our own, with real keys and signed tokens, on a real socket; it lies as a test wants."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from interceptor.review.process import bind, serving

CLIENT_ID = "interceptor"
CLIENT_SECRET = "a secret of the test"


class IdentityProvider:
    """Whom it vouches for, and how it lies."""

    def __init__(self) -> None:
        self.address = ""
        self.key = RSAKey.generate_key(2048, parameters={"kid": "k1"})
        self.claims: dict[str, Any] = {"sub": "u1", "preferred_username": "Ann", "name": "Ann Test", "groups": ["rad"]}
        self.header: dict[str, Any] = {"alg": "RS256", "kid": "k1"}
        self.signing_key: Any = None
        self.is_broken = False
        self.unsigned = False
        self.requests: list[dict[str, str]] = []
        self._codes: dict[str, dict[str, str]] = {}

    def app(self) -> Starlette:
        """Its pages."""
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._discovery),
                Route("/keys", self._keys),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
            ]
        )

    async def _discovery(self, request: Request) -> Response:
        if self.is_broken:
            return JSONResponse({}, status_code=503)
        return JSONResponse(
            {
                "issuer": self.address,
                "authorization_endpoint": f"{self.address}/authorize",
                "token_endpoint": f"{self.address}/token",
                "jwks_uri": f"{self.address}/keys",
            }
        )

    async def _keys(self, request: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    async def _authorize(self, request: Request) -> Response:
        query = dict(request.query_params)
        self.requests.append(query)
        code = f"code-{len(self.requests)}"
        self._codes[code] = query
        return RedirectResponse(f"{query['redirect_uri']}?code={code}&state={query['state']}", status_code=302)

    async def _token(self, request: Request) -> Response:
        form = parse_qs((await request.body()).decode())
        asked = self._codes.pop(form["code"][0], None)
        login = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        challenge = hashlib.sha256(form["code_verifier"][0].encode()).digest()
        is_verified = asked is not None and asked["code_challenge"] == base64.urlsafe_b64encode(
            challenge
        ).decode().rstrip("=")
        if asked is None or not is_verified or request.headers.get("authorization") != f"Basic {login}":
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        now = int(time.time())
        claims = {
            "iss": self.address,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            **self.claims,
        }
        return JSONResponse({"access_token": "access", "token_type": "Bearer", "id_token": self._signed(claims)})

    def _signed(self, claims: dict[str, Any]) -> str:
        if self.unsigned:
            return _joined({"alg": "none"}, claims) + "."
        if self.header["alg"] == "HS256":
            # By hand: no library signs with a public key as a shared secret.
            text = _joined(self.header, claims)
            return f"{text}.{_base64(hmac.digest(self.key.as_pem(private=False), text.encode(), 'sha256'))}"
        return jwt.encode(self.header, claims, self.signing_key or self.key, algorithms=[self.header["alg"]])


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _joined(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return ".".join(_base64(json.dumps(part).encode()) for part in (header, claims))


@asynccontextmanager
async def identity_provider() -> AsyncIterator[IdentityProvider]:
    """A provider on a free port of loopback."""
    provider = IdentityProvider()
    listener = bind("127.0.0.1", 0)
    provider.address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with serving(provider.app(), listener, tls=None, stopping=asyncio.Event()):
        yield provider


def authorize_query(address: str) -> dict[str, str]:
    """What a browser was sent to the provider with."""
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
