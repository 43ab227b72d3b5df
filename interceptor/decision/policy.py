"""One profile of a policy, compiled: the rows as functions, in the order of the file.

Source: docs/clinical/policy.md, generated from mappings/policies/.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from interceptor.context.vocabulary import ProcedureClass
from interceptor.decision.condition import Predicate, compile_condition
from interceptor.decision.decision import Finding, PolicyIdentity
from interceptor.decision.policy_document import Give, PolicyDocument, Profile, Reason, Row, Source
from interceptor.decision.policy_reader import PolicyError, read_policy


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledGive:
    """A reason of a row with its conditions as functions."""

    code: str
    sentence: str
    escalate: bool
    when: tuple[Predicate, ...]
    only: Predicate | None
    """The one condition, where there is exactly one."""
    exception_kinds: frozenset[str]
    """The exceptions whose phrases fill {exception}."""
    finding: Finding | None
    """The finding, where nothing of the order stands in its sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledRow:
    """A row with its conditions as functions."""

    row: Row
    when: tuple[Predicate, ...]
    gives: tuple[CompiledGive, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy in one profile, ready to evaluate.

    Attributes:
        identity: What stands in every decision.
        document: The whole file, for explanations.
        profile: The profile that was compiled.
        rows: Active rows, first match wins.
        reasons: What each code says.
        noncompliant: What to list for a procedure class: code and sentence.
        sources: Sources by name.
    """

    identity: PolicyIdentity
    document: PolicyDocument
    profile: Profile
    rows: tuple[CompiledRow, ...]
    reasons: Mapping[str, Reason]
    noncompliant: Mapping[ProcedureClass, str]
    sources: Mapping[str, Source]


def parse_policy(text: str, *, file: str, profile: str) -> Policy:
    """Read, check and compile a policy file.

    Args:
        text: The file's content.
        file: Its name, for problems.
        profile: Name of the profile to compile.

    Raises:
        PolicyError: The file is wrong, or has no such profile.
    """
    document = read_policy(text, file=file)
    for candidate in document.profiles:
        if candidate.name == profile:
            return compile_policy(document, candidate)
    known = ", ".join(candidate.name for candidate in document.profiles)
    raise PolicyError([f"{file}:1: profile: there is no profile {profile!r}; known: {known}"])


def compile_policy(document: PolicyDocument, profile: Profile) -> Policy:
    """Compile one profile of a document that has been checked."""
    reasons = {reason.code: reason for reason in document.reasons}
    return Policy(
        identity=PolicyIdentity(
            policy_id=document.policy_id, version=document.version, profile=profile.name, sha256=document.sha256
        ),
        document=document,
        profile=profile,
        rows=tuple(_compile_row(row, reasons) for row in document.active_rows(profile)),
        reasons=reasons,
        noncompliant=dict(document.noncompliant),
        sources={source.name: source for source in document.sources},
    )


def _compile_row(row: Row, reasons: Mapping[str, Reason]) -> CompiledRow:
    return CompiledRow(
        row=row,
        when=tuple(compile_condition(condition) for condition in row.when),
        gives=tuple(_compile_give(give, reasons, row.number) for give in row.gives),
    )


def _compile_give(give: Give, reasons: Mapping[str, Reason], row_number: int) -> CompiledGive:
    when = tuple(compile_condition(condition) for condition in give.when)
    sentence = give.says or reasons[give.code].says
    kinds = (condition.values for condition in give.when if condition.fact == "exceptions" and not condition.negated)
    return CompiledGive(
        code=give.code,
        sentence=sentence,
        escalate=give.escalate,
        when=when,
        only=when[0] if len(when) == 1 else None,
        exception_kinds=frozenset(value for values in kinds for value in values),
        finding=None if "{" in sentence else Finding(reason=give.code, row=row_number, sentence=sentence),
    )
