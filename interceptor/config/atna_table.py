"""[atna]: where the audit trail goes."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from interceptor.config.value import PeerAddress, Table


class AtnaTable(Table):
    """The audit record repository: audit messages of IHE ATNA over syslog on TLS. See docs/how-to/secure-the-line.md."""

    address: PeerAddress
    """host:port of the repository's syslog listener on TLS (RFC 5425; usually port 6514)."""
    ca_file: Path | None = None
    """Authorities that may have signed its certificate; without it those of the system."""
    certificate_file: Path | None = None
    """Our certificate, for a repository that asks for one; PEM."""
    key_file: Path | None = None
    """Its private key, PEM without passphrase."""
    server_name: str | None = None
    """The name that its certificate must have, where that is not the host of `address`."""
    enterprise_site: str = ""
    """AuditEnterpriseSiteID of every message: the name of the hospital or site."""
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 10.0
    """How long connecting, and handing over one batch of messages, may take."""
    waiting_max: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    """Audit messages that may wait for the repository before an event says so. They are kept whatever their number."""
