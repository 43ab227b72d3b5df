"""Who calls the CDS service: the signed token that a CDS client sends with each request.

The client signs a short-lived JWT with its own key. We know its public keys from a file, by its issuer; nothing is
fetched from an address that a token names (`jku` is ignored), and nothing but ES384 and RS384 is accepted.

Failures: every one is a `ClientRefused` with a reason of a closed set; the answer is 401 and says no more.

Source: CDS Hooks 2.0, "Trusting CDS Clients"; RFC 7519; RFC 8725 (algorithm allow-list, audience, one use).
"""

import json
from base64 import urlsafe_b64decode
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

ALGORITHMS: Final = ("ES384", "RS384")
LIFE_SECONDS_MAX: Final = 300
"""A token that is good for longer than five minutes is refused, as the standard asks for."""
SKEW_SECONDS: Final = 30
SEEN_COUNT_MAX: Final = 10_000
"""Token ids that are remembered; at 30 signings a second that is the whole life of a token."""

Refusal = Literal["no_token", "bad_token", "unknown_issuer", "wrong_audience", "expired", "too_long", "used_before"]


class ClientRefused(Exception):  # noqa: N818 - an answer, not a fault
    """The caller is nobody that we know; `reason` is of the closed set."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason)
        self.reason: Refusal = reason


class KeySetError(ValueError):
    """A file of public keys cannot be used; says why without quoting it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CdsClient:
    """One CDS client: its name in the audit trail, its issuer (`iss`) and its public keys."""

    name: str
    issuer: str
    keys: KeySet


def read_key_set(path: Path) -> KeySet:
    """The public keys of a JWK Set file.

    Raises:
        KeySetError: No such file, no JWK Set, or a private key in it.
        OSError: It cannot be read.
    """
    try:
        document = json.loads(path.read_bytes())
        keys = KeySet.import_key_set(document)
    except (ValueError, TypeError, KeyError, JoseError):
        raise KeySetError("is no JWK Set with a key in it") from None
    if any(key.is_private for key in keys.keys):
        raise KeySetError("has a private key: the client keeps that to itself")
    return keys


class ClientCheck:
    """Checks tokens against the clients that are configured."""

    def __init__(self, clients: Mapping[str, CdsClient], *, audience: str) -> None:
        """*clients* by issuer; *audience* is the address of our service as clients call it, without a final slash."""
        self._clients = clients
        self._audience = audience
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()

    def check(self, authorization: str, *, now: datetime) -> CdsClient:
        """The client that sent this header.

        Args:
            authorization: The Authorization header, "" for none.
            now: Aware.

        Raises:
            ClientRefused: It is not one that we know, or its token is not good.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise ClientRefused("no_token")
        client, claims = self._read(token.strip())
        self._judge_time(claims, now.timestamp())
        audience = claims.get("aud")
        named = [audience] if isinstance(audience, str) else audience if isinstance(audience, list) else []
        if not any(isinstance(one, str) and self._is_ours(one) for one in named):
            raise ClientRefused("wrong_audience")
        self._use_once(client, claims.get("jti"))
        return client

    def _read(self, token: str) -> tuple[CdsClient, Mapping[str, Any]]:
        client = self._clients.get(_issuer_stated(token))
        if client is None:
            raise ClientRefused("unknown_issuer")
        try:
            return client, jwt.decode(token, client.keys, algorithms=list(ALGORITHMS)).claims
        except (JoseError, ValueError, TypeError, KeyError):
            raise ClientRefused("bad_token") from None

    def _is_ours(self, audience: str) -> bool:
        return audience == self._audience or audience.startswith(f"{self._audience}/")

    @staticmethod
    def _judge_time(claims: Mapping[str, Any], now: float) -> None:
        issued, expires = claims.get("iat"), claims.get("exp")
        if not isinstance(issued, int | float) or not isinstance(expires, int | float):
            raise ClientRefused("bad_token")
        if now > expires + SKEW_SECONDS or issued > now + SKEW_SECONDS:
            raise ClientRefused("expired")
        if expires - issued > LIFE_SECONDS_MAX:
            raise ClientRefused("too_long")

    def _use_once(self, client: CdsClient, token_id: object) -> None:
        if not isinstance(token_id, str) or not token_id:
            raise ClientRefused("bad_token")
        key = (client.issuer, token_id)
        if key in self._seen:
            raise ClientRefused("used_before")
        self._seen[key] = None
        if len(self._seen) > SEEN_COUNT_MAX:
            self._seen.popitem(last=False)


def _issuer_stated(token: str) -> str:
    """What the token says of its issuer, before anything of it is believed: only to find the keys."""
    parts = token.split(".")
    if len(parts) != len(("header", "claims", "signature")):
        raise ClientRefused("bad_token")
    try:
        claims = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        raise ClientRefused("bad_token") from None
    issuer = claims.get("iss") if isinstance(claims, dict) else None
    return issuer if isinstance(issuer, str) else ""
