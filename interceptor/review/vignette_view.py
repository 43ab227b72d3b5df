"""What the policy page shows of a vignette: a story with an expected verdict, and whether the policy gives it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class VignetteView:
    """One vignette. `expected` and `found` have a line for each order."""

    name: str
    title: str
    why: str
    agrees: bool
    expected: tuple[str, ...]
    found: tuple[str, ...]


RunVignettes = Callable[[], Sequence[VignetteView]]
"""Decides all vignettes with the policy that is loaded; takes some seconds, so callers run it in a thread."""
