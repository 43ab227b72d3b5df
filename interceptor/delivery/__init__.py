"""From us to the filler: connections to a destination, and the courier that empties the outbox.

In: bytes with their control id. Out: the filler's own answer, or why there is none. Never here: a
decision about an order. An acknowledgment is matched by MSA-2 to the one message that waits on its
connection; anything else drops the connection.

Failures: a destination that cannot be reached is tried again with growing, jittered pauses; what was sent
and not answered may have been received, and is sent again only with the same bytes and control id.
"""
