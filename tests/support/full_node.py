"""A node with everything switched on that has metrics of its own: two custodies, TLS, a feed, the registry, a FHIR server."""

import asyncio
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from interceptor.config.schema import Config
from interceptor.node import Node
from interceptor.simulate.fhir_record import IDENTIFIER_SYSTEM
from interceptor.simulate.fhir_server import SimulatedFhirServer, serving
from tests.support.fhir import record
from tests.support.node import Events, Filler, filler, node_of
from tests.support.site_ca import SiteCa

Series = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class FullNode:
    """The node and its peers."""

    node: Node
    filler: Filler
    fhir: SimulatedFhirServer
    events: Events

    async def page(self) -> str:
        """What Prometheus gets now, at most a second old."""

        def read() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.node.metrics_port}/metrics", timeout=20) as answer:
                return str(answer.read().decode())

        return await asyncio.to_thread(read)

    async def series(self) -> dict[Series, float]:
        """Every series as it is now, rendered anew."""
        return series_of((await asyncio.to_thread(self.node.metrics.render)).decode())


def series_of(page: str) -> dict[Series, float]:
    """Every series of a metrics page with its value."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def full_config(folder: Path, *, filler_port: int, fhir_url: str, **tables: Any) -> Config:
    """A configuration with everything; *tables* replace whole tables."""
    authority = SiteCa(folder / "certificates")
    config: dict[str, Any] = {
        "node": {"data_directory": folder, "drain_seconds": 5.0, "control_socket": folder / "c" / "s"},
        "metrics": {"listen": "127.0.0.1:0"},
        "route": {
            "orders": {"listen": "127.0.0.1:0", "destination": "ris", "mode": "enforce"},
            "stored": {"listen": "127.0.0.1:0", "destination": "ris", "mode": "annotate", "custody": "store"},
            "secured": {
                "listen": "127.0.0.1:0",
                "destination": "ris",
                "tls": authority.listener_table(authority.issue("interceptor.example")),
            },
        },
        "destination": {
            "ris": {"address": f"127.0.0.1:{filler_port}", "ack_timeout_seconds": 5.0, "reconnect_seconds_max": 0.5}
        },
        "hold": {"set_window_seconds": 0.0},
        "feed": {"adt": {"listen": "127.0.0.1:0", "assigning_authority": "HOSP"}},
        "registry": {"assigning_authority": "HOSP"},
        "fhir": {"epic": {"base_url": fhir_url, "systems": {"HOSP": IDENTIFIER_SYSTEM}}},
    }
    return Config.model_validate({**config, **tables})


@asynccontextmanager
async def full_node(folder: Path, **tables: Any) -> AsyncIterator[FullNode]:
    """Run it for the length of the block."""
    events = Events()
    async with serving(record()) as server, filler() as ris:
        config = full_config(folder, filler_port=ris.port, fhir_url=server.base_url, **tables)
        async with node_of(config, events) as node:
            yield FullNode(node, ris, server, events)
