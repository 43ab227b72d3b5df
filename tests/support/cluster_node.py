"""One node as a process of its own: python -m tests.support.cluster_node CONFIG. Says "ready" when its listeners are open."""

import asyncio
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from interceptor.config.load import load_config
from interceptor.node import running_node
from interceptor.telemetry.events import EventLog


def _tell(_level: str, name: str, fields: Any, /) -> None:
    sys.stderr.write(f"{time.monotonic():.3f} {name} {dict(fields)}\n")
    sys.stderr.flush()


async def _run(path: Path) -> int:
    config = load_config(path)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with running_node(config, log=EventLog(_tell)) as node:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while not stopped.is_set() and not node.failed.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await stopped.wait()
        if stopped.is_set():
            await node.drain()
        return int(node.failed.is_set())


if __name__ == "__main__":
    sys.exit(asyncio.run(_run(Path(sys.argv[1]))))
