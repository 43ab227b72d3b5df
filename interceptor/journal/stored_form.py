"""How values look in the database, the same in every adapter: times, JSON, text, digests and the audit chain.

Pure functions. A time is UTC text with microseconds and Z, so that text order is time order. JSON is
canonical (sorted keys, no spaces, ASCII), so that its digest means something.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CHAIN_START = "0" * 64
"""What stands before the first link of the audit chain."""


def instant_text(at: datetime) -> str:
    """The stored form of an aware time, e.g. "2026-03-01T07:30:00.000000Z".

    Raises:
        ValueError: The time is naive.
    """
    if at.tzinfo is None:
        message = "a time without zone cannot be stored"
        raise ValueError(message)
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def optional_instant_text(at: datetime | None) -> str | None:
    """`instant_text`, None for None."""
    return None if at is None else instant_text(at)


def read_instant(text: str) -> datetime:
    """The aware UTC time that `instant_text` wrote."""
    return datetime.fromisoformat(text)


def read_optional_instant(text: str | None) -> datetime | None:
    """`read_instant`, None for None."""
    return None if text is None else read_instant(text)


def microseconds(at: datetime) -> int:
    """The other stored form of an aware time, of tables that are compared by number: microseconds since 1970 UTC."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def read_microseconds(stored: int) -> datetime:
    """The aware UTC time that `microseconds` stored."""
    return _EPOCH + timedelta(microseconds=stored)


def canonical_json(value: object) -> str:
    """Canonical JSON. Mappings, tuples and aware times are welcome; anything else that JSON has no word for is a TypeError."""
    return _encode(value)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, datetime):
        return instant_text(value)
    message = f"{type(value).__name__} cannot be stored as JSON"
    raise TypeError(message)


# Made once: json.dumps makes an encoder at each call that asks for other than its defaults.
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=_plain).encode


def read_json_object(text: str) -> dict[str, object]:
    """The JSON object that `canonical_json` wrote."""
    value = json.loads(text)
    assert isinstance(value, dict)
    return value


def storable_text(text: str) -> str:
    """*text* with what a database cannot carry (lone surrogates from broken messages, NUL) replaced by "?"."""
    if "\0" in text:
        text = text.replace("\0", "?")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def digest_of(content: bytes) -> bytes:
    """SHA-256, 32 bytes."""
    return hashlib.sha256(content).digest()


def chain_link(
    *, number: int, at: str, actor: str, action: str, entry_id: int | None, detail: str, previous: str
) -> str:
    """SHA-256 (hexadecimal) of one audit row in its stored form and of the link before it."""
    row = canonical_json([number, at, actor, action, entry_id, detail, previous])
    return hashlib.sha256(row.encode("ascii")).hexdigest()
