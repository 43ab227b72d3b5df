"""A placer, a filler and a population of patients who do not exist, for the demo and for tests.

In: a seeded random source and the time. Out: orders, results and visits on an MLLP connection, and what
came back. Never here: a decision, a real name, the node's own wire code: the peers speak through
python-hl7's `hl7.mllp`, so that what they understand is not only what we understand.
"""
