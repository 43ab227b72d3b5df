"""One condition of a policy row: "oncology is active or metastatic", read from text and compiled.

fact  is | is not      value [or value ...]      for facts with one value
fact  include | exclude  value [or value ...]    for exceptions, of which any number may apply
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from interceptor.decision.fact import FACT_VALUES, READ_VALUE, Fact, OrderCase, read_exception_kinds

Predicate = Callable[[OrderCase], bool]

_CONDITION = re.compile(r"^(?P<fact>\S+)\s+(?P<operator>is not|\S+)\s+(?P<values>.+)$")
_ONE_VALUE = ("is", "is not")
_MANY_VALUES = ("include", "exclude")


class ConditionError(ValueError):
    """The text is not a condition; the message says what is wrong and what would be right."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A fact compared with values; true when the fact is (or the exceptions include) any of them, or none if negated."""

    fact: Fact
    values: frozenset[str]
    negated: bool
    text: str

    @property
    def accepted(self) -> frozenset[str]:
        """Values for which it is true; of a fact with one value."""
        return frozenset(FACT_VALUES[self.fact]) - self.values if self.negated else self.values


def parse_condition(text: str) -> Condition:
    """Read one condition.

    Raises:
        ConditionError: Unknown fact, operator or value.
    """
    match = _CONDITION.match(text.strip())
    if match is None:
        raise ConditionError(f"{text!r} is not 'fact operator value [or value ...]'")
    try:
        fact = Fact(match["fact"])
    except ValueError:
        raise ConditionError(f"unknown fact {match['fact']!r}; known: {', '.join(Fact)}") from None
    operators = _MANY_VALUES if fact is Fact.EXCEPTIONS else _ONE_VALUE
    if match["operator"] not in operators:
        raise ConditionError(f"bad operator {match['operator']!r}; {fact} takes {' and '.join(operators)}")
    values = [value.strip() for value in re.split(r"\s+or\s+", match["values"])]
    unknown = [value for value in values if value not in FACT_VALUES[fact]]
    if unknown:
        raise ConditionError(f"unknown value {unknown[0]!r} of {fact}; known: {', '.join(FACT_VALUES[fact])}")
    return Condition(fact, frozenset(values), negated=match["operator"] in {"is not", "exclude"}, text=text)


def compile_condition(condition: Condition) -> Predicate:
    """Return a function that reads the fact (once per case) and compares it."""
    if condition.fact is Fact.EXCEPTIONS:
        return _compile_exceptions(condition.values, negated=condition.negated)
    read = READ_VALUE[condition.fact]
    accepted = condition.accepted

    def is_accepted(case: OrderCase) -> bool:
        return read(case) in accepted

    return is_accepted


def _compile_exceptions(kinds: frozenset[str], *, negated: bool) -> Predicate:
    def has_none(case: OrderCase) -> bool:
        return kinds.isdisjoint(read_exception_kinds(case))

    def has_any(case: OrderCase) -> bool:
        return not kinds.isdisjoint(read_exception_kinds(case))

    return has_none if negated else has_any
