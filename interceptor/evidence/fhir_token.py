"""The Authorization header of a FHIR server: none, a fixed bearer token, or SMART backend services.

Backend services: we sign a short-lived assertion with our private key, the token endpoint gives an access token for
it. The token is kept until shortly before it expires; callers that come meanwhile wait for one request, not many.
A token that the server refuses is forgotten, so that the next question brings a new one.

Failures: an endpoint that refuses or answers nonsense is `token_refused`, one that is away `unreachable` or
`timed_out`. After a failure the endpoint is left alone for a moment.

Source: SMART App Launch 2.2, Backend Services and "Client authentication: asymmetric (public key)": RS384 or ES384,
aud = token endpoint, exp at most five minutes ahead, jti never twice.
"""

import asyncio
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import uuid4

import httpx2
from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, RSAKey, import_key

from interceptor.evidence.fhir_failure import FhirFailure, FhirReason
from interceptor.evidence.fhir_http import read_content, read_object

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_SECONDS = 240
_EXPIRES_SECONDS_DEFAULT = 300.0
"""Where the endpoint does not say; the profile recommends at most five minutes."""
_EARLY_SECONDS = 30.0
"""A token is renewed so long before its end: clocks differ and requests take time."""
_REST_SECONDS = 2.0
_TOKEN_SIZE_MAX = 65_536


class KeyProblem(ValueError):  # noqa: N818 - what `interceptor check` calls it
    """The private key cannot be used; the text says why and never quotes it."""


class NoLogin:
    """The server asks for no token; a client certificate may stand in for it."""

    async def header(self) -> None:
        """No header."""
        return

    def refused(self, header: str) -> bool:
        """There is nothing else to try."""
        del header
        return False


class StaticBearer:
    """A token that somebody issued by hand."""

    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    async def header(self) -> str:
        """Always the same."""
        return self._header

    def refused(self, header: str) -> bool:
        """There is nothing else to try."""
        del header
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendClient:
    """Who we are to the token endpoint.

    Attributes:
        token_url: The endpoint; also the assertion's audience.
        client_id: As registered.
        key: Private key: RSA of 2048 bits or more, or P-384.
        algorithm: RS384 or ES384, as the key is.
        key_id: `kid` of the public key at the server; "" for none.
        scope: E.g. "system/*.rs".
    """

    token_url: str
    client_id: str
    key: RSAKey | ECKey
    algorithm: str
    key_id: str
    scope: str


def read_private_key(content: bytes) -> tuple[RSAKey | ECKey, str]:
    """A private key from PEM or JWK, and the algorithm that it signs with.

    Raises:
        KeyProblem: It is neither, public, too short or on another curve.
    """
    key = _imported(content.strip())
    if not key.is_private:
        raise KeyProblem("is a public key; the private one is needed to sign")
    if isinstance(key, ECKey):
        if key.curve_name != "P-384":
            raise KeyProblem("is not on curve P-384, which ES384 needs")
        return key, "ES384"
    if key.raw_value.key_size < 2048:
        raise KeyProblem("is an RSA key of fewer than 2048 bits")
    return key, "RS384"


def _imported(content: bytes) -> RSAKey | ECKey:
    # What went wrong inside quotes the key: none of it is told, nor warned of.
    kinds: tuple[Literal["EC", "RSA"], ...] = ("EC", "RSA")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        for kind in kinds:
            try:
                key = import_key(json.loads(content) if content.startswith(b"{") else content, kind)
            except (JoseError, ValueError, TypeError, KeyError):
                continue
            if isinstance(key, RSAKey | ECKey):
                return key
    raise KeyProblem("is no private RSA or EC key as PEM or JWK")


class BackendToken:
    """Tokens by SMART backend services."""

    def __init__(
        self,
        client: httpx2.AsyncClient,
        identity: BackendClient,
        *,
        seconds_max: float,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        """*seconds_max*: how long the endpoint may take."""
        self._client = client
        self._identity = identity
        self._seconds_max = seconds_max
        self._now = now
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._header: str | None = None
        self._good_until = 0.0
        self._failure: FhirFailure | None = None
        self._rest_until = 0.0
        self.request_count = 0

    async def header(self) -> str:
        """A token that is good for a while yet.

        Raises:
            FhirFailure: The endpoint gives none, or gave none a moment ago.
        """
        async with self._lock:
            now = self._monotonic()
            if self._header is not None and now < self._good_until:
                return self._header
            if self._failure is not None and now < self._rest_until:
                raise FhirFailure(self._failure.reason)
            try:
                token, seconds = await self._fetch()
            except FhirFailure as failure:
                self._failure = failure
                self._rest_until = self._monotonic() + _REST_SECONDS
                raise
            self._failure = None
            self._header = f"Bearer {token}"
            # A token that lives shorter than the margin is used for half its life.
            self._good_until = self._monotonic() + max(seconds - _EARLY_SECONDS, seconds / 2)
            return self._header

    def refused(self, header: str) -> bool:
        """Forget the token, unless somebody else has got a new one meanwhile."""
        if self._header == header:
            self._header = None
        return True

    async def _fetch(self) -> tuple[str, float]:
        self.request_count += 1
        form = {
            "grant_type": "client_credentials",
            "scope": self._identity.scope,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.assertion(),
        }
        try:
            async with (
                asyncio.timeout(self._seconds_max),
                self._client.stream(
                    "POST", self._identity.token_url, data=form, headers={"accept": "application/json"}
                ) as response,
            ):
                if response.status_code >= 500:
                    raise FhirFailure(FhirReason.SERVER_ERROR)
                if response.status_code != 200:
                    raise FhirFailure(FhirReason.TOKEN_REFUSED)
                content = await read_content(response, size_max=_TOKEN_SIZE_MAX)
        except (TimeoutError, httpx2.TimeoutException):
            raise FhirFailure(FhirReason.TIMED_OUT) from None
        except httpx2.HTTPError:
            raise FhirFailure(FhirReason.UNREACHABLE) from None
        return _read_token(content)

    def assertion(self) -> str:
        """A signed statement of who we are, good for four minutes, never the same twice."""
        identity = self._identity
        issued = int(self._now().timestamp())
        header = {"alg": identity.algorithm, "typ": "JWT"} | ({"kid": identity.key_id} if identity.key_id else {})
        claims = {
            "iss": identity.client_id,
            "sub": identity.client_id,
            "aud": identity.token_url,
            "iat": issued,
            "exp": issued + _ASSERTION_SECONDS,
            "jti": uuid4().hex,
        }
        return jwt.encode(header, claims, identity.key, algorithms=[identity.algorithm])


def _read_token(content: bytes) -> tuple[str, float]:
    try:
        answer = read_object(content, depth_max=8)
    except FhirFailure:
        raise FhirFailure(FhirReason.TOKEN_REFUSED) from None
    token, seconds = answer.get("access_token"), answer.get("expires_in", _EXPIRES_SECONDS_DEFAULT)
    is_bearer = str(answer.get("token_type", "bearer")).lower() == "bearer"
    # What is not of these characters is no token (RFC 6750 2.1), and could smuggle a header.
    is_plain = isinstance(token, str) and token.isascii() and token.isprintable() and " " not in token
    if not token or not is_bearer or not is_plain:
        raise FhirFailure(FhirReason.TOKEN_REFUSED)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        seconds = _EXPIRES_SECONDS_DEFAULT
    return str(token), min(float(seconds), 86_400.0)
