"""The review process plugged together: from the configuration to pages that are served.

With `node.py` one of the places that know which part meets which: the configuration, secrets, the clock, the
database's adapter and the control socket come together here. The node is another process; what this one may do
to it are commands on the socket.

Failures: an address, a certificate or a secret that cannot be used stops the start with what is wrong.
"""

import asyncio
import logging
import os
import signal
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx2
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp

from interceptor.config.address import Address
from interceptor.config.cds_table import CdsTable
from interceptor.config.mappings import find_mappings, load_clinical_content
from interceptor.config.review import ProxyLoginTable, ReviewTable
from interceptor.config.review_secrets import ReviewSecrets, read_review_secrets
from interceptor.config.schema import Config
from interceptor.config.secret import SecretError
from interceptor.credentials import review_place
from interceptor.decision.clinical_content import ClinicalContent
from interceptor.journal import account_rows, api_token
from interceptor.journal.review_links import SqlRecordReader
from interceptor.journal.review_orders import POSTGRES_WORDS, SQLITE_WORDS, SqlOrderReader
from interceptor.journal.sql import ClosableReads, Reads
from interceptor.journal.sqlite import journal_path
from interceptor.journal.sqlite_reader import Readers
from interceptor.lifetime import first_of, running_tasks
from interceptor.line_security import find_plain_places
from interceptor.replay.vignette import read_vignettes, run_vignette
from interceptor.review.access_desk import LINK_MINUTES
from interceptor.review.api.app import build_api
from interceptor.review.app import build_app
from interceptor.review.cds_card import proposed_code
from interceptor.review.cds_client import CdsClient, ClientCheck, KeySetError, read_key_set
from interceptor.review.cds_routes import PATH as CDS_PATH
from interceptor.review.cds_routes import CdsRoutes
from interceptor.review.credential import Passwords
from interceptor.review.failure_log import FailureLog
from interceptor.review.node_client import Answer, NodeClient
from interceptor.review.oidc import OidcClient, OidcSettings
from interceptor.review.parts import AccessReads, ProxyLogin, ReviewParts, ReviewSettings
from interceptor.review.process import be_polite, bind, living, serving
from interceptor.review.rendering import build_templates
from interceptor.review.session import SessionActivity
from interceptor.review.vignette_view import RunVignettes, VignetteView
from interceptor.supervisor_link import beat, heartbeat_teller
from interceptor.telemetry.events import EventLog
from interceptor.telemetry.operation_events import REVIEW_STARTED, REVIEW_STOPPED
from interceptor.transport.tls import Credential, TlsFileProblem

READER_COUNT = 4
"""Threads that read the database: pages of so many people at one moment; more wait for a thread."""
ADMIN_ACCOUNT = "admin"


