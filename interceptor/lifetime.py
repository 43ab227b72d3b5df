"""Tasks that live as long as a block: nothing outlives it, and leaving it cancels and waits for all of them.

Failures: the block's own error leaves it as it is, not wrapped into a group; a task's error ends the block.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


class Tasks:
    """The tasks of the node, so that leaving can cancel them."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> "asyncio.Task[None]":
        """Run *coroutine* until it ends or the node stops."""
        task = self._group.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel(self) -> None:
        """Ask every task to end."""
        for task in tuple(self._tasks):
            task.cancel()


@asynccontextmanager
async def running_tasks() -> AsyncIterator[Tasks]:
    """The tasks of the node; on leaving they are cancelled and waited for, and the block's error is kept as it is."""
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        tasks = Tasks(group)
        try:
            yield tasks
        except Exception as error:  # noqa: BLE001 - raised again below, outside the group that would wrap it
            failure = error
        finally:
            tasks.cancel()
    if failure is not None:
        raise failure


async def first_of(*events: asyncio.Event) -> None:
    """Wait until one of these is set."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(event.wait()) for event in events]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
