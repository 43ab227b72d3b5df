"""The `interceptor` command: one file for each command group, `main.py` puts them together.

In: arguments of a person or a script. Out: text or JSON, and an exit code: 0 done, 1 the answer is "no"
(invalid, differs, not found), 2 wrong use or configuration. Never here: what a command means; that is in
the stage that it calls. Each file imports that stage inside its command, so that `--help` stays quick.
"""
