"""Take commands on a Unix socket while a block runs.

The socket has mode 0600 in a folder of mode 0700: who may open it may give every command. Commands of one
connection are carried out one after another, those of different connections side by side.

Failures: a path that another node answers on, that is too long, or whose folder others may enter stops the start
(ControlError). A command that raises is answered with code "failed" and told to *on_failure*; the data path in
the same loop goes on, because nobody's order may wait for a worklist. Leaving the block ends connections at
once; a command that was under way is cancelled, and its client sees connection_lost.
"""

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from interceptor.control.protocol import (
    REQUEST_SIZE_MAX,
    ControlError,
    build_error,
    build_result,
    read_request,
)

CommandHandler = Callable[[dict[str, Any]], Awaitable[Mapping[str, object]]]
"""Carries out one command; raises ControlError to say no."""
FailureCallback = Callable[[str, Exception], None]
"""Told the command's name and what it raised."""

_CONNECTIONS_MAX: Final = 32
_REQUEST_SECONDS_MAX: Final = 300.0
"""How long a connection may be idle between commands, and how long a client may take to read an answer."""
_PATH_SIZE_MAX: Final = 107
"""Bytes that Linux has for the path of a Unix socket, less the closing zero."""


@asynccontextmanager
async def serve_control(
    path: Path, handlers: Mapping[str, CommandHandler], *, on_failure: FailureCallback = lambda _command, _error: None
) -> AsyncIterator[None]:
    """Serve commands on *path* for the length of the block.

    Args:
        path: The socket; its folder is made (0700) when it is missing. A socket left by a dead node is replaced.
        handlers: A function for each command name.
        on_failure: Called when a handler raises something other than ControlError.

    Raises:
        ControlError: path_too_long, folder_open_to_others, or already_running.
        OSError: The socket cannot be made.
    """
    listener = bind_private_socket(path)
    inode_number = read_inode_number(path)
    connections = _Connections(handlers, on_failure)
    server = await asyncio.start_unix_server(connections.serve, sock=listener, limit=REQUEST_SIZE_MAX)
    try:
        yield
    finally:
        server.close()
        await connections.end()
        unlink_if_ours(path, inode_number)


def unlink_if_ours(path: Path, inode_number: int | None) -> None:
    """Remove a socket that we made: after an overlapping restart the path is the next node's, which must stay."""
    if read_inode_number(path) == inode_number:
        path.unlink(missing_ok=True)


def bind_private_socket(path: Path) -> socket.socket:
    """A stream socket at *path* that only our own user may open; one left by a dead node is replaced.

    Raises:
        ControlError: path_too_long, folder_open_to_others, or already_running.
        OSError: The socket cannot be made.
    """
    if len(os.fsencode(path)) > _PATH_SIZE_MAX:
        raise ControlError("path_too_long", f"The control socket's path is longer than {_PATH_SIZE_MAX} bytes.")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if stat.S_IMODE(path.parent.stat().st_mode) & 0o077:
        raise ControlError("folder_open_to_others", f"Others may enter {path.parent}; set its mode to 0700.")
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    earlier_mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(earlier_mask)
    return listener


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody answers on; anything else at the path stays and stops the start."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except TimeoutError:
            pass
    raise ControlError("already_running", "Another node answers on the control socket.")


def read_inode_number(path: Path) -> int | None:
    """The number of the file at *path*; None when there is none."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


class _Connections:
    """The open connections and their tasks."""

    def __init__(self, handlers: Mapping[str, CommandHandler], on_failure: FailureCallback) -> None:
        self._handlers = handlers
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, as the task that asyncio made for it. Cancelling drops the connection."""
        task = asyncio.current_task()
        assert task is not None
        if len(self._tasks) >= _CONNECTIONS_MAX:
            writer.transport.abort()
            return
        self._tasks.add(task)
        try:
            await self._serve_requests(reader, writer)
        except (OSError, TimeoutError):
            pass  # The client is gone; whoever it was sees connection_lost.
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def end(self) -> None:
        """Cancel what is under way and wait for it."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve_requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                async with asyncio.timeout(_REQUEST_SECONDS_MAX):
                    line = await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                return
            except asyncio.LimitOverrunError:
                await _send(writer, build_error(ControlError("too_large", "The request is too large.")))
                return
            await _send(writer, await self._answer(line))

    async def _answer(self, line: bytes) -> bytes:
        command = ""
        try:
            command, arguments = read_request(line)
            handler = self._handlers.get(command)
            if handler is None:
                raise ControlError("unknown_command", f"The node has no command {command[:60]!r}.")
            return build_result(await handler(arguments))
        except ControlError as error:
            return build_error(error)
        except Exception as error:  # noqa: BLE001 - a connection's boundary: recorded, answered, and no order waits for it
            self._on_failure(command, error)
            return build_error(ControlError("failed", "The command failed inside the node; its log says where."))


async def _send(writer: asyncio.StreamWriter, answer: bytes) -> None:
    writer.write(answer)
    async with asyncio.timeout(_REQUEST_SECONDS_MAX):
        await writer.drain()
