"""Which keys differ between two configurations, and which of them a running node can take."""

from pathlib import Path
from typing import Any, get_args

import pytest

from interceptor.config.change import OF_THE_PAGES, RELOADABLE, changed_keys, is_reloadable, why_not
from interceptor.config.schema import Config

BASE: dict[str, dict[str, Any]] = {
    "node": {"data_directory": Path("/d")},
    "route": {"orders": {"listen": "127.0.0.1:1", "destination": "ris"}},
    "destination": {"ris": {"address": "127.0.0.1:2"}},
}


def config(**tables: dict[str, Any]) -> Config:
    return Config.model_validate({**BASE, **tables})


def test_the_same_file_changes_nothing() -> None:
    assert changed_keys(config(), config()) == ()


def test_each_key_that_differs_is_named_with_its_table() -> None:
    now = config(
        route={"orders": {**BASE["route"]["orders"], "strict_inbound": True, "tolerances": {"utf8_bom": False}}},
        hold={"deadline_business_hours": 2.0},
    )
    assert set(changed_keys(config(), now)) == {
        ("route", "orders", "strict_inbound"),
        ("route", "orders", "tolerances", "utf8_bom"),
        ("hold", "deadline_business_hours"),
    }


def test_a_route_that_came_is_one_key_and_needs_a_restart() -> None:
    now = config(route={**BASE["route"], "more": {"listen": "127.0.0.1:3", "destination": "ris"}})
    assert changed_keys(config(), now) == (("route", "more"),)
    assert not is_reloadable(("route", "more"))


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (("node", "policy"), True),
        (("route", "orders", "strict_inbound"), True),
        (("route", "orders", "listen"), False),
        (("route", "orders", "custody"), False),
        (("hold", "review_heartbeat_seconds"), False),
        (("node", "data_directory"), False),
        (("review", "banner"), True),
        (("review", "oidc", "issuer"), True),
        (("cds", "epic", "issuer"), True),
        # The node counts with these; the pages alone would show something else.
        (("review", "claim_minutes"), False),
        (("review",), False),
    ],
)
def test_what_was_opened_with_a_key_keeps_it(key: tuple[str, ...], expected: bool) -> None:
    assert is_reloadable(key) is expected


def test_a_mode_has_a_command_of_its_own() -> None:
    assert "interceptor mode orders" in why_not(("route", "orders", "mode"))


@pytest.mark.parametrize("key", sorted(RELOADABLE | OF_THE_PAGES))
def test_every_reloadable_key_is_a_key(key: tuple[str, ...]) -> None:
    table: Any = Config
    for part in key:
        if part == "*":
            continue
        assert part in table.model_fields, key
        annotation = table.model_fields[part].annotation
        tables = [one for one in (annotation, *get_args(annotation)) if hasattr(one, "model_fields")]
        table = tables[0] if tables else annotation
