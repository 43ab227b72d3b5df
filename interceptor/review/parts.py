"""What pages are built from: settings, the node, the database, who may come in.

A page's module has a function `routes(parts, guard)`; the composition root (`interceptor/review_wiring.py`) makes
the parts, `app.build_app` the application. Nothing is kept in globals or in the application object.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

from starlette.templating import Jinja2Templates

from interceptor.decision.clinical_content import ClinicalContent
from interceptor.journal.account import Account, StoredSession
from interceptor.journal.api_token import ApiToken
from interceptor.review.credential import Passwords
from interceptor.review.node_client import NodeClient
from interceptor.review.oidc import OidcClient
from interceptor.review.reading import OrderReader, RecordReader
from interceptor.review.tally import ReviewTally
from interceptor.review.vignette_view import RunVignettes

_T = TypeVar("_T")


class Database(Protocol):
    """The journal's database, for reading only."""

    async def read(self, work: Callable[[Any], _T]) -> _T:
        """Run *work* on a connection that cannot write, in a thread of its own.

        Raises:
            JournalUnavailable, JournalCorrupt: It cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyLogin:
    """A reverse proxy that says who the person is.

    Attributes:
        networks: Where it connects from.
        secret: What it sends to show that it is the proxy.
        roles: Group to roles.
    """

    networks: tuple[str, ...]
    secret: str
    secret_header: str
    user_header: str
    groups_header: str
    roles: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewSettings:
    """Single values of [review] and its neighbours; the keys are described in docs/reference/config.md.

    Attributes:
        origins: Where our own pages are, e.g. "https://review.example.org"; the first one is what people type.
        is_tls: Whether browsers come by https.
        routes: Names of the routes.
        banner: Words above every page, "" for none.
        processor_share: Of one processor, what reading may take for long; None for no limit.
        plain_text: Tables of lines on which patient data crosses a network unencrypted, e.g. "route.orders".
    """

    origins: tuple[str, ...]
    is_tls: bool
    trusted_proxies: tuple[str, ...]
    local_users: str
    idle_seconds: float
    undo_seconds: float
    claim_seconds: float
    snooze_seconds_max: float
    release_reasons: Mapping[str, str]
    return_reasons: Mapping[str, str]
    change_procedure: bool
    complete_spine_code: str
    routes: tuple[str, ...]
    banner: str
    plain_text: tuple[str, ...] = ()
    processor_share: float | None = None
    proxy_login: ProxyLogin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessReads:
    """What of accounts, sessions and tokens is read for each request."""

    find_session: Callable[[bytes], Awaitable[StoredSession | None]]
    find_account: Callable[[str], Awaitable[Account | None]]
    list_accounts: Callable[[], Awaitable[tuple[Account, ...]]]
    find_token: Callable[[bytes], Awaitable[ApiToken | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewParts:
    """Everything that a page may use.

    Attributes:
        reader, records: What pages read of the journal.
        content: The policy and code tables, for showing and trying them; the node decides by its own.
        now: Aware UTC.
        monotonic: Seconds, for intervals.
        passwords: Checks passwords of accounts of ours.
        provider: The identity provider; None where there is none.
        tally: What is counted for the metrics.
        stopping: Set when the process drains: streams end then.
    """

    settings: ReviewSettings
    node: NodeClient
    database: Database
    reader: OrderReader
    records: RecordReader
    content: ClinicalContent
    access: AccessReads
    run_vignettes: RunVignettes
    templates: Jinja2Templates
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    passwords: Passwords
    provider: OidcClient | None = None
    tally: ReviewTally = field(default_factory=ReviewTally)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
