"""Every command that a page tells people to type is one that the program takes, options and all.

A ```sh block is for typing: each of its `interceptor` lines is given to the command line's own parser, which runs nothing. Blocks
that a page's own test runs (install.md, first-order.md) are in here too.
"""

import re
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import typer

from interceptor.cli.main import build_app
from tests.support.page_commands import shell_blocks
from tests.support.source_tree import ROOT, shown, tracked_files

PAGES = [path for path in tracked_files() if path.suffix == ".md" and shell_blocks(path)]
FRONT_DOOR = (ROOT / "dev").read_text(encoding="utf-8")
_END_OF_COMMAND = {"|", "||", "&", "&&", ";", ">", "2>"}


def command_lines(page: Path, program: str) -> list[list[str]]:
    """The words behind *program* in each line of the page's blocks that starts with it."""
    found = []
    for block in shell_blocks(page):
        for line in block.replace("\\\n", " ").splitlines():
            match = re.match(rf"^\s*(?:\S*/)?{re.escape(program)} (.+)", line)
            if match:
                lexer = shlex.shlex(match[1], posix=True, punctuation_chars="|&;>")
                lexer.whitespace_split = True
                words = list(lexer)
                ends = [place for place, word in enumerate(words) if word in _END_OF_COMMAND]
                words = words[: ends[0]] if ends else words
                # The descriptor of "2>file" is a word of its own here.
                found.append(words[:-1] if ends and words and words[-1] == "2" else words)
    return found


def parse(words: list[str]) -> None:
    """Give the words to the parser of the command that they name.

    Raises:
        LookupError: There is no such command.
        Exception: The parser's own: no such option, an argument that is missing or wrong.
    """
    command: Any = typer.main.get_command(build_app())
    name = "interceptor"
    while words and hasattr(command, "commands"):
        name, *words = words
        if name.startswith("-"):
            return  # --version and --help of the program itself.
        if name not in command.commands:
            raise LookupError(f"no such command: {name}")
        command = command.commands[name]
    with suppress(SystemExit, typer.Exit):  # --help ends by itself.
        command.make_context(name, words)


def test_pages_with_commands_are_found() -> None:
    assert len(PAGES) >= 6
    assert sum(len(command_lines(page, "interceptor")) for page in PAGES) >= 25


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_the_program_takes_every_command_of_the_page(page: Path) -> None:
    for words in command_lines(page, "interceptor"):
        parse(["node.toml" if word == "..." else word for word in words])


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_the_front_door_has_every_command_of_the_page(page: Path) -> None:
    known = set(re.findall(r"^([a-z]+)\)$", FRONT_DOOR, re.MULTILINE))
    assert [words for words in command_lines(page, "./dev") if words[0] not in known] == []


@pytest.mark.parametrize(
    "words", [["held", "lits"], ["held", "release"], ["check", "--wrong", "x"], ["mode", "a", "sometimes"]]
)
def test_a_command_that_is_none_is_noticed(words: list[str]) -> None:
    with pytest.raises(Exception, match=r"(?i)no such|missing|is not one of"):
        parse(words)
