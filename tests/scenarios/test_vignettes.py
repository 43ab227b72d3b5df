"""The vignettes: every story is decided as written, in both profiles, and they hold every row of the policy in place."""

from dataclasses import replace
from functools import cache

import pytest

from interceptor.decision.clinical_content import ClinicalContent
from interceptor.decision.policy import compile_policy
from interceptor.decision.policy_coverage import boxes_of, overlaps
from interceptor.decision.policy_document import Row
from interceptor.replay.vignette import VIGNETTES_OF_ROW_MIN, Vignette, VignetteResult, find_gaps, run_vignette
from tests.support.clinical import NOW, PROFILES, shipped_content, shipped_vignettes

NAMES = [vignette.name for vignette in shipped_vignettes()]
GIVEN = {
    f"V{number:02d}"
    for number in (1, 2, 3, 4, 6, 7, 8, 9, 12, 13, 14, 15, 17, 18, 19, 21, 23, 26, 28, 30, 31, 33, 38, 39, 40, 42, 43)
} | {"V44", "V46", "V47", "V52", "V53"}


@cache
def results_of(profile: str) -> tuple[VignetteResult, ...]:
    content = shipped_content(profile)
    return tuple([run_vignette(vignette, content=content, now=NOW) for vignette in shipped_vignettes()])


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("vignette", shipped_vignettes(), ids=NAMES)
def test_the_story_is_decided_as_written(vignette: Vignette, profile: str) -> None:
    result = run_vignette(vignette, content=shipped_content(profile), now=NOW)
    assert result.found == result.expected


def test_the_given_cases_are_all_there() -> None:
    assert {name.split("-")[0] for name in NAMES if name.startswith("V")} == GIVEN


@pytest.mark.parametrize("profile", PROFILES)
def test_every_row_has_enough_stories_and_a_near_miss(profile: str) -> None:
    assert VIGNETTES_OF_ROW_MIN >= 4
    assert find_gaps(results_of(profile), shipped_content(profile).policy) == []


def test_the_two_of_a_near_miss_pair_are_decided_by_different_rows_or_dispositions() -> None:
    found = {result.vignette.name: result for result in results_of("default")}
    for result in found.values():
        if result.vignette.near_miss:
            other = found[result.vignette.near_miss]
            assert result.found != other.found, (result.vignette.name, other.vignette.name)


def with_rows(content: ClinicalContent, rows: tuple[Row, ...]) -> ClinicalContent:
    document = replace(content.policy.document, rows=rows)
    return replace(content, policy=compile_policy(document, content.policy.profile))


def is_noticed(mutant: ClinicalContent, suspects: list[VignetteResult]) -> bool:
    """Whether a vignette fails under a mutated policy; an order that no row decides counts too."""
    for result in suspects:
        try:
            if run_vignette(result.vignette, content=mutant, now=NOW).found != result.expected:
                return True
        except AssertionError:
            return True
    return False


def rows_of(profile: str) -> tuple[Row, ...]:
    content = shipped_content(profile)
    return content.policy.document.active_rows(content.policy.profile)


def suspects_of(profile: str, *numbers: int) -> list[VignetteResult]:
    return [result for result in results_of(profile) if set(numbers) & set(result.rows)]


ROWS = [(profile, row.name) for profile in PROFILES for row in rows_of(profile)]


@pytest.mark.parametrize(("profile", "name"), ROWS)
def test_removing_a_row_makes_a_vignette_fail(profile: str, name: str) -> None:
    rows = rows_of(profile)
    row = next(row for row in rows if row.name == name)
    mutant = with_rows(shipped_content(profile), tuple(other for other in rows if other is not row))
    assert is_noticed(mutant, suspects_of(profile, row.number))


def swappable(rows: tuple[Row, ...], index: int) -> list[int]:
    """Rows that decide some order in common with this one, nearest first: only their order against it matters."""

    def boxes(row: Row) -> list[object]:
        return [box for give in row.gives for box in boxes_of((*row.when, *give.when))]

    mine = boxes(rows[index])
    others = [
        other
        for other in range(len(rows))
        if other != index and any(overlaps(one, each) for one in mine for each in boxes(rows[other]))  # type: ignore[arg-type]  # boxes
    ]
    return sorted(others, key=lambda other: abs(other - index))


@pytest.mark.parametrize(("profile", "name"), ROWS)
def test_swapping_a_row_with_its_neighbour_makes_a_vignette_fail(profile: str, name: str) -> None:
    """Its nearest neighbour that decides an order in common: swapping rows that share none changes nothing."""
    rows = rows_of(profile)
    index = next(at for at, row in enumerate(rows) if row.name == name)
    other = swappable(rows, index)[0]
    swapped = list(rows)
    swapped[index], swapped[other] = swapped[other], swapped[index]
    mutant = with_rows(shipped_content(profile), tuple(swapped))
    assert is_noticed(mutant, suspects_of(profile, rows[index].number, rows[other].number)), rows[other].name


@pytest.mark.parametrize(
    ("profile", "name", "code"),
    [(profile, row.name, give.code) for profile in PROFILES for row in rows_of(profile) for give in row.gives],
)
def test_removing_a_reason_makes_a_vignette_fail(profile: str, name: str, code: str) -> None:
    rows = tuple(
        replace(row, gives=tuple(give for give in row.gives if give.code != code)) if row.name == name else row
        for row in rows_of(profile)
    )
    row = next(row for row in rows if row.name == name)
    kept = tuple(other for other in rows if other.gives)
    assert is_noticed(with_rows(shipped_content(profile), kept), suspects_of(profile, row.number)), code
