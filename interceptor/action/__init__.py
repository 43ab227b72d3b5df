"""Verdict to plan: what is sent to the filler, what is answered to the placer, what is taken into custody.

In: a message view and the decisions on its orders. Out: values that say exactly which bytes go where and
which states change. Never here: a socket, a journal, a clock; the pipeline carries plans out.
"""
