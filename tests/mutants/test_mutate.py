"""The maker of faults: each kind is made, in functions only, and one at a time."""

import ast

import pytest

from tests.mutants.__main__ import draw, read_kept, read_targets
from tests.mutants.mutate import faults, with_fault
from tests.mutants.trial import module_path
from tests.support.source_tree import ROOT

SOURCE = '''
LIMIT = 3

def allowed(number: int, *, is_open: bool = True) -> bool:
    """Whether 3 < 4."""
    if number < LIMIT and not is_open:
        return False
    return number + 1 == LIMIT
'''


def changed(index: int) -> str:
    return ast.unparse(with_fault(SOURCE, index))


def test_every_kind_of_fault_is_made_once_and_none_outside_a_function() -> None:
    made = {fault.key.removeprefix("allowed: ") for fault in faults(SOURCE)}
    assert made >= {
        "number < LIMIT -> number <= LIMIT",
        "not is_open -> is_open",
        "number < LIMIT and (not is_open) -> number < LIMIT or not is_open",
        "if number < LIMIT and (not is_open) -> True",
        "False in return False -> True",
        "number + 1 -> number - 1",
        "1 in number + 1 -> 2",
        "number + 1 == LIMIT -> number + 1 != LIMIT",
    }
    assert not any("3" in key for key in made)


def test_a_tree_has_one_fault_and_is_otherwise_the_source() -> None:
    whole = ast.unparse(ast.parse(SOURCE)).replace('    """Whether 3 < 4."""\n', "").splitlines()
    for fault in faults(SOURCE):
        differing = [pair for pair in zip(whole, changed(fault.index).splitlines(), strict=True) if pair[0] != pair[1]]
        assert len(differing) == 1, fault


def test_a_fault_that_is_not_there_is_refused() -> None:
    with pytest.raises(IndexError):
        with_fault(SOURCE, 1000)


def test_every_target_is_a_module_of_the_core_with_tests() -> None:
    for name, tests in read_targets().items():
        assert name.split(".")[1] in ("wire", "message", "context", "decision", "action")
        assert all((ROOT / test).exists() for test in tests), name
        assert list(faults(module_path(name).read_text(encoding="utf-8"))), name


def test_a_sample_is_the_same_for_the_same_seed() -> None:
    names = list(read_targets())
    assert draw(names, count=20, seed=7) == draw(names, count=20, seed=7) != draw(names, count=20, seed=8)


def test_what_may_live_is_still_a_fault_and_says_why() -> None:
    for (name, key), why in read_kept().items():
        assert key in {fault.key for fault in faults(module_path(name).read_text(encoding="utf-8"))}, key
        assert why
