"""What people may do with messages that the filler refused for good. In the node, the only writer.

Failures: a journal that is unavailable is said so to the person; nothing happened then.
"""

from collections.abc import Mapping
from typing import Any

from interceptor.control.protocol import ControlError
from interceptor.journal.port import OutboxId, OutboxRow
from interceptor.review.desk import DeskParts, Handler, actor_argument, number_argument, telling_of_the_journal
from interceptor.review.reason import REASON_SIZE_MAX


class DeadLetterDesk:
    """People's commands on dead letters."""

    def __init__(self, parts: DeskParts) -> None:
        """Register `handlers` with the control socket."""
        self._parts = parts
        self._custody = parts.custody
        self._journal = parts.custody.journal

    def handlers(self) -> dict[str, Handler]:
        """Command name to function."""
        commands = {
            "dead_list": self.dead_list,
            "dead_retry": self.dead_retry,
            "dead_discard": self.dead_discard,
        }
        return {name: telling_of_the_journal(command) for name, command in commands.items()}

    async def dead_list(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Messages that the filler refused for good, the oldest first."""
        del arguments
        return {"dead": [outbox_json(row) for row in await self._journal.dead_letters()]}

    async def dead_retry(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Send a dead letter again."""
        row_id = OutboxId(number_argument(arguments, "outbox_id"))
        if not await self._custody.requeue_dead(row_id, at=self._parts.now(), actor=actor_argument(arguments)):
            raise ControlError("not_found", f"{row_id} is no dead letter, or its order was cancelled")
        self._parts.wake()
        return {"outbox_id": row_id, "state": "pending"}

    async def dead_discard(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Give a dead letter up; it is kept, and never sent."""
        row_id = OutboxId(number_argument(arguments, "outbox_id"))
        reason = str(arguments.get("reason") or "").strip()[:REASON_SIZE_MAX]
        if not reason:
            raise ControlError("reason_missing", "say why the message is given up")
        done = await self._journal.discard_dead(
            row_id, at=self._parts.now(), actor=actor_argument(arguments), reason=reason
        )
        if not done:
            raise ControlError("not_found", f"{row_id} is no dead letter")
        return {"outbox_id": row_id, "state": "discarded"}


def outbox_json(row: OutboxRow) -> dict[str, object]:
    """One dead letter, without its bytes."""
    return {
        "outbox_id": row.outbox_id,
        "destination": row.destination,
        "kind": row.kind,
        "entry": row.entry_id,
        "attempts": row.attempt_count,
        "possible_duplicate": row.possible_duplicate,
        "queued_at": row.queued_at.isoformat(),
        "error": row.last_error,
    }
