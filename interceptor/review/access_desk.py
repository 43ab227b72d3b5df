"""Who may come in: accounts, login links, sessions and refusals, written by the node as the only writer.

The review process checks passwords, codes and tokens of identity providers; what follows from that is written here,
each act with its link of the audit chain in the same transaction. Secrets come here as digests only.

Accounts themselves are `account_desk.py`'s.

Failures: a journal that is unavailable is said so; nothing happened then, and nobody comes in.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol, TypeVar

from interceptor.control.protocol import ControlError
from interceptor.journal import account_rows
from interceptor.journal.account import Account, StoredSession
from interceptor.journal.port import EntryId
from interceptor.journal.sql import SqlConnection
from interceptor.journal.stored_form import digest_of
from interceptor.review.desk import Handler, telling_of_the_journal
from interceptor.review.rights import Role

LINK_MINUTES = 15.0
"""How long a one-time login link is good for."""
_NAME_SIZE_MAX = 64
_TEXT_SIZE_MAX = 400
_METHODS = frozenset({"password", "oidc"})
_NOTED_ACTIONS = frozenset(
    {
        "access_refused",
        "login_failed",
        "proxy_login",
        "order_opened",
        "message_opened",
        "missed_opened",
        "list_exported",
        "cds_feedback",
    }
)
"""What the review process may have written to the audit chain as it happened there."""

_T = TypeVar("_T")


class Tables(Protocol):
    """What is needed of the journal: work in its writer with an audit link, work in its readers."""

    async def write_audited(
        self,
        work: Callable[[SqlConnection], _T],
        *,
        at: datetime,
        actor: str,
        action: str,
        describe: Callable[[_T], Mapping[str, object] | None],
        entry_id: EntryId | None = None,
    ) -> _T:
        """Run *work* in the writer, with a link of the audit chain in the same transaction unless *describe* gives None."""
        ...

    async def read(self, work: Callable[[SqlConnection], _T]) -> _T:
        """Run *work* on a connection that cannot write."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """How long sessions last: without a request, in all, and a broken glass in one."""

    session_seconds_max: float
    glass_seconds: float


class AccessDesk:
    """Commands about people's access."""

    def __init__(self, tables: Tables, *, limits: SessionLimits, now: Callable[[], datetime]) -> None:
        """*now* is aware UTC."""
        self._tables = tables
        self._limits = limits
        self._now = now

    def handlers(self) -> dict[str, Handler]:
        """Command name to function."""
        commands = {
            "login_link": self.login_link,
            "link_use": self.link_use,
            "session_open": self.session_open,
            "session_touch": self.session_touch,
            "session_end": self.session_end,
            "glass_break": self.glass_break,
            "access_note": self.access_note,
        }
        return {name: telling_of_the_journal(command) for name, command in commands.items()}

    async def login_link(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Make a one-time login link for an account: its secret in the answer is all there ever is of it."""
        name, actor = account_name(arguments), actor_of(arguments)
        secret, at = secrets.token_urlsafe(32), self._now()
        expires_at = at + timedelta(minutes=LINK_MINUTES)

        def work(connection: SqlConnection) -> bool:
            account = account_rows.find_account(connection, name)
            if account is None or account.disabled_at is not None:
                return False
            digest = digest_of(secret.encode("ascii"))
            account_rows.insert_link(connection, digest=digest, account=name, at=at, expires_at=expires_at)
            return True

        made = await self._write(work, actor, "login_link_made", lambda done: {"account": name} if done else None)
        if not made:
            raise ControlError("not_found", f"there is no account {name} that may log in")
        return {"account": name, "secret": secret, "expires_at": expires_at.isoformat()}

    async def link_use(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Use a link up and begin a session for its account, in one transaction."""
        digest, secret, at = digest_of(text_of(arguments, "secret").encode("utf-8")), _new_secret(), self._now()

        def work(connection: SqlConnection) -> Account | None:
            name = account_rows.use_link(connection, digest=digest, at=at)
            account = account_rows.find_account(connection, name) if name is not None else None
            if account is None or account.disabled_at is not None:
                return None
            account_rows.insert_session(connection, self._session(account, "link", secret, at))
            return account

        account = await self._tables.write_audited(
            work,
            at=at,
            actor="node",
            action="session_opened",
            describe=lambda found: _opened(found.name, found.roles, "link") if found else None,
        )
        if account is None:
            raise ControlError("link_refused", "this link was used before, is too old, or never was one")
        return {"account": account.name, "secret": secret}

    async def session_open(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Begin a session for a person whom the review process has recognised; returns its secret.

        Of an account of ours the roles are read here, and its TOTP time step is used up. A person of an identity
        provider has the roles that the review process found.
        """
        method, name, at = str(arguments.get("method", "")), account_name(arguments), self._now()
        if method not in _METHODS:
            raise ControlError("bad_argument", f"method is one of {', '.join(sorted(_METHODS))}")
        secret, step = _new_secret(), arguments.get("totp_step")
        roles = roles_of(arguments) if method == "oidc" else ()
        display_name = str(arguments.get("display_name") or name)[:_TEXT_SIZE_MAX]
        reason = str(arguments.get("reason", ""))[:_TEXT_SIZE_MAX]

        def work(connection: SqlConnection) -> tuple[str, ...] | None:
            if method == "oidc":
                foreign = _foreign_account(name, display_name, roles, at)
                account_rows.insert_session(connection, self._session(foreign, method, secret, at))
                return roles
            account = account_rows.find_account(connection, name)
            if account is None or account.disabled_at is not None:
                return None
            if account.totp_secret and not (
                isinstance(step, int) and account_rows.take_totp_step(connection, name, step)
            ):
                return None
            account_rows.insert_session(connection, self._session(account, method, secret, at))
            return account.roles

        extra = {"reason": reason} if reason else {}
        found = await self._write(
            work,
            f"user:{name}",
            "session_opened",
            lambda opened: _opened(name, opened, method) | extra if opened is not None else None,
        )
        if found is None:
            raise ControlError("login_refused", "the account is disabled, or the code was used before")
        return {"account": name, "secret": secret, "roles": list(found)}

    async def session_touch(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Note when sessions were last used, many at once; no act of anybody, so no audit link."""
        stated = arguments.get("seen")
        if not isinstance(stated, dict):
            raise ControlError("bad_argument", "seen is an object of digest to time")
        try:
            seen = [(bytes.fromhex(digest), datetime.fromisoformat(at)) for digest, at in stated.items()]
        except (TypeError, ValueError) as error:
            raise ControlError("bad_argument", "seen is an object of digest to time") from error

        def work(connection: SqlConnection) -> int:
            return account_rows.touch_sessions(connection, seen)

        count = await self._write(work, "node", "session_touched", lambda _count: None)
        return {"count": count}

    async def session_end(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """End one session: a logout, or a limit that was reached (`reason`)."""
        digest, reason = digest_argument(arguments), str(arguments.get("reason", "logout"))[:40]
        work = partial(_ending, digest, self._now())
        name = await self._write(
            work,
            actor_of(arguments),
            "session_ended",
            lambda name: {"account": name, "reason": reason} if name else None,
        )
        return {"ended": name is not None}

    async def glass_break(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Lend a session the right to see patients for a while."""
        digest, reason = digest_argument(arguments), text_of(arguments, "reason")
        until = self._now() + timedelta(seconds=self._limits.glass_seconds)

        def work(connection: SqlConnection) -> str | None:
            return account_rows.break_glass(connection, digest=digest, reason=reason, until=until)

        name = await self._write(
            work,
            actor_of(arguments),
            "glass_broken",
            lambda name: {"account": name, "reason": reason, "until": until.isoformat()} if name else None,
        )
        if name is None:
            raise ControlError("not_found", "this session has ended")
        return {"until": until.isoformat()}

    async def access_note(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Write what happened in the review process to the audit chain: a refusal, a failed login, an opened record."""
        action = str(arguments.get("action", ""))
        if action not in _NOTED_ACTIONS:
            raise ControlError("bad_argument", f"action is one of {', '.join(sorted(_NOTED_ACTIONS))}")
        stated, entry = arguments.get("detail", {}), arguments.get("entry")
        detail = {str(key)[:40]: str(value)[:_TEXT_SIZE_MAX] for key, value in dict(stated).items()}
        await self._tables.write_audited(
            lambda _connection: None,
            at=self._now(),
            actor=actor_of(arguments),
            action=action,
            describe=lambda _done: detail,
            entry_id=EntryId(entry) if isinstance(entry, int) else None,
        )
        return {"noted": action}

    def _session(self, account: Account, method: str, secret: str, at: datetime) -> StoredSession:
        return StoredSession(
            digest=digest_of(secret.encode("ascii")),
            account=account.name,
            display_name=account.display_name,
            roles=account.roles,
            method=method,
            created_at=at,
            seen_at=at,
            expires_at=at + timedelta(seconds=self._limits.session_seconds_max),
        )

    async def _write(
        self,
        work: Callable[[SqlConnection], _T],
        actor: str,
        action: str,
        describe: Callable[[_T], Mapping[str, object] | None],
    ) -> _T:
        return await self._tables.write_audited(work, at=self._now(), actor=actor, action=action, describe=describe)


def _ending(digest: bytes, at: datetime, connection: SqlConnection) -> str | None:
    return account_rows.end_session(connection, digest=digest, at=at)


def _opened(name: str, roles: tuple[str, ...], method: str) -> dict[str, object]:
    return {"account": name, "roles": list(roles), "method": method}


def _foreign_account(name: str, display_name: str, roles: tuple[str, ...], at: datetime) -> Account:
    """A person of an identity provider, for the length of a session."""
    return Account(
        name=name,
        display_name=display_name,
        roles=roles,
        password_hash="",
        totp_secret="",
        totp_used=0,
        is_break_glass=False,
        created_at=at,
        changed_at=at,
        disabled_at=None,
    )


def _new_secret() -> str:
    """256 bits for a session's cookie."""
    return secrets.token_urlsafe(32)


def account_name(arguments: Mapping[str, Any]) -> str:
    """The account that a command is about, in lower case.

    Raises:
        ControlError: It is empty, too long, or has characters that a name has not.
    """
    name = str(arguments.get("account", "")).strip().lower()
    if not name or len(name) > _NAME_SIZE_MAX or not all(one.isalnum() or one in "._-@+|:" for one in name):
        raise ControlError("bad_argument", f"an account's name has 1-{_NAME_SIZE_MAX} letters, digits, and . _ - @ +")
    return name


def actor_of(arguments: Mapping[str, Any]) -> str:
    """Who acts, as the client vouches for it: "user:NAME", or "node" for what nobody did."""
    name = str(arguments.get("actor", "")).strip().removeprefix("user:")
    return f"user:{name[:80]}" if name else "node"


def text_of(arguments: Mapping[str, Any], name: str) -> str:
    """A text that must be there.

    Raises:
        ControlError: It is empty.
    """
    value = str(arguments.get(name, "")).strip()[:_TEXT_SIZE_MAX]
    if not value:
        raise ControlError("bad_argument", f"{name} is empty")
    return value


def digest_argument(arguments: Mapping[str, Any]) -> bytes:
    """The digest of a session's secret.

    Raises:
        ControlError: It is not one.
    """
    try:
        digest = bytes.fromhex(str(arguments.get("session", "")))
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise ControlError("bad_argument", "session is the SHA-256 of its secret, in hexadecimal")
    return digest


def roles_of(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The roles that a command names, at least one.

    Raises:
        ControlError: None, or an unknown one.
    """
    stated = arguments.get("roles")
    known = set(Role)
    if not isinstance(stated, list) or not stated or not all(one in known for one in stated):
        raise ControlError("bad_argument", f"roles is a list of {', '.join(Role)}")
    return tuple(sorted(set(stated)))
