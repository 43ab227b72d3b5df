"""[database]: PostgreSQL for several nodes, in place of the file in the data directory."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from interceptor.config.value import Table


class DatabaseTable(Table):
    """The PostgreSQL database that several nodes share. Without `hosts` the node keeps its journal in a SQLite file of its own. See docs/how-to/run-on-postgresql.md."""

    hosts: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Servers as "name" or "name:port", or the folder of a Unix socket; the first that is a primary is taken. Give every server that may become the primary."""
    name: Annotated[str, Field(min_length=1)] = "interceptor"
    """Name of the database. It is UTF-8, and its tables are the program's own."""
    user: Annotated[str, Field(min_length=1)] = "interceptor"
    """Role that owns the tables."""
    password_file: Path | None = None
    """File with the password."""
    password_env: str | None = None
    """Environment variable with the password; give one of the two, or neither where a certificate or the socket says who we are."""
    sslmode: Literal["disable", "require", "verify-ca", "verify-full"] = "verify-full"
    """What must be true of the connection's encryption. Anything less than `verify-full` is for a server on this machine or a network of its own: what goes over it names patients."""
    ca_file: Path | None = None
    """Certificates that the server's must come from."""
    certificate_file: Path | None = None
    """Our own certificate, where the server asks for one."""
    key_file: Path | None = None
    """The key of `certificate_file`."""
    connect_timeout_seconds: Annotated[int, Field(ge=2, le=60)] = 3
    """How long connecting to one server may take."""
    tcp_user_timeout_seconds: Annotated[float, Field(ge=1, le=60)] = 5.0
    """How long what we sent may stay unconfirmed by the server before the connection counts as dead."""
    lease_seconds: Annotated[float, Field(ge=2, le=120)] = 6.0
    """How long a node that gives no sign of life goes on as the one that delivers. Another takes over after this and the destination's `tcp_user_timeout_seconds`."""
