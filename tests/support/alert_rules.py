"""The alert rules in deploy/prometheus, as a test wants to see them."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.source_tree import ROOT

FOLDER = ROOT / "deploy" / "prometheus"
RULES = FOLDER / "rules.yml"
METRIC = re.compile(r"\b(interceptor_[a-z0-9_]+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!=|!~|=)\s*"([^"]*)"')


@dataclass(frozen=True)
class Selector:
    """A metric as an expression asks for it: its name and what it wants of labels, as (label, operator, value)."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]

    def selects(self, labels: dict[str, str]) -> bool:
        """Whether a series with these labels is meant; `job` and `instance` are Prometheus' own."""
        for label, operator, wanted in self.matchers:
            if label in ("job", "instance", "le"):
                continue
            is_equal = bool(re.fullmatch(wanted if "~" in operator else re.escape(wanted), labels.get(label, "")))
            if is_equal == operator.startswith("!"):
                return False
        return True


def rules() -> list[dict[str, Any]]:
    """Every rule, alerts and recorded expressions, in the order of the file."""
    return [rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def selectors(expression: str) -> list[Selector]:
    """Every metric of ours that an expression asks for."""
    return [Selector(name, tuple(MATCHER.findall(matchers))) for name, matchers in METRIC.findall(expression)]


def family_of(name: str, families: set[str]) -> str | None:
    """The family of the catalogue that a series' name belongs to; None for a name that is not in it."""
    shorter = re.sub(r"_(bucket|sum|count)$", "", name)
    return next((one for one in (name, shorter) if one in families), None)


def run(tool: str, *arguments: str | Path, folder: Path = FOLDER) -> str:
    """What a tool printed.

    Raises:
        AssertionError: It found something wrong; with what it printed.
    """
    done = subprocess.run(
        [tool, *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
