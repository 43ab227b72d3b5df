"""Checks that compare keys with one another: of the raw document for problems, of the whole value for warnings.

The problems are looked for in the document as it was read, not in the validated value, so that they are
found together with the wrong keys; what is not of the right shape is skipped here, its own check names it.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations, product
from typing import Any

from interceptor.config.address import Address, parse_address
from interceptor.config.database_table import DatabaseTable
from interceptor.config.review import cross_check_review
from interceptor.config.schema import Config, FeedTable, FhirTable, HoldTable, MetricsTable, RouteTable, default_of
from interceptor.config.tls import cross_check_tls, find_tls_tables, warn_of_line
from interceptor.config.toml_lines import KeyPath

Found = tuple[KeyPath, str]


def cross_check(document: Mapping[str, Any]) -> Iterator[Found]:
    """Everything that is wrong between keys, each at the key that a person would change."""
    routes = dict(_tables(document.get("route")))
    feeds = dict(_tables(document.get("feed")))
    destinations = dict(_tables(document.get("destination")))
    yield from _check_listeners(document, routes, feeds)
    yield from _check_destinations(routes, destinations, document)
    for name, route in routes.items():
        yield from _check_route(name, route)
    for name, feed in feeds.items():
        yield from _check_feed(name, feed, routes, destinations)
    for name, server in _tables(document.get("fhir")):
        yield from _check_fhir(name, server)
    for name, webhook in _tables(document.get("webhook")):
        if ("secret_file" in webhook) == ("secret_env" in webhook):
            yield ("webhook", name), "needs its signing secret: give secret_file or secret_env, one of them"
    for kind, name, table in find_tls_tables(document):
        yield from cross_check_tls(kind, name, table)
    database = document.get("database")
    if isinstance(database, dict):
        yield from _check_database(database)
    review = document.get("review")
    if isinstance(review, dict):
        yield from cross_check_review(review)
    hold = document.get("hold")
    if isinstance(hold, dict):
        yield from _check_pair(("hold",), hold, HoldTable, "deadline_business_hours", "deadline_hours_max")


def warn(config: Config) -> Iterator[Found]:
    """What works, but should be known before real orders run through it."""
    used = {route.destination for route in config.route.values()} | {feed.destination for feed in config.feed.values()}
    used |= {config.notices.destination}
    for name in config.destination:
        if name not in used:
            yield ("destination", name), "is used by no route, no feed and not for notices"
    for name, route in config.route.items():
        yield from _warn_of_line("route", name, route)
        if route.mode == "enforce":
            yield (
                ("route", name, "mode"),
                "enforce holds orders: a neuroradiologist and an interface analyst sign policy and site profile first",
            )
    for name, feed in config.feed.items():
        yield from _warn_of_line("feed", name, feed)
    if config.database.hosts and config.database.sslmode in ("disable", "require"):
        yield ("database", "sslmode"), "does not check who the server is: for this machine or a network of its own"
    if not config.metrics.listen.is_loopback:
        yield ("metrics", "listen"), "other machines can read metrics and health here; there is no login"


def _warn_of_line(kind: str, name: str, table: RouteTable | FeedTable) -> Iterator[Found]:
    has_addresses = bool(table.allowed_addresses)
    yield from warn_of_line(
        kind, name, is_loopback=table.listen.is_loopback, has_addresses=has_addresses, tls=table.tls
    )


def _check_database(database: Mapping[str, Any]) -> Iterator[Found]:
    if "password_file" in database and "password_env" in database:
        yield ("database", "password_env"), "is one too many beside password_file"
    if ("certificate_file" in database) != ("key_file" in database):
        yield ("database", "certificate_file"), "and key_file go together"
    # What stands there as it would without the file (`config show --effective`) asks for nothing.
    usual = DatabaseTable().model_dump(mode="json")
    if not database.get("hosts") and any(value != usual.get(key) for key, value in database.items()):
        yield ("database", "hosts"), "is missing: without it the journal is a SQLite file and the rest says nothing"


def _tables(value: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, dict):
        yield from ((name, table) for name, table in value.items() if isinstance(table, dict))


def _address(value: object) -> Address | None:
    try:
        return parse_address(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _same_place(one: Address, other: Address) -> bool:
    if one.port != other.port or one.port == 0:
        return False
    return one.host == other.host or one.is_every_interface or other.is_every_interface


def _check_listeners(
    document: Mapping[str, Any], routes: Mapping[str, Mapping[str, Any]], feeds: Mapping[str, Mapping[str, Any]]
) -> Iterator[Found]:
    listeners: list[tuple[KeyPath, Address]] = [
        ((kind, name, "listen"), address)
        for kind, tables in (("route", routes), ("feed", feeds))
        for name, table in tables.items()
        if (address := _address(table.get("listen"))) is not None
    ]
    review = document.get("review")
    if isinstance(review, dict) and (pages := _address(review.get("listen", "127.0.0.1:8440"))) is not None:
        listeners.append((("review", "listen"), pages))
    metrics = document.get("metrics")
    stated = metrics.get("listen") if isinstance(metrics, dict) else None
    metrics_address = default_of(MetricsTable, "listen") if stated is None else _address(stated)
    if isinstance(metrics_address, Address):
        listeners.append((("metrics", "listen"), metrics_address))
    for (first, one), (second, other) in combinations(listeners, 2):
        if _same_place(one, other):
            yield second, f"{other} is taken by {'.'.join(first)}"


def _check_destinations(
    routes: Mapping[str, Mapping[str, Any]], destinations: Mapping[str, Mapping[str, Any]], document: Mapping[str, Any]
) -> Iterator[Found]:
    known = ", ".join(destinations) or "none is configured"
    for name, route in routes.items():
        target = route.get("destination")
        if isinstance(target, str) and target not in destinations:
            yield ("route", name, "destination"), f"there is no [destination.{target}] (known: {known})"
    for (name, route), (target, table) in product(routes.items(), destinations.items()):
        listen, address = _address(route.get("listen")), _address(table.get("address"))
        if listen is not None and address is not None and _loops(listen, address):
            yield ("destination", target, "address"), f"is the listener of route.{name}: orders would run in a circle"
    notices = document.get("notices")
    target = notices.get("destination") if isinstance(notices, dict) else None
    if not isinstance(target, str):
        return
    if target not in destinations:
        yield ("notices", "destination"), f"there is no [destination.{target}] (known: {known})"
    for name, route in routes.items():
        if route.get("destination") == target:
            yield ("notices", "destination"), f"is where route.{name} sends orders; notices are for the placer"


def _loops(listen: Address, address: Address) -> bool:
    if listen.port != address.port:
        return False
    return listen.host == address.host or (address.is_loopback and (listen.is_loopback or listen.is_every_interface))


def _check_route(name: str, route: Mapping[str, Any]) -> Iterator[Found]:
    for small, large in (
        ("connections_per_address_max", "connections_max"),
        ("lookup_budget_seconds", "decision_budget_seconds"),
    ):
        yield from _check_pair(("route", name), route, RouteTable, small, large)


def _check_feed(
    name: str,
    feed: Mapping[str, Any],
    routes: Mapping[str, Mapping[str, Any]],
    destinations: Mapping[str, Mapping[str, Any]],
) -> Iterator[Found]:
    if name in routes:
        yield ("feed", name), f"there is a [route.{name}] too: metrics and events could not tell them apart"
    target = feed.get("destination")
    if isinstance(target, str) and target not in destinations:
        known = ", ".join(destinations) or "none is configured"
        yield ("feed", name, "destination"), f"there is no [destination.{target}] (known: {known})"
    listen = _address(feed.get("listen"))
    address = (
        _address(destinations[target].get("address")) if isinstance(target, str) and target in destinations else None
    )
    if listen is not None and address is not None and _loops(listen, address):
        yield ("feed", name, "destination"), "is this feed's own listener: messages would run in a circle"
    yield from _check_pair(("feed", name), feed, FeedTable, "connections_per_address_max", "connections_max")


def _check_fhir(name: str, server: Mapping[str, Any]) -> Iterator[Found]:
    """One login or none, each part of it once, and times that make sense together."""
    path = ("fhir", name)
    for secret in ("bearer_token", "private_key"):
        if f"{secret}_file" in server and f"{secret}_env" in server:
            yield (*path, f"{secret}_env"), f"{secret}_file is given too: give one of them"
    has_bearer = "bearer_token_file" in server or "bearer_token_env" in server
    has_key = "private_key_file" in server or "private_key_env" in server
    backend = [key for key in ("client_id", "token_url") if key in server]
    if has_bearer and (backend or has_key):
        yield path, "has a bearer token and backend services: give one kind of login"
    elif (backend or has_key) and not (len(backend) == 2 and has_key):
        yield path, "backend services need client_id, token_url and private_key_file or private_key_env"
    if "key_file" in server and "certificate_file" not in server:
        yield (*path, "key_file"), "is the key of a certificate: certificate_file is missing"
    for small, large in (
        ("fresh_seconds", "revalidate_seconds"),
        ("revalidate_seconds", "stale_seconds"),
        ("breaker_pause_seconds", "breaker_pause_seconds_max"),
        ("connect_timeout_seconds", "timeout_seconds"),
    ):
        yield from _check_pair(path, server, FhirTable, small, large)


def _check_pair(
    path: KeyPath,
    table: Mapping[str, Any],
    schema: type[RouteTable | FeedTable | HoldTable | FhirTable],
    small: str,
    large: str,
) -> Iterator[Found]:
    """A number that must not be larger than another; a value that is no number has its own message."""
    first, second = (table.get(key, default_of(schema, key)) for key in (small, large))
    if isinstance(first, int | float) and isinstance(second, int | float) and first > second:
        # Named at the one of the two that the file states, so that the line is one that a person can change.
        yield (*path, small if small in table else large), f"{small} ({first}) is more than {large} ({second})"