class ReviewSetupError(Exception):
    """The review process cannot start: what is wrong, with the key that names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewPages:
    """Served pages, as their owner sees them: the address that people type."""

    address: str
    parts: ReviewParts


@asynccontextmanager
async def running_review(config: Config, *, log: EventLog | None = None) -> AsyncIterator[ReviewPages]:
    """Serve the review pages for the length of the block; leaving it drains. *log* is told of pages that fail.

    Raises:
        ReviewSetupError: There is no [review] table, or a secret or the certificate cannot be used.
        OSError: The address cannot be had.
    """
    review = config.review
    if review is None:
        raise ReviewSetupError("the configuration has no [review] table")
    try:
        secrets = read_review_secrets(review, os.environ)
    except SecretError as error:
        raise ReviewSetupError(str(error)) from error
    async with AsyncExitStack() as stack:
        listener = bind(review.listen.host, review.listen.port)
        stack.callback(listener.close)
        port = int(listener.getsockname()[1])
        readers = open_readers(config)
        stack.push_async_callback(readers.close)
        content = load_content(config)
        parts = ReviewParts(
            settings=build_settings(config, review, port=port, secrets=secrets),
            node=NodeClient(config.control_socket),
            database=readers,
            reader=SqlOrderReader(readers, POSTGRES_WORDS if config.database.hosts else SQLITE_WORDS),
            records=SqlRecordReader(readers),
            content=content,
            access=access_reads(readers),
            run_vignettes=vignette_runner(config, content),
            templates=build_templates(),
            now=lambda: datetime.now(UTC),
            monotonic=time.monotonic,
            passwords=Passwords(),
            provider=await _provider(review, stack, origin=_origins(review, port=port)[0], secret=secrets.oidc_client),
        )
        activity = SessionActivity()
        app: ASGIApp = build_app(parts, activity=activity, mounts=build_mounts(config, parts))
        if log is not None:
            app = FailureLog(app, log)
        can_others_decide = review.oidc is not None or review.proxy_login is not None
        await stack.enter_async_context(serving(app, listener, tls=_tls(config), stopping=parts.stopping))
        await stack.enter_async_context(living(parts, activity, can_others_decide=can_others_decide))
        yield ReviewPages(address=parts.settings.origins[0], parts=parts)


async def run_review(
    config: Config, *, log: EventLog, supervisor_gone: asyncio.Event, tell: Callable[[str], None]
) -> None:
    """Serve the review pages until SIGTERM, SIGINT, SIGHUP or the end of the supervisor.

    SIGHUP is for pages without a supervisor: whoever starts them again starts them with the file as it is now.

    *tell* is told the one-time link of the first administrator, once, when there is nobody yet.

    Raises:
        ReviewSetupError, OSError: It could not start.
    """
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, asked.set)
    be_polite()
    # The server's own words, for which our log has no event: a request that is no HTTP, too many connections.
    logging.getLogger("uvicorn").propagate = False
    logging.getLogger("uvicorn").addHandler(logging.NullHandler())
    async with running_review(config, log=log) as pages, running_tasks() as tasks:
        log.event(REVIEW_STARTED, pid=os.getpid())
        tasks.start(_tell_first_link(pages, tell), name="first-link")
        tasks.start(beat(heartbeat_teller()), name="beat")
        await first_of(asked, supervisor_gone)
    log.event(REVIEW_STOPPED)


async def _tell_first_link(pages: ReviewPages, tell: Callable[[str], None]) -> None:
    link = await first_link(pages)
    if link is not None:
        tell(f"First login, good once within {LINK_MINUTES:g} minutes: {link}")


def load_content(config: Config) -> ClinicalContent:
    """The clinical content that the node decides by, for the pages that show and try it.

    Raises:
        MappingsError: Every problem at once.
    """
    node = config.node
    mappings = node.mappings or find_mappings()
    return load_clinical_content(mappings=mappings, policy=node.policy, profile=node.profile, site=node.site)


def vignette_runner(config: Config, content: ClinicalContent) -> RunVignettes:
    """Decides the vignettes that ship with the clinical content. Without any, there are none to show."""

    def run() -> tuple[VignetteView, ...]:
        folder = (config.node.mappings or find_mappings()) / "vignettes"
        found = read_vignettes(folder) if folder.is_dir() else ()
        results = (run_vignette(one, content=content, now=datetime.now(UTC)) for one in found)
        return tuple(
            VignetteView(
                name=result.vignette.name,
                title=result.vignette.title,
                why=result.vignette.why,
                agrees=result.agrees,
                expected=tuple(str(order) for message in result.expected for order in message),
                found=tuple(str(order) for message in result.found for order in message),
            )
            for result in results
        )

    return run


def build_mounts(config: Config, parts: ReviewParts) -> tuple[BaseRoute, ...]:
    """What programs use: the API, and the CDS service where the configuration names who may ask it.

    Raises:
        ReviewSetupError: A client's keys cannot be read.
    """
    api = Mount("/api/v1", build_api(parts, parts.access.find_token), name="api")
    if not config.cds:
        return (api,)
    clients = {table.issuer: _cds_client(name, table) for name, table in config.cds.items()}
    check = ClientCheck(clients, audience=parts.settings.origins[0] + CDS_PATH)
    proposed = proposed_code(parts.settings.complete_spine_code)
    return (api, *CdsRoutes(parts=parts, check=check, proposed=proposed).routes())


def _cds_client(name: str, table: CdsTable) -> CdsClient:
    try:
        return CdsClient(name=name, issuer=table.issuer, keys=read_key_set(table.keys_file))
    except (KeySetError, OSError) as error:
        reason = str(error) if isinstance(error, KeySetError) else f"cannot be read ({type(error).__name__})"
        raise ReviewSetupError(f"cds.{name}.keys_file: {reason}") from None


def build_settings(config: Config, review: ReviewTable, *, port: int, secrets: ReviewSecrets) -> ReviewSettings:
    """Single values for the pages. *port* is the one that was bound."""
    is_tls = review.certificate_file is not None or review.behind_proxy
    return ReviewSettings(
        origins=_origins(review, port=port),
        is_tls=is_tls,
        trusted_proxies=review.trusted_proxies,
        local_users=review.local_users,
        idle_seconds=review.idle_minutes * 60.0,
        undo_seconds=review.undo_seconds,
        claim_seconds=review.claim_minutes * 60.0,
        snooze_seconds_max=review.snooze_hours_max * 3600.0,
        release_reasons=dict(review.release_reasons),
        return_reasons=dict(review.return_reasons),
        change_procedure=review.change_procedure,
        complete_spine_code=review.complete_spine_code,
        routes=tuple(config.route),
        banner=review.banner,
        processor_share=review.processor_share,
        plain_text=tuple(find_plain_places(config)),
        proxy_login=_proxy_login(review.proxy_login, secrets.proxy) if review.proxy_login is not None else None,
    )


def open_readers(config: Config) -> ClosableReads:
    """Connections of our own to the journal's database, none of which can write; the caller closes them.

    Raises:
        ReviewSetupError: The database's password cannot be read.
    """
    if not config.database.hosts:
        return Readers(journal_path(config.node.data_directory), vfs=None, count=READER_COUNT)
    # PostgreSQL's driver is an extra: a node with a SQLite file has none.
    from interceptor.journal_database import open_database_readers

    try:
        return open_database_readers(config, count=READER_COUNT)
    except SecretError as error:
        raise ReviewSetupError(str(error)) from None


def access_reads(readers: Reads) -> AccessReads:
    """The questions about accounts and sessions, asked of the journal's database."""

    async def find_session(digest: bytes) -> Any:
        return await readers.read(partial(_flip, account_rows.find_session, digest))

    async def find_account(name: str) -> Any:
        return await readers.read(partial(_flip, account_rows.find_account, name))

    async def list_accounts() -> Any:
        return await readers.read(account_rows.list_accounts)

    async def find_token(digest: bytes) -> Any:
        return await readers.read(partial(_flip, api_token.find, digest))

    return AccessReads(
        find_session=find_session, find_account=find_account, list_accounts=list_accounts, find_token=find_token
    )


