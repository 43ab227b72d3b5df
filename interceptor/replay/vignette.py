"""Vignettes: small stories of orders with the decisions that the policy must come to.

A vignette is a folder:

    in.hl7            one message or many, as they arrive
    expect.toml       title, why, and for each message the orders with disposition, reasons and escalation
    evidence.json     optional: the FHIR R4 Bundle that the evidence sources answer with

Vignettes are the test of a policy and its documentation. A site adds its own in the same form.

Failures: a folder that is not as described is a `VignetteError` with every problem, file first.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from interceptor.context.patient import NO_EVIDENCE, PatientEvidence
from interceptor.decision.clinical_content import ClinicalContent
from interceptor.decision.decision import Disposition
from interceptor.decision.policy import Policy
from interceptor.evidence.fhir_bundle import FhirError, read_bundle, with_failed_lookup
from interceptor.message.header import NotHl7
from interceptor.message.view import MessageView
from interceptor.replay.reader import MessageFileError, split_messages
from interceptor.replay.simulation import MessageOutcome, patient_identifiers, simulate_custody, site_options

DEFAULT_PROFILE = "default"
VIGNETTES_OF_ROW_MIN = 4
"""A row that fewer stories speak of is not held in place by them."""
_WORDS = frozenset(disposition.word for disposition in Disposition)


class VignetteError(ValueError):
    """Vignettes that cannot be read; `problems` has all of them, each "path: what is wrong"."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderVerdict:
    """What is said of one order: expected or found. The first reason is the deciding one."""

    order: str
    disposition: str
    reasons: tuple[str, ...]
    escalate: bool = False

    def __str__(self) -> str:
        """One short line for a table."""
        mark = " !" if self.escalate else ""
        return f"{self.order} {self.disposition}{mark} {','.join(self.reasons)}"


