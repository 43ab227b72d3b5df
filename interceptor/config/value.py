"""Kinds of values that tables of the configuration are made of, and what every table has in common.

A table is frozen, refuses unknown keys, and its attribute docstrings are the reference page.
"""

from ipaddress import ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, WithJsonSchema

from interceptor.config.address import Address, parse_address

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,31}$"
"""Names of routes and destinations are metric labels, table keys and parts of commands: short and plain."""


class Table(BaseModel):
    """What every table has in common."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


def _listen_address(value: object) -> Address:
    if not isinstance(value, str):
        raise ValueError('write host:port in quotes, e.g. "127.0.0.1:2575"')
    return parse_address(value)


def _peer_address(value: object) -> Address:
    address = _listen_address(value)
    if address.port == 0:
        raise ValueError("port 0 is not 1-65535")
    if address.is_every_interface:
        raise ValueError(f'"{address.host}" is an address to listen on, not one to connect to')
    return address


def _network(value: str) -> str:
    try:
        return str(ip_network(value))
    except ValueError:
        raise ValueError(f'"{value}" is not an address or a network such as "10.1.0.0/16"') from None


def _http_address(value: str) -> str:
    parts = urlsplit(value)
    try:
        is_loopback = Address(parts.hostname or "", parts.port or 0).is_loopback
    except ValueError:
        raise ValueError(f'"{value}" has a port that is not 0-65535') from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f'"{value}" is not an address such as "https://fhir.example.org/r4"')
    if parts.username is not None:
        raise ValueError("has a login in it: secrets come from a file or the environment")
    if parts.scheme == "http" and not is_loopback:
        raise ValueError("http is for this machine only: what it carries names patients; use https")
    return value


def _probe(value: str) -> str:
    if not (value.isascii() and value.isprintable()) or len(value) > 64:
        raise ValueError("is at most 64 printable ASCII characters")
    if value.startswith(("MSH", "FHS", "BHS")):
        raise ValueError("begins as an HL7 message does: a placer's message must never be taken for a probe")
    return value


_ADDRESS_SCHEMA = WithJsonSchema({"type": "string", "format": "host:port"})
_ADDRESS_TEXT = PlainSerializer(str, return_type=str)
ListenAddress = Annotated[Address, PlainValidator(_listen_address), _ADDRESS_TEXT, _ADDRESS_SCHEMA]
PeerAddress = Annotated[Address, PlainValidator(_peer_address), _ADDRESS_TEXT, _ADDRESS_SCHEMA]
Network = Annotated[str, AfterValidator(_network)]
HttpAddress = Annotated[str, AfterValidator(_http_address)]
Probe = Annotated[str, AfterValidator(_probe)]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
