"""`interceptor run`: the program itself."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from interceptor.cli.node_connection import CONFIG_VARIABLE
from interceptor.cli.terminal import ExitCode, print_warning, refuse

if TYPE_CHECKING:
    from interceptor.config.schema import Config
    from interceptor.telemetry.events import EventLog


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(run)


def run(
    config: Path = typer.Option(..., "-c", "--config", envvar=CONFIG_VARIABLE, help="Configuration file."),
    node_only: bool = typer.Option(False, "--node-only", help="Run the node in this process, without a supervisor."),
    review_only: bool = typer.Option(False, "--review-only", help="Run the review pages in this process alone."),
    no_review: bool = typer.Option(False, "--no-review", help="Run no review pages, whatever the file says."),
    take_over: bool = typer.Option(False, "--take-over", help="Take the listeners and the place of one that runs."),
) -> None:
    """Run the interceptor until it is asked to stop.

    Supervises the node and, where the file has a [review] table, the review pages: when a process ends unasked, or the
    node hangs, it is started again. SIGTERM and Ctrl-C drain them first; SIGHUP reads the configuration again; SIGUSR2 puts a fresh node in its place without refusing a connection.
    A configuration that cannot be used is printed with every problem; exit 2.
    """
    from interceptor.config.load import ConfigError, load_config
    from interceptor.telemetry.event import Level
    from interceptor.telemetry.log import LineWriter, LogStyle, build_event_log

    try:
        loaded = load_config(config)
    except ConfigError as error:
        refuse(str(error), code=ExitCode.WRONG_USE)
    console = loaded.log.format == "console" or (loaded.log.format == "auto" and sys.stderr.isatty())
    style = LogStyle.CONSOLE if console else LogStyle.JSON
    writer = LineWriter(sys.stderr)
    try:
        log = build_event_log(writer, style=style, level=Level(loaded.log.level))
        if node_only:
            code = _run_node(config, loaded, log, take_over=take_over)
        elif review_only:
            code = _run_review(loaded, log)
        else:
            has_review = loaded.review is not None and not no_review
            code = _supervise(config, loaded, log, take_over=take_over, has_review=has_review)
    finally:
        writer.close()
    raise typer.Exit(code)


def _supervise(path: Path, config: "Config", log: "EventLog", *, take_over: bool, has_review: bool) -> int:
    from interceptor.child import EXIT_CANNOT_START, node_command
    from interceptor.companion import Companion, review_command
    from interceptor.service_notify import notifier_of
    from interceptor.supervisor import Supervision, supervise

    successor = node_command(str(path), take_over=True)
    supervision = Supervision(
        command=node_command(str(path)),
        successor=successor,
        first=successor if take_over else None,
        stop_seconds_max=config.node.drain_seconds + 10.0,
        watchdog_seconds=config.node.watchdog_seconds,
        give_up_codes=frozenset({ExitCode.NO, ExitCode.WRONG_USE, EXIT_CANNOT_START}),
    )
    beside = (Companion(name="review", command=review_command(str(path))),) if has_review else ()
    return asyncio.run(supervise(supervision, log=log, notifier=notifier_of(), beside=beside))


def _run_review(config: "Config", log: "EventLog") -> int:
    from interceptor.review_wiring import ReviewSetupError, run_review
    from interceptor.supervisor_link import watch_supervisor
    from interceptor.telemetry.log import capture_library_logs

    capture_library_logs(log)

    async def start() -> None:
        gone = asyncio.Event()
        watch_supervisor(gone)
        await run_review(config, log=log, supervisor_gone=gone, tell=print_warning)

    try:
        asyncio.run(start())
    except (ReviewSetupError, OSError) as error:
        sys.stderr.write(f"The review pages could not start: {error}\n")
        return ExitCode.NO
    return ExitCode.DONE


def _run_node(path: Path, config: "Config", log: "EventLog", *, take_over: bool) -> int:
    if not __debug__:
        refuse("Assertions are switched off (python -O): the node's own checks would not run.", code=ExitCode.WRONG_USE)
    from interceptor.child import EXIT_CANNOT_START
    from interceptor.config.mappings import MappingsError
    from interceptor.config.secret import SecretError
    from interceptor.control.protocol import ControlError
    from interceptor.evidence.fhir_connect import FhirSetupError
    from interceptor.journal.port import JournalError
    from interceptor.node import load_content
    from interceptor.node_process import prepare_process, run_node
    from interceptor.service_notify import notifier_of
    from interceptor.telemetry.log import capture_library_logs
    from interceptor.telemetry.trace_export import TracingError
    from interceptor.transport.tls import TlsFileProblem

    prepare_process()
    capture_library_logs(log)
    try:
        content = load_content(config)
    except MappingsError as error:
        refuse("\n".join(error.problems), code=ExitCode.WRONG_USE)
    node = run_node(path, config, log=log, content=content, notifier=notifier_of(), take_over=take_over)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(node)
    except (JournalError, ControlError, FhirSetupError, SecretError, TlsFileProblem, TracingError, OSError) as error:
        sys.stderr.write(f"The node could not start: {error}\n")
        return EXIT_CANNOT_START


def _loop_factory() -> "type[asyncio.AbstractEventLoop] | None":
    """Uvloop's loop where it is installed, else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop
