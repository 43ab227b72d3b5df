"""Print how well the text matcher reads: `interceptor policy eval`.

Files of lines with answers in, a table of precision, recall and F1 per label out. The counting is
`context/text_evaluation.py`; this module reads the files and prints.

Failures: a file that is missing or wrong is named with its lines and ends the command with code 2.
"""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from interceptor.context.text_evaluation import (
    EvaluationFileError,
    EvaluationReport,
    evaluate_lines,
    evaluate_negations,
    parse_negations,
    parse_requisitions,
)
from interceptor.context.text_matcher import TextMatcher

EXIT_DONE = 0
EXIT_GOAL_MISSED = 1
EXIT_WRONG_USE = 2

CANCER_PRECISION_MIN = 0.97
CANCER_RECALL_MIN = 0.95
NEGATION_F1_MIN = 0.96

_CANCER = "cancer known or suspected"


def find_evaluation_folder() -> Path | None:
    """Return the folder of the evaluation lines in a checkout; None in an installed package, which has none."""
    folder = Path(__file__).resolve().parents[2] / "tests" / "evaluation"
    return folder if folder.is_dir() else None


def run_policy_eval(
    matcher: TextMatcher,
    *,
    requisitions: Path | None,
    negations: Path | None,
    split: str = "",
    show_misses: bool = False,
    console: Console | None = None,
) -> int:
    """Print the scores and return the exit code: 0 goals met, 1 a goal missed, 2 a file is wrong.

    Args:
        matcher: The matcher to measure.
        requisitions: A file like tests/evaluation/requisitions.tsv; None to leave it out.
        negations: A file like tests/evaluation/negation.tsv; None to leave it out.
        split: Only requisition lines of this split; "" for all.
        show_misses: Also print every line that was read otherwise than its answer.
        console: Where to print; standard output when None.
    """
    console = console or Console()
    met = True
    try:
        if requisitions is not None:
            lines = parse_requisitions(requisitions.read_text(encoding="utf-8"))
            report = evaluate_lines(matcher, [line for line in lines if split in ("", line.split)])
            _print(console, f"requisitions {split}".strip(), report, show_misses=show_misses)
            cancer = report.score(_CANCER) if report.line_count else None
            met = cancer is None or (cancer.precision >= CANCER_PRECISION_MIN and cancer.recall >= CANCER_RECALL_MIN)
        if negations is not None:
            report = evaluate_negations(matcher, parse_negations(negations.read_text(encoding="utf-8")))
            _print(console, "general sentences", report, show_misses=show_misses)
            met = met and (not report.line_count or report.score("negation negated").f1 >= NEGATION_F1_MIN)
    except EvaluationFileError as error:
        for problem in error.problems:
            console.print(problem, markup=False)
        return EXIT_WRONG_USE
    except OSError as error:
        console.print(f"{error.filename}: {error.strerror}", markup=False)
        return EXIT_WRONG_USE
    return EXIT_DONE if met else EXIT_GOAL_MISSED


def _print(console: Console, title: str, report: EvaluationReport, *, show_misses: bool) -> None:
    table = Table(title=f"{title}: {report.line_count} lines")
    table.add_column("label")
    for heading in ("right", "wrong", "missed", "precision", "recall", "F1"):
        table.add_column(heading, justify="right")
    for score in report.scores:
        table.add_row(
            score.label,
            str(score.right),
            str(score.wrong),
            str(score.missed),
            f"{score.precision:.3f}",
            f"{score.recall:.3f}",
            f"{score.f1:.3f}",
        )
    console.print(table)
    if show_misses:
        for miss in report.misses:
            console.print(f"{miss.about}: {miss.read}, expected {miss.expected}: {miss.text}", markup=False)
