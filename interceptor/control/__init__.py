"""Commands to a running node over a Unix socket.

In: a command name and its arguments, as one line of JSON. Out: a result, or an error with a stable code, as one
line of JSON. Never here: what a command does (the node gives a function for each), a network socket, a login:
the socket's folder is the permission.
"""
