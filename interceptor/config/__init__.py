"""One configuration file to one frozen value, and the clinical content that it names.

In: a TOML file, the mappings folder. Out: a `Config` (schema.py) that every part gets its arguments from,
or every problem of the file at once, with file, line and key. Never here: a socket, a running node, a
default that is not safe, a key that is ignored, a secret written out.
"""
