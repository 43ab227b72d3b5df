"""The reference page of the configuration, built from the schema's own docstrings (docs/reference/config.md)."""

import json
from collections import abc
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from interceptor.config.address import Address
from interceptor.config.atna_table import AtnaTable
from interceptor.config.cds_table import CdsTable
from interceptor.config.database_table import DatabaseTable
from interceptor.config.load import describe_range
from interceptor.config.observe import LogTable, SyntheticTable, TracingTable
from interceptor.config.review import OidcTable, ProxyLoginTable, ReviewTable
from interceptor.config.schema import (
    DestinationTable,
    FeedTable,
    FhirTable,
    HoldTable,
    MetricsTable,
    NodeTable,
    NoticesTable,
    RegistryTable,
    RouteTable,
    TolerancesTable,
)
from interceptor.config.tls import DestinationTlsTable, ListenerTlsTable, PeerTable
from interceptor.config.value import NAME_PATTERN
from interceptor.config.webhook_table import WebhookTable

_INTRODUCTION = """# Configuration

<!-- Generated from interceptor/config/schema.py by docs/generate_reference.py. Do not edit: change the docstrings. -->

One TOML file. `interceptor check -c FILE` prints every problem of it at once. An unknown key is a problem, never
ignored. Relative paths start at the folder of the file. Durations are numbers in the unit that the key ends with.

The smallest file that works:

```toml
[node]
data_directory = "/var/lib/interceptor"

[route.orders]
listen = "127.0.0.1:2575"
destination = "ris"

[destination.ris]
address = "127.0.0.1:2576"
```

Such a node relays in `shadow` mode: every byte passes, decisions are only recorded.
"""

_TABLES: tuple[tuple[str, type[BaseModel]], ...] = (
    ("node", NodeTable),
    ("route.NAME", RouteTable),
    ("route.NAME.tolerances", TolerancesTable),
    ("route.NAME.tls", ListenerTlsTable),
    ("[route.NAME.tls.peers]", PeerTable),
    ("destination.NAME", DestinationTable),
    ("destination.NAME.tls", DestinationTlsTable),
    ("hold", HoldTable),
    ("notices", NoticesTable),
    ("registry", RegistryTable),
    ("feed.NAME", FeedTable),
    ("feed.NAME.tolerances", TolerancesTable),
    ("feed.NAME.tls", ListenerTlsTable),
    ("[feed.NAME.tls.peers]", PeerTable),
    ("fhir.NAME", FhirTable),
    ("database", DatabaseTable),
    ("webhook.NAME", WebhookTable),
    ("cds.NAME", CdsTable),
    ("review", ReviewTable),
    ("review.oidc", OidcTable),
    ("review.proxy_login", ProxyLoginTable),
    ("atna", AtnaTable),
    ("metrics", MetricsTable),
    ("log", LogTable),
    ("synthetic", SyntheticTable),
    ("tracing", TracingTable),
)


def build_config_reference() -> str:
    """The whole page as Markdown."""
    parts = [_INTRODUCTION]
    for heading, table in _TABLES:
        parts.append(f"## [{heading}]\n\n{table.__doc__}\n\n" + "\n".join(_rows(table)) + "\n")
    parts.append(
        f"Names of routes, feeds, destinations, FHIR servers and webhooks match `{NAME_PATTERN}`: they become metric labels.\n"
    )
    return "\n".join(parts)


def _rows(table: type[BaseModel]) -> Iterator[str]:
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    for key, field in table.model_fields.items():
        if _is_table(field):
            continue  # With a section of its own.
        meaning = " ".join((field.description or "").split())
        yield f"| `{key}` | {_kind(field, table, key)} | {_default(field)} | {meaning} |"


def _is_table(field: FieldInfo) -> bool:
    """Whether the key is a table, one that may be left out, or a list of tables."""
    members = get_args(field.annotation) or (field.annotation,)
    return any(isinstance(member, type) and issubclass(member, BaseModel) for member in members)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    if field.default is None:
        return "none"
    default = field.get_default(call_default_factory=True)
    value = str(default) if isinstance(default, Address | Path) else default
    return f"`{json.dumps(value)}`"


def _kind(field: FieldInfo, table: type[BaseModel], key: str) -> str:
    annotation: Any = field.annotation
    if get_origin(annotation) in (UnionType, Union):
        annotation = next(member for member in get_args(annotation) if member is not type(None))
    if get_origin(annotation) is Literal:
        return ", ".join(f'`"{word}"`' for word in get_args(annotation))
    words: Mapping[Any, str] = {
        bool: "`true` or `false`",
        int: "whole number",
        float: "number",
        Path: "path",
        Address: "`host:port`",
    }
    collections: Mapping[Any, str] = {tuple: "list of texts", abc.Mapping: "table of texts"}
    word = words.get(annotation, collections.get(get_origin(annotation), "text"))
    limits = describe_range(table, key)
    return f"{word}, {limits}" if limits else word
