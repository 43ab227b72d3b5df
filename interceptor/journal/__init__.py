"""What must not be forgotten: messages in our custody, held orders, the outbox, decisions and the audit chain.

In: values of `port.py`. Out: values of `port.py`. Never here: a decision, a socket. Two adapters, SQLite
and PostgreSQL, pass one conformance suite; there is no in-memory stand-in.

Failures: a commit that fails with an I/O error has an unknown outcome. The adapter then refuses all
further writes (`JournalBroken`), the node stops answering in our name and restarts; deduplication absorbs
what the placer sends again. A journal that is full or locked raises `JournalUnavailable`; nothing was
written, and the caller may forward instead.
"""
