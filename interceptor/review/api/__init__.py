"""The API for programs, /api/v1: what comes in is a token and JSON, what goes out is JSON or a problem (RFC 9457).

It offers what the pages offer, by the same commands to the node and the same table of rights. It never writes to the
database, never sends to a filler, and never answers without a token.
"""
