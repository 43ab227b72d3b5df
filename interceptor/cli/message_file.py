"""Read the messages of a file or of standard input, for every command that takes a FILE."""

import sys
from pathlib import Path

from interceptor.cli.terminal import ExitCode, refuse

STANDARD_INPUT = "-"


def read_messages(path: Path | str) -> list[bytes]:
    """The messages of a file, framed or plain, one or many; `-` is standard input.

    Ends the command with exit 2 when the file cannot be read, with exit 1 when it has no message or is
    framed wrongly.
    """
    from interceptor.replay.reader import MessageFileError, split_messages

    try:
        messages = split_messages(read_bytes(path))
    except MessageFileError as error:
        refuse(f"{path}: {error}")
    if not messages:
        refuse(f"{path}: no message in it")
    return messages


def read_bytes(path: Path | str) -> bytes:
    """The bytes of a file or of standard input (`-`); exit 2 when they cannot be read."""
    if str(path) == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except OSError as error:
        refuse(f"{path}: cannot be read: {error.strerror}", code=ExitCode.WRONG_USE)
