"""Archives of messages, and what would have become of their orders.

In: the bytes of a file, framed or plain; clinical content; evidence. Out: the messages unchanged, and the
fate of each order as custody would have made it. Never here: a socket, a file name, a journal, a decision
that anybody acts on.
"""
