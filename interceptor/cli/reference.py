"""The reference page of the commands, built from the command line itself (docs/reference/commands.md)."""

from collections.abc import Iterator
from typing import Any

import typer

from interceptor.cli.main import build_app

_WIDTH = 100
_INTRODUCTION = """# Commands

<!-- Generated from interceptor/cli/ by docs/generate_reference.py. Do not edit: change the help texts. -->

Exit codes: 0 done; 1 the answer is "no" (invalid, differs, not found, not running); 2 wrong use or configuration.
`--json` prints JSON, one object per line, wherever a script may want to read. Files of messages may be framed or
plain (segments ended by CR, LF or CRLF), with one or many messages; `-` is standard input.
"""


def build_command_reference() -> str:
    """The whole page as Markdown."""
    root = typer.main.get_command(build_app())
    sections = [f"## {name}\n\n```text\n{text}\n```\n" for name, text in _help_texts("interceptor", root)]
    return "\n".join([_INTRODUCTION, *sections])


def _help_texts(name: str, command: Any) -> Iterator[tuple[str, str]]:
    context = command.context_class(command, info_name=name, terminal_width=_WIDTH)
    yield name, "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    for child_name, child in sorted(getattr(command, "commands", {}).items()):
        yield from _help_texts(f"{name} {child_name}", child)
