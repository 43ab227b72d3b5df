"""People's accounts, login links and sessions, as the journal keeps them: the values.

A secret is never here: of passwords the argon2id hash, of link and session secrets the SHA-256.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A person who can log in with a password or a link of ours.

    Attributes:
        name: Lower case, never used twice.
        roles: Words of `review.rights.Role`.
        password_hash: argon2id in PHC form; "" until the person has chosen one.
        totp_secret: Base32; "" without a second factor.
        totp_used: The number of the last time step whose code was taken: a code counts once.
        is_break_glass: For the day the identity provider is down.
    """

    name: str
    display_name: str
    roles: tuple[str, ...]
    password_hash: str
    totp_secret: str
    totp_used: int
    is_break_glass: bool
    created_at: datetime
    changed_at: datetime
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """One login that has not ended.

    `glass_reason` and `glass_until` tell of a broken glass; "" and None without.
    """

    digest: bytes
    account: str
    display_name: str
    roles: tuple[str, ...]
    method: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    glass_reason: str = ""
    glass_until: datetime | None = None
