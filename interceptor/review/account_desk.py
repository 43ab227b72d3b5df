"""People's accounts: made, changed, disabled; in the node, the only writer.

Every change of rights ends the account's sessions in the same transaction: whoever lost a right loses it now, not
at the next login. An account is never deleted: the audit trail names it.

Failures: a journal that is unavailable is said so; nothing happened then.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from interceptor.control.protocol import ControlError
from interceptor.journal import account_rows
from interceptor.journal.account import Account
from interceptor.journal.sql import SqlConnection
from interceptor.review.access_desk import (
    Tables,
    account_name,
    actor_of,
    roles_of,
)
from interceptor.review.desk import Handler, telling_of_the_journal

_HASH_PREFIX = "$argon2id$"
_TEXT_SIZE_MAX = 200


class AccountDesk:
    """Commands about accounts."""

    def __init__(self, tables: Tables, *, now: Callable[[], datetime]) -> None:
        """*now* is aware UTC."""
        self._tables = tables
        self._now = now

    def handlers(self) -> dict[str, Handler]:
        """Command name to function."""
        commands = {
            "account_list": self.account_list,
            "account_add": self.account_add,
            "account_change": self.account_change,
        }
        return {name: telling_of_the_journal(command) for name, command in commands.items()}

    async def account_list(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """All accounts, without secrets."""
        del arguments
        accounts = await self._tables.read(account_rows.list_accounts)
        return {"accounts": [account_json(account) for account in accounts]}

    async def account_add(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Make an account without a password: its first login is by a one-time link."""
        name, roles, at = account_name(arguments), roles_of(arguments), self._now()
        account = Account(
            name=name,
            display_name=str(arguments.get("display_name") or name)[:_TEXT_SIZE_MAX],
            roles=roles,
            password_hash="",
            totp_secret="",
            totp_used=0,
            is_break_glass=bool(arguments.get("is_break_glass", False)),
            created_at=at,
            changed_at=at,
            disabled_at=None,
        )
        made = await self._tables.write_audited(
            lambda connection: account_rows.insert_account(connection, account),
            at=at,
            actor=actor_of(arguments),
            action="account_added",
            describe=lambda done: {"account": name, "roles": list(roles)} if done else None,
        )
        if not made:
            raise ControlError("conflict", f"there is an account {name} already")
        return {"account": account_json(account)}

    async def account_change(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Change what is stated of an account: display_name, roles, is_disabled, password_hash, totp_secret.

        All but a new display name ends its sessions. An administrator cannot take the last administrator away.
        """
        name, at = account_name(arguments), self._now()
        changes = _changes(arguments, at)
        if not changes:
            raise ControlError("bad_argument", "nothing to change is stated")

        def work(connection: SqlConnection) -> Account | None:
            account = account_rows.find_account(connection, name)
            if account is None:
                return None
            changed = replace(account, changed_at=at, **changes)
            accounts = [changed if one.name == name else one for one in account_rows.list_accounts(connection)]
            if _administrators([account]) and not _administrators(accounts):
                raise ControlError("last_admin", f"{name} is the last administrator")
            account_rows.update_account(connection, changed)
            if set(changes) - {"display_name"}:
                account_rows.end_sessions_of(connection, account=name, at=at)
            return changed

        changed = await self._tables.write_audited(
            work,
            at=at,
            actor=actor_of(arguments),
            action="account_changed",
            describe=lambda found: _told(found, changes) if found is not None else None,
        )
        if changed is None:
            raise ControlError("not_found", f"there is no account {name}")
        return {"account": account_json(changed)}


def account_json(account: Account) -> dict[str, object]:
    """An account as people may see it."""
    return {
        "account": account.name,
        "display_name": account.display_name,
        "roles": list(account.roles),
        "has_password": bool(account.password_hash),
        "has_totp": bool(account.totp_secret),
        "is_break_glass": account.is_break_glass,
        "created_at": account.created_at.isoformat(),
        "disabled_at": account.disabled_at.isoformat() if account.disabled_at else None,
    }


def _changes(arguments: dict[str, Any], at: datetime) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if arguments.get("display_name"):
        changes["display_name"] = str(arguments["display_name"])[:_TEXT_SIZE_MAX]
    if "roles" in arguments:
        changes["roles"] = roles_of(arguments)
    if "is_disabled" in arguments:
        changes["disabled_at"] = at if arguments["is_disabled"] else None
    if "totp_secret" in arguments:
        changes["totp_secret"], changes["totp_used"] = str(arguments["totp_secret"])[:64], 0
    if "password_hash" in arguments:
        password_hash = str(arguments["password_hash"])
        if password_hash and not password_hash.startswith(_HASH_PREFIX):
            raise ControlError("bad_argument", "password_hash is an argon2id hash")
        changes["password_hash"] = password_hash
    return changes


def _administrators(accounts: list[Account]) -> list[Account]:
    return [one for one in accounts if "admin" in one.roles and one.disabled_at is None]


def _told(account: Account, changes: Mapping[str, Any]) -> dict[str, object]:
    """What the audit trail says of a change: which things, and the roles as they now are; never a secret."""
    told: dict[str, object] = {"account": account.name, "changed": sorted(changes)}
    if "roles" in changes:
        told["roles"] = list(account.roles)
    if "disabled_at" in changes:
        told["is_disabled"] = account.disabled_at is not None
    return told
