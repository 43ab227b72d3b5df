"""What every command does with its terminal: exit codes, JSON, errors, and text that came from elsewhere."""

import json
import sys
from enum import IntEnum
from typing import NoReturn

import typer


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    NO = 1
    """The answer is "no": invalid, differs, not found, not running."""
    WRONG_USE = 2
    """Wrong arguments or configuration; nothing was tried."""


def print_json(value: object) -> None:
    """One line of JSON on standard output, for scripts."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_line(text: str = "") -> None:
    """One line on standard output, at once: a reader of a pipe sees it while the command still runs."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_warning(text: str) -> None:
    """One line on standard error, where it disturbs no script."""
    sys.stderr.write(text + "\n")


def refuse(message: str, *, code: ExitCode = ExitCode.NO) -> NoReturn:
    """Say on standard error what is wrong, and end the command."""
    sys.stderr.write(message + "\n")
    raise typer.Exit(code)


def printable(text: str) -> str:
    """Text from a message or a peer, safe for a terminal: control characters become visible escapes.

    Without this an order's free text could move the cursor or retitle the window.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
