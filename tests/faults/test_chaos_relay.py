"""A node between two bad networks: whatever they do, every message is accounted for and no answer is another's."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.support.chaos_proxy import ChaosProxy, Weather, chaos_proxy
from tests.support.conservation import balance, read_journal
from tests.support.counts import tell
from tests.support.mixed_load import Load
from tests.support.node import Events, node_config, node_of

PLACER_COUNT = 4
STORM = Weather(piece_size_max=700, delay_seconds_max=0.001, ending_share=1.0, ending_size_max=12_000)
OUR_FAULTS = {"node_failed", "deciding_failed", "journal_replaced", "order_damaged", "timer_failed", "breaker_opened"}


async def weather_the_storm(
    folder: Path, capsys: pytest.CaptureFixture[str], *, custody: str, seed: int, accepted_min: int
) -> None:
    load, events = Load(random.Random(seed), answer_seconds_max=0.6), Events()
    server = await asyncio.start_server(load.fill, "127.0.0.1", 0)
    filler_port = server.sockets[0].getsockname()[1]
    async with server, chaos_proxy(lambda: filler_port, seed=seed, weather=STORM) as to_filler:
        config = node_config(
            folder,
            filler_port=to_filler.port,
            custody=custody,
            holds_max_per_10_min=10_000,
            destination_ack_timeout_seconds=0.4,
            destination_reconnect_seconds_max=0.2,
            destination_attempts_max=1000,
            hold_set_window_seconds=0.2,
        )
        async with (
            node_of(config, events) as node,
            chaos_proxy(lambda: node.ports["orders"], seed=seed + 1, weather=STORM) as to_node,
        ):
            async with asyncio.TaskGroup() as group:
                for number in range(PLACER_COUNT):
                    group.create_task(load.place(number, lambda: to_node.port))
                while len(load.ledger.accepted) < accepted_min:  # noqa: ASYNC110 - a number that others count
                    await asyncio.sleep(0.01)
                load.is_ending = True
            to_filler.weather = Weather()
            async with asyncio.timeout(30):
                while await node.custody.journal.undelivered_rows():  # noqa: ASYNC110 - the courier's doing
                    await asyncio.sleep(0.02)
    load.ledger.disruptions += sum(to_filler.endings.values())
    done = balance(load.ledger, await read_journal(folder / "journal" / "journal.db"), is_relay=custody == "relay")
    tell(capsys, f"storm, {custody}: {_told(to_node)} and {_told(to_filler)} connections cut; {done}")
    assert done.problems[:10] == []
    assert done.places["held"] > 0
    assert set(events.names()) & OUR_FAULTS == set()
    assert to_node.endings.total() > 5
    assert to_filler.endings.total() > 2


def _told(proxy: ChaosProxy) -> str:
    return "+".join(f"{count} {ending}" for ending, count in sorted(proxy.endings.items()))


@pytest.mark.fault(9)
@pytest.mark.fault(15)
@pytest.mark.fault(18)
@pytest.mark.fault(32)
@pytest.mark.hazard("H3", "H4", "H5", "H22")
@pytest.mark.parametrize("custody", ["relay", "store"])
async def test_between_two_bad_networks_everything_is_accounted_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], custody: str
) -> None:
    await weather_the_storm(tmp_path, capsys, custody=custody, seed=7, accepted_min=250)


@pytest.mark.deep
@pytest.mark.timeout(1800)
@pytest.mark.fault(15)
@pytest.mark.hazard("H3", "H22")
@pytest.mark.parametrize("custody", ["relay", "store"])
@pytest.mark.parametrize("seed", [11, 12, 13])
async def test_through_long_storms_everything_is_accounted_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], custody: str, seed: int
) -> None:
    await weather_the_storm(tmp_path, capsys, custody=custody, seed=seed, accepted_min=3000)