def _flip(question: Callable[[Any, Any], Any], argument: object, connection: object) -> Any:
    return question(connection, argument)


async def first_link(pages: ReviewPages, *, waiting_seconds: float = 1.0) -> str | None:
    """The address of a one-time link for the first administrator; None when there are accounts already.

    Waits for the node, for as long as it takes. Cancelling ends it.
    """
    node = pages.parts.node
    listed = await node.ask("account_list")
    while not isinstance(listed, Answer):
        await asyncio.sleep(waiting_seconds)
        listed = await node.ask("account_list")
    if listed.result["accounts"]:
        return None
    await node.ask("account_add", account=ADMIN_ACCOUNT, display_name="Administrator", roles=["admin"])
    return await link_for(pages, ADMIN_ACCOUNT)


async def link_for(pages: ReviewPages, account: str) -> str | None:
    """The address of a one-time login link for an account; None when the node makes none."""
    made = await pages.parts.node.ask("login_link", account=account)
    return f"{pages.address}/login/link/{made.result['secret']}" if isinstance(made, Answer) else None


async def _provider(review: ReviewTable, stack: AsyncExitStack, *, origin: str, secret: str) -> OidcClient | None:
    """The identity provider of [review.oidc]; nothing is asked of it before somebody logs in."""
    table = review.oidc
    if table is None:
        return None
    verify: ssl.SSLContext | bool = True
    if table.ca_file is not None:
        verify = ssl.create_default_context(cafile=str(table.ca_file))
    http = await stack.enter_async_context(
        httpx2.AsyncClient(timeout=table.timeout_seconds, verify=verify, follow_redirects=False, trust_env=False)
    )
    settings = OidcSettings(
        issuer=table.issuer,
        client_id=table.client_id,
        client_secret=secret,
        scope=table.scope,
        name_claim=table.name_claim,
        roles_claim=table.roles_claim,
        roles={group: tuple(roles) for group, roles in table.roles.items()},
        algorithms=table.algorithms,
        redirect_address=f"{origin}/login/answer",
    )
    return OidcClient(settings, http)


def _tls(config: Config) -> Credential | None:
    place = review_place(config)
    try:
        return None if place is None else place.read()
    except TlsFileProblem as problem:
        raise ReviewSetupError(str(problem)) from None


def _origins(review: ReviewTable, *, port: int) -> tuple[str, ...]:
    """Where our own pages are; on loopback both names that people type for it."""
    scheme = "https" if review.certificate_file is not None else "http"
    listen = Address(review.listen.host, port)
    hosts = [listen.host]
    if listen.is_loopback and listen.host != "localhost":
        hosts.append("localhost")
    local = tuple(f"{scheme}://{Address(host, port)}" for host in hosts)
    if review.public_url is None:
        return local
    return (review.public_url.rstrip("/"), *local)


def _proxy_login(table: ProxyLoginTable, secret: str) -> ProxyLogin:
    return ProxyLogin(
        networks=table.addresses,
        secret=secret,
        secret_header=table.secret_header,
        user_header=table.user_header,
        groups_header=table.groups_header,
        roles={group: tuple(roles) for group, roles in table.roles.items()},
    )
