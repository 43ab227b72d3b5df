"""Every certificate that a node speaks with, read from the files that its configuration names.

    [route|feed.NAME.tls]      who connects to us
    [destination.NAME.tls]     fillers
    [fhir.NAME]                evidence, where its base is https
    [atna]                     the audit record repository

Each is a `Credential`, which takes replaced files while the node runs (`line_security.py` watches them). Those of
[review] are used by the review process; the node only looks at them, so that one place tells when they end.

Failures: a file that cannot be used is a TlsFileProblem that names the table and the key.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from ssl import SSLContext, SSLError

from interceptor.config.atna_table import AtnaTable
from interceptor.config.schema import Config, FeedTable, FhirTable, RouteTable
from interceptor.config.tls import DestinationTlsTable, ListenerTlsTable
from interceptor.evidence.fhir_http import tls_context
from interceptor.transport.tls import Credential, TlsFileProblem, TlsFiles, client_context, server_context

ATNA = "atna"
REVIEW = "review"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where certificates are named: its table, e.g. "route.orders", and the prefix of its keys, e.g. "route.orders.tls"."""

    name: str
    prefix: str
    files: TlsFiles
    build: Callable[[TlsFiles], SSLContext]

    def read(self) -> Credential:
        """Read the files.

        Raises:
            TlsFileProblem: One cannot be used.
        """
        try:
            return Credential(self.name, self.files, self.build)
        except TlsFileProblem as problem:
            raise TlsFileProblem(f"{self.prefix}.{problem}") from None


def read_credentials(config: Config) -> dict[str, Credential]:
    """The certificates of every place that the node itself speaks from, by the name of its table.

    Raises:
        TlsFileProblem: A file cannot be used.
    """
    return {place.name: place.read() for place in (*_line_places(config), *_fhir_places(config))}


def review_place(config: Config) -> Place | None:
    """The certificate of the review pages; None where they have none of their own."""
    review = config.review
    if review is None or review.certificate_file is None:
        return None
    files = TlsFiles(certificate_file=review.certificate_file, key_file=review.key_file)
    return Place(name=REVIEW, prefix=REVIEW, files=files, build=partial(server_context, client_certificates=False))


def check_tls_files(config: Config) -> Iterator[str]:
    """What is wrong with the files of TLS, without starting anything. Those of [fhir.NAME]: `check_settings`."""
    review = review_place(config)
    for place in (*_line_places(config), *(() if review is None else (review,))):
        try:
            place.read()
        except TlsFileProblem as problem:
            yield str(problem)


def listeners_of(config: Config) -> Iterator[tuple[str, str, RouteTable | FeedTable]]:
    """Kind, name and table of everything that others connect to."""
    yield from (("route", name, table) for name, table in config.route.items())
    yield from (("feed", name, table) for name, table in config.feed.items())


def _line_places(config: Config) -> Iterator[Place]:
    for kind, name, listener in listeners_of(config):
        if listener.tls is not None:
            asks = listener.tls.client_certificates == "required"
            yield Place(
                name=f"{kind}.{name}",
                prefix=f"{kind}.{name}.tls",
                files=_line_files(listener.tls),
                build=partial(server_context, client_certificates=asks),
            )
    for name, destination in config.destination.items():
        if destination.tls is not None:
            place = f"destination.{name}"
            yield Place(name=place, prefix=f"{place}.tls", files=_line_files(destination.tls), build=client_context)
    if config.atna is not None:
        yield Place(name=ATNA, prefix=ATNA, files=_client_files(config.atna), build=client_context)


def _fhir_places(config: Config) -> Iterator[Place]:
    for name, table in config.fhir.items():
        if table.base_url.startswith("https:"):
            place = f"fhir.{name}"
            yield Place(name=place, prefix=place, files=_client_files(table), build=_fhir_context)


def _line_files(table: ListenerTlsTable | DestinationTlsTable) -> TlsFiles:
    return TlsFiles(
        certificate_file=table.certificate_file,
        key_file=table.key_file,
        ca_file=table.ca_file,
        crl_file=table.crl_file,
    )


def _client_files(table: AtnaTable | FhirTable) -> TlsFiles:
    return TlsFiles(certificate_file=table.certificate_file, key_file=table.key_file, ca_file=table.ca_file)


def _fhir_context(files: TlsFiles) -> SSLContext:
    named = {key: str(path) for key, path in files.items().items()}
    try:
        return tls_context(
            ca_file=named.get("ca_file"), certificate_file=named.get("certificate_file"), key_file=named.get("key_file")
        )
    except (OSError, SSLError) as error:
        key = "ca_file" if files.certificate_file is None else "certificate_file"
        raise TlsFileProblem(f"{key}: cannot be used ({type(error).__name__})") from None
