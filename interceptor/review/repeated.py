"""The same request twice: a double click, or a program that got no answer. The second is carried out never, answered alike.

A request that says who it is (`request`, up to 64 characters) is written into the audit link of the act itself, in
the same transaction; whoever comes with it again is told what came of it then.

Source: RELIABILITY fault row 43; the Idempotency-Key header of HTTP APIs.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from interceptor.control.protocol import ControlError
from interceptor.journal.port import AuditRow, EntryChange, EntryId

_DETAIL = "request"
_SIZE_MAX = 64

Command = Callable[[dict[str, Any]], Awaitable[Mapping[str, object]]]
History = Callable[[EntryId], Awaitable[Sequence[AuditRow]]]


def with_request(change: EntryChange, arguments: Mapping[str, Any]) -> EntryChange:
    """*change*, whose audit link names the request that asked for it, where it said which it is."""
    mark = _mark(arguments)
    return replace(change, detail={**change.detail, _DETAIL: mark}) if mark else change


def carried_out_once(command: Command, history: History) -> Command:
    """*command*, which does nothing when its request was carried out before; `repeated` is true in the answer then.

    *history* gives the audit links of one order.
    """

    async def run(arguments: dict[str, Any]) -> Mapping[str, object]:
        if not _mark(arguments):
            return await command(arguments)
        try:
            return await _earlier(arguments, history) or await command(arguments)
        except ControlError as error:
            # The first of two that came at once has just been carried out.
            if error.code == "conflict" and (found := await _earlier(arguments, history)):
                return found
            raise

    return run


async def _earlier(arguments: Mapping[str, Any], history: History) -> Mapping[str, object] | None:
    """What came of the same request before."""
    entry_id, mark = arguments.get("entry"), _mark(arguments)
    if not isinstance(entry_id, int):
        return None
    for row in await history(EntryId(entry_id)):
        if row.detail.get(_DETAIL) == mark:
            return {
                "entry": entry_id,
                "state": row.detail.get("to"),
                "version": row.detail.get("version"),
                "repeated": True,
            }
    return None


def _mark(arguments: Mapping[str, Any]) -> str:
    """The request's checksum with who asks: the same word of somebody else is another request. "" for none."""
    request = arguments.get("request")
    if not isinstance(request, str) or not request:
        return ""
    return sha256(f"{arguments.get('actor', '')}\n{request[:_SIZE_MAX]}".encode()).hexdigest()[:32]
