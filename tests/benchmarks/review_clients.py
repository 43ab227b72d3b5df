"""Browsers that do nothing but read the worklist: `python -m tests.benchmarks.review_clients PORT COOKIE COUNT SECONDS`.

A process of its own, with what nobody else wants of the processor: real browsers have machines of their own. Prints pages per second and the
time of a page in milliseconds, as JSON.
"""

import asyncio
import json
import statistics
import sys
import time


async def read_pages(port: int, cookie: str, until: float) -> list[float]:
    """Seconds of each page on one connection that is kept open; a page that is no page ends the run."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=16 * 1024 * 1024)
    request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: {cookie}\r\nAccept: text/html\r\n\r\n".encode()
    seconds: list[float] = []
    while time.monotonic() < until:
        began = time.monotonic()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head[:60].decode("latin-1"))
        size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        await reader.readexactly(size)
        seconds.append(time.monotonic() - began)
    writer.close()
    return seconds


async def main(port: int, cookie: str, count: int, seconds: float) -> None:
    """Read with so many connections for so long."""
    until = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(read_pages(port, cookie, until)) for _ in range(count)]
    times = [one for task in tasks for one in task.result()]
    sys.stdout.write(json.dumps({"pages_per_second": len(times) / seconds, "p50_ms": statistics.median(times) * 1000}))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
