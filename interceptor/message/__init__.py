"""HL7 v2 message content as fields, without ever losing a byte.

In: the bytes between the frame's start and end, exactly as received.
Out: views over those bytes (segments, fields, order groups, text), edits that are proven to touch nothing
else (splice, split), and the segments and acknowledgments that we author.

Never here: a parse-and-serialise round trip, a re-encoding of what passes on, a clock, or clinical meaning.
"""
