"""`interceptor doctor`: whether this machine keeps its side: disk, clock, ports, permissions, FHIR servers."""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from interceptor.cli.node_connection import CONFIG_OPTION, JSON_OPTION, read_config
from interceptor.cli.terminal import ExitCode, print_json, print_line

if TYPE_CHECKING:
    from interceptor.cli.host_probe import ProbeFinding
    from interceptor.config.schema import Config


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(config: Path | None = CONFIG_OPTION, as_json: bool = JSON_OPTION) -> None:
    """Look at disk, clock, ports, permissions and FHIR servers.

    Exits with 1 when a node should not run here.
    """
    from interceptor.cli.host_probe import Health

    findings = tuple(_examine(read_config(config)))
    if as_json:
        for finding in findings:
            print_json(asdict(finding))
    else:
        for finding in findings:
            print_line(f"{finding.health.value:<8} {finding.subject}: {finding.words}")
    if any(finding.health is Health.BAD for finding in findings):
        raise typer.Exit(ExitCode.NO)


def _examine(config: "Config") -> Iterator["ProbeFinding"]:
    from interceptor.cli import host_probe
    from interceptor.journal.sqlite import journal_path

    node_runs = _answers(config.control_socket)
    yield host_probe.good("node", "runs and answers" if node_runs else "does not run")
    if sys.flags.optimize:
        yield host_probe.bad("python", "runs with -O, which removes the checks of our own invariants")
    data_directory = config.node.data_directory
    yield from host_probe.probe_folder(data_directory)
    yield from host_probe.probe_privacy(journal_path(data_directory).parent)
    yield from host_probe.probe_clock(datetime.now(UTC).year)
    yield host_probe.probe_control_socket(config.control_socket)
    listeners = {f"route.{name}": route.listen for name, route in config.route.items()}
    for key, address in (listeners | {"metrics": config.metrics.listen}).items():
        yield host_probe.probe_listener(key, address, node_runs=node_runs)
    for name, destination in config.destination.items():
        yield host_probe.probe_destination(
            name, destination.address, timeout_seconds=destination.connect_timeout_seconds
        )
    yield from _probe_fhir(config)
    if config.database.hosts:
        yield _probe_database(config)
    connections = sum(route.connections_max for route in config.route.values())
    connections += sum(destination.connections_max for destination in config.destination.values())
    yield host_probe.probe_file_descriptors(connections)


def _probe_database(config: "Config") -> "ProbeFinding":
    """Whether the database answers and is one that the node would write to."""
    import os

    from interceptor.cli import host_probe
    from interceptor.config.secret import SecretError
    from interceptor.journal.port import JournalError
    from interceptor.journal.postgres_connection import check_server, connect, read_settings
    from interceptor.journal_database import postgres_place

    try:
        connection = connect(postgres_place(config, os.environ), role="doctor")
        warnings = check_server(connection)
        version = read_settings(connection)["server_version"]
        connection.raw.close()
    except (JournalError, SecretError) as error:
        return host_probe.bad("database", f"cannot be used: {error}")
    words = "" if not warnings else "; no synchronous standby: a failover may lose the last moments"
    return host_probe.good("database", f"PostgreSQL {version} answers{words}")


def _probe_fhir(config: "Config") -> Iterator["ProbeFinding"]:
    """Each FHIR server's CapabilityStatement: whether it answers us, and serves what we ask for."""
    import asyncio
    import os
    import time

    from interceptor.cli import host_probe
    from interceptor.config.secret import SecretError
    from interceptor.evidence.fhir_connect import FhirClock, FhirSetupError, probe
    from interceptor.evidence.fhir_failure import FhirFailure
    from interceptor.sources import fhir_settings

    clock = FhirClock(now=lambda: datetime.now(UTC), monotonic=time.monotonic)
    for name, table in config.fhir.items():
        subject = f"fhir.{name}"
        try:
            settings = fhir_settings(name, table, egfr_codes=(), environment=os.environ)
            capability = asyncio.run(probe(settings, clock=clock))
        except (FhirSetupError, SecretError) as error:
            yield host_probe.bad(subject, str(error))
        except FhirFailure as failure:
            # The node starts and runs all the same: a source that is away fails its lookups, no order.
            yield host_probe.warning(subject, f"does not answer as it should: {failure.reason.value}")
        else:
            for problem in capability.problems:
                yield host_probe.warning(subject, problem)
            if not capability.problems:
                yield host_probe.good(subject, f"{capability.software}, FHIR {capability.version}")


def _answers(control_socket: Path) -> bool:
    """Whether a node answers there; any answer will do, also that it does not know the command."""
    from interceptor.control.client import request
    from interceptor.control.protocol import ControlError

    try:
        request(control_socket, "status", timeout_seconds=2.0)
    except ControlError as error:
        return error.code not in ("not_running", "timed_out", "connection_lost")
    return True
