"""What comes in: bytes as the network cut them. What goes out: whole MLLP frames, and framed bytes to send.

`frame.py` has the words (frame, tolerance, framing error) and the way out, `decoder.py` the way in,
`commit_block.py` the one-byte acknowledgments of MLLP Release 2.

What never happens here: no socket, no clock, no look inside a message, no guess that joins two messages.
"""
