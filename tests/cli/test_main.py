"""The command line as a whole: quick help, exit codes, documented commands."""

import subprocess
import sys
import time
from pathlib import Path

import typer

from interceptor import __version__
from interceptor.cli.main import build_app
from interceptor.cli.reference import build_command_reference
from interceptor.cli.terminal import printable
from tests.support.command import ROOT, run_command

PAGE = ROOT / "docs" / "reference" / "commands.md"
HEAVY = ("pydantic", "hl7apy", "hl7", "rich.console", "prometheus_client", "structlog", "apsw", "uvloop")


def test_every_command_group_of_the_design_is_there() -> None:
    command = typer.main.get_command(build_app())
    assert set(getattr(command, "commands", {})) == {
        "run", "check", "explain", "policy", "inspect", "held", "journal", "mode", "send", "listen", "demo", "doctor", "registry",
        "webhook", "token", "user", "config", "reload", "restart",
    }  # fmt: skip


def test_the_page_in_the_repository_is_generated_from_these_commands() -> None:
    """Run `python docs/generate_reference.py` after changing a help text, an option or a command."""
    assert PAGE.read_text(encoding="utf-8") == build_command_reference()


def test_help_imports_nothing_that_only_a_command_needs() -> None:
    """What makes help quick is what it does not import; time on a shared machine proves little, so it is ample here."""
    script = (
        "import sys; from interceptor.cli.main import build_app; import typer; typer.main.get_command(build_app());"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"
    started = time.monotonic()
    assert run_command("--help").code == 0
    assert time.monotonic() - started < 3


def test_no_arguments_show_help_and_an_unknown_command_is_wrong_use() -> None:
    assert "Usage: interceptor" in run_command().output + run_command().errors
    unknown = run_command("relase")
    assert unknown.code == 2
    assert "No such command" in unknown.errors


def test_the_version_is_the_packages() -> None:
    assert run_command("--version").output == f"interceptor {__version__}\n"


def test_a_reader_that_goes_away_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m interceptor inspect - < {ROOT / 'docs' / 'reference' / 'commands.md'} | true",
        shell=True, capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    assert done.stderr == ""


def test_text_from_elsewhere_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[2Jb\u009bc\u202ed\u00fc") == "a\\x1b[2Jb\\x9bc\\u202ed\u00fc"


def test_the_package_runs_as_a_module_from_any_folder(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "interceptor", "--version"], capture_output=True, text=True, check=False, cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
