"""Live updates: what a browser is told, in which order, and what it gets when it comes back."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from interceptor.journal.port import EntryId
from interceptor.review.live import Event, LiveLimits, LiveUpdates, event_text, last_seen
from tests.support.held_orders import HeldOrders, held_order, held_orders


def request_of(query: str = "", *headers: tuple[bytes, bytes]) -> Request:
    return Request({"type": "http", "method": "GET", "query_string": query.encode(), "headers": list(headers)})


async def tell_changed(changed: Any) -> list[Event]:
    return [Event("changed", {"orders": list(changed)})]


@asynccontextmanager
async def stream_of(updates: LiveUpdates, request: Request) -> AsyncIterator[AsyncIterator[str]]:
    answer: Response = updates.answer(request, tell_changed)
    assert isinstance(answer, StreamingResponse)
    events: Any = answer.body_iterator
    try:
        yield events
    finally:
        await events.aclose()


async def next_event(events: AsyncIterator[str], name: str) -> dict[str, Any]:
    """The data of the next event of this name; others are passed over."""
    async with asyncio.timeout(20):
        async for text in events:
            lines = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
            if lines.get("event") == name:
                return {"id": int(lines["id"]), **json.loads(lines["data"])}
    raise AssertionError(f"the stream ended without {name}")


@asynccontextmanager
async def live_place(folder: Path, **limits: Any) -> AsyncIterator[tuple[HeldOrders, LiveUpdates]]:
    """Updates that ask the database at every step: the test's clock stands still."""
    async with held_orders(folder, [held_order("A1")]) as place:
        place.review.parts.stopping.clear()
        yield place, LiveUpdates(place.review.parts, LiveLimits(poll_seconds=0.0, **limits))


async def test_a_browser_that_comes_back_gets_what_it_missed_and_nothing_twice(tmp_path: Path) -> None:
    async with live_place(tmp_path) as (place, updates):
        before = await updates.number()
        await place.review.ask("held_comment", entry=1, actor="ann", comment="one")
        async with stream_of(updates, request_of(f"after={before}")) as events:
            told = await next_event(events, "changed")
            assert told["orders"] == [1]
        header = (b"last-event-id", str(told["id"]).encode())
        await place.review.ask("held_comment", entry=1, actor="ann", comment="two")
        async with stream_of(updates, request_of("after=0", header)) as events:
            again = await next_event(events, "changed")
            assert again["id"] > told["id"]


async def test_more_than_is_worth_telling_is_told_as_reload(tmp_path: Path) -> None:
    async with (
        live_place(tmp_path, changes_max=0) as (_place, updates),
        stream_of(updates, request_of("after=0")) as events,
    ):
        assert await next_event(events, "reload")


async def test_a_stream_ends_when_the_process_does(tmp_path: Path) -> None:
    async with live_place(tmp_path) as (place, updates):
        number = await updates.number()
        async with stream_of(updates, request_of(f"after={number}")) as events:
            await anext(events)
            place.review.parts.stopping.set()
            assert await next_event(events, "drain")
            assert [text async for text in events] == []


async def test_streams_are_bounded_in_number(tmp_path: Path) -> None:
    async with live_place(tmp_path, streams_max=1) as (_place, updates), stream_of(updates, request_of()) as events:
        await anext(events)
        assert updates.answer(request_of(), tell_changed).status_code == 503


async def test_a_row_of_the_list_comes_as_the_list_shows_it(tmp_path: Path) -> None:
    async with live_place(tmp_path) as (place, _updates):
        place.review.parts.stopping.set()
        rows = await place.review.parts.reader.changed_since(0, limit=10)
        assert rows == (EntryId(1),)
        answer = await place.reviewer.get("/events?after=0&columns=patient&masked=1")
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "event: drain" in answer.text


@pytest.mark.parametrize(("text", "number"), [("17", 17), ("", None), ("x", None), ("-1", None), ("9" * 40, None)])
def test_a_number_that_is_none_begins_at_the_end(text: str, number: int | None) -> None:
    assert last_seen(request_of(f"after={text}")) == number


def test_an_event_is_one_line_of_data_whatever_stands_in_it() -> None:
    text = event_text(Event("row", {"html": "<tr>\r\n\n\u2028</tr>"}), 3)
    assert text.count("\n") == 4
    assert text.startswith("id: 3\nevent: row\ndata: ")
