"""`interceptor policy`: hold the policy against its vignettes, and the text matcher against labelled lines."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from interceptor.cli.explain import load_content
from interceptor.cli.terminal import ExitCode, print_json, print_line, refuse

if TYPE_CHECKING:
    from interceptor.replay.vignette import Vignette, VignetteResult


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Test and measure the clinical content.", no_args_is_help=True, rich_markup_mode=None)
    group.command("test")(run_tests)
    group.command("eval")(evaluate_text)
    app.add_typer(group, name="policy")


def run_tests(
    profile: str = typer.Option("default", help="Profile of the policy."),
    vignettes: list[Path] | None = typer.Option(None, help="More vignettes: a site's own folder. May be repeated."),
    policy: str = typer.Option("spine-oncology", help="Policy: a name in mappings/policies/."),
    site: str = typer.Option("example", help="Site profile that the vignettes' local codes are of."),
    mappings: Path | None = typer.Option(None, help="Folder of the clinical data; default: the one that ships."),
    as_json: bool = typer.Option(False, "--json", help="One JSON object per vignette."),
) -> None:
    """Decide every vignette and compare; exit 1 on any difference or on a row that too few vignettes speak of."""
    from interceptor.config.mappings import find_mappings
    from interceptor.replay.vignette import find_gaps, run_vignette

    folder = mappings or find_mappings()
    content = load_content(policy=policy, profile=profile, site=site, mappings=folder)
    own = _read_folders([folder / "vignettes", *(vignettes or [])])
    now = datetime.now(UTC)
    results = [run_vignette(vignette, content=content, now=now) for vignette in own]
    gaps = find_gaps(results, content.policy)
    if as_json:
        for result in results:
            print_json(_result_json(result))
    else:
        _print_table(results, profile)
    differing = [result for result in results if not result.agrees]
    for gap in gaps:
        sys.stderr.write(f"{gap}\n")
    if not as_json:
        print_line(f"{len(results)} vignettes, {len(differing)} differ, profile {profile}")
    if differing or gaps:
        raise typer.Exit(ExitCode.NO)


def evaluate_text(
    requisitions: Path | None = typer.Option(None, help="Labelled lines of requisitions, tab-separated."),
    negations: Path | None = typer.Option(None, help="Labelled general sentences, for negation alone."),
    split: str = typer.Option("", help="Only requisition lines of this split."),
    show_misses: bool = typer.Option(False, "--misses", help="Show each line that was read otherwise than labelled."),
    mappings: Path | None = typer.Option(None, help="Folder of the clinical data; default: the one that ships."),
) -> None:
    """Measure how well the text matcher reads.

    Without files, the project's own labelled lines are read where a checkout has them. Exits with 1 when a goal is missed.
    """
    from interceptor.cli.policy_eval import run_policy_eval
    from interceptor.config.mappings import find_mappings

    if requisitions is None and negations is None:
        folder = find_mappings().parent / "tests" / "evaluation"
        if not folder.is_dir():
            refuse("Name at least one file: --requisitions FILE or --negations FILE.", code=ExitCode.WRONG_USE)
        requisitions, negations = folder / "requisitions.tsv", folder / "negation.tsv"
    matcher = load_content(policy="spine-oncology", profile="default", site="example", mappings=mappings).tables.text
    code = run_policy_eval(
        matcher, requisitions=requisitions, negations=negations, split=split, show_misses=show_misses
    )
    raise typer.Exit(code)


def _read_folders(folders: list[Path]) -> "list[Vignette]":
    from interceptor.replay.vignette import VignetteError, read_vignettes

    try:
        return [vignette for folder in folders for vignette in read_vignettes(folder)]
    except VignetteError as error:
        refuse("\n".join(error.problems), code=ExitCode.WRONG_USE)


def _print_table(results: "list[VignetteResult]", profile: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("vignette", "rows", "expected", "found", title=f"profile {profile}", show_lines=False)
    for result in results:
        expected = _lines(result.expected)
        found = "as expected" if result.agrees else f"DIFFERS\n{_lines(result.found)}"
        rows = " ".join(str(row) for row in result.rows)
        name = result.vignette.name
        table.add_row(name, rows, expected, found, style="" if result.agrees else "bold red")
    console = Console(markup=False, soft_wrap=False)
    console.print(table)


def _lines(verdicts: tuple[tuple[object, ...], ...]) -> str:
    return "\n".join(str(order) for message in verdicts for order in message) or "no order"


def _result_json(result: "VignetteResult") -> dict[str, object]:
    return {
        "vignette": result.vignette.name,
        "agrees": result.agrees,
        "rows": list(result.rows),
        "expected": [[str(order) for order in message] for message in result.expected],
        "found": [[str(order) for order in message] for message in result.found],
    }
