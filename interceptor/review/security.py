"""What every answer carries and every request must pass, before any page: headers, host, size, origin.

    SecurityHeaders    on every answer, whoever made it
    HostCheck          only names of our own: a rebound name of an attacker's gets 421
    BodyLimit          a body above the limit gets 413 and is not read on
    is_own_request     whether a request that changes something comes from our own pages (CSRF)

Source: OWASP ASVS 5 (3.3, 3.4, 3.5), RELIABILITY 5.
"""

from collections.abc import Collection, Mapping
from hmac import compare_digest
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SESSION_COOKIE: Final = "__Host-session"
"""Secure, HttpOnly, for this host and all of its paths: the browser itself refuses it otherwise."""
CSRF_FIELD: Final = "csrf"
CSRF_HEADER: Final = "X-CSRF-Token"
BODY_SIZE_MAX: Final = 2 * 1024 * 1024
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_STATIC_PREFIX: Final = "/static/"
_HSTS_SECONDS: Final = 2 * 365 * 86_400

_CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class SecurityHeaders:
    """Adds the headers to every answer."""

    def __init__(self, app: ASGIApp, *, is_tls: bool) -> None:
        """*is_tls*: browsers come by https, so they may be told to come by nothing else."""
        self._app = app
        self._headers = dict(_HEADERS)
        if is_tls:
            self._headers["Strict-Transport-Security"] = f"max-age={_HSTS_SECONDS}; includeSubDomains"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_static = str(scope["path"]).startswith(_STATIC_PREFIX)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
                headers["Cache-Control"] = "public, max-age=3600" if is_static else "no-store"
            await send(message)

        await self._app(scope, receive, send_with_headers)


class HostCheck:
    """Answers only under our own names."""

    def __init__(self, app: ASGIApp, *, origins: Collection[str]) -> None:
        """*origins*: our own."""
        self._app = app
        self._hosts = frozenset(urlsplit(origin).netloc.lower() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and Headers(scope=scope).get("host", "").lower() not in self._hosts:
            refusal = PlainTextResponse("These pages have another name.\n", status_code=421)
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)


class _BodyTooLargeError(Exception):
    """A body went over the limit while it was read."""


class BodyLimit:
    """Refuses bodies above a limit, whatever their Content-Length says."""

    def __init__(self, app: ASGIApp, *, size_max: int = BODY_SIZE_MAX) -> None:
        """*size_max*: bytes."""
        self._app = app
        self._size_max = size_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        read_size, is_answered = 0, False

        async def receive_counted() -> Message:
            nonlocal read_size
            message = await receive()
            read_size += len(message.get("body", b""))
            if read_size > self._size_max:
                raise _BodyTooLargeError
            return message

        async def send_noted(message: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        stated = Headers(scope=scope).get("content-length", "0")
        try:
            if stated.isdigit() and int(stated) > self._size_max:
                raise _BodyTooLargeError
            await self._app(scope, receive_counted, send_noted)
        except _BodyTooLargeError:
            if not is_answered:
                await PlainTextResponse("This is too large.\n", status_code=413)(scope, receive, send)


def comes_from_elsewhere(headers: Mapping[str, str], origins: Collection[str]) -> bool:
    """Whether the browser says that a page of another site sent this request.

    "Origin: null" says nothing: with our own Referrer-Policy browsers send it for forms of our own pages.
    """
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and origin not in ("null", *origins)


async def is_own_request(request: Request, *, origins: Collection[str], csrf_token: str) -> bool:
    """Whether a request that changes something was made by a page of ours.

    The browser's own word (Sec-Fetch-Site, Origin) must not be against it. Where a browser says neither, the form's or
    header's token must be that of the session.
    """
    if comes_from_elsewhere(request.headers, origins):
        return False
    if request.headers.get("sec-fetch-site") == "same-origin" or request.headers.get("origin") in origins:
        return True
    token = request.headers.get(CSRF_HEADER, "") or str((await _form(request)).get(CSRF_FIELD, ""))
    return bool(csrf_token) and compare_digest(token.encode(), csrf_token.encode())


async def _form(request: Request) -> Mapping[str, Any]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind not in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return {}
    return await request.form()
