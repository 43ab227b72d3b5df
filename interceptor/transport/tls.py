"""TLS of a line: which versions and suites, whose certificates, and how they are replaced while traffic runs.

    files on disk -> SSLContext, which a `Credential` holds and replaces; each handshake takes the one of that moment

TLS 1.2 or newer with AEAD suites and forward secrecy only. A listener asks for a client certificate unless it is told
not to. Sessions are not resumed: connections live for days, and a resumed one would not be checked against the
authorities of today.

Failures: a file that cannot be read or used is one TlsFileProblem that names the key, never the content. A reload that
fails leaves the credential as it was.

Source: RFC 9325 (recommendations for TLS), RFC 8446, IHE ITI-19 (Authenticate Node).
"""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!PSK"
"""Suites of TLS 1.2 in OpenSSL's words: ephemeral keys and authenticated encryption. TLS 1.3 has no others."""


class TlsFileProblem(ValueError):  # noqa: N818 - a state of a file, as its siblings in fhir_connect
    """A certificate, key or list cannot be used. Names the key of the configuration and the kind of fault only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files of one lane.

    Attributes:
        certificate_file: Our certificate, with intermediate ones behind it; None for a client without one.
        key_file: Its private key without passphrase; None where it stands in the certificate's file.
        ca_file: Authorities that may have signed the other side's certificate; None takes those of the system.
        crl_file: Revocation lists of those authorities; None asks for none.
    """

    certificate_file: Path | None = None
    key_file: Path | None = None
    ca_file: Path | None = None
    crl_file: Path | None = None

    def items(self) -> dict[str, Path]:
        """The files that are named, by key."""
        found = {
            "certificate_file": self.certificate_file,
            "key_file": self.key_file,
            "ca_file": self.ca_file,
            "crl_file": self.crl_file,
        }
        return {key: path for key, path in found.items() if path is not None}


def server_context(files: TlsFiles, *, client_certificates: bool) -> ssl.SSLContext:
    """What a listener shakes hands with. *client_certificates*: refuse a peer without one of `ca_file`'s authorities.

    Raises:
        TlsFileProblem: A file is missing or cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    context.num_tickets = 0
    if files.certificate_file is None:
        raise TlsFileProblem("certificate_file: missing")
    _load_files(context, files)
    if client_certificates:
        if files.ca_file is None:
            raise TlsFileProblem("ca_file: missing: whose client certificates are taken?")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """What we connect with; the server's certificate must be valid and have the name that we connect to.

    Raises:
        TlsFileProblem: A file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    if files.ca_file is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    _load_files(context, files)
    return context


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE


def _load_files(context: ssl.SSLContext, files: TlsFiles) -> None:
    for key, path in files.items().items():
        # Read here, so that the fault can be told by its key: OpenSSL's own words do not say which file it was.
        _read_file(key, path)
    try:
        if files.certificate_file is not None:
            context.load_cert_chain(files.certificate_file, files.key_file, password=_no_passphrase)
    except (ssl.SSLError, OSError) as error:
        raise TlsFileProblem(f"certificate_file: cannot be used with its key ({_reason(error)})") from None
    for key, listed in (("ca_file", files.ca_file), ("crl_file", files.crl_file)):
        if listed is None:
            continue
        try:
            context.load_verify_locations(listed)
        except (ssl.SSLError, OSError) as error:
            raise TlsFileProblem(f"{key}: cannot be used ({_reason(error)})") from None
    if files.crl_file is not None:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def _read_file(key: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsFileProblem(f"{key}: {path} cannot be read ({error.strerror})") from None


def _no_passphrase() -> bytes:
    # OpenSSL would ask the terminal otherwise, and a service has none.
    raise TlsFileProblem("key_file: has a passphrase; a service cannot ask for it")


def _reason(error: OSError) -> str:
    reason = getattr(error, "reason", None)
    return str(reason or type(error).__name__).lower().replace("_", " ")


def find_not_after(files: TlsFiles) -> Mapping[str, datetime]:
    """When the first certificate of each file ends, aware UTC, by key: our own, and the authorities'.

    Raises:
        TlsFileProblem: A file cannot be read, or has no certificate.
    """
    found: dict[str, datetime] = {}
    for key in ("certificate_file", "ca_file"):
        path = files.items().get(key)
        if path is None:
            continue
        try:
            certificates = x509.load_pem_x509_certificates(_read_file(key, path))
        except ValueError:
            raise TlsFileProblem(f"{key}: has no certificate in it") from None
        # Of a bundle of authorities old ones may well have ended: the one that lives longest counts.
        ends = [certificate.not_valid_after_utc for certificate in certificates]
        found[key] = min(ends) if key == "certificate_file" else max(ends)
    return found


class Credential:
    """The certificates of one lane as they are now."""

    def __init__(self, name: str, files: TlsFiles, build: Callable[[TlsFiles], ssl.SSLContext]) -> None:
        """*name*: the table of the configuration, for people. *build* makes a context of the files.

        Raises:
            TlsFileProblem: A file cannot be used.
        """
        self.name = name
        self._files = files
        self._build = build
        self._seen = self._look()
        self._context = build(files)
        self._not_after = find_not_after(files)

    @property
    def context(self) -> ssl.SSLContext:
        """What the next handshake uses."""
        return self._context

    @property
    def not_after(self) -> Mapping[str, datetime]:
        """When the certificates that are in use end, by key of the configuration."""
        return self._not_after

    def is_changed(self) -> bool:
        """Whether a file was replaced since the last load, or the last attempt."""
        return self._look() != self._seen

    def reload(self) -> None:
        """Take the files as they are now; connections that stand keep what they have.

        Raises:
            TlsFileProblem: A file cannot be used; nothing has changed.
        """
        self._seen = self._look()
        context, not_after = self._build(self._files), find_not_after(self._files)
        self._context, self._not_after = context, not_after

    def _look(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_signature(path) for path in self._files.items().values())


def _signature(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written again or replaced by a rename (a Kubernetes secret is a link)."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def certificate_names(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """Subject alternative names of a certificate as `getpeercert` gives it: DNS names in lower case, others as they are.

    The common name is not one: RFC 9525 ended its use as a name.
    """
    if certificate is None:
        return frozenset()
    names = certificate.get("subjectAltName", ())
    return frozenset(value.lower() if kind == "DNS" else value for kind, value in names)


_REFUSAL_WORDS = ("ALERT_CERTIFICATE", "ALERT_BAD_CERTIFICATE", "ALERT_UNKNOWN_CA", "ALERT_UNSUPPORTED_CERTIFICATE")
_REFUSAL_REASONS = frozenset({"TLSV13_ALERT_CERTIFICATE_REQUIRED", "TLSV1_ALERT_ACCESS_DENIED"})


def is_certificate_refusal(error: BaseException | None) -> bool:
    """Whether the other side said, in a TLS alert, that it does not take our certificate."""
    if not isinstance(error, ssl.SSLError):
        return False
    reason = str(error.reason or "")
    return reason in _REFUSAL_REASONS or any(word in reason for word in _REFUSAL_WORDS)
