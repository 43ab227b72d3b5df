"""Held orders to people: the desk, the only one who changes a held order on a person's word.

In: commands with a name, a reason and the version that the person saw. Out: what became of the order, or who
was faster. Never here: a socket of the data path; a slow or dead page never touches the wire.
"""
