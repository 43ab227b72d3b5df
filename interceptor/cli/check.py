"""`interceptor check`: everything that a node needs to start, and everything wrong with it at once."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from interceptor.cli.node_connection import CONFIG_VARIABLE, JSON_OPTION
from interceptor.cli.terminal import ExitCode, print_json, print_line, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interceptor.config.schema import Config, NodeTable
    from interceptor.decision.clinical_content import ClinicalContent

SIGNATURES = (
    "Before a route enforces, two people sign this policy and this site profile: a neuroradiologist and an interface "
    "analyst (docs/clinical/)."
)
UNMAPPED_COUNT_MAX = 1000
NO_LOOKUP = (
    "no lookup is configured: only the order message itself can tell of a cancer, and an order that does not is passed"
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check")(check)


def check(
    config: Path = typer.Option(..., "-c", "--config", envvar=CONFIG_VARIABLE, help="Configuration file."),
    unmapped: bool = typer.Option(False, "--unmapped", help="List studies that no table knows, from the journal."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Check configuration, site profile, codes, policy.

    Prints every problem at once with file, line and key, and exits with 2 when there is one.
    """
    if unmapped:
        _list_unmapped(config, as_json=as_json)
        return
    from interceptor.config.load import ConfigError, find_node_table, find_warnings, load_config

    problems: list[str] = []
    warnings: list[str] = []
    loaded: Config | None = None
    try:
        loaded = load_config(config)
        warnings.extend(str(warning) for warning in find_warnings(config, loaded))
    except ConfigError as error:
        problems.extend(str(problem) for problem in error.problems)
    node = loaded.node if loaded else find_node_table(config)
    content = _load_content(node, problems) if node else None
    if loaded is None or not (loaded.fhir or loaded.has_registry):
        warnings.append(f"{config}: {NO_LOOKUP}")
    if loaded is not None:
        problems.extend(f"{config}: {problem}" for problem in _find_login_problems(loaded))
        problems.extend(f"{config}: {problem}" for problem in _find_tls_problems(loaded))
    if as_json:
        print_json({"problems": problems, "warnings": warnings, "content": _describe(node, content)})
    else:
        _print_report(problems, warnings, node, content)
    if problems:
        raise typer.Exit(ExitCode.WRONG_USE)


def _list_unmapped(config: Path, *, as_json: bool) -> None:
    """The site's mapping worklist: codes of spine studies that orders carried and no table knows, with their counts."""
    from interceptor.cli.journal_file import opened_journal_file
    from interceptor.journal.intake_rows import unmapped_studies

    with opened_journal_file(config) as connection:
        studies = unmapped_studies(connection, limit=UNMAPPED_COUNT_MAX) if connection is not None else ()
    for study in studies:
        last = study.last_ordered_at.date().isoformat()
        if as_json:
            print_json({"code": study.code, "name": study.name, "orders": study.order_count, "last": last})
        else:
            print_line(printable(f"{study.order_count:>7}  {last}  {study.code or '(no code)':<20}  {study.name}"))
    if not studies and not as_json:
        print_line("Every spine study that was ordered is mapped.")


def _find_login_problems(config: "Config") -> "Iterator[str]":
    """Secrets, keys and certificates of FHIR servers, webhooks and the review pages' logins that could not be used."""
    import os

    from interceptor.config.review_secrets import read_review_secrets
    from interceptor.config.secret import SecretError
    from interceptor.evidence.fhir_connect import FhirSetupError, check_settings
    from interceptor.sources import fhir_settings
    from interceptor.webhook_wiring import read_webhook

    for name, table in config.fhir.items():
        try:
            check_settings(fhir_settings(name, table, egfr_codes=(), environment=os.environ))
        except (FhirSetupError, SecretError) as error:
            yield str(error)
    if config.review is not None:
        try:
            read_review_secrets(config.review, os.environ)
        except SecretError as error:
            yield str(error)
    for name, webhook in config.webhook.items():
        try:
            read_webhook(name, webhook, os.environ)
        except SecretError as error:
            yield str(error)


def _find_tls_problems(config: "Config") -> "Iterator[str]":
    """Certificates, keys and lists of the lines that could not be used."""
    from interceptor.credentials import check_tls_files

    yield from check_tls_files(config)


def _load_content(node: "NodeTable", problems: list[str]) -> "ClinicalContent | None":
    from interceptor.config.mappings import MappingsError, find_mappings, load_clinical_content

    try:
        return load_clinical_content(
            mappings=node.mappings or find_mappings(), policy=node.policy, profile=node.profile, site=node.site
        )
    except MappingsError as error:
        problems.extend(error.problems)
        return None


def _describe(node: "NodeTable | None", content: "ClinicalContent | None") -> dict[str, str] | None:
    if node is None or content is None:
        return None
    identity = content.policy.identity
    return {
        "policy": identity.policy_id,
        "version": identity.version,
        "profile": identity.profile,
        "sha256": identity.sha256,
        "site": node.site,
    }


def _print_report(
    problems: list[str], warnings: list[str], node: "NodeTable | None", content: "ClinicalContent | None"
) -> None:
    for problem in problems:
        print_line(problem)
    for warning in warnings:
        print_line(f"warning: {warning}")
    if (described := _describe(node, content)) is not None:
        print_line(
            f"policy {described['policy']} {described['version']}, profile {described['profile']}, "
            f"site profile {described['site']}, sha256 {described['sha256']}"
        )
        print_line(SIGNATURES)
    if problems:
        print_line(f"{len(problems)} problem{'s' if len(problems) > 1 else ''}: a node would not start with this.")
    else:
        print_line("No problems: a node can start with this.")
