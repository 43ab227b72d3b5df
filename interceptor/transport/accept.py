"""Taking connections from a listening socket, one in each turn of the event loop.

asyncio's own servers take whatever waits in one turn: a storm of ten thousand connections, nearly all of which are turned
away over the limits, then makes everybody who is inside wait for the whole of it. One a turn leaves the turn to those who
are inside; the others wait in the kernel's queue, which is bounded.

Failures: without a file descriptor for the next connection there is a pause, and then the next attempt.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

PAUSE_SECONDS: Final = 1.0
"""After an accept that failed: no descriptors, no memory."""


class Acceptor:
    """Takes the connections of one socket."""

    def __init__(self, listening: socket.socket, begin: Callable[[socket.socket], None]) -> None:
        """*listening* is bound and does not block. *begin* is given each connection, and owns it from then on."""
        self._listening = listening
        self._begin = begin
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Take connections from now on, until `stop`."""
        self._pause = None
        self._loop.add_reader(self._listening, self._take_one)

    def stop(self) -> None:
        """Close the socket. What was taken before is with its owner: nothing is lost in between."""
        if self._pause is not None:
            self._pause.cancel()
        # A closed socket that is still watched would be another one's number soon.
        self._loop.remove_reader(self._listening)
        self._listening.close()

    def _take_one(self) -> None:
        try:
            accepted, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:
            self._loop.remove_reader(self._listening)
            self._pause = self._loop.call_later(PAUSE_SECONDS, self.start)
            return
        accepted.settimeout(0.0)
        self._begin(accepted)


def address_of(accepted: socket.socket) -> str:
    """The peer's address; "" when it is gone already."""
    try:
        return str(accepted.getpeername()[0])
    except OSError:
        return ""
