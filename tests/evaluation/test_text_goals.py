"""The matcher on the evaluation lines, and the command that prints it."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from interceptor.cli.policy_eval import (
    EXIT_DONE,
    EXIT_GOAL_MISSED,
    EXIT_WRONG_USE,
    find_evaluation_folder,
    run_policy_eval,
)
from interceptor.context.text_evaluation import (
    EvaluationFileError,
    Score,
    evaluate_lines,
    evaluate_negations,
    parse_negations,
    parse_requisitions,
)
from tests.support.text_tables import shipped_matcher

FOLDER = Path(__file__).parent

REQUISITIONS = FOLDER / "requisitions.tsv"
NEGATIONS = FOLDER / "negation.tsv"

MATCHER = shipped_matcher()


def run(requisitions: Path | None, negations: Path | None, show_misses: bool = False) -> tuple[int, str]:
    """Return the exit code and what was printed."""
    output = io.StringIO()
    console = Console(file=output, width=120)
    code = run_policy_eval(
        MATCHER, requisitions=requisitions, negations=negations, console=console, show_misses=show_misses
    )
    return code, output.getvalue()


@pytest.mark.parametrize("split", ["tune", "held_out"])
def test_known_and_suspected_cancer_is_read_well_enough_to_hold_by(split: str) -> None:
    lines = [line for line in parse_requisitions(REQUISITIONS.read_text(encoding="utf-8")) if line.split == split]
    score = evaluate_lines(MATCHER, lines).score("cancer known or suspected")
    assert score.precision >= 0.97
    assert score.recall >= 0.95


def test_there_are_lines_enough_to_mean_something() -> None:
    lines = parse_requisitions(REQUISITIONS.read_text(encoding="utf-8"))
    assert len(lines) >= 300
    assert len({line.text for line in lines}) == len(lines)
    assert sum(line.split == "held_out" for line in lines) >= 120


def test_denials_in_general_sentences_are_read() -> None:
    lines = parse_negations(NEGATIONS.read_text(encoding="utf-8"))
    assert len(lines) >= 150
    assert evaluate_negations(MATCHER, lines).score("negation negated").f1 >= 0.96


def test_the_command_prints_a_row_for_each_label() -> None:
    code, printed = run(REQUISITIONS, NEGATIONS)
    assert code == EXIT_DONE
    for label in ("oncology metastatic", "symptom deficit", "onset not_new", "assertion negated", "negation negated"):
        assert label in printed


def test_a_checkout_finds_its_own_lines() -> None:
    assert find_evaluation_folder() == FOLDER


def test_a_missed_goal_ends_with_one_and_shows_the_line(tmp_path: Path) -> None:
    wrong = tmp_path / "lines.tsv"
    wrong.write_text("split\ttext\toncology\tsymptom\tonset\tterms\ntune\tLBP\tactive\tpain\tunknown\t\n")
    code, printed = run(wrong, None, show_misses=True)
    assert code == EXIT_GOAL_MISSED
    assert "oncology: none, expected active: LBP" in printed


def test_a_wrong_file_ends_with_two_and_names_the_line(tmp_path: Path) -> None:
    wrong = tmp_path / "lines.tsv"
    wrong.write_text("split\ttext\toncology\tsymptom\tonset\tterms\ntune\tLBP\tmaybe\tpain\tunknown\tca=negated\n")
    code, printed = run(wrong, None)
    assert code == EXIT_WRONG_USE
    assert "2: 'ca' does not stand in the text" in printed
    assert "maybe" in printed
    assert run(tmp_path / "none.tsv", None)[0] == EXIT_WRONG_USE


def test_a_negation_file_with_another_header_is_refused() -> None:
    with pytest.raises(EvaluationFileError, match="header"):
        parse_negations("text\tterm\tgold\n")


def test_scores_are_shares_of_what_was_said_and_of_what_is_true() -> None:
    score = Score(label="x", right=6, wrong=2, missed=4)
    assert (score.precision, score.recall, round(score.f1, 3)) == (0.75, 0.6, 0.667)
    empty = Score(label="x", right=0, wrong=0, missed=0)
    assert (empty.precision, empty.recall, empty.f1) == (1.0, 1.0, 1.0)
