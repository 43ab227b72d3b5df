"""The node as a process of its own: from its start, perhaps from a running node's hands, to its last breath.

Failures: what stops the start is raised, see `run_node`. A loop that hangs is seen by whoever hears its heartbeat: the
supervisor, or without one the service manager.
"""

import asyncio
import faulthandler
import gc
import os
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from interceptor import __version__
from interceptor.child import EXIT_FAILED, EXIT_HANDED_OVER
from interceptor.config.schema import Config
from interceptor.decision.clinical_content import ClinicalContent
from interceptor.handover import (
    STATUS_LISTENER,
    Offer,
    Sockets,
    ask_for_listeners,
    fitting,
    handover_socket,
    offered,
)
from interceptor.journal_keeper import check_schema
from interceptor.lifetime import first_of
from interceptor.node import Node, running_node
from interceptor.service_notify import ServiceNotifier
from interceptor.supervisor_link import beat, heartbeat_teller, watch_supervisor
from interceptor.telemetry.events import NODE_STARTED, NODE_STOPPED, EventLog

_TAKE_OVER_MARGIN_SECONDS = 30.0
"""How much longer than its drain the running node may take to end."""


async def run_node(
    source: Path,
    config: Config,
    *,
    log: EventLog,
    content: ClinicalContent,
    notifier: ServiceNotifier,
    take_over: bool = False,
) -> int:
    """Run a node until SIGTERM, SIGINT, the end of its supervisor, a successor or a failure; returns the exit code.

    Args:
        source: The configuration file, read again at SIGHUP.
        config: What it says.
        log: Where events go.
        content: The clinical content, loaded.
        notifier: Tells the service manager, when there is no supervisor between it and us.
        take_over: Take the listeners of a node that runs with the same control socket, and its place.

    Raises:
        JournalError, ControlError, OSError: It could not start.
    """
    stop, handed_over = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    hangup = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, hangup.set)
    watch_supervisor(stop)
    adopted = await _take_over(config) if take_over else {}
    running: list[Node] = []
    path = handover_socket(config.control_socket)
    async with offered(path, lambda: running[0].sockets() if running else {}, asked=handed_over, log=log):
        async with running_node(config, log=log, content=content, source=source, adopted=adopted) as node:
            running.append(node)
            log.event(
                NODE_STARTED, node=config.node.name, version=__version__, pid=os.getpid(), loop=type(loop).__module__
            )
            _settle_garbage_collector()
            async with asyncio.TaskGroup() as group:
                beating = group.create_task(beat(_teller(notifier)))
                reloading = group.create_task(_reload_when_asked(node, hangup, notifier))
                await first_of(stop, node.failed, handed_over)
                reloading.cancel()
                if not handed_over.is_set():
                    notifier.stopping()
                if not node.failed.is_set():
                    await node.drain()
                beating.cancel()
        log.event(NODE_STOPPED, node=config.node.name)
    if node.failed.is_set():
        return EXIT_FAILED
    return EXIT_HANDED_OVER if handed_over.is_set() else 0


def prepare_process() -> None:
    """No core dump, which would hold patients' data; and a process that is aborted says where its threads stood."""
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable()


async def _take_over(config: Config) -> Sockets:
    """The listening sockets of the node that runs, which has ended when this returns; none when none runs."""
    offer: Offer | None = ask_for_listeners(handover_socket(config.control_socket))
    if offer is None:
        return {}
    check_schema(config)
    await offer.take(seconds_max=config.node.drain_seconds + _TAKE_OVER_MARGIN_SECONDS)
    listeners = {f"route.{name}": route.listen for name, route in config.route.items()}
    listeners |= {f"feed.{name}": feed.listen for name, feed in config.feed.items()}
    listeners[STATUS_LISTENER] = config.metrics.listen
    return fitting(offer.sockets, {name: (listen.host, listen.port) for name, listen in listeners.items()})


async def _reload_when_asked(node: Node, hangup: asyncio.Event, notifier: ServiceNotifier) -> None:
    """Read the configuration again at each SIGHUP, until cancelled."""
    while node.reload is not None:
        await hangup.wait()
        hangup.clear()
        notifier.reloading()
        await node.reload(actor="node")
        notifier.ready()


def _teller(notifier: ServiceNotifier) -> Callable[[bytes], None]:
    """Beats go to the supervisor, and to the service manager where that is our own."""
    tell_supervisor = heartbeat_teller()
    notifier.ready()

    def tell(one: bytes) -> None:
        tell_supervisor(one)
        notifier.watchdog()

    return tell


def _settle_garbage_collector() -> None:
    """Leave what the start made (code tables, text tables: half a million objects) out of every later collection.

    Messages make few cycles; looking for them after every 700 new objects was 3 % of the node's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
