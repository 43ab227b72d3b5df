"""A running node tells other systems what its configuration asks for, and says what it told."""

import base64
import json
from pathlib import Path

import pytest

from interceptor.config.schema import Config
from interceptor.config.secret import SecretError
from interceptor.control.client import request_async
from tests.support.mllp_peer import until
from tests.support.node import Events, filler, node_config, node_of, placer_of
from tests.support.orders import order
from tests.support.webhook_peer import webhook_peer

SECRET = base64.b64encode(bytes(32)).decode()


def with_webhook(config: Config, url: str, secret: Path) -> Config:
    """The same configuration with one webhook."""
    table = {"url": url, "secret_file": secret, "events": ("order.held",)}
    return Config.model_validate({**dict(config), "webhook": {"board": table}})


async def test_a_hold_is_told_to_a_webhook_and_stands_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    events = Events()
    async with webhook_peer(500, 204) as peer, filler() as ris:
        config = with_webhook(node_config(tmp_path, filler_port=ris.port), peer.url, tmp_path / "secret")
        async with node_of(config, events) as node, placer_of(node) as placer:
            await placer.exchange(order("A1"))
            await until(lambda: peer.received)
            document = json.loads(peer.received[0].body)
            assert document["type"] == "org.order-interceptor.order.held"
            assert document["data"]["reasons"] == ["H-REGIONAL"]
            log = await request_async(node.control_socket, "webhook_log", limit=5)
            assert isinstance(log["deliveries"], list)
            assert [(one["webhook"], one["event_type"]) for one in log["deliveries"]] == [("board", "order.held")]
    assert "in-the-address" not in json.dumps(events.seen)


async def test_a_secret_that_cannot_be_used_stops_the_start_with_its_key(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("short")
    config = with_webhook(node_config(tmp_path, filler_port=1), "https://board.example.org", tmp_path / "secret")
    with pytest.raises(SecretError, match=r"webhook\.board\.secret"):
        async with node_of(config):
            pass
