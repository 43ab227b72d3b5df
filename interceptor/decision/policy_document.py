"""A policy file as it is written: rows, reasons, sources, switches and profiles, as values.

A document holds all profiles. `policy.py` compiles one profile of it; docs/clinical/ is generated from it.
"""

from dataclasses import dataclass, replace

from interceptor.context.vocabulary import ProcedureClass
from interceptor.decision.condition import Condition
from interceptor.decision.decision import Disposition

STRENGTHS = ("strong", "moderate", "weak", "consensus", "safety", "operational")
"""How firm the ground under a row is. The first three grade published evidence; `consensus` is expert guidance
without graded evidence; `safety` is a rule against harm by the interceptor itself; `operational` is no clinical claim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a row's claim was read: title, edition, page, the day and way it was read, and what it is worth.

    Attributes:
        url: Where a reader finds it, an https address; "" for what has none.
    """

    name: str
    title: str
    edition: str
    page: str
    read: str
    worth: str
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """An open clinical choice: the question, and the reason for its default."""

    name: str
    asks: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A named setting of all switches; `on` names those that are on."""

    name: str
    title: str
    on: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """What a reason code says.

    Attributes:
        code: E.g. "H-REGIONAL".
        says: One plain ASCII sentence for the filler's reader; may hold {exception} or {urgency}.
        means: What it means and what to do, for the page of the code.
        prevents: What would have prevented it; "" where nothing should have.
    """

    code: str
    says: str
    means: str
    prevents: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Give:
    """One reason that a row gives, when its own conditions hold besides the row's."""

    code: str
    when: tuple[Condition, ...]
    says: str
    escalate: bool
    switch: str
    unless_switch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the decision table.

    Attributes:
        number: Number of the row in the table of docs/clinical/policy.md; variants of one row share it.
        name: Unique name in words.
        asks: The question it asks.
        needs: The facts it reads.
        when: Conditions that must all hold.
        gives: Reasons; the row decides when at least one of them applies. The first that applies is the deciding one.
        disposition: What the row decides.
        source: Name of the source.
        strength: One of `STRENGTHS`.
        switch, unless_switch: The row is there only with this switch on (off); "" for always.
        lists_noncompliance: Also list what is noncompliant in the study.
        decide_again: Decide again when the lookup returns.
        hold_deadline_seconds: Shorter deadline of a hold; None for the site's.
        line: Line in the file, counted from 1.
    """

    number: int
    name: str
    asks: str
    needs: tuple[str, ...]
    when: tuple[Condition, ...]
    gives: tuple[Give, ...]
    disposition: Disposition
    source: str
    strength: str
    switch: str
    unless_switch: str
    lists_noncompliance: bool
    decide_again: bool
    hold_deadline_seconds: float | None
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDocument:
    """The whole file; `sha256` covers its bytes (hexadecimal)."""

    policy_id: str
    version: str
    title: str
    question: str
    sources: tuple[Source, ...]
    switches: tuple[Switch, ...]
    profiles: tuple[Profile, ...]
    reasons: tuple[Reason, ...]
    noncompliant: tuple[tuple[ProcedureClass, str], ...]
    rows: tuple[Row, ...]
    sha256: str

    def active_rows(self, profile: Profile) -> tuple[Row, ...]:
        """The rows of one profile in the file's order, each with the reasons that the profile leaves in it."""

        def is_on(item: Row | Give) -> bool:
            return (not item.switch or item.switch in profile.on) and item.unless_switch not in profile.on

        rows = (replace(row, gives=tuple(give for give in row.gives if is_on(give))) for row in self.rows if is_on(row))
        return tuple(row for row in rows if row.gives)
