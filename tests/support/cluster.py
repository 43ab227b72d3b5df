"""Several nodes on one database, in the test's own loop or in processes of their own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interceptor.config.database_table import DatabaseTable
from interceptor.config.schema import Config
from interceptor.control.client import request_async
from interceptor.journal.postgres_connection import PostgresPlace
from interceptor.node import Node
from tests.support.node import Events, Filler, filler, node_config, node_of
from tests.support.postgres_server import PASSWORD, PostgresServer, empty_database, shared_server


def on_database(config: Config, place: PostgresPlace, folder: Path, *, name: str, **values: Any) -> Config:
    """*config* with its journal on *place*."""
    secret = folder / "database-secret"
    secret.write_text(PASSWORD)
    table = {
        "hosts": tuple(
            f"{host}:{port}" for host, port in zip(place.host.split(","), place.port.split(","), strict=True)
        ),
        "name": place.database,
        "user": place.user,
        "password_file": secret,
        "sslmode": "disable",
        "lease_seconds": 2.0,
        **values,
    }
    node = config.node.model_copy(update={"name": name})
    return config.model_copy(update={"node": node, "database": DatabaseTable.model_validate(table)})


@dataclass
class Nodes:
    """Nodes in this loop and the filler that they all know."""

    place: PostgresPlace
    filler: Filler
    configs: list[Config]
    nodes: list[Node]
    events: list[Events] = field(default_factory=list)

    async def command(self, index: int, name: str, **arguments: Any) -> dict[str, Any]:
        """A command of a person on one of the nodes."""
        return dict(await request_async(self.configs[index].control_socket, name, **arguments))

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What the database says to the test itself."""
        with shared_server().connect(self.place.database) as connection:
            return connection.execute(statement.encode()).fetchall()


@asynccontextmanager
async def cluster(
    folder: Path,
    count: int = 2,
    *,
    database: dict[str, Any] | None = None,
    server: PostgresServer | None = None,
    **changes: Any,
) -> AsyncIterator[Nodes]:
    """*count* nodes on a new database; *changes* as for `node_config`; *server*: one of the test's own."""
    with nullcontext(server.database()) if server is not None else empty_database() as place:
        async with filler() as ris, AsyncExitStack() as stack:
            configs, nodes, events = [], [], []
            for number in range(count):
                home = folder / str(number)
                home.mkdir()
                plain = node_config(home, filler_port=ris.port, **changes)
                config = on_database(plain, place, home, name=f"node-{number}", **(database or {}))
                seen = Events()
                configs.append(config)
                events.append(seen)
                nodes.append(await stack.enter_async_context(node_of(config, seen)))
            yield Nodes(place, ris, configs, nodes, events)


async def until(is_so: Callable[[], bool], *, seconds: float = 60.0) -> None:
    """Wait for what another process, or a server, does on its own clock."""
    async with asyncio.timeout(seconds):
        while True:
            if is_so():
                return
            await asyncio.sleep(0.005)
