"""A site's own certificate authority, for tests: certificates that are good, ended, revoked, or of somebody else."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey


@dataclass(frozen=True)
class Issued:
    """One certificate and its key, as files."""

    certificate_file: Path
    key_file: Path


class SiteCa:
    """One authority; its certificate is `ca_file`."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        folder.mkdir(exist_ok=True, parents=True)
        self._folder = folder
        self._ca = trustme.CA()
        self.ca_file = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(str(self.ca_file))

    def issue(self, name: str, *, days: float = 90, file: str | None = None) -> Issued:
        """A certificate with this DNS name (or address, or e-mail) that ends in so many days from now."""
        now = datetime.now(UTC)
        issued = self._ca.issue_cert(name, not_before=now - timedelta(days=400), not_after=now + timedelta(days=days))
        stem = file or name.replace("*", "any")
        paths = Issued(self._folder / f"{stem}.crt", self._folder / f"{stem}.key")
        paths.certificate_file.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(paths.key_file))
        return paths

    def revoke(self, *issued: Issued) -> Path:
        """A revocation list with these certificates."""
        key = serialization.load_pem_private_key(self._ca.private_key_pem.bytes(), password=None)
        assert isinstance(key, EllipticCurvePrivateKey)
        authority = x509.load_pem_x509_certificate(self._ca.cert_pem.bytes())
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(authority.subject)
        builder = builder.last_update(now - timedelta(days=1)).next_update(now + timedelta(days=10))
        for each in issued:
            certificate = x509.load_pem_x509_certificate(each.certificate_file.read_bytes())
            entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(now - timedelta(days=1)).build())
        path = self._folder / "revoked.pem"
        path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return path

    def client(self, issued: Issued | None = None, *, checks_name: bool = True) -> ssl.SSLContext:
        """What a peer connects with."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        context.check_hostname = checks_name
        if issued is not None:
            context.load_cert_chain(issued.certificate_file, issued.key_file)
        return context

    def server(self, issued: Issued, *, asks_client: "SiteCa | None" = None) -> ssl.SSLContext:
        """What a filler listens with; *asks_client*: whose client certificates it takes, None asks for none."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(issued.certificate_file, issued.key_file)
        if asks_client is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(asks_client.ca_file)
        return context

    def listener_table(self, issued: Issued, **more: Any) -> dict[str, Any]:
        """A [route.NAME.tls] that asks for certificates of this authority."""
        return {
            "certificate_file": issued.certificate_file,
            "key_file": issued.key_file,
            "ca_file": self.ca_file,
            **more,
        }
