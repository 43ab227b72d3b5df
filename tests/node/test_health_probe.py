"""A load balancer's question on the orders' port: answered by the node, and never seen by the filler."""

from pathlib import Path

import pytest

from interceptor.config.load import ConfigError, load_config
from tests.support.metric_page import sample
from tests.support.node import Events, node_config, node_of, placer_of
from tests.support.node import filler as filler_of
from tests.support.orders import CHEST_FILM, order

FILM = order("A1", procedure=CHEST_FILM, reason="cough")


@pytest.mark.hazard("H10")
async def test_the_probe_is_answered_here_and_the_order_behind_it_goes_its_way(tmp_path: Path) -> None:
    events = Events()
    async with filler_of() as filler:
        config = node_config(tmp_path, filler_port=filler.port, health_probe="PING")
        async with node_of(config, events) as node, placer_of(node) as placer:
            assert await placer.exchange(b"PING") == b"INTERCEPTOR UP"
            assert "placer_connected" not in events.names()
            assert b"MSA|AA|" in await placer.exchange(FILM)
            assert await placer.exchange(b"PING") == b"INTERCEPTOR UP"
            assert filler.received == [FILM]
            assert events.names().count("placer_connected") == 1
            assert sample(node.metrics.render(), "interceptor_health_probes_total", route="orders") == 2


@pytest.mark.hazard("H10", "H19")
async def test_a_node_that_drains_says_so_to_whoever_asks_on_a_connection_that_stands(tmp_path: Path) -> None:
    async with filler_of() as filler:
        config = node_config(tmp_path, filler_port=filler.port, health_probe="PING")
        async with node_of(config) as node, placer_of(node) as placer:
            assert await placer.exchange(b"PING") == b"INTERCEPTOR UP"
            node.health.draining = True
            assert await placer.exchange(b"PING") == b"INTERCEPTOR DRAINING"


async def test_without_the_key_the_same_frame_is_the_fillers_to_judge(tmp_path: Path) -> None:
    async with filler_of() as filler:
        filler.answer = lambda _content: None
        async with node_of(node_config(tmp_path, filler_port=filler.port)) as node, placer_of(node) as placer:
            await placer.send(b"PING")
            assert await filler.wait_for(1) == [b"PING"]


@pytest.mark.parametrize("probe", ["MSH|^~", "PING\\r", "é", "x" * 65])
def test_a_probe_that_could_be_a_message_or_is_no_plain_text_is_refused(tmp_path: Path, probe: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        f"""
[node]
data_directory = "d"
[destination.ris]
address = "127.0.0.1:2000"
[route.orders]
listen = "127.0.0.1:2001"
destination = "ris"
health_probe = "{probe}"
""",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError, match="health_probe"):
        load_config(path)
