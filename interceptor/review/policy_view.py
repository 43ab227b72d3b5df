"""The policy as people read it: rows as sentences, reasons, sources. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from interceptor.decision.decision import Disposition
from interceptor.decision.policy import Policy
from interceptor.decision.policy_document import Row

_VERBS = {Disposition.PASS: "pass", Disposition.ANNOTATE: "annotate", Disposition.HOLD: "hold"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RowView:
    """One row of the decision table.

    Attributes:
        sentence: "If … and …: hold."
        gives: Reason codes with what they say.
    """

    number: int
    name: str
    asks: str
    sentence: str
    disposition: str
    gives: tuple[tuple[str, str], ...]
    source: str
    source_url: str
    strength: str


def policy_rows(policy: Policy) -> tuple[RowView, ...]:
    """The rows of the loaded profile, in the order in which they are asked."""
    return tuple(_row_view(compiled.row, policy) for compiled in policy.rows)


def _row_view(row: Row, policy: Policy) -> RowView:
    source = policy.sources.get(row.source)
    conditions = " and ".join(condition.text for condition in row.when)
    verb = _VERBS[row.disposition]
    return RowView(
        number=row.number,
        name=row.name.replace("-", " ").capitalize(),
        asks=row.asks,
        sentence=f"If {conditions}: {verb}." if conditions else f"If one of these applies: {verb}.",
        disposition=verb,
        gives=tuple(_gives(row, policy)),
        source=f"{source.title} ({source.edition})" if source else row.source,
        source_url=source.url if source else "",
        strength=row.strength,
    )


def _gives(row: Row, policy: Policy) -> Iterator[tuple[str, str]]:
    for give in row.gives:
        reason = policy.reasons.get(give.code)
        says = give.says or (reason.says if reason else "")
        only = " and ".join(condition.text for condition in give.when)
        yield give.code, f"{says} (only if {only})" if only else says
