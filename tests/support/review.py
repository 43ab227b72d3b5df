"""The review pages on a running node, asked over the ASGI interface, with people who are logged in."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
from starlette.applications import Starlette

from interceptor.config.review import ReviewTable
from interceptor.config.review_secrets import read_review_secrets
from interceptor.config.schema import Config
from interceptor.journal.review_links import SqlRecordReader
from interceptor.journal.review_orders import SQLITE_WORDS, SqlOrderReader
from interceptor.journal.sqlite import journal_path
from interceptor.journal.sqlite_reader import Readers
from interceptor.review.app import build_app
from interceptor.review.credential import Passwords
from interceptor.review.node_client import Answer, NodeClient
from interceptor.review.oidc import OidcClient
from interceptor.review.parts import ReviewParts
from interceptor.review.rendering import build_templates
from interceptor.review.rights import Role
from interceptor.review.session import SessionActivity
from interceptor.review_wiring import access_reads, build_mounts, build_settings, vignette_runner
from tests.support.clinical import shipped_content
from tests.support.node import node_config, node_of

ORIGIN = "https://review.test"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.at = datetime.now(UTC)

    def now(self) -> datetime:
        return self.at

    def forward(self, **by: float) -> None:
        self.at += timedelta(**by)


@dataclass(kw_only=True)
class Review:
    """The application, its parts, and browsers on it."""

    app: Starlette
    parts: ReviewParts
    activity: SessionActivity
    clock: Clock
    config: Config
    browsers: list[httpx2.AsyncClient] = field(default_factory=list)

    def browser(self, *, client: str = "192.0.2.10", **headers: str) -> httpx2.AsyncClient:
        """A browser that is not logged in; it says that its requests come from our own pages."""
        transport = httpx2.ASGITransport(app=self.app, client=(client, 50_000))
        stated = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"} | headers
        browser = httpx2.AsyncClient(transport=transport, base_url=ORIGIN, headers=stated)
        self.browsers.append(browser)
        return browser

    async def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """A command that the node carries out."""
        reply = await self.parts.node.ask(command, **arguments)
        assert isinstance(reply, Answer), reply
        return dict(reply.result)

    async def person(self, name: str, *roles: Role, **headers: str) -> httpx2.AsyncClient:
        """A browser in which a new person with these roles is logged in, by a one-time link."""
        await self.ask("account_add", account=name, display_name=name.title(), roles=[str(role) for role in roles])
        return await self.logged_in(name, **headers)

    async def logged_in(self, name: str, **headers: str) -> httpx2.AsyncClient:
        """A browser in which somebody who has an account is logged in, by a one-time link."""
        made = await self.ask("login_link", account=name)
        browser = self.browser(**headers)
        answer = await browser.post(f"/login/link/{made['secret']}")
        assert answer.status_code == 303, answer.text
        return browser

    async def audit(self, action: str) -> list[dict[str, Any]]:
        """Details of the audit chain's links of one kind, the oldest first, with who did it."""
        query = "SELECT actor, detail FROM audit WHERE action = ? ORDER BY number"
        rows: Any = await self.parts.database.read(lambda connection: connection.execute(query, (action,)).fetchall())
        return [{"actor": actor, **json.loads(detail)} for actor, detail in rows]


def review_config(
    folder: Path, *, filler_port: int = 9, review: dict[str, Any] | None = None, **changes: Any
) -> Config:
    """A node's configuration with review pages."""
    config = node_config(folder, filler_port=filler_port, **changes)
    table = ReviewTable.model_validate(
        {"listen": "127.0.0.1:0", "public_url": ORIGIN, "processor_share": 64.0, **(review or {})}
    )
    return config.model_copy(update={"review": table})


@asynccontextmanager
async def review_of(config: Config, *, provider: OidcClient | None = None, **settings: Any) -> AsyncIterator[Review]:
    """The pages of a running node, without a server in between. *settings* replace single ones."""
    assert config.review is not None
    readers = Readers(journal_path(config.node.data_directory), vfs=None, count=2)
    clock, activity = Clock(), SessionActivity()
    built = build_settings(config, config.review, port=8440, secrets=read_review_secrets(config.review, os.environ))
    content = shipped_content()
    parts = ReviewParts(
        settings=replace(built, **{"is_tls": True, **settings}),
        node=NodeClient(config.control_socket),
        database=readers,
        reader=SqlOrderReader(readers, SQLITE_WORDS),
        records=SqlRecordReader(readers),
        content=content,
        access=access_reads(readers),
        run_vignettes=vignette_runner(config, content),
        templates=build_templates(),
        now=clock.now,
        monotonic=lambda: clock.at.timestamp(),
        passwords=Passwords(memory_kib=1024, passes=1),
        provider=provider,
    )
    app = build_app(parts, activity=activity, mounts=build_mounts(config, parts))
    review = Review(app=app, parts=parts, activity=activity, clock=clock, config=config)
    try:
        yield review
    finally:
        for browser in review.browsers:
            await browser.aclose()
        await readers.close()


@asynccontextmanager
async def reviewed_node(folder: Path, **settings: Any) -> AsyncIterator[Review]:
    """A node without traffic and its pages."""
    config = review_config(folder)
    async with node_of(config), review_of(config, **settings) as review:
        yield review
