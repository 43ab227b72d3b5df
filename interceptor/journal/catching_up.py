"""What other nodes did to what is ours, shown here: the memory beside the journal is brought up to the journal.

An order that any node took is ours on every node. Before a message with orders is looked at, `catch_up` asks the
journal for everything that was committed before that moment; callers share one question. So a cancel that comes in
here finds the order that another node has just acknowledged. Notifications of the database and a poll do the same
without anybody's asking, for couriers, pages and modes.

Failures: a journal that cannot be read, or does not answer within `ANSWER_SECONDS`: the callers go on with what is
known, and nobody asks again before a poll has had an answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from interceptor.journal.custody import Custody
from interceptor.journal.nodes import News, Nodes
from interceptor.journal.order_index import OpenOrder
from interceptor.journal.port import JournalUnavailable, OutboxId

POLL_SECONDS = 1.0
ATTEMPTS_MAX = 3
"""Questions asked again because something was queued or ended here meanwhile."""
ANSWER_SECONDS = 1.0
"""A database in the same building answers in a millisecond."""


class CatchingUp:
    """Keeps one node's custody in step with the journal."""

    def __init__(
        self,
        custody: Custody,
        nodes: Nodes,
        *,
        relay_routes: Sequence[str],
        new_modes: Callable[[], Awaitable[None]],
        taken_elsewhere: Callable[[OpenOrder], None],
        changed: Callable[[], None],
    ) -> None:
        """*changed* is called after every step of others; *taken_elsewhere* with each order that another node took."""
        self._custody = custody
        self._nodes = nodes
        self._relay_routes = tuple(relay_routes)
        self._new_modes = new_modes
        self._taken_elsewhere = taken_elsewhere
        self._changed = changed
        self._waiting: dict[OutboxId, tuple[bytes, str]] = {}
        self._shown_count = -1
        self._wake = asyncio.Event()
        self._next: asyncio.Future[None] | None = None
        self.is_away = False

    async def catch_up(self) -> None:
        """Return when everything that was committed before now is known here, or cannot be asked."""
        if self.is_away:
            return
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
            self._wake.set()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                # The answer is others' too: whoever stops waiting must not take it from them.
                await asyncio.shield(self._next)
        except TimeoutError:
            self.is_away = True

    def wake(self) -> None:
        """Another node committed something."""
        self._wake.set()

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            asked, self._next = self._next, None
            try:
                await self.look()
            except JournalUnavailable:
                self.is_away = True
            else:
                self.is_away = False
            finally:
                if asked is not None and not asked.done():
                    asked.set_result(None)

    async def look(self) -> None:
        """Ask once."""
        custody = self._custody
        for attempt in range(ATTEMPTS_MAX):
            seen = custody.index.queued.change_count
            news = await self._nodes.news(custody.position, routes=self._relay_routes, known=frozenset(self._waiting))
            is_news = news.position != custody.position
            await self._show_orders(news)
            # What was queued or ended here while the question was out is not in the answer: ask again.
            is_last = attempt + 1 == ATTEMPTS_MAX
            if news.has_new_modes:
                await self._new_modes()
            if is_news:
                self._changed()
            if self._show_waiting(news, seen, is_last=is_last):
                return

    async def _show_orders(self, news: News) -> None:
        custody = self._custody
        for digest in news.digests:
            custody.index.add_digest(digest)
        for entry_id in news.entry_ids:
            before = custody.index.find(entry_id)
            if await custody.journal.entry(entry_id) is None:
                custody.index.forget(entry_id)  # Pruned since.
                continue
            await custody.refresh(entry_id)
            after = custody.index.find(entry_id)
            if before is None and after is not None and after.version == 1:
                self._taken_elsewhere(after)
        custody.position = news.position

    def _show_waiting(self, news: News, seen: int, *, is_last: bool) -> bool:
        queued = self._custody.index.queued
        is_known = news.waiting.keys() == self._waiting.keys() and queued.change_count == self._shown_count
        if is_known and queued.change_count == seen:
            return True
        if queued.change_count != seen and not is_last:
            return False
        new = {number: content for number, content in news.waiting.items() if content is not None}
        if queued.change_count != seen:
            # A busy courier: what is new is added, what has ended is found to have ended another time.
            for content, kind in new.values():
                queued.add(content, kind)
            self._waiting.update(new)
            return True
        self._waiting = {number: new.get(number) or self._waiting[number] for number in news.waiting}
        queued.replace(self._waiting.values())
        self._shown_count = queued.change_count
        return True
