"""From a cookie, or a trusted proxy's headers, to the person behind a request.

Every request has `request.state.person`, a `Person` or None. Sessions stand in the journal's database; only the
SHA-256 of their secret does. When a session was last used is kept here and told to the node now and then, so
that reading a page writes nothing at once.

Failures: a database that cannot be read lets nobody in: the request is answered with 503 by the application.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from hmac import compare_digest
from ipaddress import ip_address, ip_network

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from interceptor.journal.account import StoredSession
from interceptor.journal.stored_form import digest_of
from interceptor.review.parts import ProxyLogin, ReviewParts
from interceptor.review.person import Person
from interceptor.review.rights import Role
from interceptor.review.security import SESSION_COOKIE

_TOUCHED_COUNT_MAX = 10_000
_SECRET_SIZE_MAX = 200
_PUBLIC_PREFIXES = ("/static/", "/healthz")


class SessionActivity:
    """When sessions were last used, as far as the database does not know it yet."""

    def __init__(self) -> None:
        self._seen: dict[bytes, datetime] = {}
        self._untold: set[bytes] = set()

    def note(self, digest: bytes, at: datetime) -> None:
        """A person did something in this session."""
        if len(self._seen) >= _TOUCHED_COUNT_MAX:
            self._seen = {known: self._seen[known] for known in self._untold if known in self._seen}
        self._seen[digest] = at
        self._untold.add(digest)

    def last_seen(self, session: StoredSession) -> datetime:
        """When the session was last used, by whichever knows better."""
        return max(session.seen_at, self._seen.get(session.digest, session.seen_at))

    def take_untold(self) -> dict[bytes, datetime]:
        """What the node has not been told; from now on it counts as told."""
        untold = {digest: self._seen[digest] for digest in self._untold if digest in self._seen}
        self._untold.clear()
        return untold

    def give_back(self, untold: Mapping[bytes, datetime]) -> None:
        """The node could not be told after all."""
        self._untold.update(untold)


def csrf_token_of(secret: str) -> str:
    """What forms of the session with this secret carry: nobody can make it who cannot read the cookie."""
    return hashlib.sha256(b"csrf:" + secret.encode("utf-8")).hexdigest()


def is_over(session: StoredSession, last_seen: datetime, *, idle_seconds: float, now: datetime) -> str | None:
    """Why a session has reached its end: "expired", "idle", or None when it has not."""
    if now >= session.expires_at:
        return "expired"
    if now >= last_seen + timedelta(seconds=idle_seconds):
        return "idle"
    return None


class SessionMiddleware:
    """Sets `request.state.person`."""

    def __init__(self, app: ASGIApp, *, parts: ReviewParts, activity: SessionActivity) -> None:
        """*activity*: noted by `guard.Guard`, compared here."""
        self._app = app
        self._parts = parts
        self._activity = activity
        self._proxy_people: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http":
            is_public = str(scope["path"]).startswith(_PUBLIC_PREFIXES)
            scope.setdefault("state", {})["person"] = None if is_public else await self._find(scope)
        await self._app(scope, receive, send)

    async def _find(self, scope: Scope) -> Person | None:
        proxy = self._parts.settings.proxy_login
        if proxy is not None and (person := proxy_person(scope, proxy)) is not None:
            await self._note_proxy_login(person)
            return person
        secret = HTTPConnection(scope).cookies.get(SESSION_COOKIE, "")
        if not secret or len(secret) > _SECRET_SIZE_MAX:
            return None
        return await self._of_session(secret)

    async def _of_session(self, secret: str) -> Person | None:
        parts, now = self._parts, self._parts.now()
        session = await parts.access.find_session(digest_of(secret.encode("utf-8")))
        if session is None:
            return None
        last_seen = self._activity.last_seen(session)
        reason = is_over(session, last_seen, idle_seconds=parts.settings.idle_seconds, now=now)
        if reason is not None:
            await parts.node.ask("session_end", session=session.digest.hex(), reason=reason)
            return None
        return Person(
            name=session.account,
            display_name=session.display_name,
            roles=frozenset(Role(role) for role in session.roles),
            method=session.method,
            session=session.digest,
            csrf_token=csrf_token_of(secret),
            is_break_glass=session.glass_until is not None and now < session.glass_until,
        )

    async def _note_proxy_login(self, person: Person) -> None:
        """The first sight of a person whom the proxy lets in is a login."""
        if person.name not in self._proxy_people:
            self._proxy_people.add(person.name)
            self._parts.tally.login("proxy")
            detail = {"method": "proxy", "roles": ",".join(sorted(person.roles))}
            await self._parts.node.ask("access_note", action="proxy_login", actor=person.name, detail=detail)


def proxy_person(scope: Scope, proxy: ProxyLogin) -> Person | None:
    """The person whom a trusted proxy vouches for; None when it is not the proxy, or names nobody with a role."""
    headers, client = Headers(scope=scope), scope.get("client")
    if not client or not is_in_networks(client[0], proxy.networks):
        return None
    if not compare_digest(headers.get(proxy.secret_header, "").encode(), proxy.secret.encode()):
        return None
    name = headers.get(proxy.user_header, "").strip().lower()
    groups = [group.strip() for group in headers.get(proxy.groups_header, "").split(",")]
    roles = frozenset(Role(role) for group in groups for role in proxy.roles.get(group, ()))
    if not name or not roles:
        return None
    token = csrf_token_of(f"{proxy.secret}:{name}")
    return Person(name=name[:64], display_name=name[:64], roles=roles, method="proxy", csrf_token=token)


def is_in_networks(address: str, networks: tuple[str, ...]) -> bool:
    """Whether an address is in one of these networks; what is no address is in none."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found in ip_network(network) for network in networks)


def client_address(scope: Scope, trusted_proxies: tuple[str, ...]) -> str:
    """The browser's address: the peer's, or what a trusted proxy in between says that it was."""
    client = scope.get("client")
    address = str(client[0]) if client else ""
    if not is_in_networks(address, trusted_proxies):
        return address
    hops = [hop.strip() for hop in Headers(scope=scope).get("x-forwarded-for", "").split(",") if hop.strip()]
    # Each proxy adds the address it saw at the end: the last one that is no proxy of ours is the browser's.
    return next((hop for hop in reversed(hops) if not is_in_networks(hop, trusted_proxies)), address)
