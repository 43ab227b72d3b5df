"""Commands to the node, from pages: a node that is away is a value, not an exception.

A page asks and shows what it gets: an `Answer`, a `Refusal` (the node said no: somebody was faster, a reason is
missing) or `NodeAway`. Pages show the last as a bar and go on with what the database says.

Failures: none is raised but a wrong use of this module.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interceptor.control.client import request_async
from interceptor.control.protocol import ControlError

STATUS_SECONDS = 1.0
"""How old the node's word about itself may be on a page."""
_AWAY_CODES = frozenset({"not_running", "timed_out", "connection_lost", "bad_answer"})
_UNKNOWN_OUTCOME = frozenset({"timed_out", "connection_lost", "bad_answer"})


@dataclass(frozen=True, slots=True)
class Answer:
    """The node carried the command out."""

    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The node said no.

    Attributes:
        code: A stable word: conflict, not_found, reason_missing, bad_argument, journal_unavailable, damaged, failed ...
        message: A sentence for the person; for a conflict, who was faster, what they did and when.
    """

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class NodeAway:
    """The node does not answer.

    Attributes:
        is_outcome_unknown: The command may have been carried out: ask for the order's state before giving it again.
    """

    message: str
    is_outcome_unknown: bool = False


Reply = Answer | Refusal | NodeAway


class NodeClient:
    """Gives commands to the node behind one control socket."""

    def __init__(
        self, control_socket: Path, *, timeout_seconds: float = 5.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """*timeout_seconds*: how long one command may take, unless the call says otherwise."""
        self._control_socket = control_socket
        self._timeout_seconds = timeout_seconds
        self._monotonic = monotonic
        self._asking = asyncio.Lock()
        self._status: Reply | None = None
        self._status_until = 0.0

    async def status(self) -> Reply:
        """How the node and its lines stand (`lines`), at most a second old: however many pages want to know, it is asked once."""
        async with self._asking:
            if self._status is None or self._monotonic() >= self._status_until:
                self._status = await self.ask("lines", timeout_seconds=STATUS_SECONDS)
                self._status_until = self._monotonic() + STATUS_SECONDS
            return self._status

    async def ask(self, command: str, *, timeout_seconds: float | None = None, **arguments: object) -> Reply:
        """Give *command* and wait for what becomes of it. Arguments that are None are left out.

        Cancelling leaves the outcome unknown.
        """
        stated = {name: value for name, value in arguments.items() if value is not None}
        try:
            result = await request_async(
                self._control_socket, command, timeout_seconds=timeout_seconds or self._timeout_seconds, **stated
            )
        except ControlError as error:
            if error.code in _AWAY_CODES:
                return NodeAway(error.message, is_outcome_unknown=error.code in _UNKNOWN_OUTCOME)
            return Refusal(error.code, error.message)
        return Answer(result)
