"""`interceptor explain`: decide the orders of a file offline, and say why."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from interceptor.cli.message_file import read_bytes, read_messages
from interceptor.cli.terminal import ExitCode, print_json, print_line, refuse

if TYPE_CHECKING:
    from interceptor.context.patient import PatientEvidence
    from interceptor.decision.clinical_content import ClinicalContent
    from interceptor.evidence.fhir_bundle import EvidenceBundle
    from interceptor.message.view import MessageView
    from interceptor.replay.simulation import EvidenceFor, MessageOutcome


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("explain")(explain)


def explain(
    file: str = typer.Argument(..., metavar="FILE|-", help="Messages: framed or plain, one or many."),
    as_json: bool = typer.Option(False, "--json", help="One JSON object per message, in input order."),
    policy: str = typer.Option("spine-oncology", help="Policy: a name in mappings/policies/."),
    profile: str = typer.Option("default", help="Profile of the policy."),
    site: str = typer.Option("example", help="Site profile: a name in mappings/sites/."),
    mappings: Path | None = typer.Option(None, help="Folder of the clinical data; default: the one that ships."),
    evidence: Path | None = typer.Option(None, help="FHIR R4 Bundle (JSON) of what other sources know of the patient."),
    lookup_failed: bool = typer.Option(False, "--lookup-failed", help="As if the other sources had not answered."),
    at: str | None = typer.Option(None, help="Decide as of this time (ISO 8601); default: each message's MSH-7."),
    until: str | None = typer.Option(None, help="Let deadlines of holds pass up to this time (ISO 8601)."),
) -> None:
    """Decide the orders of FILE offline: disposition, reasons, facts, and the words that said so.

    Several messages meet each other as in custody: siblings complete a set, a cancellation ends a hold.
    """
    from interceptor.message.header import NotHl7
    from interceptor.message.view import MessageView
    from interceptor.replay.simulation import simulate_custody, site_options

    content = load_content(policy=policy, profile=profile, site=site, mappings=mappings)
    bundle = _read_evidence(evidence) if evidence else None
    views = []
    for position, raw in enumerate(read_messages(file), start=1):
        try:
            views.append(MessageView(raw))
        except NotHl7 as error:
            refuse(f"{file}: message {position} is not HL7: {error.reason} at byte {error.offset}")
    options = site_options(
        content.tables.site,
        now=datetime.now(UTC),
        decide_at=_read_time(at, "--at", content),
        until=_read_time(until, "--until", content),
    )
    evidence_for = _evidence_source(bundle, failed=lookup_failed)
    _warn_of_other_patients(views, bundle)
    outcomes = simulate_custody(views, content=content, evidence=evidence_for, options=options)
    for outcome in outcomes:
        if as_json:
            print_json(outcome_json(outcome, content))
        else:
            _print_outcome(outcome, len(outcomes), content)


def load_content(*, policy: str, profile: str, site: str, mappings: Path | None) -> "ClinicalContent":
    """The clinical content, or the end of the command with every problem in it and exit 2."""
    from interceptor.config.mappings import MappingsError, find_mappings, load_clinical_content

    try:
        return load_clinical_content(mappings=mappings or find_mappings(), policy=policy, profile=profile, site=site)
    except MappingsError as error:
        refuse("\n".join(error.problems), code=ExitCode.WRONG_USE)


def outcome_json(outcome: "MessageOutcome", content: "ClinicalContent") -> dict[str, object]:
    """The object of one message (docs/reference/explain.md)."""
    from interceptor.decision.report import message_object, order_json

    orders = [
        order_json(order.order, read_all=True)
        | {
            "disposition": order.disposition.word,
            "reasons": list(order.reasons),
            "escalate": order.order.decision.escalate and bool(order.disposition),
        }
        for order in outcome.orders
    ]
    return message_object(outcome.view, outcome.disposition, orders, content.policy.identity)


def _print_outcome(outcome: "MessageOutcome", count: int, content: "ClinicalContent") -> None:
    from interceptor.cli.explanation import explain_message, explain_policy

    for line in explain_message(outcome, count=count, policy=content.policy):
        print_line(line)
    print_line()
    if outcome.position == count:
        for line in explain_policy(content.policy):
            print_line(line)


def _read_evidence(path: Path) -> "EvidenceBundle":
    from interceptor.evidence.fhir_bundle import FhirError, read_bundle

    try:
        return read_bundle(read_bytes(path))
    except FhirError as error:
        refuse(f"{path}: no FHIR R4 Bundle: {error}", code=ExitCode.WRONG_USE)


def _read_time(text: str | None, option: str, content: "ClinicalContent") -> datetime | None:
    """An ISO 8601 or HL7 time; without an offset it is in the site's zone."""
    from interceptor.message.timestamp import parse_timestamp

    if text is None:
        return None
    zone = content.tables.site.calendar.zone
    if (stated := parse_timestamp(text)) is not None:
        return stated.at(zone)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        refuse(f"{option}: {text!r} is not a time such as 2026-01-31T09:30", code=ExitCode.WRONG_USE)
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _evidence_source(bundle: "EvidenceBundle | None", *, failed: bool) -> "EvidenceFor":
    from interceptor.context.patient import NO_EVIDENCE
    from interceptor.evidence.fhir_bundle import with_failed_lookup
    from interceptor.replay.simulation import patient_identifiers

    def evidence_for(view: "MessageView") -> "PatientEvidence":
        known = bundle.for_patient(patient_identifiers(view)) if bundle else NO_EVIDENCE
        return with_failed_lookup(known) if failed else known

    return evidence_for


def _warn_of_other_patients(views: "list[MessageView]", bundle: "EvidenceBundle | None") -> None:
    """A bundle of one patient is taken for every message; say so where the identifiers disagree."""
    from interceptor.replay.simulation import patient_identifiers

    if bundle is None or not bundle.identifiers:
        return
    for position, view in enumerate(views, start=1):
        identifiers = patient_identifiers(view)
        if identifiers and bundle.identifiers.isdisjoint(identifiers):
            sys.stderr.write(f"warning: message {position} names another patient than the evidence\n")
