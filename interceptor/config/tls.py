"""Tables of TLS: [route.NAME.tls] and [feed.NAME.tls] for those who connect to us, [destination.NAME.tls] for those we connect to.

Keys are named as in [fhir.NAME]. Files are PEM; secrets stand in files of their own, never here.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from interceptor.config.toml_lines import KeyPath
from interceptor.config.value import Table


def _message_type(value: str) -> str:
    parts = value.split("^")
    if not 1 <= len(parts) <= 2 or not all(part.isalnum() and part.isupper() for part in parts):
        raise ValueError(f'"{value}" is not a message type such as "ORM^O01", or "ADT" for every ADT')
    return value


_Text = Annotated[str, Field(min_length=1, max_length=255)]
MessageTypeText = Annotated[str, AfterValidator(_message_type)]


class PeerTable(Table):
    """What the holder of one certificate may send here."""

    name: _Text
    """A subject alternative name of its certificate: DNS name, URI, IP or e-mail address, as the certificate says it. Several entries may share one name; what any of them allows is allowed."""
    sending_applications: tuple[_Text, ...] = ()
    """Sending applications (MSH-3) that it may speak for: the whole field, or its first component. Empty allows all."""
    sending_facilities: tuple[_Text, ...] = ()
    """Sending facilities (MSH-4) that it may speak for: the whole field, or its first component. Empty allows all."""
    message_types: tuple[MessageTypeText, ...] = ()
    """Message types (MSH-9) that it may send, e.g. "ORM^O01", or "ADT" for every ADT. Empty allows all."""


class ListenerTlsTable(Table):
    """TLS 1.2 or newer on this listener. Files may be replaced while it runs: they are looked at every minute."""

    certificate_file: Path
    """Our certificate, PEM, intermediate ones behind it."""
    key_file: Path
    """Its private key, PEM without passphrase, readable by the service alone."""
    client_certificates: Literal["required", "none"] = "required"
    """Whether a peer must show a certificate of `ca_file`'s authorities. With `none` the line is encrypted and anybody may speak."""
    ca_file: Path | None = None
    """Authorities that may have signed the peers' certificates. Name the site's own one: the system's would let in the whole internet."""
    crl_file: Path | None = None
    """Revocation lists of those authorities, PEM."""
    on_mismatch: Literal["refuse", "alert"] = "refuse"
    """What happens to a certificate that is not on the list of peers, and to a message that its peer may not send: `refuse` closes the connection or answers AR; `alert` lets it go on, counted and audited, while a site is migrating."""
    peers: tuple[PeerTable, ...] = ()
    """[[….tls.peers]]  Who may connect, and what each may send. Empty takes every certificate of the authorities."""


class DestinationTlsTable(Table):
    """TLS 1.2 or newer to this destination. Its certificate must be valid and have the name that we connect to."""

    ca_file: Path | None = None
    """Authorities that may have signed its certificate; without it those of the system."""
    crl_file: Path | None = None
    """Revocation lists of those authorities, PEM."""
    certificate_file: Path | None = None
    """Our certificate, for a receiver that asks for one; PEM, intermediate ones behind it."""
    key_file: Path | None = None
    """Its private key, PEM without passphrase."""
    server_name: str | None = None
    """The name that its certificate must have, where that is not the host of `address`."""


def cross_check_tls(kind: str, name: str, table: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong between keys of one lane's TLS table, as it was read."""
    tls = table.get("tls")
    if not isinstance(tls, dict):
        return
    path = (kind, name, "tls")
    asks = kind != "destination" and tls.get("client_certificates", "required") == "required"
    if asks and "ca_file" not in tls:
        yield path, 'client certificates are asked for: name their ca_file, or set client_certificates = "none"'
    if not asks and tls.get("peers"):
        yield (*path, "peers"), 'peers are known by their certificates: client_certificates = "none" asks for none'
    if kind == "destination" and ("certificate_file" in tls) != ("key_file" in tls):
        yield path, "certificate_file and key_file go together"
    if "crl_file" in tls and "ca_file" not in tls:
        yield (*path, "crl_file"), "lists what the authorities of ca_file revoked: ca_file is missing"


def find_tls_tables(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Kind, name and table of every lane of the document."""
    for kind in ("route", "feed", "destination"):
        tables = document.get(kind)
        if isinstance(tables, dict):
            yield from ((kind, name, table) for name, table in tables.items() if isinstance(table, dict))


def warn_of_line(
    kind: str, name: str, *, is_loopback: bool, has_addresses: bool, tls: ListenerTlsTable | None
) -> Iterator[tuple[KeyPath, str]]:
    """What should be known of a listener before real messages run through it."""
    path = (kind, name)
    if tls is None:
        if not is_loopback:
            yield (*path, "listen"), "other machines send patient data here in plain text: set [….tls]"
            if not has_addresses:
                yield (
                    (*path, "listen"),
                    "other machines can reach this listener and MLLP has no login: set allowed_addresses",
                )
        return
    if tls.client_certificates == "none" and not has_addresses:
        yield (*path, "tls"), "anybody may speak here: no certificate is asked for and allowed_addresses is empty"
    if tls.client_certificates == "required" and not tls.peers:
        yield (*path, "tls"), "every certificate of the authorities may send anything: list the peers"
    if tls.on_mismatch == "alert":
        yield (*path, "tls", "on_mismatch"), "alert lets through what its certificate may not send"
