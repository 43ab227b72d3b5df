"""Passwords and second factors: checked here, in the review process, so that the node never works for a guess.

A password is kept as argon2id (RFC 9106, second recommended option: 64 MiB, three passes). Checking one takes a
processor for a twentieth of a second: it runs in a thread, two at a time, the rest wait.

Failures: a hash that cannot be read counts as a wrong password.

Source: OWASP ASVS 5, 6.2 (passwords), 6.5 (codes); RFC 6238 (TOTP).
"""

import asyncio
import hmac
from datetime import datetime
from typing import Final

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

PASSWORD_LENGTH_MIN: Final = 12
PASSWORD_LENGTH_MAX: Final = 128
_CHECKS_MAX: Final = 2
_STEP_SECONDS: Final = 30
_STEPS_AROUND: Final = 1
"""A code of the step before or after counts: clocks differ."""


class Passwords:
    """Makes and checks hashes."""

    def __init__(self, *, memory_kib: int = 65_536, passes: int = 3) -> None:
        """The costs are those of new hashes; a stored hash carries its own."""
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        self._turns = asyncio.Semaphore(_CHECKS_MAX)
        # Somebody without an account waits as long as somebody with a wrong password: names cannot be tried out.
        self._nobodys = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """The hash to keep."""
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def matches(self, stored: str, password: str) -> bool:
        """Whether this is the password of the stored hash; False for "", after as long a time."""
        async with self._turns:
            is_match = await asyncio.to_thread(self._verify, stored or self._nobodys, password)
        return is_match and bool(stored)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password[: PASSWORD_LENGTH_MAX + 1])
        except (Argon2Error, InvalidHashError):
            return False


def password_problem(password: str, *, account: str) -> str | None:
    """What is wrong with a new password, as a sentence; None when it will do."""
    if len(password) < PASSWORD_LENGTH_MIN:
        return f"A password has {PASSWORD_LENGTH_MIN} characters or more."
    if len(password) > PASSWORD_LENGTH_MAX:
        return f"A password has at most {PASSWORD_LENGTH_MAX} characters."
    if account.lower() in password.lower():
        return "A password does not contain the account's name."
    if len(set(password)) < 5:
        return "A password is more than the same few characters again and again."
    return None


def new_totp_secret() -> str:
    """A new secret for an authenticator app, Base32."""
    return pyotp.random_base32()


def totp_address(secret: str, *, account: str) -> str:
    """The otpauth address that an authenticator app reads."""
    return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name="Order interceptor")


def totp_step(secret: str, code: str, *, at: datetime, used: int) -> int | None:
    """The time step whose code this is; None for a wrong code, or one that is not newer than the step *used* last."""
    now = int(at.timestamp()) // _STEP_SECONDS
    totp = pyotp.TOTP(secret)
    for step in range(now - _STEPS_AROUND, now + _STEPS_AROUND + 1):
        if step > used and hmac.compare_digest(totp.at(step * _STEP_SECONDS).encode(), code.strip().encode()):
            return step
    return None