Verdicts = tuple[tuple[OrderVerdict, ...], ...]
"""For each message its orders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vignette:
    """One story.

    Attributes:
        name: Name of the folder, e.g. "V01-regional-order-active-breast-cancer".
        title: One line.
        why: Why the expectation is right.
        near_miss: Name of the vignette that differs in one fact and is decided otherwise; "" for none.
        messages: The bytes of each message.
        evidence: What the sources answer, by patient; None where none is configured.
        lookup_failed: Whether the sources fail.
        until: Until when deadlines pass, None for no deadlines.
        expected: By profile; a profile that is not named is expected to decide as `default`.
    """

    name: str
    title: str
    why: str
    near_miss: str
    messages: tuple[bytes, ...]
    evidence: bytes | None
    lookup_failed: bool
    until: datetime | None
    expected: Mapping[str, Verdicts]

    def expected_in(self, profile: str) -> Verdicts:
        """What the profile must decide."""
        return self.expected.get(profile, self.expected[DEFAULT_PROFILE])


@dataclass(frozen=True, slots=True, kw_only=True)
class VignetteResult:
    """A vignette as it was decided; `rows` are the numbers of the rows that decided, 0 for the lifecycle."""

    vignette: Vignette
    expected: Verdicts
    found: Verdicts
    rows: tuple[int, ...]

    @property
    def agrees(self) -> bool:
        """Whether everything is as expected."""
        return self.expected == self.found


def read_vignettes(folder: Path) -> tuple[Vignette, ...]:
    """Read every vignette below a folder, by name.

    Raises:
        VignetteError: Any of them is wrong, or there is none.
    """
    problems: list[str] = []
    vignettes = []
    for path in sorted(folder.glob("*/expect.toml")):
        try:
            vignettes.append(_read_vignette(path.parent))
        except VignetteError as error:
            problems += error.problems
    names = {vignette.name for vignette in vignettes}
    problems += [
        f"{folder / vignette.name / 'expect.toml'}: near_miss: there is no vignette {vignette.near_miss!r}"
        for vignette in vignettes
        if vignette.near_miss and vignette.near_miss not in names
    ]
    if not vignettes and not problems:
        problems.append(f"{folder}: no vignette in it")
    if problems:
        raise VignetteError(problems)
    return tuple(vignettes)


def run_vignette(vignette: Vignette, *, content: ClinicalContent, now: datetime) -> VignetteResult:
    """Decide a vignette's messages and compare.

    Args:
        vignette: The story.
        content: The clinical content, in one profile.
        now: The present, aware; used only by messages that do not say when they were sent.
    """
    bundle = read_bundle(vignette.evidence) if vignette.evidence is not None else None

    def evidence_for(view: MessageView) -> PatientEvidence:
        known = bundle.for_patient(patient_identifiers(view)) if bundle else NO_EVIDENCE
        return with_failed_lookup(known) if vignette.lookup_failed else known

    outcomes = simulate_custody(
        [MessageView(raw) for raw in vignette.messages],
        content=content,
        evidence=evidence_for,
        options=site_options(content.tables.site, now=now, until=vignette.until),
    )
    rows = [
        0 if order.reasons[0].startswith("S-") else order.order.decision.findings[0].row
        for outcome in outcomes
        for order in outcome.orders
    ]
    return VignetteResult(
        vignette=vignette,
        expected=vignette.expected_in(content.policy.identity.profile),
        found=tuple(_found(outcome) for outcome in outcomes),
        rows=tuple(sorted({row for row in rows if row is not None})),
    )


def find_gaps(results: Sequence[VignetteResult], policy: Policy) -> list[str]:
    """What the vignettes leave open: rows with too few of them, rows without a near-miss pair."""
    by_name = {result.vignette.name: result for result in results}
    gaps = []
    for number in sorted({compiled.row.number for compiled in policy.rows}):
        speaking = [result for result in results if number in result.rows]
        if len(speaking) < VIGNETTES_OF_ROW_MIN:
            gaps.append(f"row {number}: {len(speaking)} vignettes, fewer than {VIGNETTES_OF_ROW_MIN}")
        pairs = [
            (result, by_name[result.vignette.near_miss]) for result in results if result.vignette.near_miss in by_name
        ]
        if not any(number in {*one.rows, *other.rows} and one.rows != other.rows for one, other in pairs):
            gaps.append(f"row {number}: no near-miss pair")
    return gaps


def _found(outcome: MessageOutcome) -> tuple[OrderVerdict, ...]:
    return tuple(
        OrderVerdict(
            order=order.order.placer_order_number,
            disposition=order.disposition.word,
            reasons=order.reasons,
            escalate=order.order.decision.escalate and order.disposition is not Disposition.PASS,
        )
        for order in outcome.orders
    )


def _read_vignette(folder: Path) -> Vignette:
    path = folder / "expect.toml"
    problems: list[str] = []
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VignetteError([f"{path}: cannot be read: {error}"]) from None
    known = {"title", "why", "near_miss", "lookup_failed", "until", "message"}
    problems += [f"{path}: {key}: unknown key" for key in table if key not in known]
    problems += [f"{path}: {key}: missing" for key in ("title", "why", "message") if not table.get(key)]
    until = table.get("until")
    if until is not None and not (isinstance(until, datetime) and until.tzinfo is not None):
        problems.append(f"{path}: until: is not a time with its offset")
        until = None
    messages = _read_messages(folder / "in.hl7", problems)
    expected = _read_expected(path, table.get("message", []), len(messages), problems)
    evidence = _read_evidence(folder / "evidence.json", problems)
    if problems:
        raise VignetteError(problems)
    return Vignette(
        name=folder.name,
        title=table["title"],
        why=table["why"],
        near_miss=table.get("near_miss", ""),
        messages=messages,
        evidence=evidence,
        lookup_failed=table.get("lookup_failed", False) is True,
        until=until,
        expected=expected,
    )


def _read_messages(path: Path, problems: list[str]) -> tuple[bytes, ...]:
    try:
        messages = tuple(split_messages(path.read_bytes()))
        for message in messages:
            MessageView(message)
    except (OSError, MessageFileError, NotHl7) as error:
        problems.append(f"{path}: cannot be read: {error}")
        return ()
    return messages


def _read_evidence(path: Path, problems: list[str]) -> bytes | None:
    if not path.exists():
        return None
    try:
        evidence = path.read_bytes()
        read_bundle(evidence)
    except (OSError, FhirError) as error:
        problems.append(f"{path}: {error}")
        return None
    return evidence


def _read_expected(path: Path, tables: Any, message_count: int, problems: list[str]) -> dict[str, Verdicts]:
    if not isinstance(tables, list) or len(tables) != message_count:
        problems.append(f"{path}: message: is not one table for each of the {message_count} messages of in.hl7")
        return {}
    profiles = dict.fromkeys((DEFAULT_PROFILE, *(profile for table in tables for profile in table)))
    expected = {}
    for profile in profiles:
        verdicts = []
        for number, table in enumerate(tables, start=1):
            orders = table.get(profile, table.get(DEFAULT_PROFILE))
            verdicts.append(_read_verdicts(f"{path}: message {number}: {profile}", orders, problems))
        expected[profile] = tuple(verdicts)
    return expected


def _read_verdicts(where: str, orders: Any, problems: list[str]) -> tuple[OrderVerdict, ...]:
    if not isinstance(orders, list):
        problems.append(f"{where}: is not a list of orders")
        return ()
    verdicts = []
    for order in orders:
        reasons = order.get("reasons") if isinstance(order, dict) else None
        if not isinstance(reasons, list) or not reasons or order.get("disposition") not in _WORDS:
            problems.append(f"{where}: an order is not {{order, disposition, reasons, escalate}}")
            continue
        verdicts.append(
            OrderVerdict(
                order=order.get("order", ""),
                disposition=order["disposition"],
                reasons=tuple(reasons),
                escalate=order.get("escalate", False) is True,
            )
        )
    return tuple(verdicts)
