"""Proof that every row of a policy can decide something and that together they decide everything.

A conjunction of conditions is a box: for each fact a set of values. Taking the boxes of earlier rows away
from those of a later one leaves what that row can still decide; nothing left means that it is unreachable.
Each kind of exception is a dimension of its own (it applies or not), because any number may apply at once.
"""

from collections.abc import Iterable, Mapping, Sequence

from interceptor.decision.condition import Condition
from interceptor.decision.fact import FACT_VALUES, Fact

Box = Mapping[str, frozenset[str]]
"""Values by dimension; a dimension that is not named is unrestricted."""

_YES, _NO = frozenset({"yes"}), frozenset({"no"})


def boxes_of(conditions: Sequence[Condition]) -> tuple[Box, ...]:
    """The boxes that a conjunction of conditions covers; several where an exception list has alternatives."""
    boxes: list[dict[str, frozenset[str]]] = [{}]
    for condition in conditions:
        boxes = [narrowed for box in boxes for narrowed in _narrow(box, condition)]
    return tuple(boxes)


def _narrow(box: dict[str, frozenset[str]], condition: Condition) -> Iterable[dict[str, frozenset[str]]]:
    if condition.fact is not Fact.EXCEPTIONS:
        values = box.get(condition.fact, frozenset(FACT_VALUES[condition.fact])) & condition.accepted
        return [box | {str(condition.fact): values}] if values else []
    names = [f"exception {value}" for value in sorted(condition.values)]
    alternatives = [dict.fromkeys(names, _NO)] if condition.negated else [{name: _YES} for name in names]
    return [
        box | alternative
        for alternative in alternatives
        if all(box.get(name, value) == value for name, value in alternative.items())
    ]


def overlaps(one: Box, other: Box) -> bool:
    """Whether some case lies in both boxes."""
    return all(values & other.get(dimension, values) for dimension, values in one.items())


def subtract(box: Box, taken: Iterable[Box]) -> list[Box]:
    """What is left of *box* when all of *taken* is taken away, as boxes that do not overlap."""
    rest: list[Box] = [box]
    for hole in taken:
        rest = [piece for whole in rest for piece in _without(whole, hole)]
        if not rest:
            break
    return rest


def _without(box: Box, hole: Box) -> list[Box]:
    if not overlaps(box, hole):
        return [box]
    pieces: list[Box] = []
    inner = dict(box)
    for dimension, values in hole.items():
        have = inner.get(dimension, _all_values(dimension))
        outside = have - values
        if outside:
            pieces.append({**inner, dimension: outside})
        inner[dimension] = have & values
    return pieces


def _all_values(dimension: str) -> frozenset[str]:
    return _YES | _NO if dimension.startswith("exception ") else frozenset(FACT_VALUES[Fact(dimension)])


def describe(box: Box) -> str:
    """One case of the box, for an error message."""
    return ", ".join(f"{dimension} {min(values)}" for dimension, values in sorted(box.items())) or "any order"
