"""The API for programs, /api/v1: what the pages offer, by the same commands to the node and the same table of rights.

In: a token and JSON. Out: JSON, or a problem (RFC 9457). Never here: a write to the database, a message to a filler, an
answer without a token.
"""
