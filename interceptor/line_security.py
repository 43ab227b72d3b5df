"""Who may speak on each line, plugged together from the configuration: credentials, peer maps, and what refusals leave behind.

    [route.NAME.tls]        -> a Credential (certificates of now) and a PeerMap -> LineGuard, for the listener
    [destination.NAME.tls]  -> a Credential -> TlsClient, for the connector

It also watches every other certificate of the node (`credentials.py`): replaced files are taken, ends are told of.

Security failures stay closed: a certificate that is not on the list is refused, a message that its peer may not send is
answered AR and goes nowhere. `on_mismatch = "alert"` opens that on purpose, while a site is migrating.

Failures: files that cannot be used stop the start, and are refused later: a reload keeps what was there.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from ssl import SSLContext

from interceptor.access import Mismatch, PeerMap, Permission, SenderRule
from interceptor.access_audit import AccessAudit, Refusal, claim_of
from interceptor.answering import MessagePassage, PlacerSide
from interceptor.config.schema import Config
from interceptor.config.tls import ListenerTlsTable
from interceptor.credentials import listeners_of, read_credentials, review_place
from interceptor.delivery.connector import TlsClient
from interceptor.message.header import peek_header
from interceptor.telemetry.events import EventLog
from interceptor.telemetry.line_events import (
    ACCESS_MISMATCHED,
    CERTIFICATE_EXPIRED,
    CERTIFICATE_EXPIRING,
    CERTIFICATES_REFUSED,
    CERTIFICATES_RELOADED,
    LINE_IN_PLAIN_TEXT,
)
from interceptor.telemetry.metrics import LineMetrics
from interceptor.transport.connection import MllpConnection
from interceptor.transport.options import RefusalReason
from interceptor.transport.tls import Credential, TlsFileProblem, certificate_names
from interceptor.wire.frame import Frame

WATCH_INTERVAL_SECONDS = 60.0
WARNING_DAYS = (30, 14, 7, 1)
"""So many days before a certificate ends there is a warning, once each."""
NAME_NOT_LISTED = "name_not_listed"
MISMATCHES = (*Mismatch, NAME_NOT_LISTED)
"""Every reason that a peer's certificate does not fit, for the metric."""


PassageMaker = Callable[[Frame, PlacerSide], MessagePassage]


class _RefusedPassage:
    """A message that its sender's certificate does not allow: AR with the reason, and nothing else of it."""

    def __init__(self, refused: MessagePassage, mismatch: Mismatch) -> None:
        self._refused = refused
        self._mismatch = mismatch

    def begin(self) -> None:
        self._refused.refuse_head(self._mismatch.value)

    def withdraw(self) -> None:
        """Nothing of it is under way."""

    def refuse_head(self, reason: str) -> None:
        self._refused.refuse_head(reason)


class LineGuard:
    """Who may speak on one listener, and what is told of those who may not."""

    def __init__(
        self,
        name: str,
        *,
        table: ListenerTlsTable | None,
        credential: Credential | None,
        audit: AccessAudit,
        metrics: LineMetrics,
        log: EventLog,
    ) -> None:
        """*name*: of the route or feed. *credential*: of its TLS; None on a plain line."""
        self._name = name
        self._credential = credential
        self._peers = PeerMap(_rules(table)) if table is not None else PeerMap(())
        self._only_alerts = table is not None and table.on_mismatch == "alert"
        self._audit = audit
        self._metrics = metrics
        self._log = log

    @property
    def tls(self) -> Callable[[], SSLContext] | None:
        """Gives the context of the next handshake; None on a plain line."""
        credential = self._credential
        return None if credential is None else lambda: credential.context

    def refused(self, reason: RefusalReason, peer: str) -> None:
        """A connection was turned away before it could send anything."""
        if reason is not RefusalReason.NOT_ACCEPTING:
            self._audit.note(Refusal(listener=self._name, peer=peer, reason=reason.value))

    def admit(self, connection: MllpConnection, passage: PassageMaker) -> PassageMaker | None:
        """How messages of a new connection are begun: checked where its certificate is restricted; None refuses it."""
        if self._peers.is_open:
            return passage
        names = certificate_names(connection.tls_certificate)
        permission = self._peers.find(names)
        if permission is not None:
            return partial(self._checked, passage, permission, connection.peer_address)
        self._tell(NAME_NOT_LISTED, connection.peer_address, certificate=" ".join(sorted(names))[:128])
        return passage if self._only_alerts else None

    def _checked(
        self, passage: PassageMaker, permission: Permission, peer: str, frame: Frame, line: PlacerSide
    ) -> MessagePassage:
        begun = passage(frame, line)
        mismatch = permission.find_mismatch(frame.content)
        if mismatch is None:
            return begun
        header = peek_header(frame.content)
        claimed = "" if header is None else claim_of(*(header.raw_field(number) for number in (3, 4, 9)))
        self._tell(mismatch.value, peer, certificate=permission.name, claimed=claimed)
        return begun if self._only_alerts else _RefusedPassage(begun, mismatch)

    def _tell(self, reason: str, peer: str, *, certificate: str, claimed: str = "") -> None:
        result = "allowed" if self._only_alerts else "refused"
        self._metrics.mismatches.count(self._name, reason, result)
        self._log.event(ACCESS_MISMATCHED, route=self._name, peer=peer, reason=reason, result=result)
        refusal = Refusal(
            listener=self._name,
            peer=peer,
            reason=reason,
            certificate=certificate,
            claimed=claimed,
            is_allowed=self._only_alerts,
        )
        self._audit.note(refusal)


