"""Give a command to a running node and wait for its answer.

Failures: every one is a ControlError. After timed_out or connection_lost the outcome is unknown: ask the node
for the order's state before giving the command again. Commands that decide something compare versions, so that
giving one twice does nothing twice.
"""

import asyncio
import socket
import time
from pathlib import Path
from typing import Final

from interceptor.control.protocol import ANSWER_SIZE_MAX, ControlError, build_request, read_answer

_PIECE_SIZE: Final = 65536


def request(path: Path, command: str, *, timeout_seconds: float = 10.0, **arguments: object) -> dict[str, object]:
    """Give *command* to the node behind the socket at *path*, for callers without a loop (the command line).

    Args:
        path: The node's control socket.
        command: Name of the command.
        timeout_seconds: How long to wait for the whole answer.
        **arguments: The command's arguments; JSON values.

    Raises:
        ControlError: not_running, timed_out, connection_lost, too_large, or what the node answered.
    """
    line = build_request(command, arguments)
    deadline = time.monotonic() + timeout_seconds
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_seconds)
        try:
            connection.connect(str(path))
        except OSError:
            raise _not_running() from None
        try:
            connection.sendall(line)
            return read_answer(_receive_line(connection, deadline))
        except TimeoutError:
            raise _timed_out(timeout_seconds) from None
        except OSError:
            raise _connection_lost() from None


async def request_async(
    path: Path, command: str, *, timeout_seconds: float = 10.0, **arguments: object
) -> dict[str, object]:
    """As `request`, for callers with a loop (the review process). Cancelling leaves the outcome unknown."""
    line = build_request(command, arguments)
    try:
        async with asyncio.timeout(timeout_seconds):
            try:
                reader, writer = await asyncio.open_unix_connection(str(path), limit=ANSWER_SIZE_MAX)
            except OSError:
                raise _not_running() from None
            try:
                writer.write(line)
                await writer.drain()
                return read_answer(await reader.readuntil(b"\n"))
            except (OSError, asyncio.IncompleteReadError):
                raise _connection_lost() from None
            except asyncio.LimitOverrunError:
                raise ControlError("too_large", "The node's answer is too large.") from None
            finally:
                writer.transport.abort()
    except TimeoutError:
        raise _timed_out(timeout_seconds) from None


def _receive_line(connection: socket.socket, deadline: float) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while not pieces or not pieces[-1].endswith(b"\n"):
        remaining_seconds = deadline - time.monotonic()
        if remaining_seconds <= 0:
            raise TimeoutError
        connection.settimeout(remaining_seconds)
        piece = connection.recv(_PIECE_SIZE)
        if not piece:
            raise _connection_lost()
        pieces.append(piece)
        size += len(piece)
        if size > ANSWER_SIZE_MAX:
            raise ControlError("too_large", "The node's answer is too large.")
    return b"".join(pieces)


def _not_running() -> ControlError:
    return ControlError("not_running", "No node answers on the control socket: is it running, and is this its user?")


def _timed_out(timeout_seconds: float) -> ControlError:
    return ControlError("timed_out", f"The node did not answer within {timeout_seconds:g} s; the outcome is unknown.")


def _connection_lost() -> ControlError:
    return ControlError("connection_lost", "The node ended the connection before it answered; the outcome is unknown.")
