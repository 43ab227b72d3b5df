"""What differs between two configurations, and which of it a running node can take.

A node builds its routes anew from the changed keys; what its listeners, destinations and files were opened with stays as
it is until a restart. Every key is on one side or the other: what is not listed here cannot be changed while running.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from pydantic import BaseModel

from interceptor.config.schema import Config

_ANY: Final = "*"
RELOADABLE: Final = frozenset(
    {
        ("node", "site"),
        ("node", "policy"),
        ("node", "profile"),
        ("node", "mappings"),
        ("route", _ANY, "on_filler_down"),
        ("route", _ANY, "strict_inbound"),
        ("route", _ANY, "hold_reply"),
        ("route", _ANY, "placer_release"),
        ("route", _ANY, "decision_budget_seconds"),
        ("route", _ANY, "lookup_budget_seconds"),
        ("hold", "deadline_business_hours"),
        ("hold", "deadline_hours_max"),
        ("hold", "set_window_seconds"),
        ("hold", "planned_start_margin_hours"),
        ("notices", "style"),
    }
)
"""Keys that a reload can change; "*" stands for any name."""
OF_THE_PAGES: Final = frozenset(
    {
        ("review", "listen"),
        ("review", "public_url"),
        ("review", "certificate_file"),
        ("review", "key_file"),
        ("review", "behind_proxy"),
        ("review", "trusted_proxies"),
        ("review", "local_users"),
        ("review", "idle_minutes"),
        ("review", "banner"),
        ("review", "processor_share"),
        ("review", "oidc"),
        ("review", "proxy_login"),
        ("cds",),
    }
)
"""Keys, and tables with all that is in them, that only the review process reads: a reload starts it anew with them."""

Key = tuple[str, ...]


def changed_keys(was: Config, now: Config) -> tuple[Key, ...]:
    """The keys whose values differ, in the order of the schema; a table that came or went is one key."""
    return tuple(_differences((), was, now))


def is_reloadable(key: Key) -> bool:
    """Whether a running node can take another value of this key."""
    if any(key[: len(whole)] == whole for whole in OF_THE_PAGES):
        return True
    return any(
        len(key) == len(allowed) and all(one in (_ANY, part) for one, part in zip(allowed, key, strict=True))
        for allowed in RELOADABLE
    )


def why_not(key: Key) -> str:
    """What a person is told of a key that cannot be changed while the node runs."""
    if key[0] == "route" and key[-1] == "mode":
        return f"{'.'.join(key)}: is changed with `interceptor mode {key[1]} ...`, at once and durably"
    return f"{'.'.join(key)}: cannot be changed while the node runs; use `interceptor restart`"


def _differences(path: Key, was: object, now: object) -> Iterator[Key]:
    if isinstance(was, BaseModel) and isinstance(now, BaseModel) and type(was) is type(now):
        for name in type(was).model_fields:
            yield from _differences((*path, name), getattr(was, name), getattr(now, name))
    elif isinstance(was, Mapping) and isinstance(now, Mapping) and _holds_tables(was, now):
        for name in dict.fromkeys((*was, *now)):
            if name in was and name in now:
                yield from _differences((*path, str(name)), was[name], now[name])
            else:
                yield (*path, str(name))
    elif was != now:
        yield path


def _holds_tables(*mappings: Mapping[object, object]) -> bool:
    return any(isinstance(value, BaseModel) for mapping in mappings for value in mapping.values())
