"""The commands of a documentation page, as they stand there."""

import re
from pathlib import Path


def shell_blocks(page: Path) -> tuple[str, ...]:
    """Each ```sh block of the page, in order. ```console blocks need what a test has not: systemd, root's files."""
    return tuple(re.findall(r"^```sh\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))


def replaced(text: str, changes: dict[str, str]) -> str:
    """*text* with each key replaced by its value, in one pass: what was put in is not looked at again.

    Raises:
        ValueError: A key is nowhere in the text: the page has changed.
    """
    absent = [key for key in changes if key not in text]
    if absent:
        raise ValueError(f"no longer on the page: {absent}")
    return re.sub("|".join(re.escape(key) for key in changes), lambda match: changes[match[0]], text)
