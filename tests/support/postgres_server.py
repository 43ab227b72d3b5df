"""A real PostgreSQL from Debian's package, made by initdb in a folder of its own; one for each test process.

Root may not run the server: then the package's own user does. It listens on a loopback port and asks for a password,
so that tests go the way that a site goes. `PostgresServer.database` makes an empty database.
"""

import atexit
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import psycopg
import pytest

from interceptor.journal.postgres_connection import PostgresPlace, connect, migrate

PASSWORD = "a word for tests"  # nosec - of a server that lives for one test run
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "wal_level": "replica",
    "max_wal_senders": "4",
    "autovacuum": "off",
    "log_min_messages": "warning",
}
_NUMBERS = itertools.count(1)


def program(name: str) -> Path | None:
    """A program of the server's newest version, which Debian keeps off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1]
    other = shutil.which(name)
    return Path(other) if other else None


def missing() -> str:
    """Why there is no server here, with the command that helps; "" when there is one."""
    if program("initdb") is None:
        return "PostgreSQL is missing: apt-get install postgresql"
    if os.geteuid() == 0 and _server_user() is None:
        return "root may not run PostgreSQL and there is no user postgres: apt-get install postgresql"
    return ""


def need_postgres() -> None:
    """Skip the test where there is no PostgreSQL; under CI its absence is a failure."""
    if why := missing():
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)


def _server_user() -> str | None:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    return None


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass(kw_only=True)
class PostgresServer:
    """One cluster in *folder*."""

    folder: Path
    port: int
    host: str = "127.0.0.1"
    settings: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def data(self) -> Path:
        """The cluster's own folder."""
        return self.folder / "data"

    def run(self, *words: str | Path, **options: Any) -> "subprocess.CompletedProcess[bytes]":
        """One of the server's programs, as the server's user."""
        first = program(str(words[0]))
        assert first is not None, missing()
        return subprocess.run(
            [first, *words[1:]], check=True, capture_output=True, cwd="/", **as_server_user(), **options
        )

    def create(self) -> None:
        """Make the cluster."""
        secret = self.folder / "secret"
        secret.write_text(PASSWORD)
        give(self.folder)
        give(secret)
        self.run(
            "initdb", "-D", self.data, "-U", "interceptor", "-E", "UTF8", "--locale=C", "--auth=scram-sha-256",
            f"--pwfile={secret}", "--no-sync", "--no-instructions",
        )  # fmt: skip
        self.configure(port=str(self.port), unix_socket_directories=str(self.folder), **(SETTINGS | self.settings))
        with (self.data / "pg_hba.conf").open("a") as rules:
            rules.write("host replication all 127.0.0.1/32 scram-sha-256\nhost all all 0.0.0.0/0 scram-sha-256\n")

    def configure(self, **settings: str) -> None:
        """Add settings; they count from the next start or reload."""
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def start(self, command: tuple[str, ...] = ()) -> None:
        """Start it and wait until it answers. *command* stands before the server's own."""
        postgres = program("postgres")
        assert postgres is not None
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [*command, str(postgres), "-D", str(self.data)], stdout=log, stderr=log, cwd="/", **as_server_user()
        )
        log.close()
        self.wait()

    def wait(self, seconds: float = 60.0) -> None:
        """Wait until a client is served."""
        until = time.monotonic() + seconds
        while True:
            try:
                self.connect("postgres").close()
            except psycopg.OperationalError:
                if time.monotonic() > until or (self.process is not None and self.process.poll() is not None):
                    raise AssertionError((self.folder / "log").read_text()[-3000:]) from None
                time.sleep(0.05)
            else:
                return

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: "fast" in order, "immediate" as a crash would."""
        if self.process is not None:
            # SIGINT and SIGQUIT are PostgreSQL's words for these.
            self.process.send_signal(2 if mode == "fast" else 3)
            self.process.wait(30)
            self.process = None

    def kill(self) -> None:
        """Every process of it at once, as a machine that loses its power."""
        assert self.process is not None
        signal_all(self, signal.SIGKILL)
        self.process.wait(30)
        self.process = None

    def reload(self) -> None:
        """Read the settings again."""
        assert self.process is not None
        self.process.send_signal(1)

    def connect(self, database: str, **options: Any) -> "psycopg.Connection[tuple[Any, ...]]":
        """A connection for the test itself."""
        return psycopg.connect(
            host=self.host, port=self.port, dbname=database, user="interceptor", password=PASSWORD, autocommit=True,
            connect_timeout=5, **options,
        )  # fmt: skip

    def database(self, *, is_migrated: bool = False) -> PostgresPlace:
        """A new database: empty, or with the journal's tables."""
        name = f"test_{os.getpid()}_{next(_NUMBERS)}"
        template = f"TEMPLATE {self._migrated()}" if is_migrated else ""
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {name} {template}".encode())
        return self.place(name)

    def _migrated(self) -> str:
        """A database to copy: quicker than making the tables each time."""
        with self.connect("postgres") as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'migrated'").fetchone()
            if found is None:
                connection.execute("CREATE DATABASE migrated")
                made = connect(self.place("migrated"))
                migrate(made)
                made.raw.close()
        return "migrated"

    def place(self, name: str, **values: Any) -> PostgresPlace:
        """A database of this server, as a node names it."""
        known: dict[str, Any] = {"host": self.host, "port": str(self.port), "password": PASSWORD, "node": "test"}
        return PostgresPlace(database=name, **(known | values))

    def drop(self, place: PostgresPlace) -> None:
        """Remove a database, whoever is connected to it."""
        with self.connect("postgres") as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {place.database} WITH (FORCE)".encode())


def signal_all(server: PostgresServer, number: signal.Signals) -> None:
    """Send every process of *server* a signal; SIGSTOP freezes it: the kernel takes connections, and nobody answers."""
    if server.process is None:
        return
    # The postmaster first: nothing new is begun while its children are gone through.
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    for process in (server.process.pid, *map(int, children.read_text().split())):
        with suppress(ProcessLookupError):
            os.kill(process, number)


def as_server_user() -> Mapping[str, Any]:
    """What subprocess needs to run something as the server's user."""
    if os.geteuid() != 0:
        return {}
    name = _server_user()
    assert name is not None
    return {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}


def give(path: Path) -> None:
    """Let the server's user have *path*."""
    if os.geteuid() == 0:
        name = _server_user()
        assert name is not None
        shutil.chown(path, name, pwd.getpwnam(name).pw_gid)


@contextmanager
def new_server(*, on_disk: bool = False, **settings: str) -> Iterator[PostgresServer]:
    """A server of one's own for the length of the block; in memory unless the test is about the disk."""
    where = None if on_disk or not Path("/dev/shm").is_dir() else "/dev/shm"
    with tempfile.TemporaryDirectory(prefix="postgres-", dir=where) as name:
        server = PostgresServer(folder=Path(name), port=free_port(), settings=settings)
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()


@lru_cache(maxsize=1)
def shared_server() -> PostgresServer:
    """The server of this test process; it ends with it."""
    keeper = new_server()
    server = keeper.__enter__()
    atexit.register(keeper.__exit__, None, None, None)
    return server


@contextmanager
def empty_database() -> Iterator[PostgresPlace]:
    """A database of the shared server for the length of the block."""
    need_postgres()
    server = shared_server()
    place = server.database()
    try:
        yield place
    finally:
        server.drop(place)
