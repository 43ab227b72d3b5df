"""One request and one answer as lines of JSON.

    {"command": "held.show", "arguments": {"entry": 17}}
    {"result": {...}}        or        {"error": {"code": "not_found", "message": "..."}}

Several requests may follow each other on one connection. This module sees bytes only.
"""

import json
from collections.abc import Mapping
from typing import Final

REQUEST_SIZE_MAX: Final = 1024 * 1024
"""Bytes of one request line: a changed order of 16 MiB is not sent this way, a comment of a reviewer is."""
ANSWER_SIZE_MAX: Final = 64 * 1024 * 1024
"""Bytes of one answer line: an order of 16 MiB in Base64, twice, with room."""


class ControlError(Exception):
    """A command was not carried out.

    Attributes:
        code: A stable word: unknown_command, bad_request, too_large, failed, not_running, timed_out, connection_lost,
            bad_answer, or a word of the command's own, such as not_found.
        message: A plain sentence for the person who asked; without content of an order.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def build_request(command: str, arguments: Mapping[str, object]) -> bytes:
    """One request line.

    Raises:
        ControlError: too_large.
    """
    line = json.dumps({"command": command, "arguments": dict(arguments)}).encode("ascii") + b"\n"
    if len(line) > REQUEST_SIZE_MAX:
        raise ControlError("too_large", f"The request has {len(line)} bytes; {REQUEST_SIZE_MAX} are allowed.")
    return line


def read_request(line: bytes) -> tuple[str, dict[str, object]]:
    """The command and its arguments.

    Raises:
        ControlError: bad_request.
    """
    request = _read_object(line)
    command = request.get("command")
    arguments = request.get("arguments", {})
    if not isinstance(command, str) or not isinstance(arguments, dict):
        raise ControlError("bad_request", "A request has a command (text) and arguments (object).")
    return command, arguments


def build_result(result: Mapping[str, object]) -> bytes:
    """The answer line of a command that was carried out.

    Raises:
        ControlError: too_large.
    """
    line = json.dumps({"result": dict(result)}).encode("ascii") + b"\n"
    if len(line) > ANSWER_SIZE_MAX:
        raise ControlError("too_large", f"The answer has {len(line)} bytes; {ANSWER_SIZE_MAX} are allowed.")
    return line


def build_error(error: ControlError) -> bytes:
    """The answer line of a command that was not carried out."""
    return json.dumps({"error": {"code": error.code, "message": error.message}}).encode("ascii") + b"\n"


def read_answer(line: bytes) -> dict[str, object]:
    """The result.

    Raises:
        ControlError: What the node answered, or bad_answer when the line is not an answer.
    """
    try:
        answer = _read_object(line)
    except ControlError:
        raise ControlError("bad_answer", "The node's answer is not JSON.") from None
    error = answer.get("error")
    if isinstance(error, dict):
        raise ControlError(str(error.get("code", "failed")), str(error.get("message", "")))
    result = answer.get("result")
    if not isinstance(result, dict):
        raise ControlError("bad_answer", "The node's answer has neither a result nor an error.")
    return result


def _read_object(line: bytes) -> dict[str, object]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise ControlError("bad_request", "The line is not JSON.") from None
    if not isinstance(value, dict):
        raise ControlError("bad_request", "The line is not a JSON object.")
    return value
