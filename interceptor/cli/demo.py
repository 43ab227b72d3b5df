"""`interceptor demo`: placer, node, filler and patients with one command and nothing to configure."""

import asyncio
import os
import signal
import sys
import tempfile
import threading
import webbrowser
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from interceptor.cli.terminal import ExitCode, print_line, refuse

if TYPE_CHECKING:
    from interceptor.cli.demo_screen import DemoScreen
    from interceptor.simulate.demo import DemoOptions
    from interceptor.simulate.ledger import Ledger


class ScenarioWord(StrEnum):
    """What `--scenario` takes; a test compares it with the demo's own."""

    NORMAL = "normal"
    FILLER_DOWN = "filler-down"
    BURST = "burst"
    LATE_ACK = "late-ack"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    *,
    duration: float | None = typer.Option(None, "--duration", min=1.0, help="End after so many seconds."),
    scenario: ScenarioWord = typer.Option(ScenarioWord.NORMAL, "--scenario", help="What goes wrong meanwhile."),
    seed: int = typer.Option(1, "--seed", help="The same seed shows the same patients and orders."),
    rate: float = typer.Option(2.0, "--rate", min=0.1, max=100.0, help="Messages per second."),
    no_browser: bool = typer.Option(False, "--no-browser", help="Open no browser."),
    show_log: bool = typer.Option(False, "--log", help="Print the node's log, line by line, instead of the table."),
) -> None:
    """See orders pass, be annotated and be held.

    Starts a placer, a node that enforces and a filler on free local ports, with made-up patients, in a temporary
    folder. Ctrl-C ends it and prints what it came to.
    """
    from rich.console import Console

    from interceptor.cli.demo_screen import open_screen, summary_lines
    from interceptor.simulate.demo import DemoOptions, Scenario
    from interceptor.simulate.ledger import Ledger

    ledger = Ledger()
    with tempfile.TemporaryDirectory(prefix="interceptor-demo-") as folder:
        options = DemoOptions(
            folder=Path(folder),
            seed=seed,
            rate=rate,
            duration_seconds=duration,
            scenario=Scenario(scenario.value),
        )
        console = Console(force_terminal=False) if show_log else Console()
        screen = open_screen(ledger, console, show_page=None if no_browser else show_page)
        try:
            asyncio.run(_run(options, screen, ledger, show_log=show_log))
        except OSError as error:
            refuse(f"The demo could not start: {error.strerror or error}", code=ExitCode.NO)
        finally:
            screen.close()
    for line in summary_lines(ledger):
        print_line(line)


def show_page(address: str) -> None:
    """Open the person's own browser, where there is a screen for one; never one that takes the terminal."""
    has_screen = sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if has_screen and os.geteuid() != 0:
        threading.Thread(target=webbrowser.open, args=(address,), name="browser", daemon=True).start()


async def _run(options: "DemoOptions", screen: "DemoScreen", ledger: "Ledger", *, show_log: bool) -> None:
    """Run the demo until its time is over or a signal asks for the end."""
    from interceptor.simulate.demo import run_demo
    from interceptor.telemetry.log import LineWriter, LogStyle, build_event_log

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    # The node's events go beside the journal: on the screen they would tear the table.
    with (options.folder / "node.log").open("w", encoding="utf-8") as stream:
        writer = LineWriter(sys.stderr if show_log else stream)
        try:
            log = build_event_log(writer, style=LogStyle.CONSOLE if show_log else LogStyle.JSON)
            await run_demo(options, screen, ledger, log=log, now=lambda: datetime.now().astimezone(), stop=stop)
        finally:
            writer.close()
