"""The model checker spin: a model with a seeded bug, and whether a promise can be broken in any of its states."""

import re
import shutil
import subprocess
from pathlib import Path

MISSING = [tool for tool in ("spin", "gcc") if shutil.which(tool) is None]


class Checker:
    """The model with one seeded bug, or none (0), compiled to a program that searches all of its states."""

    def __init__(self, folder: Path, model: Path, bug: int) -> None:
        self._folder = folder
        run(["spin", f"-DBUG={bug}", "-a", str(model)], folder)
        # NFAIR: weak fairness among more than six processes.
        run(["gcc", "-O1", "-w", "-DNFAIR=3", "-o", "pan", "pan.c"], folder)

    def search(self, promise: str) -> str:
        """What spin says after looking for a way to break *promise* under weak fairness."""
        return run(["./pan", "-a", "-f", "-m100000", "-N", promise], self._folder)


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def errors_in(output: str) -> int:
    assert "max search depth too small" not in output
    found = re.search(r"errors: (\d+)", output)
    assert found is not None, output
    return int(found[1])
