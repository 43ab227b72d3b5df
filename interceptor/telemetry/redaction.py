"""Keep a patient out of everything that operations read: a wrapper that never prints, and errors without content."""

import traceback
from collections.abc import Mapping
from typing import Generic, NoReturn, TypeVar

Content = TypeVar("Content")

REDACTED = "<phi>"
"""What is seen in place of protected health information."""
_FRAMES_MAX = 12
"""Innermost frames kept of a traceback: enough to find the line, short enough for one log line."""


class Phi(Generic[Content]):
    """Protected health information. Printing, formatting and pickling show nothing; `reveal` is the one way out.

    Equality and hashing work on the content, so that it can be compared without being revealed.
    """

    __slots__ = ("_content",)

    def __init__(self, content: Content) -> None:
        self._content = content

    def reveal(self) -> Content:
        """The content. Every use of this word in the code is a place to look at in a review."""
        return self._content

    def __str__(self) -> str:
        return REDACTED

    def __repr__(self) -> str:
        return REDACTED

    def __format__(self, format_spec: str) -> str:
        return REDACTED

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Phi) and bool(self._content == other._content)

    def __hash__(self) -> int:
        return hash(self._content)

    def __reduce__(self) -> NoReturn:
        raise TypeError("protected health information is not pickled")


def describe_error(error: BaseException) -> Mapping[str, str]:
    """An exception as fields of a log event: its type and where it was raised, never its message or any value.

    Messages of other libraries quote what they choked on, which here is an order; so only our own words leave:
    `error` is the type's name, `reason` the stable word of our own exceptions ("" without one), `where` the
    innermost frames as "file:line function", the innermost last.
    """
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES_MAX:]
    where = " > ".join(f"{_short_path(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames)
    reason = getattr(error, "reason", "")
    is_own = type(error).__module__.partition(".")[0] == "interceptor"
    return {"error": type(error).__name__, "reason": str(reason) if is_own else "", "where": where}


def _short_path(path: str) -> str:
    """The path from the package on: what stands before it differs between machines."""
    for package in ("/interceptor/", "/site-packages/"):
        _head, found, tail = path.rpartition(package)
        if found:
            return f"interceptor/{tail}" if package == "/interceptor/" else tail
    return path.rpartition("/")[2]
