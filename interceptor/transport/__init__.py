"""What comes in: sockets and addresses. What goes out: whole frames to a handler, framed bytes to a peer.

`server.py` listens, `client.py` connects, both speak through `connection.py`; `protocol.py` is the asyncio
Protocol beneath it, `deadline.py` its one timer, `options.py` every limit.

What never happens here: no look inside a message, no acknowledgment of our own, no unbounded buffer, no wait
without an end.
"""