def _rules(table: ListenerTlsTable) -> Iterator[SenderRule]:
    for peer in table.peers:
        yield SenderRule(
            name=peer.name,
            applications=peer.sending_applications,
            facilities=peer.sending_facilities,
            message_types=peer.message_types,
        )


@dataclass(frozen=True, kw_only=True)
class LineSecurity:
    """Everything of TLS and access in one node.

    Attributes:
        guards: By name of route or feed.
        clients: By name of destination; those without TLS are missing.
        credentials: By table of the configuration, e.g. "route.orders": all that this node speaks with.
        only_seen: The same, of certificates that another process of ours uses: shown and warned of.
        audit: The audit trail of refusals; its `run` must run.
        plain_places: Tables whose line crosses the network in plain text.
    """

    guards: Mapping[str, LineGuard]
    clients: Mapping[str, TlsClient]
    credentials: Mapping[str, Credential]
    only_seen: Mapping[str, Credential]
    audit: AccessAudit
    plain_places: tuple[str, ...]
    metrics: LineMetrics
    log: EventLog

    def reload_certificates(self, *, only_changed: bool = False) -> tuple[str, ...]:
        """Read certificates, keys and lists again; new connections use them, those that stand go on.

        Returns the tables whose files cannot be used: they keep what they had.
        """
        refused = []
        for place, credential in self._all():
            if only_changed and not credential.is_changed():
                continue
            try:
                credential.reload()
            except TlsFileProblem as problem:
                refused.append(place)
                self.log.event(CERTIFICATES_REFUSED, place=place, reason=str(problem))
            else:
                self.log.event(CERTIFICATES_RELOADED, place=place)
            self.metrics.show_reload(place, is_taken=place not in refused)
            self._show(place, credential)
        return tuple(refused)

    def tell_start(self) -> None:
        """Show the certificates, and say which lines are plain."""
        for place in self.plain_places:
            self.log.event(LINE_IN_PLAIN_TEXT, place=place)
        for place, credential in self._all():
            self.metrics.show_reload(place, is_taken=True)
            self._show(place, credential)

    async def watch(self, *, now: Callable[[], datetime]) -> None:
        """Take replaced files and warn of certificates that end, every minute; until cancelled."""
        warned: dict[tuple[str, str, datetime], int] = {}
        while True:
            self._warn(now(), warned)
            await asyncio.sleep(WATCH_INTERVAL_SECONDS)
            self.reload_certificates(only_changed=True)

    def _all(self) -> tuple[tuple[str, Credential], ...]:
        return (*self.credentials.items(), *self.only_seen.items())

    def _show(self, place: str, credential: Credential) -> None:
        for file, not_after in credential.not_after.items():
            self.metrics.show_certificate(place, file, not_after)

    def _warn(self, at: datetime, warned: dict[tuple[str, str, datetime], int]) -> None:
        """Each step once for each certificate; a step that was slept through is told with the next look."""
        for place, credential in self._all():
            for file, not_after in credential.not_after.items():
                step = _step_of(not_after - at)
                key = (place, file, not_after)
                if step is None or warned.get(key) == step:
                    continue
                warned[key] = step
                if step < 0:
                    self.log.event(CERTIFICATE_EXPIRED, place=place, file=file)
                else:
                    self.log.event(CERTIFICATE_EXPIRING, place=place, file=file, days=(not_after - at).days)


def _step_of(left: timedelta) -> int | None:
    """The last warning that is due; -1 when the certificate has ended, None when there is time."""
    if left <= timedelta(0):
        return -1
    due = [days for days in WARNING_DAYS if left <= timedelta(days=days)]
    return min(due) if due else None


def build_line_security(config: Config, *, audit: AccessAudit, metrics: LineMetrics, log: EventLog) -> LineSecurity:
    """Read every certificate that the configuration names.

    Raises:
        TlsFileProblem: A file cannot be used; the text names its table.
    """
    credentials = read_credentials(config)
    guards = {
        name: LineGuard(
            name,
            table=listener.tls,
            credential=credentials.get(f"{kind}.{name}"),
            audit=audit,
            metrics=metrics,
            log=log,
        )
        for kind, name, listener in listeners_of(config)
    }
    clients = {
        name: TlsClient(
            context=partial(_context_of, credentials[f"destination.{name}"]), server_name=destination.tls.server_name
        )
        for name, destination in config.destination.items()
        if destination.tls is not None
    }
    return LineSecurity(
        guards=guards,
        clients=clients,
        credentials=credentials,
        only_seen=_seen_of_review(config, log),
        audit=audit,
        plain_places=tuple(find_plain_places(config)),
        metrics=metrics,
        log=log,
    )


def _seen_of_review(config: Config, log: EventLog) -> dict[str, Credential]:
    """The review pages' certificate. One that cannot be used stops those pages, never the node."""
    place = review_place(config)
    if place is None:
        return {}
    try:
        return {place.name: place.read()}
    except TlsFileProblem as problem:
        log.event(CERTIFICATES_REFUSED, place=place.name, reason=str(problem))
        return {}


def _context_of(credential: Credential) -> SSLContext:
    return credential.context


def find_plain_places(config: Config) -> Iterator[str]:
    """Tables of lines that other machines share and that are not encrypted."""
    for kind, name, listener in listeners_of(config):
        if listener.tls is None and not listener.listen.is_loopback:
            yield f"{kind}.{name}"
    for name, destination in config.destination.items():
        if destination.tls is None and not destination.address.is_loopback:
            yield f"destination.{name}"
